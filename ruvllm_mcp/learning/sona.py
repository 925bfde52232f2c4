"""SONA, the self-optimising part: what searches leave behind goes in, what feedback taught comes out.

Implements memory's `Teacher`. One engine per process and embedder; several processes on one store learn from each
other, because each takes in the log's feedback in its commit order, and the version in force, before it answers. The
instant loop acts in `feedback`, the background loop in `learn`, the deep one in `consolidate`.

Searches of the process that is told follow a feedback while it is still being committed: its transaction keeps every
other one out, so its place in the order is known before. Should the commit fail, all is read from the store again.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from ruvllm_mcp.errors import NotFoundError
from ruvllm_mcp.learning import loops
from ruvllm_mcp.learning.associations import P_CHANCE, Associations, evidence_of
from ruvllm_mcp.learning.deep import Against
from ruvllm_mcp.learning.due import due
from ruvllm_mcp.learning.feedback import Feedback, votes
from ruvllm_mcp.learning.instant import InstantLoop, InstantStep, step_of, weight_step_of
from ruvllm_mcp.learning.judging import Verdict
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.log import KEPT_RATED, TrajectoryLog
from ruvllm_mcp.learning.objective import Vectors, agreement_of, row_of
from ruvllm_mcp.learning.patterns import Pattern
from ruvllm_mcp.learning.said import Said
from ruvllm_mcp.learning.trajectory import FloatArray, Trajectory
from ruvllm_mcp.learning.versions import Trial, Version, VersionStore
from ruvllm_mcp.memory.journal import Journal
from ruvllm_mcp.memory.late import TokenSigns
from ruvllm_mcp.reports import FeedbackReceipt, LearnReport

LEAST_BELIEF = 0.5  # in a client, and in a feedback of its, to train anything beyond single questions
INSTANT_CANDIDATES = 24  # an instant step looks at the best of a search; the slower loops at all
_CONFIRMED = 2.0  # in how many questions of a pattern a memory must have been right to be proposed
_NEAREST_PATTERNS = 3


class SonaEngine:
    """Learns for one store and embedder. Thread-safe.

    `journal` is the store's, its schema up to date; `fingerprint` and `dim` are the embedder's: feedback on other
    embedders' vectors is kept but not used. `existing(ids)` tells which ids are stored memories; `vectors(ids)` gives
    their unit vectors (n, dim), zeros where there is none. `micro_lora`: whether single feedbacks move question
    vectors, too.
    """

    def __init__(
        self,
        journal: Journal,
        fingerprint: str,
        dim: int,
        existing: Callable[[Sequence[int]], Collection[int]],
        vectors: Vectors,
        *,
        micro_lora: bool = False,
    ) -> None:
        self._journal, self._log = journal, TrajectoryLog(journal)
        self._versions = VersionStore(journal, fingerprint)
        self._fingerprint, self._dim = fingerprint, dim
        self._existing, self._vectors, self._micro_lora = existing, vectors, micro_lora
        self._associations = Associations(dim)
        self._lock = threading.RLock()  # taken before the journal's
        self._telling = threading.Lock()  # one feedback after the other; taken before both
        self._seen = 0
        self._marker = -1
        self._is_ahead = False  # of the store, by the feedback that is being committed
        self._active = 0
        self._trial: Trial | None = None
        self._states: dict[int, tuple[Learned, InstantLoop]] = {}

    # What searches ask

    def adapt(self, query_vector: FloatArray) -> FloatArray:
        """The query vector to search with: unit length, as given or moved by what was learned."""
        with self._lock:
            self._catch_up()
            return self._moved(query_vector, *self._state_for(query_vector))

    def taught(
        self,
        query_vector: FloatArray,
        namespaces: Sequence[str] | None,  # noqa: ARG002 - the protocol's; ids already belong to one namespace each
        tokens: TokenSigns | None = None,
    ) -> Mapping[int, float]:
        """Memory id → evidence in [-1, 1] from feedback on similar questions, by any process so far. Patterns speak for
        memories of which no remembered question does."""
        with self._lock:
            self._catch_up()
            evidence = self._associations.evidence(query_vector, tokens)
            learned, _ = self._state_for(query_vector)
            for index, cosine in learned.bank.match(query_vector, _NEAREST_PATTERNS):
                for memory, chance in _proposed(learned.bank.patterns[index], cosine):
                    evidence.setdefault(memory, float(evidence_of(np.float64(chance))))
            return evidence

    def confirmed(self, ids: Sequence[int]) -> FloatArray:
        """Evidence in [-1, 1], float32 (n,), from each memory having been right for any question. Takes no lock: memory
        asks while it holds its own."""
        return self._associations.confirmed(ids)

    def weights(self, query_vector: FloatArray) -> Mapping[str, float]:
        """Score part → the factor its share is multiplied by; 1 for parts not named."""
        with self._lock:
            self._catch_up()
            learned, instant = self._state_for(query_vector)
            return instant.weights(learned.weights)

    def version_for(self, query_vector: FloatArray) -> int:
        """The version that answers this question: the active one, or one of two on trial by the vector's checksum."""
        if self._trial is None:
            return self._active
        share = zlib.crc32(query_vector.tobytes()) / 2**32
        return self._trial.b if share < self._trial.share else self._trial.a

    # What searches leave and people say

    def record(self, trajectory: Trajectory) -> None:
        """Keep what a search left behind; from then on `feedback` knows its request id."""
        self._log.record(trajectory)

    def checked(self, request_id: str, feedback: Feedback) -> Trajectory:
        """What the search of that request left behind, if `feedback` fits it. Raises what `feedback()` raises."""
        trajectory = self._log.get(request_id)
        unseen = {*feedback.relevant, *feedback.irrelevant}.difference(trajectory.shown)
        unknown = unseen.difference(self._existing(sorted(unseen))) if unseen else unseen
        if unknown:
            raise NotFoundError(
                f"Memory {min(unknown)} was not shown for this request and does not exist.",
                "Name ids from that request's results, or of stored memories that should have been found.",
            )
        return trajectory

    def feedback(self, request_id: str, feedback: Feedback) -> FeedbackReceipt:
        """Learn from what was said of a request: at once here, at their next search in other processes. Committed when
        it returns, unlearned again when it raises.

        Raises NotFoundError for an unknown request, or for ids that were neither shown nor are stored memories, and
        StoreBusyError when another process writes for too long.
        """
        trajectory = self.checked(request_id, feedback)
        cast = votes(feedback, trajectory.shown)
        with self._telling:
            try:
                self._tell(trajectory, cast, feedback)
            except BaseException:
                if self._is_ahead:
                    self._forget()
                raise
            finally:
                self._is_ahead = False
        strengthened = sum(vote > 0 for vote in cast.values())
        return FeedbackReceipt(request_id, strengthened, len(cast) - strengthened)

    # The slower loops and their versions

    def learn(self) -> LearnReport:
        """The background loop, now: train a candidate on everything rated, and put it in force if it does not lose on
        held-back requests. Searches go on meanwhile."""
        active, learned = self._in_force()
        material = self._gathered()
        return self._noticed(loops.learn(self._versions, material, active, learned, self._dim))

    def consolidate(self, against: Against = "ewc") -> LearnReport:
        """The deep loop, now: fold what was learned since the active version into its base, and keep the result if
        older requests fare at least 95 % as well and the held-back ones do not lose. `against` forgetting: ewc, replay
        or nothing. Searches go on meanwhile."""
        active, learned = self._in_force()
        material = self._gathered()
        return self._noticed(loops.consolidate(self._versions, material, active, learned, self._dim, against))

    def run_if_due(self, after: int) -> LearnReport | None:
        """Run the slower loop that is due (see `due`), the background one every `after` feedbacks; None when none is,
        or another process is at it."""
        with self._lock:
            self._catch_up()
            signals = self._seen
        runs = self._versions.last_run("learn"), self._versions.last_run("consolidate")
        loop = due(time.time(), signals, after, *runs)
        if loop is None or not self._versions.claim():
            return None
        try:
            return self.learn() if loop == "learn" else self.consolidate()
        finally:
            self._versions.release()

    def snapshot(self, label: str) -> int:
        """Keep the version in force, with what was learned since, under a name; its id."""
        with self._lock:
            self._catch_up()
            learned, instant = self._state(self._active)
            kept = replace(learned, weights=instant.weights(learned.weights))
            added = self._versions.add(kept, "snapshot", label=label, parent=self._active, promote=False, metrics={})
            return added[0]

    def snapshots(self) -> list[Version]:
        """Every version kept, newest first."""
        return self._versions.all()

    def rollback(self, version: int) -> None:
        """Put an earlier version in force, 0 for the untrained system. Feedback stays remembered. NotFoundError."""
        self._versions.activate(version)
        with self._lock:
            self._catch_up(anyway=True)

    def start_trial(self, trial: Trial | None) -> None:
        """Answer a share of requests by another version, or end the trial. NotFoundError, InvalidInputError."""
        self._versions.start_trial(trial)
        with self._lock:
            self._catch_up(anyway=True)

    def compare(self, a: int, b: int) -> Verdict:
        """Version `b` judged against `a` on the held-back requests. Raises NotFoundError."""
        material = self._gathered()
        return loops.compare(material, self._versions.learned(a), self._versions.learned(b))

    def patterns(self, limit: int) -> tuple[Pattern, ...]:
        """What the active version's reasoning bank holds, the most used first."""
        with self._lock:
            self._catch_up()
            patterns = self._state(self._active)[0].bank.patterns
        return tuple(sorted(patterns, key=lambda pattern: -pattern.uses)[:limit])

    # For people and other rooms

    def stats(self) -> dict[str, int]:
        """Trajectories and feedbacks kept, different questions remembered, the version in force."""
        with self._lock:
            self._catch_up()
            learned, instant = self._state(self._active)
            return {
                **self._log.counts(),
                "rated_questions": len(self._associations),
                "version": self._active,
                "patterns": len(learned.bank.patterns),
                "instant_steps": instant.steps,
            }

    def rated(self) -> tuple[list[Trajectory], list[tuple[str, Feedback]]]:
        """Everything learning rests on: the requests that were spoken of, oldest first, and what was said of them."""
        return self._log.recent(KEPT_RATED, only_rated=True)[::-1], self._log.feedbacks()

    def knows(self, request_id: str) -> bool:
        """Whether feedback on that request would find it."""
        try:
            return bool(self._log.get(request_id))
        except NotFoundError:
            return False

    def trajectories(self, limit: int) -> list[Trajectory]:
        """The newest `limit` trajectories, newest first."""
        return self._log.recent(limit)

    def close(self) -> None:
        """Write what is pending and let go of the store."""
        self._log.close()

    def _tell(self, trajectory: Trajectory, cast: Mapping[int, float], feedback: Feedback) -> None:
        with ExitStack() as transaction:
            with self._lock:
                rows = transaction.enter_context(self._journal.write())
                self._catch_up()
                said = self._worked_out(trajectory, cast, feedback.client)
                self._is_ahead = True
                self._take_in(said)
            is_next = self._log.add(rows, said, feedback, time.time()) == said.seq
        if not is_next:  # the last ones are gone from the store
            self._forget()

    def _forget(self) -> None:
        """Begin anew: what the store holds is taken in at the next search."""
        with self._lock:
            self._associations, self._states = Associations(self._dim), {}
            self._seen, self._marker, self._is_ahead = 0, -1, False

    # Keeping up; the lock is held

    def _worked_out(self, trajectory: Trajectory, cast: Mapping[int, float], client: str) -> Said:
        """What the next feedback says."""
        agreed = agreement_of(trajectory, cast)
        same, lesson = self._associations.foreseen(
            trajectory.vector, cast, trajectory.shown, agreed, client, trajectory.tokens
        )
        is_believed = min(self._associations.credit(client), self._associations.belief(client, agreed)) >= LEAST_BELIEF
        return Said(
            self._seen + 1,
            trajectory.request_id,
            client,
            trajectory.fingerprint,
            trajectory.vector,
            trajectory.tokens,
            same,
            cast,
            lesson,
            self._step(trajectory, cast) if is_believed else None,
        )

    def _noticed(self, report: LearnReport) -> LearnReport:
        """The report, once the version it speaks of is seen here too: the marker tells of other connections alone."""
        with self._lock:
            self._catch_up(anyway=True)
        return report

    def _gathered(self) -> loops.Material:
        with self._lock:
            self._catch_up()
        return loops.gathered(self._log, self._fingerprint, self._vectors, self._believed)

    def _believed(self, client: str) -> bool:
        with self._lock:
            return self._associations.credit(client) >= LEAST_BELIEF

    def _in_force(self) -> tuple[int, Learned]:
        with self._lock:
            self._catch_up()
            return self._active, self._state(self._active)[0]

    def _state_for(self, query_vector: FloatArray) -> tuple[Learned, InstantLoop]:
        return self._state(self.version_for(query_vector))

    def _state(self, version: int) -> tuple[Learned, InstantLoop]:
        """A version, with the instant steps since it was trained."""
        if version not in self._states:
            learned = self._versions.learned(version)
            instant = InstantLoop(self._dim, self._associations.credit)
            for said in self._log.since(learned.trained_to):
                if said.seq <= self._seen and said.fingerprint == self._fingerprint and said.step is not None:
                    instant.apply(said.vector, said.step, said.client)
            self._states[version] = learned, instant
        return self._states[version]

    def _moved(self, query: FloatArray, learned: Learned, instant: InstantLoop) -> FloatArray:
        if learned.base is None and not instant.moves_vectors:
            return query
        moved: FloatArray = learned.moved(query) + instant.move(query)
        return moved / np.float32(np.linalg.norm(moved))

    def _step(self, trajectory: Trajectory, cast: Mapping[int, float]) -> InstantStep | None:
        if trajectory.fingerprint != self._fingerprint:
            return None
        learned, instant = self._state_for(trajectory.vector)
        weights = instant.weights(learned.weights)
        if not self._micro_lora:
            return weight_step_of(trajectory, cast, weights, INSTANT_CANDIDATES)
        row = row_of(trajectory, cast, self._vectors, INSTANT_CANDIDATES)
        return None if row is None else step_of(row, weights, learned.moved(row.query) + instant.move(row.query))

    def _catch_up(self, *, anyway: bool = False) -> None:
        if self._is_ahead and not anyway:
            return  # nobody else can have written
        marker = self._journal.marker()
        if marker == self._marker and not anyway:
            return
        self._marker = marker
        for said in self._log.since(self._seen):
            self._take_in(said)
        self._active, self._trial = self._versions.active(), self._versions.trial()
        used = {self._active, *((self._trial.a, self._trial.b) if self._trial else ())}
        self._states = {version: state for version, state in self._states.items() if version in used}

    def _take_in(self, said: Said) -> None:
        self._seen = said.seq
        if said.fingerprint != self._fingerprint:
            return
        if said.votes:
            self._associations.learn(
                said.seq, said.vector, said.votes, said.client, said.question, said.lesson, said.tokens
            )
        if said.step is not None:
            for learned, instant in self._states.values():
                if said.seq > learned.trained_to:
                    instant.apply(said.vector, said.step, said.client)


def _proposed(pattern: Pattern, cosine: float) -> list[tuple[int, float]]:
    """Memories that several questions of the pattern confirmed, with the chance that they are right for one at
    `cosine` from its centre."""
    return [
        (memory, chance)
        for memory, support in pattern.support.items()
        if support >= _CONFIRMED and (chance := pattern.quality * cosine * support / (pattern.uses + 3)) > P_CHANCE
    ]

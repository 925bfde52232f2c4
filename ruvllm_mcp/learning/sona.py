"""SONA, the self-optimising part: what searches leave behind goes in, what feedback taught comes out.

Implements memory's `Teacher`. One engine per process and embedder; several processes on one store learn from each
other, because each takes in the log's feedback in its commit order, and the version in force, before it answers (see
`following`). The instant loop acts in `feedback`, the background loop in `learn`, the deep one in `consolidate`.

Searches of the process that is told follow a feedback's votes at once, before its place in the order is known: until
another process lets go of the store, they are lent as if they came next. Then it is taken in whole, and searches
follow that while it is being committed: its transaction keeps every other one out. Should the commit fail, all is read
from the store again. Meanwhile searches do not look for what other processes said, as that would be to wait for them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np

from ruvllm_mcp.errors import NotFoundError, RuvLLMError
from ruvllm_mcp.learning import loops
from ruvllm_mcp.learning.associations import Told
from ruvllm_mcp.learning.deep import Against
from ruvllm_mcp.learning.due import due
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.following import LEAST_BELIEF, Follower
from ruvllm_mcp.learning.judging import Verdict
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.lending import evidence_of
from ruvllm_mcp.learning.log import KEPT_RATED, TrajectoryLog
from ruvllm_mcp.learning.objective import Vectors
from ruvllm_mcp.learning.patterns import Pattern
from ruvllm_mcp.learning.trajectory import FloatArray, Trajectory
from ruvllm_mcp.learning.versions import Trial, Version, VersionStore
from ruvllm_mcp.memory.journal import Journal
from ruvllm_mcp.memory.late import TokenSigns
from ruvllm_mcp.reports import FeedbackReceipt, LearnReport

P_CHANCE = 0.01  # a candidate's chance of being right when nothing is known: some 100 candidates a question
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
        self._fingerprint, self._dim, self._existing, self._vectors = fingerprint, dim, existing, vectors
        self._known = Follower(journal, self._log, self._versions, fingerprint, dim, vectors, micro_lora=micro_lora)
        self._telling = threading.Lock()  # one feedback after the other; taken before the journal, and that before
        self._lock = threading.RLock()
        self._tellers = 0  # feedbacks on their way
        self._told: list[Told] = []  # by them, and not yet taken in
        self._is_ahead = False  # of the store, by the feedback that is being committed

    # What searches ask

    def adapt(self, query_vector: FloatArray) -> FloatArray:
        """The query vector to search with: unit length, as given or moved by what was learned."""
        with self._caught_up() as known:
            return known.moved(query_vector)

    def taught(
        self,
        query_vector: FloatArray,
        namespaces: Sequence[str] | None,  # noqa: ARG002 - the protocol's; ids already belong to one namespace each
        tokens: TokenSigns | None = None,
    ) -> Mapping[int, float]:
        """Memory id → evidence in [-1, 1] from feedback on similar questions, by any process so far. Patterns speak for
        memories of which no remembered question does."""
        with self._caught_up() as known:
            evidence = known.associations.evidence(query_vector, tokens, self._told)
            bank = known.state_for(query_vector)[0].bank
            for index, cosine in bank.match(query_vector, _NEAREST_PATTERNS):
                for memory, chance in _proposed(bank.patterns[index], cosine):
                    evidence.setdefault(memory, float(evidence_of(np.float64(chance))))
            return evidence

    def confirmed(self, ids: Sequence[int]) -> FloatArray:
        """Evidence in [-1, 1], float32 (n,), from each memory having been right for any question. Takes no lock: memory
        asks while it holds its own."""
        return self._known.associations.confirmed(ids)

    def weights(self, query_vector: FloatArray) -> Mapping[str, float]:
        """Score part → the factor its share is multiplied by; 1 for parts not named."""
        with self._caught_up() as known:
            learned, instant = known.state_for(query_vector)
            return instant.weights(learned.weights)

    def version_for(self, query_vector: FloatArray) -> int:
        """The version that answers this question: the active one, or one of two on trial by the vector's checksum."""
        return self._known.version_for(query_vector)

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
        told = Told(trajectory, feedback)
        with self._published(told), self._telling:
            self._tell(told)
        strengthened = sum(vote > 0 for vote in told.votes.values())
        return FeedbackReceipt(request_id, strengthened, len(told.votes) - strengthened)

    # The slower loops and their versions

    def learn(self) -> LearnReport:
        """The background loop, now: train a candidate on everything rated, and put it in force if it does not lose on
        held-back requests. Searches go on meanwhile."""
        active, learned = self._in_force()
        material = self._gathered(learned.trained_to)
        return self._noticed(loops.learn(self._versions, material, active, learned))

    def consolidate(self, against: Against = "ewc") -> LearnReport:
        """The deep loop, now: fold what was learned since the active version into its base, and keep the result if
        older requests fare at least 95 % as well and the held-back ones do not lose. `against` forgetting: ewc, replay
        or nothing. Searches go on meanwhile."""
        active, learned = self._in_force()
        material = self._gathered(learned.trained_to)
        return self._noticed(loops.consolidate(self._versions, material, active, learned, against))

    def run_if_due(self, after: int) -> LearnReport | None:
        """Run the slower loop that is due (see `due`), the background one every `after` feedbacks; None when none is,
        or another process is at it."""
        with self._caught_up() as known:
            signals = known.seen
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
        with self._caught_up() as known:
            (learned, instant), parent = known.in_force(), known.active
            kept = replace(learned, weights=instant.weights(learned.weights))
        return self._versions.add(kept, "snapshot", label=label, parent=parent, promote=False, metrics={})[0]

    def snapshots(self) -> list[Version]:
        """Every version kept, newest first."""
        return self._versions.all()

    def rollback(self, version: int) -> None:
        """Put an earlier version in force, 0 for the untrained system. Feedback stays remembered. NotFoundError."""
        self._versions.activate(version)
        self._look_again()

    def start_trial(self, trial: Trial | None) -> None:
        """Answer a share of requests by another version, or end the trial. NotFoundError, InvalidInputError."""
        self._versions.start_trial(trial)
        self._look_again()

    def compare(self, a: int, b: int) -> Verdict:
        """Version `b` judged against `a` on the held-back requests. Raises NotFoundError."""
        material = self._gathered()
        return loops.compare(material, self._versions.learned(a), self._versions.learned(b))

    def patterns(self, limit: int) -> tuple[Pattern, ...]:
        """What the active version's reasoning bank holds, the most used first."""
        with self._caught_up() as known:
            patterns = known.in_force()[0].bank.patterns
        return tuple(sorted(patterns, key=lambda pattern: -pattern.uses)[:limit])

    # For people and other rooms

    def stats(self) -> dict[str, int]:
        """Trajectories and feedbacks kept, different questions remembered, the version in force."""
        counts = self._log.counts()
        with self._caught_up() as known:
            learned, instant = known.in_force()
            return {
                **counts,
                "rated_questions": len(known.associations),
                "version": known.active,
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

    # Telling and keeping up

    @contextmanager
    def _published(self, told: Told) -> Iterator[None]:
        """What was told counts for searches at once, until it is taken in or given up; not other embedders' vectors."""
        with self._lock:
            self._tellers += 1
            self._told += [told] if told.search.fingerprint == self._fingerprint else []
        try:
            yield
        finally:
            with self._lock:
                self._tellers -= 1
                self._withdraw(told)

    def _withdraw(self, told: Told) -> None:
        self._told = [one for one in self._told if one is not told]

    def _tell(self, told: Told) -> None:
        try:
            self._log.flush()
            with self._caught_up():
                pass  # so that something is known
            with self._journal.write() as rows:
                with self._lock:
                    self._known.read_on()
                    said = self._known.worked_out(told)
                    self._is_ahead = True
                    self._withdraw(told)
                    self._known.take_in(said)
                number = self._log.add(rows, said, told.feedback, time.time())
            if number != said.seq:  # the last ones are gone from the store
                self._begin_anew()
        except BaseException:
            if self._is_ahead:
                with suppress(RuvLLMError):  # then the next search reads
                    self._begin_anew()
            raise
        finally:
            self._is_ahead = False

    def _begin_anew(self) -> None:
        with self._lock:
            self._known.forget()
            self._known.read_on()

    @contextmanager
    def _caught_up(self) -> Iterator[Follower]:
        """What is known, with the lock held. Whoever holds it may ask the journal only while nobody tells, or nothing
        is known: then none who tells has the journal."""
        with self._lock:
            if not self._tellers or self._known.is_blank:
                self._known.read_on()
            yield self._known

    def _look_again(self) -> None:
        """Read what changed, this process's own versions too: the marker tells of other connections alone."""
        with self._telling, self._lock:
            self._known.read_on(anyway=True)

    def _noticed(self, report: LearnReport) -> LearnReport:
        """The report, once the version it speaks of is seen here too."""
        self._look_again()
        return report

    def _gathered(self, trained_to: int = 0) -> loops.Material:
        with self._caught_up():
            pass
        return loops.gathered(self._log, self._fingerprint, self._vectors, self._believed, trained_to, self._dim)

    def _believed(self, client: str) -> bool:
        with self._lock:
            return self._known.associations.credit(client) >= LEAST_BELIEF

    def _in_force(self) -> tuple[int, Learned]:
        with self._caught_up() as known:
            return known.active, known.in_force()[0]


def _proposed(pattern: Pattern, cosine: float) -> list[tuple[int, float]]:
    """Memories that several questions of the pattern confirmed, with the chance that they are right for one at
    `cosine` from its centre."""
    return [
        (memory, chance)
        for memory, support in pattern.support.items()
        if support >= _CONFIRMED and (chance := pattern.quality * cosine * support / (pattern.uses + 3)) > P_CHANCE
    ]

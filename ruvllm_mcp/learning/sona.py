"""SONA, the self-optimising part: what searches leave behind goes in, what feedback taught comes out.

Implements memory's `Teacher`. One engine per process and embedder; several processes on one store learn from each
other, because each takes in the log's feedback in its commit order before it answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from ruvllm_mcp.errors import NotFoundError
from ruvllm_mcp.learning.associations import Associations
from ruvllm_mcp.learning.feedback import Feedback, votes
from ruvllm_mcp.learning.log import KEPT_RATED, Said, TrajectoryLog
from ruvllm_mcp.learning.trajectory import FloatArray, Trajectory
from ruvllm_mcp.types import FeedbackReceipt


class SonaEngine:
    """Learns for one store and embedder. Thread-safe.

    `path` is the store's file, its schema up to date; `fingerprint` and `dim` are the embedder's: feedback on other
    embedders' vectors is kept but not used. `existing(ids)` tells which ids are stored memories.
    """

    def __init__(
        self, path: Path, fingerprint: str, dim: int, existing: Callable[[Sequence[int]], Collection[int]]
    ) -> None:
        self._log = TrajectoryLog(path)
        self._fingerprint = fingerprint
        self._existing = existing
        self._associations = Associations(dim)
        self._lock = threading.RLock()
        self._seen = 0
        self._marker = -1

    def record(self, trajectory: Trajectory) -> None:
        """Keep what a search left behind; from then on `feedback` knows its request id."""
        self._log.record(trajectory)

    def checked(self, request_id: str, feedback: Feedback) -> Trajectory:
        """What the search of that request left behind, if `feedback` fits it. Raises what `feedback()` raises."""
        trajectory = self._log.get(request_id)
        self._check_ids(feedback, trajectory)
        return trajectory

    def feedback(self, request_id: str, feedback: Feedback) -> FeedbackReceipt:
        """Learn from what was said of a request: at once here, at their next search in other processes.

        Raises NotFoundError for an unknown request, or for ids that were neither shown nor are stored memories.
        """
        trajectory = self.checked(request_id, feedback)
        cast = votes(feedback, trajectory.shown)
        with self._lock:
            self._catch_up()
            same, lesson = self._associations.foreseen(trajectory.vector, cast, trajectory.shown)
            number = self._log.add(request_id, feedback, cast, same, lesson, time.time())
            if number == self._seen + 1:
                said = Said(
                    number,
                    request_id,
                    feedback.client,
                    trajectory.fingerprint,
                    trajectory.vector,
                    same,
                    cast,
                    lesson,
                )
                self._take_in(said)
            else:
                self._catch_up(anyway=True)
        strengthened = sum(vote > 0 for vote in cast.values())
        return FeedbackReceipt(request_id, strengthened, len(cast) - strengthened)

    def adapt(self, query_vector: FloatArray) -> FloatArray:
        """The query vector to search with: as given, for nothing learned moves it yet."""
        return query_vector

    def taught(self, query_vector: FloatArray, namespaces: Sequence[str] | None) -> Mapping[int, float]:  # noqa: ARG002 - the protocol's; ids already belong to one namespace each
        """Memory id → evidence in [-1, 1] from feedback on similar questions, by any process so far."""
        with self._lock:
            self._catch_up()
            return self._associations.evidence(query_vector)

    def stats(self) -> dict[str, int]:
        """Trajectories and feedbacks kept, and different questions remembered."""
        with self._lock:
            self._catch_up()
            return {**self._log.counts(), "rated_questions": len(self._associations)}

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

    def _check_ids(self, feedback: Feedback, trajectory: Trajectory) -> None:
        unseen = {*feedback.relevant, *feedback.irrelevant}.difference(trajectory.shown)
        unknown = unseen.difference(self._existing(sorted(unseen))) if unseen else unseen
        if unknown:
            raise NotFoundError(
                f"Memory {min(unknown)} was not shown for this request and does not exist.",
                "Name ids from that request's results, or of stored memories that should have been found.",
            )

    def _catch_up(self, *, anyway: bool = False) -> None:
        marker = self._log.marker()
        if marker == self._marker and not anyway:
            return
        self._marker = marker
        for said in self._log.since(self._seen):
            self._take_in(said)

    def _take_in(self, said: Said) -> None:
        self._seen = said.seq
        if said.votes and said.fingerprint == self._fingerprint:
            self._associations.learn(said.seq, said.vector, said.votes, said.client, said.question, said.lesson)

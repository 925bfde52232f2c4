"""What one process knows of all that was learned, by following the store's log.

Every process takes in the same feedback in the same order, and the version in force, so that all know the same. What
a feedback says beyond its votes is worked out once, by the process that is told, and stored with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from ruvllm_mcp.learning.associations import Associations, Told
from ruvllm_mcp.learning.instant import InstantLoop, InstantStep, step_of, weight_step_of
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.log import TrajectoryLog
from ruvllm_mcp.learning.objective import Vectors, row_of
from ruvllm_mcp.learning.said import Said
from ruvllm_mcp.learning.trajectory import FloatArray, Trajectory
from ruvllm_mcp.learning.versions import Trial, VersionStore
from ruvllm_mcp.memory.journal import Journal

LEAST_BELIEF = 0.5  # in a client, and in a feedback of its, to train anything beyond single questions
INSTANT_CANDIDATES = 24  # an instant step looks at the best of a search; the slower loops at all


class Follower:
    """Knows what `SonaEngine`, whose arguments these are, learned so far. Not thread-safe; its owner holds a lock.

    `seen`: the number of the last feedback taken in; `active`: the version in force; `trial`: a test of two, if any.
    Only `read_on` reads the store.
    """

    def __init__(
        self,
        journal: Journal,
        log: TrajectoryLog,
        versions: VersionStore,
        fingerprint: str,
        dim: int,
        vectors: Vectors,
        *,
        micro_lora: bool,
    ) -> None:
        self._journal, self._log, self._versions = journal, log, versions
        self._fingerprint, self._dim = fingerprint, dim
        self._vectors, self._micro_lora = vectors, micro_lora
        self.forget()

    def forget(self) -> None:
        """Begin anew, with nothing read."""
        self.associations = Associations(self._dim)
        self.seen = 0
        self.active = 0
        self.trial: Trial | None = None
        self._states: dict[int, tuple[Learned, InstantLoop]] = {}
        self._marker: int | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing was read yet."""
        return self._marker is None

    def read_on(self, *, anyway: bool = False) -> None:
        """Take in what others have written since, or `anyway` what this process has."""
        marker = self._journal.marker()
        if marker == self._marker and not anyway:
            return
        for said in self._log.since(self.seen):
            self.take_in(said)
        self.active, self.trial = self._versions.active(), self._versions.trial()
        used = {self.active, *((self.trial.a, self.trial.b) if self.trial else ())}
        self._states = {version: self._states.get(version) or self._loaded(version) for version in used}
        self._marker = marker

    def take_in(self, said: Said) -> None:
        """Learn the next feedback."""
        self.seen = said.seq
        if said.fingerprint != self._fingerprint:
            return
        if said.votes:
            self.associations.learn(
                said.seq, said.vector, said.votes, said.client, said.question, said.lesson, said.tokens
            )
        if said.step is not None:
            for learned, instant in self._states.values():
                if said.seq > learned.trained_to:
                    instant.apply(said.vector, said.step, said.client)

    def worked_out(self, told: Told) -> Said:
        """What was told of a search with all that learning makes of it, as the next feedback."""
        search, votes, client = told.search, told.votes, told.client
        same, lesson = self.associations.foreseen(
            search.vector, votes, search.shown, told.agreement, client, search.tokens
        )
        belief = self.associations.belief(client, told.agreement)
        is_believed = min(self.associations.credit(client), belief) >= LEAST_BELIEF
        return Said(
            self.seen + 1,
            search.request_id,
            client,
            search.fingerprint,
            search.vector,
            search.tokens,
            same,
            votes,
            lesson,
            self._step(search, votes) if is_believed else None,
        )

    def version_for(self, query_vector: FloatArray) -> int:
        """The version that answers this question: the active one, or one of two on trial by the vector's checksum."""
        if self.trial is None:
            return self.active
        share = zlib.crc32(query_vector.tobytes()) / 2**32
        return self.trial.b if share < self.trial.share else self.trial.a

    def state_for(self, query_vector: FloatArray) -> tuple[Learned, InstantLoop]:
        """That version, with the instant steps since it was trained."""
        return self._states[self.version_for(query_vector)]

    def in_force(self) -> tuple[Learned, InstantLoop]:
        """The same of the active version."""
        return self._states[self.active]

    def moved(self, query: FloatArray) -> FloatArray:
        """The question's unit vector as given, or as adapters move it."""
        learned, instant = self.state_for(query)
        if learned.base is None and not instant.moves_vectors:
            return query
        moved: FloatArray = learned.moved(query) + instant.move(query)
        return moved / np.float32(np.linalg.norm(moved))

    def _loaded(self, version: int) -> tuple[Learned, InstantLoop]:
        learned = self._versions.learned(version)
        instant = InstantLoop(self._dim, self.associations.credit)
        for said in self._log.since(learned.trained_to):
            if said.seq <= self.seen and said.fingerprint == self._fingerprint and said.step is not None:
                instant.apply(said.vector, said.step, said.client)
        return learned, instant

    def _step(self, trajectory: Trajectory, votes: Mapping[int, float]) -> InstantStep | None:
        if trajectory.fingerprint != self._fingerprint:
            return None
        learned, instant = self.state_for(trajectory.vector)
        weights = instant.weights(learned.weights)
        if not self._micro_lora:
            return weight_step_of(trajectory, votes, weights, INSTANT_CANDIDATES)
        row = row_of(trajectory, votes, self._vectors, INSTANT_CANDIDATES)
        return None if row is None else step_of(row, weights, learned.moved(row.query) + instant.move(row.query))

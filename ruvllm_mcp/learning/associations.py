"""Remembered question → memory associations: what was said of earlier questions speaks for similar new ones.

For a new question, each rated question within `KNOTS[0]` of cosine lends its votes. How far to trust a question of a
given similarity is not assumed but counted: whenever a question is rated, the earlier votes that would have been lent
to it are checked against what is now said: hits over trials per similarity, always by votes that had not seen the
answer. With P(s) the counted chance that a memory right for a question is right for another at cosine s, the evidence
is the log likelihood ratio log(P(s) / P_CHANCE), in units of its greatest value: a collection whose questions share no
answers soon lends nothing, and one whose questions do lends much. The best lender counts, not the sum, so many votes
by one client on near-equal questions weigh no more than one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

KNOTS = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96, 1.0])
_PRIOR = np.array([0.004, 0.006, 0.012, 0.03, 0.08, 0.3, 0.6, 0.8, 0.95])
_PRIOR_TRIALS = 5.0
_LAST_PENALTY = 0.3  # before counts: a memory wrong for the very same question is this much less likely to be right
_SAME = 0.995  # cosine from which two questions count as one
P_CHANCE = 0.01  # a candidate's chance of being right when nothing is known: some 100 candidates a question
_MAX_EVIDENCE = math.log(1 / P_CHANCE)
_MOST_LENDERS = 64


@dataclass(frozen=True)
class Lesson:
    """What one rated question taught about lending.

    `counts`: float64 (4, knots): trials and hits of votes for, then of votes against. `shown`: how many memories the
    search showed, `right`: how many of these were right; both 0 when nothing was named.
    """

    counts: Float64Array
    shown: int
    right: int


@dataclass
class _Question:
    """Memory id → client → that client's latest vote."""

    votes: dict[int, dict[str, float]] = field(default_factory=dict)

    def settled(self) -> dict[int, float]:
        return {memory: sum(by.values()) / len(by) for memory, by in self.votes.items()}


class Associations:
    """The rated questions of one embedder and what they say. Not thread-safe; its owner holds a lock.

    Vectors are unit float32 (dim,). At most `capacity` questions are kept, the oldest making room.
    """

    def __init__(self, dim: int, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._vectors = np.zeros((min(64, capacity), dim), np.float32)
        self._questions: list[_Question] = []
        self._settled: list[dict[int, float]] = []
        self._next = 0
        self._counts = np.zeros((4, len(KNOTS)))
        self._shown, self._right = 10.0, 1.0
        self._trust: tuple[Float64Array, Float64Array] | None = None

    def __len__(self) -> int:
        return len(self._questions)

    def lesson(self, vector: FloatArray, votes: Mapping[int, float], shown: tuple[int, ...]) -> Lesson:
        """How well the votes known so far foresaw `votes` on `vector`: to be counted by `learn`. Opinions of less
        than a whole vote foretell nothing about a single memory and give an empty lesson."""
        counts = np.zeros((4, len(KNOTS)))
        right = {memory for memory, vote in votes.items() if vote >= 1.0}
        if not right:
            return Lesson(counts, 0, 0)
        for slot, similarity in self._similar(vector):
            if similarity >= _SAME:
                continue  # the same question again says nothing about how well votes carry over
            knot, share = _between(similarity)
            for memory, vote in self._settled[slot].items():
                if vote > 0 or memory in votes:
                    row = 0 if vote > 0 else 2
                    for at, part in ((knot, 1 - share), (knot + 1, share)):
                        counts[row, at] += part
                        counts[row + 1, at] += part * (memory in right)
        return Lesson(counts, len(shown), len(right.intersection(shown)))

    def learn(self, vector: FloatArray, votes: Mapping[int, float], client: str, lesson: Lesson) -> None:
        """Remember `votes` of `client` on `vector` and count the lesson.

        A client's vote replaces its earlier one on the same question and memory, unless that was a whole vote and this
        is only an opinion.
        """
        slot = self._slot_for(vector)
        for memory, vote in votes.items():
            by_client = self._questions[slot].votes.setdefault(memory, {})
            if abs(vote) >= abs(by_client.get(client, 0.0)):
                by_client[client] = vote
        self._settled[slot] = self._questions[slot].settled()
        self._counts += lesson.counts
        self._shown += lesson.shown
        self._right += lesson.right
        self._trust = None

    def evidence(self, vector: FloatArray) -> dict[int, float]:
        """Memory id → evidence in [-1, 1] on the question `vector`, from what was said of similar ones."""
        chances, penalties = self._trusted()
        best: dict[int, float] = {}
        worst: dict[int, float] = {}
        for slot, similarity in self._similar(vector):
            knot, share = _between(similarity)
            chance = chances[knot] * (1 - share) + chances[knot + 1] * share
            penalty = penalties[knot] * (1 - share) + penalties[knot + 1] * share
            for memory, vote in self._settled[slot].items():
                if vote > 0:
                    best[memory] = max(best.get(memory, P_CHANCE), chance * vote)
                else:
                    worst[memory] = min(worst.get(memory, 0.0), -penalty * vote)
        found = {}
        for memory in best.keys() | worst.keys():
            ratio = math.log(best.get(memory, P_CHANCE) / P_CHANCE) + worst.get(memory, 0.0)
            if ratio:
                found[memory] = max(-1.0, min(1.0, ratio / _MAX_EVIDENCE))
        return found

    def _similar(self, vector: FloatArray) -> list[tuple[int, float]]:
        cosines = self._vectors[: len(self._questions)] @ vector
        near = np.flatnonzero(cosines >= KNOTS[0])
        if len(near) > _MOST_LENDERS:
            near = near[np.argpartition(-cosines[near], _MOST_LENDERS)[:_MOST_LENDERS]]
        return [(int(slot), float(cosines[slot])) for slot in near]

    def _slot_for(self, vector: FloatArray) -> int:
        count = len(self._questions)
        if count:
            cosines = self._vectors[:count] @ vector
            nearest = int(cosines.argmax())
            if cosines[nearest] >= _SAME:
                return nearest
        if count < self._capacity:
            if count == len(self._vectors):
                grown = np.zeros((min(2 * count, self._capacity), self._vectors.shape[1]), np.float32)
                grown[:count] = self._vectors
                self._vectors = grown
            self._questions.append(_Question())
            self._settled.append({})
            slot = count
        else:
            slot = self._next
            self._questions[slot] = _Question()
            self._next = (slot + 1) % self._capacity
        self._vectors[slot] = vector
        return slot

    def _trusted(self) -> tuple[Float64Array, Float64Array]:
        """Per knot: the chance that a vote for carries over, and the log ratio (<= 0) that a vote against costs.

        Counts are shrunk to a prior curve, itself scaled by how the collection as a whole compares with it.
        """
        if self._trust is None:
            trials, hits, against, saved = self._counts
            scale = min(1.0, (hits.sum() + 1.0) / (trials @ _PRIOR + 1.0))
            chances = (hits + _PRIOR_TRIALS * _PRIOR * scale) / (trials + _PRIOR_TRIALS)
            chances[-1] = _PRIOR[-1]
            base = self._right / self._shown
            shares = np.linspace(1.0, _LAST_PENALTY, len(KNOTS))
            carried = (saved + _PRIOR_TRIALS * base * shares) / (against + _PRIOR_TRIALS)
            self._trust = np.maximum.accumulate(chances), np.minimum(0.0, np.log(carried / base))
        return self._trust


def _between(similarity: float) -> tuple[int, float]:
    """The knot at or below `similarity` and how far it is on the way to the next one."""
    knot = min(int(np.searchsorted(KNOTS, similarity, side="right")) - 1, len(KNOTS) - 2)
    return knot, min(1.0, (similarity - float(KNOTS[knot])) / float(KNOTS[knot + 1] - KNOTS[knot]))

"""Remembered question → memory associations: what was said of earlier questions speaks for similar new ones.

For a new question, each rated question within `KNOTS[0]` of cosine lends its votes. How far to trust a question of a
given similarity is not assumed but counted: whenever a question is rated, the earlier votes that would have been lent
to it are checked against what is now said: hits over trials per similarity, always by votes that had not seen the
answer. With P(s) the counted chance that a memory right for a question is right for another at cosine s, the evidence
is the log likelihood ratio log(P(s) / P_CHANCE), in units of its greatest value: a collection whose questions share no
answers soon lends nothing, and one whose questions do lends much. The best lender counts, not the sum, so many votes
by one client on near-equal questions weigh no more than one; and each vote weighs by its client's credit.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.learning.credit import Credits, Witness
from ruvllm_mcp.simd import topk_dot

FloatArray = npt.NDArray[np.float32]

KNOTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96, 1.0)
NO_COUNTS = np.zeros((4, len(KNOTS)), np.float32)
NO_TESTIMONY = Witness()
_PRIOR = np.array([0.004, 0.006, 0.012, 0.03, 0.08, 0.3, 0.6, 0.8, 0.95])
_PRIOR_TRIALS = 5.0
_LAST_PENALTY = 0.3  # before counts: a memory wrong for the very same question is this much less likely to be right
_SAME = 0.999  # cosine from which two questions count as one; variants of one code snippet reach 0.997
P_CHANCE = 0.01  # a candidate's chance of being right when nothing is known: some 100 candidates a question
_MAX_EVIDENCE = math.log(1 / P_CHANCE)
_MOST_LENDERS = 32


@dataclass(frozen=True)
class Lesson:
    """What one rated question taught about lending.

    `counts`: float32 (4, knots): trials and hits of votes for, then of votes against. `shown`: how many memories the
    search showed, `right`: how many of these were right; both 0 when nothing was named. `witness`: what it says of
    the client's credit.
    """

    counts: FloatArray
    shown: int
    right: int
    witness: Witness = NO_TESTIMONY


@dataclass
class _Question:
    """`number`: of the feedback that first rated it. `votes`: memory id → client → that client's latest vote."""

    number: int
    votes: dict[int, dict[str, float]] = field(default_factory=dict)


class Associations:
    """The rated questions of one embedder and what they say. Not thread-safe; its owner holds a lock.

    Vectors are unit float32 (dim,). At most `capacity` questions are kept, the oldest making room.
    """

    def __init__(self, dim: int, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._vectors = np.zeros((min(64, capacity), dim), np.float32)
        self._questions: list[_Question] = []
        self._slots: dict[int, int] = {}
        self._oldest = 0
        self._counts = np.zeros((4, len(KNOTS)))
        self._shown, self._right = 10.0, 1.0
        self._trust: tuple[list[float], list[float]] | None = None
        self._credits = Credits()

    def __len__(self) -> int:
        return len(self._questions)

    def credit(self, client: str) -> float:
        """How much a client's votes count, in [0, 1]."""
        return self._credits.share(client)

    def foreseen(
        self,
        vector: FloatArray,
        votes: Mapping[int, float],
        shown: Collection[int],
        agreement: float | None = None,
        client: str = "",
    ) -> tuple[int | None, Lesson]:
        """What `learn` wants to know of a feedback before it is learned: the number of the same question when it was
        rated before, and how well the votes known so far foresaw `votes`; `agreement` as `Witness` has it.

        Where others have spoken, it is their votes that speak for `client`, not its own: a lie told twice foresees
        itself. Opinions of less than a whole vote tell nothing about a single memory and give an empty lesson.
        """
        similar = self._similar(vector)
        same = self._questions[similar[0][0]].number if similar and similar[0][1] >= _SAME else None
        right = {memory for memory, vote in votes.items() if vote >= 1.0}
        if not right:
            return same, Lesson(NO_COUNTS, 0, 0)
        seen = set(shown)
        counts = [[0.0] * len(KNOTS) for _ in range(4)]
        lent: set[int] = set()
        lent_by_others: set[int] = set()
        for slot, similarity in similar:
            if similarity >= _SAME:
                continue  # the same question again says nothing about how well votes carry over
            knot, share = _between(similarity)
            for memory, vote in self._settled(slot):
                if vote > 0 or memory in votes:
                    row = 0 if vote > 0 else 2
                    for at, part in ((knot, 1 - share), (knot + 1, share)):
                        counts[row][at] += part
                        if memory in right:
                            counts[row + 1][at] += part
                if vote > 0 and memory in seen:
                    lent.add(memory)
                    others = {
                        name: said for name, said in self._questions[slot].votes[memory].items() if name != client
                    }
                    if others and self._credits.settled(others) > 0:
                        lent_by_others.add(memory)
        lent = lent_by_others or lent
        found = len(right & seen)
        expected = len(lent) * found / len(seen) if seen else 0.0
        witness = Witness(agreement, float(len(lent & right)), expected)
        return same, Lesson(np.array(counts, np.float32), len(seen), found, witness)

    def learn(
        self,
        number: int,
        vector: FloatArray,
        votes: Mapping[int, float],
        client: str,
        same: int | None = None,
        lesson: Lesson | None = None,
    ) -> None:
        """Remember `votes` of `client` on `vector`, said in the feedback of that number, and count the lesson.

        A client's vote replaces its earlier one on the same question and memory, unless that was a whole vote and this
        is only an opinion.
        """
        slot = self._slots.get(number if same is None else same)
        question = self._questions[self._slot_for(number, vector) if slot is None else slot]
        for memory, vote in votes.items():
            by_client = question.votes.setdefault(memory, {})
            if abs(vote) >= abs(by_client.get(client, 0.0)):
                by_client[client] = vote
        self._credits.count(client, votes.values())
        if lesson is not None and lesson.shown:
            self._credits.hear(client, lesson.witness)
            believed = self._credits.share(client)
            self._counts += believed * lesson.counts
            self._shown += believed * lesson.shown
            self._right += believed * lesson.right
            self._trust = None

    def evidence(self, vector: FloatArray) -> dict[int, float]:
        """Memory id → evidence in [-1, 1] on the question `vector`, from what was said of similar ones."""
        chances, penalties = self._trusted()
        best: dict[int, float] = {}
        worst: dict[int, float] = {}
        for slot, similarity in self._similar(vector):
            knot, share = _between(similarity)
            chance = chances[knot] * (1 - share) + chances[knot + 1] * share
            if similarity >= _SAME:  # the very question that was rated: no matter what carries over to others
                chance = float(_PRIOR[-1])
            penalty = penalties[knot] * (1 - share) + penalties[knot + 1] * share
            for memory, vote in self._settled(slot):
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

    def _settled(self, slot: int) -> Iterator[tuple[int, float]]:
        """Memory ids of a question and what the clients' votes on them come to."""
        for memory, by_client in self._questions[slot].votes.items():
            yield memory, self._credits.settled(by_client)

    def _similar(self, vector: FloatArray) -> list[tuple[int, float]]:
        """Slots and cosines of the nearest questions that are near enough to lend, nearest first."""
        slots, cosines = topk_dot(self._vectors[: len(self._questions)], vector, _MOST_LENDERS)
        return [
            (slot, cosine) for slot, cosine in zip(slots.tolist(), cosines.tolist(), strict=True) if cosine >= KNOTS[0]
        ]

    def _slot_for(self, number: int, vector: FloatArray) -> int:
        slot = len(self._questions)
        if slot < self._capacity:
            if slot == len(self._vectors):
                grown = np.zeros((min(2 * slot, self._capacity), self._vectors.shape[1]), np.float32)
                grown[:slot] = self._vectors
                self._vectors = grown
            self._questions.append(_Question(number))
        else:
            slot = self._oldest
            del self._slots[self._questions[slot].number]
            self._questions[slot] = _Question(number)
            self._oldest = (slot + 1) % self._capacity
        self._slots[number] = slot
        self._vectors[slot] = vector
        return slot

    def _trusted(self) -> tuple[list[float], list[float]]:
        """Per knot: the chance that a vote for carries over, and the log ratio (<= 0) that a vote against costs.

        Counts are shrunk to a prior curve, itself scaled by how the collection as a whole compares with it.
        """
        if self._trust is None:
            trials, hits, against, saved = self._counts
            scale = min(1.0, (hits.sum() + 1.0) / (trials @ _PRIOR + 1.0))
            chances = (hits + _PRIOR_TRIALS * _PRIOR * scale) / (trials + _PRIOR_TRIALS)
            base = self._right / self._shown
            shares = np.linspace(1.0, _LAST_PENALTY, len(KNOTS))
            carried = (saved + _PRIOR_TRIALS * base * shares) / (against + _PRIOR_TRIALS)
            self._trust = (
                np.maximum.accumulate(chances).tolist(),
                np.minimum(0.0, np.log(carried / base)).tolist(),
            )
        return self._trust


def _between(similarity: float) -> tuple[int, float]:
    """The knot at or below `similarity` and how far it is on the way to the next one."""
    knot = min(bisect_right(KNOTS, similarity) - 1, len(KNOTS) - 2)
    return knot, min(1.0, (similarity - KNOTS[knot]) / (KNOTS[knot + 1] - KNOTS[knot]))

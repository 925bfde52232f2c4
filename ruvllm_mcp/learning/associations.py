"""Remembered question → memory associations: what was said of earlier questions speaks for similar new ones.

For a new question, the nearest rated questions lend their votes. How alike two questions are is measured token by token
(`late.TokenSigns`), by the cosine of their vectors where the embedder has no tokens. How far to trust a question of a
given likeness is not assumed but counted: whenever a question is rated, the earlier votes that would have been lent
to it are checked against what is now said: hits over trials per likeness, always by votes that had not seen the
answer. Before anything is counted, a question somewhat like another is taken for the same one in other words, as it
mostly is where questions are few and varied; where they are many and alike, a handful of feedbacks counts that away.
With P(s) the counted chance that a memory right for a question is right for another at likeness s, the evidence
is -log(1 - P(s)), in units of its greatest value: next to nothing while P is small, for then the ranking knows better,
and more than any ranking when P is near 1. A collection whose questions share no answers soon lends nothing. The best
lender counts, not the sum, so many votes by one client on near-equal questions weigh no more than one; and each vote
weighs by its client's credit.

Apart from likeness, a memory that was right for one question may be so for any other: in a conversation, what is asked
about once is asked about again; in a collection of one answer a question, it is not. How much likelier such memories
were right among all shown is counted too (`confirmed`), and bounded either way.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ruvllm_mcp.learning.credit import Credits, Witness
from ruvllm_mcp.learning.feedback import OPINION, Feedback, votes
from ruvllm_mcp.learning.lending import KNOTS, MOST_CHANCE, Likeness, curves, joined, likenesses
from ruvllm_mcp.learning.objective import agreement_of
from ruvllm_mcp.learning.questions import Question, Settled
from ruvllm_mcp.learning.trajectory import FloatArray, Trajectory
from ruvllm_mcp.memory.late import TokenSigns
from ruvllm_mcp.memory.sets import distinct
from ruvllm_mcp.simd import Spoken, foreseen, topk

NO_COUNTS = np.zeros((4, len(KNOTS)), np.float32)
NO_TESTIMONY = Witness()
_MOST_LENDERS = 32
_SEARCHES_KEPT = 64
_SETTLED_KEPT = 2_000  # questions, some 1 MB
_LIFT_SHARE = 0.4  # of the log ratio by which confirmed memories are likelier right: the ranking knows of the rest
_NO_LIFT_TRIALS = 20.0  # confirmed memories shown that speak for no difference before any are counted


class Lender(NamedTuple):
    """A remembered question, by its slot, that is like the one asked."""

    slot: int
    likeness: Likeness


@dataclass(frozen=True, eq=False)
class Told:
    """What was said of a search, and has no place yet in the order in which feedback is learned. What it comes to is
    worked out when somebody asks."""

    search: Trajectory
    feedback: Feedback

    @property
    def client(self) -> str:
        """Who says so."""
        return self.feedback.client

    @cached_property
    def votes(self) -> Mapping[int, float]:
        """What it says of single memories."""
        return votes(self.feedback, self.search.shown)

    @cached_property
    def agreement(self) -> float | None:
        """As `Witness` has it."""
        return agreement_of(self.search, self.votes)


@dataclass(frozen=True)
class Lesson:
    """What one rated question taught about lending.

    `counts`: float32 (4, knots): trials and hits of votes for, then of votes against, each by its worth. `shown`: how
    many memories the search showed, `right`: how many of these were right; both 0 when nothing was named. `witness`:
    what it says of the client's credit. `known`: how many of those shown had been right for another question,
    `known_right`: how many of these are now.
    """

    counts: FloatArray
    shown: int
    right: int
    witness: Witness = NO_TESTIMONY
    known: int = 0
    known_right: int = 0


class Associations:
    """The rated questions of one embedder and what they say. Not thread-safe; its owner holds a lock.

    Vectors are unit float32 (dim,), kept in half precision: cosines are right to 0.0001. At most `capacity` questions
    are kept, the oldest making room.
    """

    def __init__(self, dim: int, capacity: int = 5_000) -> None:
        self._capacity = capacity
        self._vectors = np.zeros((capacity, dim), np.float16)  # takes memory as it fills
        self._questions: list[Question] = []
        self._slots: dict[int, int] = {}
        self._clients: dict[str, int] = {}  # numbers in order
        self._names: list[str] = []
        self._settled: dict[int, Settled] = {}
        self._epoch = -1
        self._found: dict[tuple[bytes, bytes], list[Lender]] = {}
        self._oldest = 0
        self._counts = np.zeros((4, len(KNOTS)))
        self._shown, self._right = 10.0, 1.0
        self._known, self._known_right = 0.0, 0.0
        self._confirmed: dict[int, dict[str, int]] = {}
        self._praised: dict[str, int] = {}
        self._trust: tuple[list[float], list[float]] | None = None
        self._credits = Credits()

    def __len__(self) -> int:
        return len(self._questions)

    def credit(self, client: str) -> float:
        """How much a client's votes count, in [0, 1]."""
        return self._credits.share(client)

    def belief(self, client: str, agreement: float | None) -> float:
        """How likely the client's next feedback is right, in [0, 1], if its `agreement` is that."""
        return self._credits.belief(client, agreement)

    def foreseen(
        self,
        vector: FloatArray,
        votes: Mapping[int, float],
        shown: Collection[int],
        agreement: float | None = None,
        client: str = "",
        tokens: TokenSigns | None = None,
    ) -> tuple[int | None, Lesson]:
        """What `learn` wants to know of a feedback before it is learned: the number of the same question when it was
        rated before, and how well the votes known so far foresaw `votes`; `agreement` as `Witness` has it.

        Where others have spoken, it is their votes that speak for `client`, not its own: a lie told twice foresees
        itself. Where nobody else has, a memory that the client names whatever is asked bears nothing out. Opinions of
        less than a whole vote tell nothing about a single memory and give an empty lesson.
        """
        similar = self._similar(vector, tokens)
        same = next((self._questions[lender.slot].number for lender in similar if lender.likeness.is_same), None)
        right = {memory for memory, vote in votes.items() if vote >= 1.0}
        if not right:
            return same, Lesson(NO_COUNTS, 0, 0)
        seen = frozenset(shown)
        counts, lent, lent_by_others = self._foreseen_by(similar, right, votes, seen, client)
        found = len(right & seen)
        borne_out = lent_by_others or lent
        expected = len(borne_out) * found / len(seen) if seen else 0.0
        if not lent_by_others:
            expected = max(expected, self._usual(lent, client))
        witness = Witness(agreement, float(len(borne_out & right)), expected, missed=not found)
        known = seen & self._confirmed.keys() if same is None else set()
        return same, Lesson(counts, len(seen), found, witness, len(known), len(known & right))

    def _foreseen_by(
        self,
        similar: Sequence[Lender],
        right: Collection[int],
        votes: Mapping[int, float],
        seen: Collection[int],
        client: str,
    ) -> tuple[FloatArray, set[int], set[int]]:
        """What is counted of what was said of similar questions, the memories shown that it spoke for, and those of
        them that others than `client` spoke for."""
        # the same question again says nothing about how well votes carry over
        asked = [lender for lender in similar if not lender.likeness.is_same]
        if not asked:
            return NO_COUNTS, set(), set()
        said = [self._settled_at(slot) for slot, _ in asked]
        ids = np.concatenate([question.ids for question in said])
        worth = np.concatenate([question.worth for question in said])
        sizes = [len(question.ids) for question in said]
        knots, shares, _ = zip(*(likeness for _, likeness in asked), strict=True)
        counts, places = foreseen(Spoken(ids, worth, sizes, knots, shares), right, seen, votes, len(KNOTS))
        ends = list(itertools.accumulate(sizes))
        by_others: set[int] = set()
        lent = ids[places].tolist()
        for slot, spoken in itertools.groupby(
            zip(places, lent, strict=True), lambda one: asked[bisect_right(ends, one[0])].slot
        ):
            cast = self._votes_on(slot)
            by_others.update(memory for _, memory in spoken if self._is_lent_by_others(cast[memory], client))
        return counts.astype(np.float32), set(lent), by_others

    def learn(
        self,
        number: int,
        vector: FloatArray,
        votes: Mapping[int, float],
        client: str,
        same: int | None = None,
        lesson: Lesson | None = None,
        tokens: TokenSigns | None = None,
    ) -> None:
        """Remember `votes` of `client` on `vector`, said in the feedback of that number, and count the lesson.

        A client's vote replaces its earlier one on the same question and memory, unless that was a whole vote and this
        is only an opinion.
        """
        belief = self._credits.belief(client, None if lesson is None else lesson.witness.agreement)
        votes = {memory: belief * vote for memory, vote in votes.items()}
        known = self._slots.get(number if same is None else same)
        slot = self._slot_for(number, vector, tokens) if known is None else known
        question, speaker = self._questions[slot], self._number_of(client)
        self._settled.pop(slot, None)
        if any(vote > OPINION for vote in votes.values()) and speaker not in question.praised_by:
            question.praised_by += (speaker,)
            self._praised[client] = self._praised.get(client, 0) + 1
        cast = question.votes()
        for memory, vote in votes.items():
            earlier = cast.get((memory, speaker), 0.0)
            if _replaces(vote, earlier):
                cast[memory, speaker] = vote
                self._confirm(memory, client, (vote > OPINION) - (earlier > OPINION))
        question.put(cast)
        self._credits.count(client, votes.values())
        if lesson is not None and lesson.shown:
            self._credits.hear(client, lesson.witness)
            believed = belief * self._credits.share(client)
            self._counts += believed * lesson.counts
            self._shown += believed * lesson.shown
            self._right += believed * lesson.right
            self._known += believed * lesson.known
            self._known_right += believed * lesson.known_right
            self._trust = None

    def evidence(
        self, vector: FloatArray, tokens: TokenSigns | None = None, told: Sequence[Told] = ()
    ) -> dict[int, float]:
        """Memory id → evidence in [-1, 1] on the question `vector`, from what was said of similar ones, and is `told`
        now."""
        spoken = [(likeness, self._settled_at(slot)) for slot, likeness in self._similar(vector, tokens)]
        for one in told:
            spoken = self._with(spoken, one, vector, tokens)
        if not spoken:
            return {}
        chances, penalties = self._trusted()
        sizes = [len(question.ids) for _, question in spoken]
        # the very question that was rated speaks for itself, no matter what carries over to others
        for_each = [MOST_CHANCE if likeness.is_same else likeness.on(chances) for likeness, _ in spoken]
        against_each = [likeness.on(penalties) for likeness, _ in spoken]
        worth = np.concatenate([question.worth for _, question in spoken])
        spoken_of = np.concatenate([question.ids for _, question in spoken])
        ids = distinct(spoken_of)
        place = np.searchsorted(ids, spoken_of)
        best, worst = np.zeros(len(ids)), np.zeros(len(ids))
        np.maximum.at(best, place, np.repeat(for_each, sizes) * worth)
        np.minimum.at(worst, place, np.repeat(against_each, sizes) * -worth)
        total = joined(best, worst)
        is_spoken_of = total != 0
        return dict(zip(ids[is_spoken_of].tolist(), total[is_spoken_of].tolist(), strict=True))

    def confirmed(self, ids: Sequence[int]) -> FloatArray:
        """Evidence in [-1, 1], float32 (n,), from having been right for any question: the log of how much likelier such
        memories were right than others, times how far those who said so are believed; 0 for those that never were."""
        known, right = self._known, self._known_right
        others, others_right = self._shown - known, self._right - right
        rate = (others_right + 0.5) / (others + 5.0)
        lift = math.log((right / rate + _NO_LIFT_TRIALS) / (known + _NO_LIFT_TRIALS))
        worth = max(-1.0, min(1.0, _LIFT_SHARE * lift))
        values = np.zeros(len(ids), np.float32)
        for place, memory in enumerate(ids):
            clients = self._confirmed.get(memory)
            if clients:
                values[place] = worth * self._credits.settled(dict.fromkeys(clients, 1.0))
        return values

    def _usual(self, memories: Collection[int], client: str) -> float:
        """How many of `memories` the client names right in a question, whatever was asked."""
        named = sum(self._confirmed.get(memory, {}).get(client, 0) for memory in memories)
        return named / max(1, self._praised.get(client, 0))

    def _confirm(self, memory: int, client: str, change: int) -> None:
        """Counts in how many questions the client named the memory right."""
        if change:
            clients = self._confirmed.setdefault(memory, {})
            clients[client] = clients.get(client, 0) + change
            if not clients[client]:
                del clients[client]
            if not clients:
                del self._confirmed[memory]

    def _number_of(self, client: str) -> int:
        if client not in self._clients:
            self._clients[client] = len(self._names)
            self._names.append(client)
        return self._clients[client]

    def _settled_at(self, slot: int) -> Settled:
        """A question with what the clients' votes on it come to."""
        if self._epoch != self._credits.epoch or len(self._settled) >= _SETTLED_KEPT:
            self._settled.clear()
            self._epoch = self._credits.epoch
        settled = self._settled.get(slot)
        if settled is None:
            settled = self._settled[slot] = self._settle(self._votes_on(slot))
        return settled

    def _settle(self, votes: Mapping[int, Mapping[str, float]]) -> Settled:
        come_to = {memory: self._credits.settled(by_client) for memory, by_client in votes.items()}
        ids = np.fromiter(come_to.keys(), np.int64, len(come_to))
        worth = np.fromiter(come_to.values(), np.float64, len(come_to))
        return Settled(ids, worth)

    def _votes_on(self, slot: int) -> dict[int, dict[str, float]]:
        """Memory id → client → vote."""
        votes: dict[int, dict[str, float]] = {}
        for (memory, by), vote in self._questions[slot].votes().items():
            votes.setdefault(memory, {})[self._names[by]] = vote
        return votes

    def _with(
        self, spoken: list[tuple[Likeness, Settled]], told: Told, vector: FloatArray, tokens: TokenSigns | None
    ) -> list[tuple[Likeness, Settled]]:
        """What is said of questions like `vector` once `told` is: as if that were learned, but for its lesson."""
        asked = told.search.vector, told.search.tokens
        kept = asked[0].astype(np.float16).astype(np.float32)
        (likeness,) = likenesses([float(kept @ vector)], tokens, [asked[1]])
        if likeness is None:
            return spoken
        same = next((slot for slot, alike in self._similar(*asked) if alike.is_same), None)
        votes = {} if same is None else self._votes_on(same)
        belief = self._credits.belief(told.client, told.agreement)
        for memory, vote in told.votes.items():
            by_client = votes.setdefault(memory, {})
            if _replaces(belief * vote, by_client.get(told.client, 0.0)):
                by_client[told.client] = belief * vote
        before = None if same is None else self._settled_at(same)
        return [(likeness, self._settle(votes)), *(one for one in spoken if one[1] is not before)]

    def _is_lent_by_others(self, by_client: Mapping[str, float], client: str) -> bool:
        others = {name: vote for name, vote in by_client.items() if name != client}
        return bool(others) and self._credits.settled(others) > 0

    def _similar(self, vector: FloatArray, tokens: TokenSigns | None) -> list[Lender]:
        """Of the nearest questions by cosine, nearest first, those alike enough to lend. Kept until another question
        is remembered: feedback mostly follows the search that has just asked for the same."""
        key = vector.tobytes(), b"" if tokens is None else tokens.bits.tobytes()
        lenders = self._found.get(key)
        if lenders is None:
            if len(self._found) >= _SEARCHES_KEPT:
                self._found.clear()
            lenders = self._found[key] = self._nearest(vector, tokens)
        return lenders

    def _nearest(self, vector: FloatArray, tokens: TokenSigns | None) -> list[Lender]:
        kept = self._vectors[: len(self._questions)]
        slots, _ = topk(kept, vector.astype(np.float16), _MOST_LENDERS, kind="f16")
        cosines = kept[slots].astype(np.float32) @ vector  # which is not rounded here
        order = np.argsort(-cosines, kind="stable")
        near = list(zip(slots[order].tolist(), cosines[order].tolist(), strict=True))
        alike = likenesses([cosine for _, cosine in near], tokens, [self._questions[slot].tokens for slot, _ in near])
        return [Lender(slot, one) for (slot, _), one in zip(near, alike, strict=True) if one is not None]

    def _slot_for(self, number: int, vector: FloatArray, tokens: TokenSigns | None) -> int:
        self._found.clear()
        question, slot = Question(number, tokens, b"", ()), len(self._questions)
        if slot < self._capacity:
            self._questions.append(question)
        else:
            slot = self._oldest
            gone, self._questions[slot] = self._questions[slot], question
            self._oldest = (slot + 1) % self._capacity
            del self._slots[gone.number]
            for by in gone.praised_by:
                self._praised[self._names[by]] -= 1
            for (memory, by), vote in gone.votes().items():
                self._confirm(memory, self._names[by], -(vote > OPINION))
        self._settled.pop(slot, None)
        self._slots[number] = slot
        self._vectors[slot] = vector
        return slot

    def _trusted(self) -> tuple[list[float], list[float]]:
        if self._trust is None:
            self._trust = curves(self._counts, self._right / self._shown)
        return self._trust


def _replaces(vote: float, earlier: float) -> bool:
    """Whether a client's vote takes the place of its earlier one: an opinion not that of a whole vote."""
    return abs(vote) > OPINION or abs(vote) >= abs(earlier)

"""The reasoning bank: kinds of questions, what answered them, and how well.

A pattern stands for a cluster of rated questions: where they lie, how good their answers were, how often it was met,
and which memories were right for several of them. Single questions are remembered apart (see `associations`); patterns
are what stays when these have made room. They age: use counts halve every `half_life`, quality drifts to 0.5 with
them, near-equal patterns merge, and those that proved bad or were long unused are pruned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.formats.safetensors import Tensors
from ruvllm_mcp.learning.clusters import k_means
from ruvllm_mcp.simd import topk_dot

FloatArray = npt.NDArray[np.float32]

HALF_LIFE_SECONDS = 30 * 86_400.0
_MERGE_COSINE = 0.95
_MEMORIES = 32  # kept of each pattern, the best supported
_NEUTRAL = 0.5


@dataclass(frozen=True)
class RatedQuestion:
    """One question and what was said of its answer: `vector` unit float32 (d,), `quality` in [0, 1], `votes` memory id
    → [-1, 1]."""

    vector: FloatArray
    quality: float
    votes: Mapping[int, float]


@dataclass(frozen=True)
class Pattern:
    """A kind of question. `centroid`: unit float32 (d,). `quality`: mean quality of its answers in [0, 1]. `uses`: how
    many rated questions it has met, older ones counting less. `support`: memory id → in how many of them it was
    right (less what it was wrong in). Times are UTC seconds."""

    centroid: FloatArray
    quality: float
    uses: float
    support: Mapping[int, float]
    created_at: float
    used_at: float


@dataclass(frozen=True)
class ReasoningBank:
    """Patterns of one embedder's vectors; immutable, every change gives a new bank."""

    patterns: tuple[Pattern, ...] = ()

    def learn(self, questions: Sequence[RatedQuestion], k: int, now: float, seed: int = 0) -> ReasoningBank:
        """The bank after clustering `questions` into at most `k` patterns and adding these, like to like.

        Raises InvalidInputError or DimensionError for questions that do not fit.
        """
        if not questions:
            return self
        vectors = np.stack([question.vector for question in questions])
        if self.patterns and vectors.shape[1] != len(self.patterns[0].centroid):
            raise DimensionError("The questions are of another embedder than the patterns.", "Start a new bank.")
        labels = k_means(vectors, min(k, len(questions)), seed=seed).labels
        fresh = []
        for label in np.unique(labels):
            members = [questions[row] for row in np.flatnonzero(labels == label).tolist()]
            fresh.append(_pattern(members, now))
        return ReasoningBank((*self.patterns, *fresh)).merged()

    def met(self, question: RatedQuestion, now: float, least_cosine: float = 0.6) -> ReasoningBank:
        """The bank after one more rated question: the nearest pattern, if it is near enough, takes it in."""
        nearest = self.match(question.vector, 1)
        if not nearest or nearest[0][1] < least_cosine:
            return self
        index, _ = nearest[0]
        joined = _join(self.patterns[index], _pattern([question], now))
        return ReasoningBank((*self.patterns[:index], joined, *self.patterns[index + 1 :]))

    def match(self, vector: FloatArray, limit: int) -> list[tuple[int, float]]:
        """(index, cosine) of the patterns nearest to `vector`, nearest first."""
        if not self.patterns:
            return []
        rows, cosines = topk_dot(np.stack([pattern.centroid for pattern in self.patterns]), vector, limit)
        return list(zip(rows.tolist(), cosines.tolist(), strict=True))

    def aged(self, seconds: float, half_life: float = HALF_LIFE_SECONDS) -> ReasoningBank:
        """The bank `seconds` later: uses and support shrink by half every half-life, quality drifts to 0.5."""
        if seconds < 0 or half_life <= 0:
            raise InvalidInputError("Ages and half-lives are not negative.", "Give seconds.")
        kept = 2.0 ** (-seconds / half_life)
        return ReasoningBank(
            tuple(
                replace(
                    pattern,
                    uses=pattern.uses * kept,
                    quality=_NEUTRAL + (pattern.quality - _NEUTRAL) * kept,
                    support={memory: support * kept for memory, support in pattern.support.items()},
                )
                for pattern in self.patterns
            )
        )

    def merged(self, least_cosine: float = _MERGE_COSINE) -> ReasoningBank:
        """The bank with near-equal patterns joined, older ones taking in newer ones, until no two are near-equal."""
        patterns, count = list(self.patterns), -1
        while len(patterns) != count:
            count = len(patterns)
            joined: list[Pattern] = []
            for pattern in sorted(patterns, key=lambda one: one.created_at):
                cosines = np.array([one.centroid for one in joined]) @ pattern.centroid if joined else np.empty(0)
                if len(cosines) and cosines.max() >= least_cosine:
                    index = int(cosines.argmax())
                    joined[index] = _join(joined[index], pattern)
                else:
                    joined.append(pattern)
            patterns = joined
        return ReasoningBank(tuple(patterns))

    def pruned(self, *, least_uses: float = 0.5, least_quality: float = 0.1, limit: int = 100) -> ReasoningBank:
        """The bank without patterns that are hardly used or whose answers were bad, and only the `limit` most worth
        keeping (quality times log of uses)."""
        kept = [one for one in self.patterns if one.uses >= least_uses and one.quality >= least_quality]
        kept.sort(key=lambda one: -one.quality * math.log1p(one.uses))
        return ReasoningBank(tuple(kept[:limit]))

    def to_tensors(self) -> Tensors:
        """As arrays, to be stored; `from_tensors` reads them back."""
        support = [(row, *pair) for row, one in enumerate(self.patterns) for pair in sorted(one.support.items())]
        numbers = [(one.quality, one.uses, one.created_at, one.used_at) for one in self.patterns]
        dim = len(self.patterns[0].centroid) if self.patterns else 0
        return {
            "centroids": np.array([one.centroid for one in self.patterns], np.float32).reshape(len(self.patterns), dim),
            "numbers": np.array(numbers, np.float64).reshape(-1, 4),
            "support_of": np.array([row for row, _, _ in support], np.int64),
            "support_ids": np.array([memory for _, memory, _ in support], np.int64),
            "support": np.array([value for _, _, value in support], np.float64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[np.generic]]) -> ReasoningBank:
        """The bank that `to_tensors` wrote."""
        support: list[dict[int, float]] = [{} for _ in tensors["numbers"]]
        triples = zip(*(tensors[name].tolist() for name in ("support_of", "support_ids", "support")), strict=True)
        for row, memory, value in triples:
            support[row][memory] = value
        return cls(
            tuple(
                Pattern(centroid.astype(np.float32), quality, uses, support[row], created_at, used_at)
                for row, (centroid, (quality, uses, created_at, used_at)) in enumerate(
                    zip(tensors["centroids"], tensors["numbers"].tolist(), strict=True)
                )
            )
        )


def _pattern(members: Sequence[RatedQuestion], now: float) -> Pattern:
    support: dict[int, float] = {}
    for member in members:
        for memory, vote in member.votes.items():
            support[memory] = support.get(memory, 0.0) + vote
    quality = sum(member.quality for member in members) / len(members)
    centre = np.sum([member.vector for member in members], axis=0)
    return Pattern(_unit(centre), quality, float(len(members)), _best(support), now, now)


def _join(one: Pattern, other: Pattern) -> Pattern:
    uses = one.uses + other.uses
    share = other.uses / uses if uses else 0.5
    support = {
        memory: one.support.get(memory, 0.0) + other.support.get(memory, 0.0)
        for memory in {*one.support, *other.support}
    }
    return Pattern(
        _unit((1 - share) * one.centroid + share * other.centroid),
        (1 - share) * one.quality + share * other.quality,
        uses,
        _best(support),
        min(one.created_at, other.created_at),
        max(one.used_at, other.used_at),
    )


def _best(support: Mapping[int, float]) -> dict[int, float]:
    ranked = sorted(((value, memory) for memory, value in support.items() if value > 0), key=lambda p: (-p[0], p[1]))
    return {memory: value for value, memory in ranked[:_MEMORIES]}


def _unit(vector: npt.NDArray[np.floating]) -> FloatArray:
    length = float(np.linalg.norm(vector))
    unit: FloatArray = (vector / length if length > 0 else vector).astype(np.float32)
    return unit

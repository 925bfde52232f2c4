"""Many scores into one that adapts to the question and to the collection.

Cosine, late interaction and BM25 are each measured in standard deviations over the first candidates, so that no side's
scale matters, and added up. How much each counts follows two things that can be seen without judgements: whether the
candidates are turns of a conversation (short and full of reference, where a whole turn's meaning says little and its
single words much), and how long the question is (a long one has more words to match). A turn then gets a share of the
scores of what was said around it: an answer seldom repeats the question's words, the turn before it does. Memories
outside sessions have no such neighbours, so a collection without order is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory import late
from ruvllm_mcp.memory.candidates import Candidates, Evidence, IntArray, Question
from ruvllm_mcp.memory.weights import DEFAULT, FusionWeights

HALF_LIFE_SECONDS = 90 * 86_400
USUAL_QUESTION = 12.0
LEAST_SHARE = 0.05
REACH = 32


@dataclass(frozen=True)
class Fused:
    """`candidates`: the table that was scored, perhaps with rows added. `scores` (n,): higher is better. `parts`: each
    part's share, (n,) each, adding up to `scores`."""

    candidates: Candidates
    scores: FloatArray
    parts: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Scale:
    """Where a list's scores lie among the first candidates."""

    mean: float
    spread: float

    @classmethod
    def of(cls, scores: FloatArray) -> Scale:
        return cls(float(scores.mean()), float(scores.std())) if len(scores) else cls(0.0, 0.0)

    def measure(self, scores: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
        """Standard deviations above the mean; 0 where the score is not known or all are alike."""
        if not self.spread > 1e-6:
            return np.zeros_like(scores)
        measured: FloatArray = np.where(known, (scores - self.mean) / self.spread, 0).astype(np.float32)
        return measured


def fuse(question: Question, candidates: Candidates, evidence: Evidence, weights: FusionWeights = DEFAULT) -> Fused:
    """Scores every candidate, and turns beside the best ones that were not among them. Pure in its arguments."""
    late_scores = _LateScores(question, evidence)
    first, first_known = late_scores.of(candidates.ids)
    around = _Around.of(candidates.ids, evidence)
    talk = float((around.sides[:, 1:3] > 0).any(axis=1).mean()) if len(candidates.ids) and first_known.any() else 0.0
    counts = _counts(question, talk, weights)
    scales = {
        "dense": Scale.of(candidates.dense),
        "late": Scale.of(first[first_known]),
        "lexical": Scale.of(candidates.lexical),
    }

    def shares(table: Candidates, matched: FloatArray, known: npt.NDArray[np.bool_]) -> dict[str, FloatArray]:
        every = np.ones(len(table.ids), np.bool_)
        return {
            "dense": np.float32(counts["dense"]) * scales["dense"].measure(table.dense, every),
            "late": np.float32(counts["late"]) * scales["late"].measure(matched, known),
            "lexical": np.float32(counts["lexical"]) * scales["lexical"].measure(table.lexical, every),
        }

    parts = shares(candidates, first, first_known)
    if talk:
        added = around.missing(_total(parts), candidates.ids)
        if len(added):
            extra = evidence.measure(added)
            more = shares(extra, *late_scores.of(extra.ids))
            candidates = _joined(candidates, extra)
            parts = {name: np.concatenate([share, more[name]]) for name, share in parts.items()}
            around = _Around.of(candidates.ids, evidence)
    total = _total(parts)
    parts["neighbours"] = around.shared(total, candidates.ids, weights) if talk else np.zeros_like(total)
    parts |= {
        "taught": np.float32(weights.taught) * candidates.taught,
        "importance": np.float32(weights.importance) * (candidates.importance - np.float32(0.5)),
        "recency": np.float32(weights.recency) * np.exp2(-candidates.age_seconds / np.float32(HALF_LIFE_SECONDS)),
    }
    return Fused(candidates, _total(parts), parts)


def _total(parts: Mapping[str, FloatArray]) -> FloatArray:
    total: FloatArray = np.sum(list(parts.values()), axis=0, dtype=np.float32)
    return total


def _counts(question: Question, talk: float, weights: FusionWeights) -> dict[str, float]:
    """How much a standard deviation of each list counts for this question, never less than a twentieth."""
    tokens = len(question.terms) if question.tokens is None else len(question.tokens.ids)
    length = float(np.clip(np.log(max(tokens, 1) / USUAL_QUESTION), -1.0, 2.0))
    counts = {
        "dense": weights.dense + talk * weights.talk_dense,
        "late": weights.late,
        "lexical": weights.lexical + length * weights.long_lexical,
    }
    return {name: max(count, LEAST_SHARE) if getattr(weights, name) else 0.0 for name, count in counts.items()}


class _LateScores:
    """Late interaction of one question with any memories."""

    def __init__(self, question: Question, evidence: Evidence) -> None:
        self._tokens, self._evidence = question.tokens, evidence
        if question.tokens is not None:
            self._weights = late.rarity(*evidence.token_frequency(question.tokens.ids.astype(np.uint32)))

    def of(self, ids: IntArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        if self._tokens is None or not len(ids):
            return np.zeros(len(ids), np.float32), np.zeros(len(ids), np.bool_)
        wanted = ids.tolist()
        return late.scores(self._tokens, self._weights, wanted, self._evidence.token_bits(wanted))


@dataclass(frozen=True)
class _Around:
    """`sides` int64 (n, 4): ids said two before, one before, one after and two after each memory; 0 for none."""

    sides: IntArray

    @classmethod
    def of(cls, ids: IntArray, evidence: Evidence) -> _Around:
        before, after = evidence.neighbours(ids)
        return cls(np.stack([_step(before, evidence, 0), before, after, _step(after, evidence, 1)], axis=1))

    def missing(self, scores: FloatArray, ids: IntArray) -> IntArray:
        """Ids around the best of the candidates that are not candidates themselves."""
        best = np.argsort(-scores, kind="stable")[:REACH]
        near = np.unique(self.sides[best])
        absent: IntArray = np.setdiff1d(near[near > 0], ids)
        return absent

    def shared(self, scores: FloatArray, ids: IntArray, weights: FusionWeights) -> FloatArray:
        """What each memory gets of the scores around it, float32 (n,)."""
        order = np.argsort(ids)
        slot = np.minimum(np.searchsorted(ids[order], self.sides), len(ids) - 1)
        there = ids[order][slot] == self.sides
        given = np.array([weights.two_before, weights.before, weights.after, weights.two_after], np.float32)
        share: FloatArray = np.where(there, scores[order][slot], np.float32(0)) @ given
        return share


def _step(ids: IntArray, evidence: Evidence, side: int) -> IntArray:
    """The neighbours on one side of those `ids` that are not 0."""
    further = np.zeros_like(ids)
    known = np.flatnonzero(ids)
    if len(known):
        further[known] = evidence.neighbours(ids[known])[side]
    return further


def _joined(first: Candidates, second: Candidates) -> Candidates:
    columns = (np.concatenate([getattr(first, item.name), getattr(second, item.name)]) for item in fields(Candidates))
    return Candidates(*columns)

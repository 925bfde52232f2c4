"""Many scores into one that adapts to the question and to the collection.

Cosine, late interaction and BM25 are each measured in standard deviations over the first candidates, so that no side's
scale matters, and added up. How much each counts follows two things that can be seen without judgements: whether the
candidates are turns of a conversation (short and full of reference, where a whole turn's meaning says little and its
single words much), and how long the question is (a long one has more words to match). A turn then gets a share of the
scores of what was said around it, less where turns are long: an answer seldom repeats the question's words, the turn
before it does. Memories outside sessions have no such neighbours, so a collection without order is left as it is. What
is alike or linked backs each other up, too (see `graph`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory import graph, late
from ruvllm_mcp.memory.candidates import Candidates, Evidence, IntArray, Question
from ruvllm_mcp.memory.graph import Around
from ruvllm_mcp.memory.sets import distinct, located
from ruvllm_mcp.memory.weights import DEFAULT, FusionWeights

HALF_LIFE_SECONDS = 90 * 86_400
USUAL_QUESTION = 12.0
USUAL_TURN = 36.0  # tokens
LEAST_SHARE = 0.05


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
    first, lengths = late_scores.of(candidates.ids)
    first_known = lengths > 0
    around = Around.of(candidates.ids, evidence)
    talk = around.talk if first_known.any() else 0.0
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
    best = np.argsort(-_total(parts), kind="stable")[: graph.REACH]
    connected = [graph.linked_to(candidates.ids[best], evidence), *([around.beside(best)] if talk else [])]
    added = distinct(np.concatenate(connected))
    added = added[~located(added, np.sort(candidates.ids))[1]]
    if len(added):
        extra = evidence.measure(added)
        matched, tokens = late_scores.of(extra.ids)
        more = shares(extra, matched, tokens > 0)
        candidates = _joined(candidates, extra)
        parts = {name: np.concatenate([share, more[name]]) for name, share in parts.items()}
        around = Around.of(candidates.ids, evidence)
    total = _total(parts)
    shared = around.shared(total, candidates.ids, weights) if talk else np.zeros_like(total)
    parts["neighbours"] = np.float32(_brevity(lengths)) * shared
    total = _total(parts)
    parts |= {
        "near": np.float32(weights.near) * graph.near(total, candidates.ids, evidence),
        "linked": np.float32(weights.linked) * graph.linked(total, candidates.ids, evidence),
        "taught": np.float32(weights.taught) * candidates.taught,
        "confirmed": np.float32(weights.confirmed) * candidates.confirmed,
        "importance": np.float32(weights.importance) * (candidates.importance - np.float32(0.5)),
        "recency": np.float32(weights.recency) * np.exp2(-candidates.age_seconds / np.float32(HALF_LIFE_SECONDS)),
    }
    return Fused(candidates, _total(parts), parts)


def _total(parts: Mapping[str, FloatArray]) -> FloatArray:
    return reduce(np.add, parts.values())


def _counts(question: Question, talk: float, weights: FusionWeights) -> dict[str, float]:
    """How much a standard deviation of each list counts for this question, never less than a twentieth."""
    tokens = len(question.terms) if question.tokens is None else len(question.tokens.ids)
    is_name = len(question.text.split()) == 1
    length = float(np.clip(np.log(max(tokens, 1) / USUAL_QUESTION), 0.0 if is_name else -1.0, 2.0))
    counts = {
        "dense": weights.dense + talk * weights.talk_dense,
        "late": weights.late,
        "lexical": weights.lexical + length * weights.long_lexical + _foreign(question.text) * weights.foreign_lexical,
    }
    return {name: max(count, LEAST_SHARE) if getattr(weights, name) else 0.0 for name, count in counts.items()}


def _foreign(text: str) -> float:
    """The share of the text's letters that are not ASCII."""
    letters = [char for char in text if char.isalpha()]
    return sum(not char.isascii() for char in letters) / len(letters) if letters else 0.0


def _brevity(lengths: IntArray) -> float:
    """How far memories of so many tokens need what was said around them, in [0, 1]: a note of some sentences speaks for
    itself, even if it was written in a session."""
    known = lengths[lengths > 0]
    return min(1.0, (USUAL_TURN / float(known.mean())) ** 2) if len(known) else 0.0


class _LateScores:
    """Late interaction of one question with any memories."""

    def __init__(self, question: Question, evidence: Evidence) -> None:
        self._tokens, self._evidence = question.tokens, evidence
        if question.tokens is not None:
            self._weights = late.rarity(*evidence.token_frequency(question.tokens.ids.astype(np.uint32)))

    def of(self, ids: IntArray) -> tuple[FloatArray, IntArray]:
        """As `late.scores` has it."""
        if self._tokens is None or not len(ids):
            return np.zeros(len(ids), np.float32), np.zeros(len(ids), np.int64)
        return late.scores(self._tokens, self._weights, len(ids), self._evidence.token_rows(ids))


def _joined(first: Candidates, second: Candidates) -> Candidates:
    columns = (np.concatenate([getattr(first, item.name), getattr(second, item.name)]) for item in fields(Candidates))
    return Candidates(*columns)

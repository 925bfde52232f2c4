"""How far what was said of one question counts for another that is more or less like it.

Likeness lies between knots; what is counted at a question's likeness is shared by the two knots around it. P(s), the
chance that a memory right for a question is right for another at likeness s, is what was counted, shrunk to a prior
curve. See `associations` for what is made of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.memory.late import TokenSigns

FloatOrArray = TypeVar("FloatOrArray", np.float64, npt.NDArray[np.float64])

KNOTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96, 1.0)  # of cosine
TOKEN_KNOTS = (0.22, 0.27, 0.32, 0.38, 0.46, 0.57, 0.62, 0.68, 1.0)  # of token likeness, about as telling as those
_PRIOR = np.array([0.004, 0.006, 0.012, 0.03, 0.08, 0.3, 0.6, 0.8, 0.95])
_PRIOR_TRIALS = 20.0
_HOPE, _HOPE_TRIALS = np.array([0.01, 0.03, 0.08, 0.2, 0.3]), 2.0  # in its place at the first knots
MOST_CHANCE = float(_PRIOR[-1])
_FULL_EVIDENCE = -math.log(1 - MOST_CHANCE)
_LAST_PENALTY = 0.3  # before counts: a memory wrong for the very same question is this much less likely to be right
_PENALTY_SHARE = 0.22  # of a log ratio, beside the evidence of votes for
_SAME = 0.999  # cosine from which two questions count as one; variants of one code snippet reach 0.997


class Likeness(NamedTuple):
    """Between which knots two questions' likeness lies: the one at or below it, and how far on to the next it is in
    [0, 1]; whether they count as one question."""

    knot: int
    share: float
    is_same: bool

    def on(self, curve: Sequence[float]) -> float:
        """The value there of a curve that has one at each knot."""
        return curve[self.knot] * (1 - self.share) + curve[self.knot + 1] * self.share


def likenesses(
    cosines: Sequence[float], tokens: TokenSigns | None, others: Sequence[TokenSigns | None]
) -> list[Likeness | None]:
    """How alike a question with those `tokens` is to each of the others, of which `cosines` and tokens are given; None
    where not enough to count."""
    by_tokens: dict[int, float] = {}
    compared = [(place, signs) for place, signs in enumerate(others) if signs is not None]
    if tokens is not None and compared:
        alike = tokens.likeness([signs for _, signs in compared]).tolist()
        by_tokens = {place: value for (place, _), value in zip(compared, alike, strict=True)}
    found: list[Likeness | None] = []
    for place, cosine in enumerate(cosines):
        knots, value = (TOKEN_KNOTS, by_tokens[place]) if place in by_tokens else (KNOTS, cosine)
        is_same = cosine >= _SAME
        counts = is_same or value >= knots[0]
        found.append(Likeness(*_between(max(value, knots[0]), knots), is_same) if counts else None)
    return found


def evidence_of(chances: FloatOrArray) -> FloatOrArray:
    """The evidence in [0, 1] of memories that are right with those chances in [0, 1]."""
    evidence: FloatOrArray = np.minimum(1.0, -np.log1p(-np.minimum(chances, MOST_CHANCE)) / _FULL_EVIDENCE)
    return evidence


def joined(best: npt.NDArray[np.float64], worst: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Evidence in [-1, 1] from the best chance (n,) that votes for lend, and the worst penalty (n,), at most 0, of
    those against."""
    return np.maximum(-1.0, evidence_of(best) + _PENALTY_SHARE / _FULL_EVIDENCE * worst)


def curves(counts: npt.NDArray[np.float64], base: float) -> tuple[list[float], list[float]]:
    """Per knot: the chance that a vote for carries over, and the log ratio (<= 0) that a vote against costs.

    `counts` (4, knots): trials and hits of votes for, then of votes against; `base`: how often a shown memory is right.
    Counts are shrunk to a prior curve, itself scaled by how the collection as a whole compares with it; but where
    questions are only somewhat alike, counts come fast, and a hopeful curve gives way to them at once.
    """
    trials, hits, against, saved = counts
    scale = min(1.0, (hits.sum() + 1.0) / (trials @ _PRIOR + 1.0))
    expected, weight = _PRIOR * scale, np.full(len(KNOTS), _PRIOR_TRIALS)
    expected[: len(_HOPE)], weight[: len(_HOPE)] = _HOPE, _HOPE_TRIALS
    chances = (hits + weight * expected) / (trials + weight)
    shares = np.linspace(1.0, _LAST_PENALTY, len(KNOTS))
    carried = (saved + _PRIOR_TRIALS * base * shares) / (against + _PRIOR_TRIALS)
    return (
        _rising(chances.tolist(), (trials + weight).tolist()),
        np.minimum(0.0, np.log(carried / base)).tolist(),
    )


def _between(value: float, knots: Sequence[float]) -> tuple[int, float]:
    """The knot at or below `value` and how far it is on the way to the next one."""
    knot = min(bisect_right(knots, value) - 1, len(knots) - 2)
    return knot, min(1.0, (value - knots[knot]) / (knots[knot + 1] - knots[knot]))


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The curve nearest to `values` by weighted squares that never falls (pool adjacent violators, Ayer 1955)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        count = 1
        while pools and pools[-1][0] > value:
            before, mass, more = pools.pop()
            value = (value * weight + before * mass) / (weight + mass)
            weight, count = weight + mass, count + more
        pools.append((value, weight, count))
    return [value for value, _, count in pools for _ in range(count)]

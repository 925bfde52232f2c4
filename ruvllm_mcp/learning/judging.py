"""Whether one ranking is better than another: a paired bootstrap over the same questions (Efron 1979).

Resampling questions with replacement gives the spread of the mean difference without assuming its shape; the seed is
fixed, so a verdict can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.types import Record

RESAMPLES = 2000
_AT_ONCE = 100  # resamples in memory


@dataclass(frozen=True)
class Verdict(Record):
    """`before` and `after`: mean quality in [0, 1] over the `questions` judged; `low` and `high`: the 95 % interval of
    the mean difference; `worse`: the bootstrap's share of resamples in which `after` is below `before`; `moved`: how
    many of the questions came out differently at all."""

    questions: int
    before: float
    after: float
    low: float
    high: float
    worse: float
    moved: int

    @property
    def gain(self) -> float:
        """Mean difference, after less before."""
        return self.after - self.before


def paired_bootstrap(before: Sequence[float], after: Sequence[float], seed: int = 0) -> Verdict:
    """Judge `after` against `before`, question by question. Raises InvalidInputError if they differ in length."""
    if len(before) != len(after):
        raise InvalidInputError("The two were not judged on the same questions.", "Judge both on each question.")
    if not len(before):
        return Verdict(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    random, size = np.random.default_rng(seed), (_AT_ONCE, len(differences))
    means = np.concatenate(
        [differences[random.integers(len(differences), size=size)].mean(axis=1) for _ in range(RESAMPLES // _AT_ONCE)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Verdict(
        len(differences),
        float(np.mean(before)),
        float(np.mean(after)),
        float(low),
        float(high),
        float((means < 0).mean()),
        int(np.count_nonzero(differences)),
    )

"""Many scores into one: the sum of per-question z-scores, cosine counting 1 and BM25 a half, and small priors.

z-scores are taken over the candidates, so that neither side's scale matters. Feedback evidence of ±1 weighs as much
as four standard deviations of the cosine. Importance (around its default of 0.5) and recency (half-life 90 days) only
break near-ties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.candidates import Candidates, Evidence, Question

DENSE, LEXICAL, TAUGHT, IMPORTANCE, RECENCY = 1.0, 0.5, 4.0, 0.2, 0.1
HALF_LIFE_SECONDS = 90 * 86_400


@dataclass(frozen=True)
class Fused:
    """`candidates`: the table that was scored, perhaps with rows added. `scores` (n,): higher is better. `parts`: each
    part's share, (n,) each, adding up to `scores`."""

    candidates: Candidates
    scores: FloatArray
    parts: Mapping[str, FloatArray]


def fuse(question: Question, candidates: Candidates, evidence: Evidence) -> Fused:  # noqa: ARG001  the joint's shape
    """Scores every candidate. Pure in its arguments."""
    parts = {
        "dense": DENSE * _z_scores(candidates.dense),
        "lexical": LEXICAL * _z_scores(candidates.lexical),
        "taught": TAUGHT * candidates.taught,
        "importance": IMPORTANCE * (candidates.importance - 0.5),
        "recency": RECENCY * np.exp2(-candidates.age_seconds / HALF_LIFE_SECONDS),
    }
    return Fused(candidates, np.sum(list(parts.values()), axis=0, dtype=np.float32), parts)


def _z_scores(scores: FloatArray) -> FloatArray:
    spread = scores.std()
    if not spread > 1e-6:
        return np.zeros_like(scores)
    centred: FloatArray = (scores - scores.mean()) / spread
    return centred

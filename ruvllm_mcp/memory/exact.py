"""The dense index that is always right: every cosine, computed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray


def cosines(vectors: FloatArray, query: FloatArray) -> FloatArray:
    """float32 (n,): the cosines of `query` (d,) with each row of `vectors` (n, d), all of unit length."""
    scores: FloatArray = vectors @ query
    return scores


def best(scores: FloatArray, scope: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.int64]:
    """Positions of the `count` highest scores inside `scope`, best first, ties by position."""
    inside = np.flatnonzero(scope)
    if count < len(inside):
        kept = np.argpartition(-scores[inside], count - 1)[:count]
        threshold = scores[inside[kept]].min()
        above = inside[scores[inside] > threshold]
        level = inside[scores[inside] == threshold][: count - len(above)]
        inside = np.sort(np.concatenate([above, level]))
    return inside[np.argsort(-scores[inside], kind="stable")]

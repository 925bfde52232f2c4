"""Late interaction over compressed tokens: how well a memory's tokens answer a question's, one by one.

Each token of the question looks for its best match among the memory's tokens, of which only the signs are kept; the
matches are averaged, rare tokens counting more (ColBERT's MaxSim, arXiv:2004.12832, weighted by inverse document
frequency). The sums are the kernel's; what is decided here is the weighting and how the memories' bits are laid out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ruvllm_mcp import simd
from ruvllm_mcp.embed.base import FloatArray, TokenVectors


def rarity(frequency: npt.NDArray[np.int64], memories: int) -> FloatArray:
    """Inverse document frequency, float32 (n,), never negative: ln(1 + (N - df + 0.5) / (df + 0.5))."""
    seen = np.minimum(frequency, memories)
    return np.log1p((memories - seen + 0.5) / (seen + 0.5)).astype(np.float32)


def scores(
    question: TokenVectors, weights: FloatArray, ids: Sequence[int], bits: Mapping[int, bytes]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Late-interaction scores of `ids`, float32 (n,), about -1 to 1, and which of them have tokens, bool (n,).

    `weights` float32 (t,) say how much each of the question's tokens counts. `bits`: each memory's tokens one after
    another, d / 8 bytes each, least significant first. Where there are no whole tokens the score is 0.
    """
    width = question.vectors.shape[1] // 8
    found = [bits.get(memory_id, b"") for memory_id in ids]
    found = [item if len(item) % width == 0 else b"" for item in found]
    offsets = np.cumsum([0, *(len(item) // width for item in found)], dtype=np.int64)
    has_tokens = np.diff(offsets) > 0
    if not len(question.ids) or not has_tokens.any():
        return np.zeros(len(ids), np.float32), np.zeros(len(ids), np.bool_)
    packed = np.frombuffer(b"".join(found), np.uint8).reshape(-1, width)
    return simd.maxsim_bits(question.vectors, weights, packed, offsets), has_tokens

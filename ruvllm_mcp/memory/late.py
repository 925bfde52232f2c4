"""Late interaction over compressed tokens: how well a memory's tokens answer a question's, one by one.

Each token of the question looks for its best match among the memory's tokens, of which only the signs are kept; the
matches are averaged, rare tokens counting more (ColBERT's MaxSim, arXiv:2004.12832, weighted by inverse document
frequency). The sums are the kernel's; what is decided here is the weighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ruvllm_mcp import simd
from ruvllm_mcp.embed.base import FloatArray, TokenVectors
from ruvllm_mcp.memory.candidates import IntArray, TokenRows

MOST_KEPT = 48  # tokens of a question, the rarest


@dataclass(frozen=True)
class TokenSigns:
    """What is kept of a question's tokens, so that later questions can be compared with it: sign bits uint8 (t, d / 8)
    and how much each counts, float32 (t,). Signs on both sides, so that a question is exactly like itself."""

    bits: npt.NDArray[np.uint8]
    weights: FloatArray

    @classmethod
    def of(cls, tokens: TokenVectors, weights: FloatArray) -> TokenSigns | None:
        """The signs of the `MOST_KEPT` tokens that count most; None without tokens."""
        if not len(tokens.ids):
            return None
        kept = np.sort(np.argsort(-weights, kind="stable")[:MOST_KEPT])
        return cls(np.packbits(tokens.vectors[kept] > 0, axis=1, bitorder="little"), weights[kept])

    def likeness(self, others: Sequence[TokenSigns]) -> FloatArray:
        """How well each other question answers this one's tokens, float32 (n,), in [-1, 1]; 1 for the same one."""
        counts = np.array([len(other.bits) for other in others], np.int64)
        signs = np.unpackbits(self.bits, axis=1, bitorder="little").astype(np.float32) * 2 - 1
        packed = np.concatenate([other.bits for other in others])
        return simd.maxsim_bits(
            signs / np.float32(np.sqrt(signs.shape[1])), self.weights, packed, np.cumsum(counts) - counts, counts
        )

    def to_bytes(self) -> bytes:
        """How many tokens (uint32), their weights (float32), their bits; little-endian."""
        return len(self.bits).to_bytes(4, "little") + self.weights.astype("<f4").tobytes() + self.bits.tobytes()

    @classmethod
    def from_bytes(cls, blob: bytes) -> TokenSigns | None:
        """What `to_bytes` wrote; None for no bytes. Raises ValueError if they are damaged."""
        if not blob:
            return None
        count = int.from_bytes(blob[:4], "little")
        if not count or len(blob) <= 4 + 4 * count or (len(blob) - 4) % count:
            raise ValueError("damaged token signs")
        bits = np.frombuffer(blob, np.uint8, offset=4 + 4 * count)
        return cls(bits.reshape(count, -1), np.frombuffer(blob, "<f4", count, offset=4))


def rarity(frequency: npt.NDArray[np.int64], memories: int) -> FloatArray:
    """Inverse document frequency, float32 (n,), never negative: ln(1 + (N - df + 0.5) / (df + 0.5))."""
    seen = np.minimum(frequency, memories)
    return np.log1p((memories - seen + 0.5) / (seen + 0.5)).astype(np.float32)


def scores(
    question: TokenVectors, weights: FloatArray, size: int, tokens: Sequence[TokenRows]
) -> tuple[FloatArray, IntArray]:
    """Late-interaction scores of n = `size` memories, float32 (n,), about -1 to 1, and how many tokens each has, int64
    (n,).

    `weights` float32 (t,) say how much each of the question's tokens counts. A memory without tokens scores 0.
    """
    found, lengths = np.zeros(size, np.float32), np.zeros(size, np.int64)
    for part in tokens if len(question.ids) else ():
        found[part.places] = simd.maxsim_bits(question.vectors, weights, part.bits, part.starts, part.counts)
        lengths[part.places] = part.counts
    return found, lengths

"""Weights as GGUF lays them out, in NumPy: floats to blocks of a few bits a number, and back.

All values of a block share float16 scales; q are whole numbers:
- Q8_0, Q5_0, Q4_0: 32 values, d * q, with q of 8, 5 or 4 bits (the latter two stored with 16 or 8 added).
- Q4_K, Q5_K: 256 values in 8 runs of 32, d * s * q - m * t, with q of 4 or 5 bits and each run's s and t of 6.
- Q6_K: 256 values in 16 runs of 16, d * s * q, with q of 6 bits and each run's s of 8.

Scales are those, of some around the block's range, that leave the least squared error; q is then rounded by the scales
as they are stored. Work is done in pieces, on all CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import InvalidInputError

FloatArray = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Blocks = npt.NDArray[Any]
"""A structured array, one record a block."""

Q4_0 = np.dtype([("d", "<f2"), ("q", "u1", 16)])
Q5_0 = np.dtype([("d", "<f2"), ("high", "<u4"), ("q", "u1", 16)])
Q8_0 = np.dtype([("d", "<f2"), ("q", "i1", 32)])
Q4_K = np.dtype([("d", "<f2"), ("m", "<f2"), ("scales", "u1", (3, 4)), ("q", "u1", (4, 32))])
Q5_K = np.dtype([*Q4_K.descr[:3], ("high", "u1", 32), ("q", "u1", (4, 32))])
Q6_K = np.dtype([("low", "u1", (2, 64)), ("high", "u1", (2, 32)), ("scales", "i1", 16), ("d", "<f2")])
PIECE = 1 << 19
"""Values worked on at once: fewer are slower, as threads wait for each other between NumPy's calls."""
LEAST = np.float32(2**-25)
"""Half of the least number above 0 that blocks tell from it: all they hold is some multiple of float16's least."""
MOST_HALF, MOST = np.float32(65504), {"F32": np.finfo(np.float32).max, "BF16": np.float32(3.3895e38)}
STEPS = np.arange(-9, 10, dtype=np.float32) / 10
"""By how much of a step a block's range is widened or narrowed in search of its best scale."""


def quantize(kind: str, values: npt.ArrayLike) -> Bytes:
    """`values` (float32, any shape whose last axis is whole blocks) as the bytes of `kind`, uint8 (n,).

    Raises InvalidInputError for a kind that is not written, a length that is no whole number of its blocks, and for
    values that the kind cannot hold: F32 and BF16 hold all finite ones, the others those of float16.
    """
    length, _, encode, _ = _known(kind)
    array = np.ascontiguousarray(values, np.float32)
    if array.shape[-1] % length:
        raise InvalidInputError(f"Rows of shape {array.shape} are no whole blocks of {kind}.", f"It takes {length}s.")
    rows = array.reshape(-1, length)
    step = max(PIECE // length, 1)

    def piece(start: int) -> Bytes:
        part = rows[start : start + step]
        if not (np.abs(part) <= MOST.get(kind, MOST_HALF)).all():
            raise InvalidInputError(
                f"Values too great for {kind}, or not finite, cannot be stored.", "Use BF16 or F32."
            )
        if length > 1:
            part = np.where(np.abs(part) < LEAST, np.float32(0), part)
        return np.ascontiguousarray(encode(part)).view(np.uint8).reshape(-1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate([np.empty(0, np.uint8), *pool.map(piece, range(0, len(rows), step))])


def dequantize(kind: str, data: Bytes, shape: tuple[int, ...]) -> FloatArray:
    """The float32 values, in `shape`, of the bytes of `kind`, uint8 (n,). InvalidInputError if they do not fit."""
    known = _known(kind)
    if data.size % known.dtype.itemsize or data.size // known.dtype.itemsize * known.length != np.prod(shape):
        raise InvalidInputError(f"{data.size} bytes do not make {kind} {shape}.", "Give the tensor's own bytes.")
    blocks = np.ascontiguousarray(data).view(known.dtype)
    values = np.empty((len(blocks), known.length), np.float32)
    step = max(PIECE // known.length, 1)
    for start in range(0, len(blocks), step):
        values[start : start + step] = known.decode(blocks[start : start + step])
    return values.reshape(shape)


def _bf16(rows: FloatArray) -> Blocks:
    """Rounded to the nearest, ties to even."""
    bits = rows.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _from_bf16(blocks: Blocks) -> FloatArray:
    return (blocks.astype(np.uint32) << 16).view(np.float32)[:, None]


def _q8_0(rows: FloatArray) -> Blocks:
    blocks = np.zeros(len(rows), Q8_0)
    blocks["d"] = np.abs(rows).max(axis=1) / np.float32(127)
    blocks["q"] = _rounded(rows, blocks["d"], -127, 127)
    return blocks


def _from_q8_0(blocks: Blocks) -> FloatArray:
    return blocks["q"].astype(np.float32) * _column(blocks["d"])


def _q4_0(rows: FloatArray) -> Blocks:
    blocks = np.zeros(len(rows), Q4_0)
    blocks["d"] = _scale(rows, 8)
    blocks["q"] = _halves(_rounded(rows, blocks["d"], -8, 7).astype(np.int8) + 8)
    return blocks


def _from_q4_0(blocks: Blocks) -> FloatArray:
    return (_whole(blocks["q"]).astype(np.float32) - 8) * _column(blocks["d"])


def _q5_0(rows: FloatArray) -> Blocks:
    blocks = np.zeros(len(rows), Q5_0)
    blocks["d"] = _scale(rows, 16)
    q = (_rounded(rows, blocks["d"], -16, 15) + 16).astype(np.uint8)
    blocks["q"] = _halves(q & 15)
    blocks["high"] = np.packbits(q >> 4, axis=1, bitorder="little").view("<u4")[:, 0]
    return blocks


def _from_q5_0(blocks: Blocks) -> FloatArray:
    high = np.unpackbits(np.ascontiguousarray(blocks["high"]).view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    return ((_whole(blocks["q"]) | high << 4).astype(np.float32) - 16) * _column(blocks["d"])


def _q4_k(rows: FloatArray) -> Blocks:
    blocks, q = _with_least(rows, Q4_K, 15)
    blocks["q"] = q[:, :, 0] | q[:, :, 1] << 4
    return blocks


def _q5_k(rows: FloatArray) -> Blocks:
    blocks, q = _with_least(rows, Q5_K, 31)
    blocks["q"] = q[:, :, 0] & 15 | q[:, :, 1] << 4
    blocks["high"] = np.packbits(q.reshape(-1, 8, 32) >> 4, axis=1, bitorder="little")[:, 0]
    return blocks


def _with_least(rows: FloatArray, dtype: np.dtype[Any], most: int) -> tuple[Blocks, Bytes]:
    """Blocks with their scales, and q, 0 to `most`, (n, 4, 2, 32)."""
    runs = rows.reshape(-1, 32)
    scales, least = (found.reshape(-1, 8) for found in _scale_and_least(runs, most))
    blocks = np.zeros(len(rows), dtype)
    blocks["d"], blocks["m"] = scales.max(axis=1) / np.float32(63), least.max(axis=1) / np.float32(63)
    s = _rounded(scales, blocks["d"], 0, 63).astype(np.uint8)
    t = _rounded(least, blocks["m"], 0, 63).astype(np.uint8)
    blocks["scales"][:, 0] = s[:, :4] | s[:, 4:] >> 4 << 6
    blocks["scales"][:, 1] = t[:, :4] | t[:, 4:] >> 4 << 6
    blocks["scales"][:, 2] = s[:, 4:] & 15 | t[:, 4:] << 4
    first = _rounded(runs + (_column(blocks["m"]) * t).reshape(-1, 1), (_column(blocks["d"]) * s).reshape(-1), 0, most)
    blocks["d"], blocks["m"] = _refitted(rows, first.reshape(-1, 8, 32) * s[:, :, None], t, blocks)
    scale, shift = (_column(blocks["d"]) * s).reshape(-1), (_column(blocks["m"]) * t).reshape(-1, 1)
    return blocks, _rounded(runs + shift, scale, 0, most).astype(np.uint8).reshape(-1, 4, 2, 32)


def _refitted(rows: FloatArray, steps: FloatArray, t: Bytes, blocks: Blocks) -> tuple[FloatArray, FloatArray]:
    """The d and m for which d * steps - m * t come nearest to `rows`, by least squares; those of `blocks` where that
    has no clear answer above 0. `steps` is (n, 8, 32), `t` (n, 8)."""
    values = rows.reshape(steps.shape)
    least = t.astype(np.float32)
    along, square = np.einsum("irj,irj->i", steps, values), np.einsum("irj,irj->i", steps, steps)
    t_along, t_square = np.einsum("ir,irj->i", least, values), 32 * np.einsum("ir,ir->i", least, least)
    across = np.einsum("ir,irj->i", least, steps)
    spread = square * t_square - across * across
    inverse = _inverse(spread)
    d, m = (along * t_square - t_along * across) * inverse, (along * across - t_along * square) * inverse
    good = (d > 0) & (m > 0) & (spread > 1e-3 * square * t_square)
    return np.where(good, d, blocks["d"]), np.where(good, m, blocks["m"])


def _from_q4_k(blocks: Blocks) -> FloatArray:
    return _over_least(blocks, _runs(blocks))


def _from_q5_k(blocks: Blocks) -> FloatArray:
    high = np.unpackbits(blocks["high"][:, None], axis=1, bitorder="little")
    return _over_least(blocks, _runs(blocks) | high << 4)


def _runs(blocks: Blocks) -> Bytes:
    """The 4 bits of each number, (n, 8, 32)."""
    return np.stack([blocks["q"] & 15, blocks["q"] >> 4], axis=2).reshape(-1, 8, 32)


def _over_least(blocks: Blocks, q: npt.NDArray[np.integer]) -> FloatArray:
    first, second, mixed = blocks["scales"][:, 0], blocks["scales"][:, 1], blocks["scales"][:, 2]
    s = np.concatenate([first & 63, mixed & 15 | first >> 6 << 4], axis=1).astype(np.float32)
    t = np.concatenate([second & 63, mixed >> 4 | second >> 6 << 4], axis=1).astype(np.float32)
    scale, shift = _column(blocks["d"]) * s, _column(blocks["m"]) * t
    values: FloatArray = (q.astype(np.float32) * scale[:, :, None] - shift[:, :, None]).reshape(-1, 256)
    return values


def _q6_k(rows: FloatArray) -> Blocks:
    runs = rows.reshape(-1, 16)
    scales = _scale(runs, 32).reshape(-1, 16)
    blocks = np.zeros(len(rows), Q6_K)
    extreme = np.take_along_axis(scales, np.abs(scales).argmax(axis=1)[:, None], axis=1)[:, 0]
    blocks["d"] = extreme / np.float32(-128)
    blocks["scales"] = _rounded(scales, blocks["d"], -128, 127)
    scale = (_column(blocks["d"]) * blocks["scales"]).reshape(-1)
    q = (_rounded(runs, scale, -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    blocks["low"] = (q[:, :, :2] & 15 | q[:, :, 2:] << 4).reshape(-1, 2, 64)
    blocks["high"] = q[:, :, 0] >> 4 | q[:, :, 1] >> 4 << 2 | q[:, :, 2] >> 4 << 4 | q[:, :, 3] >> 4 << 6
    return blocks


def _from_q6_k(blocks: Blocks) -> FloatArray:
    low = blocks["low"].reshape(-1, 2, 1, 2, 32) >> np.array([0, 4], np.uint8).reshape(2, 1, 1) & 15
    high = blocks["high"].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(4, 1) & 3
    q = (low.reshape(-1, 2, 4, 32) | high << 4).reshape(-1, 16, 16).astype(np.float32) - 32
    scale = _column(blocks["d"]) * blocks["scales"].astype(np.float32)
    values: FloatArray = (q * scale[:, :, None]).reshape(-1, 256)
    return values


def _scale(rows: FloatArray, most: int) -> FloatArray:
    """Each row's d for which d * q comes nearest, q from -`most` to `most` - 1: (rows,)."""
    columns = np.ascontiguousarray(rows.T)  # a value of all rows side by side: sums over a row's few are slow
    extreme = np.where(columns.max(axis=0) > -columns.min(axis=0), columns.max(axis=0), columns.min(axis=0))
    best: FloatArray = np.zeros_like(extreme)
    score = np.zeros_like(extreme)
    for step in STEPS:
        q = columns * _inverse(extreme / -(most + step))
        np.clip(np.rint(q, out=q), -most, most - 1, out=q)
        along, square = np.einsum("ij,ij->j", columns, q), np.einsum("ij,ij->j", q, q)
        d = along * _inverse(square)  # the best for these q; it takes along * d off the squared error
        better = along * d > score
        best, score = np.where(better, d, best), np.where(better, along * d, score)
    return best


def _scale_and_least(rows: FloatArray, most: int) -> tuple[FloatArray, FloatArray]:
    """Each row's s and t >= 0 for which s * q - t comes nearest, q from 0 to `most`: (rows,) each."""
    columns = np.ascontiguousarray(rows.T)
    n = np.float32(len(columns))
    least = np.minimum(columns.min(axis=0), 0)
    lifted = columns - least
    span = lifted.max(axis=0)
    total, square = columns.sum(axis=0), np.einsum("ij,ij->j", columns, columns)
    best_s, best_t = span / np.float32(most), -least
    best = np.full_like(span, np.inf)
    for step in STEPS:
        q = lifted * _inverse(span / (most + step))
        np.minimum(np.rint(q, out=q), most, out=q)
        q_sum, q_square = q.sum(axis=0), np.einsum("ij,ij->j", q, q)
        along = np.einsum("ij,ij->j", columns, q)
        inverse = _inverse(n * q_square - q_sum * q_sum)
        s, t = (n * along - total * q_sum) * inverse, (q_sum * along - q_square * total) * inverse
        lone = (t < 0) | (inverse == 0)  # a row of one sign: no shift
        s, t = np.where(lone, along * _inverse(q_square), s), np.where(lone, np.float32(0), t)
        error = square + s * s * q_square + n * t * t - 2 * (s * along - t * total + s * t * q_sum)
        better = (error < best) & (s > 0)
        best, best_s, best_t = (np.where(better, *pair) for pair in ((error, best), (s, best_s), (t, best_t)))
    return best_s, best_t


def _rounded(rows: FloatArray, scale: npt.NDArray[Any], low: int, high: int) -> FloatArray:
    """`rows` in steps of each one's `scale` (as it is stored), whole and within `low` and `high`."""
    steps = _column(scale)
    quotient = np.divide(rows, steps, out=np.zeros_like(rows), where=steps != 0)
    return np.clip(np.rint(quotient, out=quotient), low, high, out=quotient)


def _inverse(values: FloatArray) -> FloatArray:
    """1 / values, 0 for 0."""
    inverse: FloatArray = np.divide(1, values, out=np.zeros_like(values), where=values != 0)
    return inverse


def _column(values: npt.NDArray[Any]) -> FloatArray:
    return values.astype(np.float32)[:, None]


def _halves(q: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """32 numbers of 4 bits in 16 bytes: number i low, i + 16 high."""
    q = q.astype(np.uint8)
    halves: Bytes = q[:, :16] | q[:, 16:] << 4
    return halves


def _whole(halves: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.concatenate([halves & 15, halves >> 4], axis=1)


class Kind(NamedTuple):
    """`length` values make a block, a record of `dtype`."""

    length: int
    dtype: np.dtype[Any]
    encode: Callable[[FloatArray], Blocks]
    decode: Callable[[Blocks], FloatArray]


KINDS = {
    "F32": Kind(1, np.dtype("<f4"), lambda rows: rows, lambda blocks: blocks[:, None]),
    "F16": Kind(1, np.dtype("<f2"), lambda rows: rows.astype("<f2"), lambda blocks: _column(blocks)),
    "BF16": Kind(1, np.dtype("<u2"), _bf16, _from_bf16),
    "Q8_0": Kind(32, Q8_0, _q8_0, _from_q8_0),
    "Q5_0": Kind(32, Q5_0, _q5_0, _from_q5_0),
    "Q4_0": Kind(32, Q4_0, _q4_0, _from_q4_0),
    "Q4_K": Kind(256, Q4_K, _q4_k, _from_q4_k),
    "Q5_K": Kind(256, Q5_K, _q5_k, _from_q5_k),
    "Q6_K": Kind(256, Q6_K, _q6_k, _from_q6_k),
}


def _known(kind: str) -> Kind:
    if kind not in KINDS:
        raise InvalidInputError(f"Weights of type {kind!r} are not known.", f"Known are {', '.join(KINDS)}.")
    return KINDS[kind]

"""One or many vectors against many: products, the best rows, late interaction. Calls release the GIL."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.arrays import FloatArray, floats, long_pointer, rows_and_vector
from ruvllm_mcp.native.lib import nogil, nogil_ffi

MAX_SIGN_DIMENSIONS = 2048


def matvec(m: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
    """The dot product of each row of `m`, float32 (n, d), with `x`, float32 (d,): float32 (n,). DimensionError."""
    matrix, vector = floats(m, 2, "m"), floats(x, 1, "x")
    rows, cols = rows_and_vector(matrix, vector)
    out = np.empty(rows, np.float32)
    nogil.rv_many_dot_f32(long_pointer(matrix), long_pointer(vector), long_pointer(out), rows, cols)
    return out


def topk_dot(
    m: npt.ArrayLike, x: npt.ArrayLike, k: int, keep: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """The `k` rows of `m`, float32 (n, d), with the greatest dot product with `x`, float32 (d,).

    Returns rows and scores, best first, ties by lower row; fewer than `k` where there are fewer. `keep`, bool (n,),
    passes over the rows where it is False. Rows that score NaN never win. Raises DimensionError, InvalidInputError.
    """
    matrix, vector = floats(m, 2, "m"), floats(x, 1, "x")
    rows_and_vector(matrix, vector)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InvalidInputError(f"k is {k!r}.", "It takes a whole number of at least 1.")
    mask = nogil_ffi.NULL
    if keep is not None:
        if np.shape(keep) != (len(matrix),) or keep.dtype != np.bool_:
            raise DimensionError(f"keep has shape {np.shape(keep)}.", f"It takes bool ({len(matrix)},).")
        mask = nogil_ffi.from_buffer("uint8_t[]", np.packbits(keep, bitorder="little"))
    size = min(int(k), len(matrix))
    rows, scores = np.empty(size, np.int64), np.empty(size, np.float32)
    found = nogil.rv_topk_dot_f32(
        long_pointer(matrix),
        long_pointer(vector),
        *matrix.shape,
        mask,
        size,
        long_pointer(rows),
        long_pointer(scores),
        nogil_ffi.NULL,
    )
    return rows[:found], scores[:found]


def maxsim_bits(
    tokens: npt.ArrayLike,
    weights: npt.ArrayLike,
    bits: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
) -> FloatArray:
    """Late-interaction scores of n documents kept as sign bits, float32 (n,).

    `tokens`, float32 (q, d), are the query's token vectors, `weights`, float32 (q,), their importance (IDF, say).
    `bits`, uint8 (t, d / 8), are all documents' tokens one after another as `numpy.packbits(..., bitorder="little")`
    gives them; document i is rows `offsets[i]` up to `offsets[i + 1]`, int64 (n + 1,). A pair of tokens scores
    sum(query * sign) / sqrt(d) with sign +1 for a set bit, else -1: their cosine where the query token has length 1.
    A document scores the weighted mean over query tokens of its best token's score; 0 if it is empty or the weights sum
    to 0. Exact to sqrt(d) / 32638 of a query token's greatest number, the same on every instruction set.
    d is a multiple of 8, 8 to 2048. Raises DimensionError and InvalidInputError.
    """
    query, weight = floats(tokens, 2, "tokens"), floats(weights, 1, "weights")
    count, dims = query.shape
    if dims % 8 or not 8 <= dims <= MAX_SIGN_DIMENSIONS:
        raise DimensionError(f"Tokens have {dims} dimensions.", f"A multiple of 8 from 8 to {MAX_SIGN_DIMENSIONS}.")
    if weight.size != count:
        raise DimensionError(f"There are {count} tokens and {weight.size} weights.", "Each token takes one weight.")
    if bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] != dims // 8:
        raise DimensionError(f"bits is {bits.dtype} {bits.shape}.", f"It takes uint8 (t, {dims // 8}).")
    bounds = np.ascontiguousarray(offsets)
    if bounds.dtype != np.int64 or bounds.ndim != 1 or not bounds.size:
        raise DimensionError(f"offsets is {bounds.dtype} {bounds.shape}.", "It takes int64 (n + 1,).")
    if bounds[0] < 0 or bounds[-1] > len(bits) or (bounds[1:] < bounds[:-1]).any():
        raise InvalidInputError("offsets do not ascend within bits.", "Each document ends where the next one starts.")
    scores = np.empty(bounds.size - 1, np.float32)
    scratch = np.empty(nogil.rv_maxsim_scratch(count, dims), np.int32)
    nogil.rv_maxsim_bits(
        long_pointer(query),
        long_pointer(weight),
        count,
        dims,
        long_pointer(np.ascontiguousarray(bits)),
        long_pointer(bounds),
        scores.size,
        long_pointer(scratch),
        long_pointer(scores),
        nogil_ffi.NULL,
    )
    return scores

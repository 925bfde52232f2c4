"""Vector arithmetic on the kernels: the only door to them for the rest of the package.

Functions take anything NumPy can read as numbers; contiguous float32 arrays pass without a copy. NaN and infinity
follow IEEE 754.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.arrays import FloatArray, floats, same_length, signed_bytes
from ruvllm_mcp.native.lib import available, gil, gil_ffi, in_use, kernels, nogil, nogil_ffi

MAX_INT8_DIMENSIONS = 131_072
MAX_SIGN_DIMENSIONS = 2048


def simd_info() -> Mapping[str, Any]:
    """The instruction set in use, those this CPU could use, worst first, and which layer of it serves each kernel."""
    return {"instruction_set": in_use(), "available": available(), "kernels": kernels()}


def dot_product(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Sum of products of two float32 vectors of one shape (d,), d >= 1. Raises DimensionError."""
    x, y = floats(a, 1, "a"), floats(b, 1, "b")
    return float(gil.rv_dot_f32(_in(x), _in(y), same_length(x, y)))


def cosine_similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Cosine of the angle between `a` and `b`, in [-1, 1].

    Both are float32 of one shape (d,), d >= 1. A zero vector has cosine 0.0 with everything. Raises DimensionError.
    """
    x, y = floats(a, 1, "a"), floats(b, 1, "b")
    return float(gil.rv_cosine_f32(_in(x), _in(y), same_length(x, y)))


def squared_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Sum of squared differences of two float32 vectors of one shape (d,), d >= 1. Raises DimensionError."""
    x, y = floats(a, 1, "a"), floats(b, 1, "b")
    return float(gil.rv_sqdist_f32(_in(x), _in(y), same_length(x, y)))


def euclidean_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Distance of two float32 points of one shape (d,), d >= 1. Raises DimensionError."""
    x, y = floats(a, 1, "a"), floats(b, 1, "b")
    return float(gil.rv_dist_f32(_in(x), _in(y), same_length(x, y)))


def normalize(x: npt.ArrayLike) -> FloatArray:
    """`x` scaled to unit length, float32 (d,); a zero vector stays zero."""
    array = floats(x, 1, "x")
    out = np.empty_like(array)
    gil.rv_normalize_f32(_in(array), _out(out), array.size)
    return out


def softmax(x: npt.ArrayLike) -> FloatArray:
    """exp(x) / sum(exp(x)), float32 (d,), without overflow; sums to 1."""
    array = floats(x, 1, "x")
    out = np.empty_like(array)
    gil.rv_softmax_f32(_in(array), 1.0, _out(out), array.size)
    return out


def matvec(m: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
    """The dot product of each row of `m`, float32 (n, d), with `x`, float32 (d,): float32 (n,). DimensionError."""
    matrix, vector = _fitting(m, x)
    out = np.empty(len(matrix), np.float32)
    nogil.rv_many_dot_f32(_long_in(matrix), _long_in(vector), _long_out(out), *matrix.shape)
    return out


def dot_int8(a: npt.ArrayLike, b: npt.ArrayLike) -> int:
    """Exact sum of products of two int8 vectors of one shape (d,), 1 <= d <= 131,072. Raises DimensionError."""
    x, y = signed_bytes(a, "a"), signed_bytes(b, "b")
    n = same_length(x, y)
    if n > MAX_INT8_DIMENSIONS:
        raise DimensionError(f"Vectors have {n} dimensions.", f"At most {MAX_INT8_DIMENSIONS} fit an int32 sum.")
    pointers = (gil_ffi.from_buffer("int8_t[]", x), gil_ffi.from_buffer("int8_t[]", y))
    return int(gil.rv_dot_i8(*pointers, n))


def topk_dot(
    m: npt.ArrayLike, x: npt.ArrayLike, k: int, keep: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """The `k` rows of `m`, float32 (n, d), with the greatest dot product with `x`, float32 (d,).

    Returns rows and scores, best first, ties by lower row; fewer than `k` where there are fewer. `keep`, bool (n,),
    passes over the rows where it is False. Rows that score NaN never win. Raises DimensionError, InvalidInputError.
    """
    matrix, vector = _fitting(m, x)
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
        _long_in(matrix),
        _long_in(vector),
        *matrix.shape,
        mask,
        size,
        nogil_ffi.from_buffer("int64_t[]", rows, require_writable=True),
        _long_out(scores),
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
        _long_in(query),
        _long_in(weight),
        count,
        dims,
        nogil_ffi.from_buffer("uint8_t[]", np.ascontiguousarray(bits)),
        nogil_ffi.from_buffer("int64_t[]", bounds),
        scores.size,
        nogil_ffi.from_buffer("int32_t[]", scratch, require_writable=True),
        _long_out(scores),
        nogil_ffi.NULL,
    )
    return scores


def _fitting(m: npt.ArrayLike, x: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    matrix, vector = floats(m, 2, "m"), floats(x, 1, "x")
    if matrix.shape[1] != vector.size:
        raise DimensionError(f"m has shape {matrix.shape}, x {vector.shape}.", "A row of m takes as many numbers as x.")
    return matrix, vector


def _in(array: FloatArray) -> object:
    return gil_ffi.from_buffer("float[]", array)


def _out(array: FloatArray) -> object:
    return gil_ffi.from_buffer("float[]", array, require_writable=True)


def _long_in(array: FloatArray) -> object:
    return nogil_ffi.from_buffer("float[]", array)


def _long_out(array: FloatArray) -> object:
    return nogil_ffi.from_buffer("float[]", array, require_writable=True)

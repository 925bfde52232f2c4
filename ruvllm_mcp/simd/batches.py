"""One or many vectors against many: products, the best rows, nearest centroids, late interaction.

Calls release the GIL. A long one takes a `Cancel`, whose `set()`, from any thread, ends it within about a millisecond;
the call then raises `CancelledError`.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.arrays import AnyArray, FloatArray, floats, long_pointer, numbers, rows_and_vector
from ruvllm_mcp.native.lib import nogil, nogil_ffi

MAX_SIGN_DIMENSIONS = 2048
METRICS = {
    "dot": ("f32", "f16", "bf16", "i8"),
    "cosine": ("f32", "f16", "bf16", "i8"),
    "sqdist": ("f32", "f16", "bf16", "i8"),
    "hamming": ("b1",),
    "jaccard": ("b1",),
}

IndexArray = npt.NDArray[np.int64]


class Cancel:
    """A flag that ends the calls it was given to. Once set it stays so."""

    def __init__(self) -> None:
        self.flag: Any = nogil_ffi.new("int *")

    def set(self) -> None:
        """Ends the calls."""
        self.flag[0] = 1

    @property
    def is_set(self) -> bool:
        """Whether `set` was called."""
        return bool(self.flag[0])


def many(operation: str, kind: str, matrix: AnyArray, vector: AnyArray, cancel: Cancel | None = None) -> AnyArray:
    """An operation of pairs for every row of a matrix with a vector, both as the kernels take them."""
    is_whole = kind in ("i8", "b1") and operation in ("dot", "sqdist", "hamming")
    out: AnyArray = np.empty(len(matrix), np.int32 if is_whole else np.float32)
    nogil.rv_many(
        f"{operation}_{kind}".encode(),
        long_pointer(matrix),
        long_pointer(vector),
        long_pointer(out),
        *matrix.shape,
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    return out


def matvec(m: npt.ArrayLike, x: npt.ArrayLike, *, cancel: Cancel | None = None) -> FloatArray:
    """The dot product of each row of `m`, float32 (n, d), with `x`, float32 (d,): float32 (n,). DimensionError."""
    matrix, vector = floats(m, 2, "m"), floats(x, 1, "x")
    rows_and_vector(matrix, vector)
    return many("dot", "f32", matrix, vector, cancel)


def matmul(a: npt.ArrayLike, b: npt.ArrayLike, *, cancel: Cancel | None = None) -> FloatArray:
    """The product of `a`, float32 (m, k), and `b`, float32 (k, n): float32 (m, n). Raises DimensionError."""
    left, right = floats(a, 2, "a"), floats(b, 2, "b")
    if left.shape[1] != right.shape[0]:
        raise DimensionError(f"Matrices have shapes {left.shape} and {right.shape}.", "They take (m, k) and (k, n).")
    out = np.empty((len(left), right.shape[1]), np.float32)
    nogil.rv_matmul(
        long_pointer(left), long_pointer(right), long_pointer(out), *left.shape, right.shape[1], flag(cancel)
    )
    raise_if_cancelled(cancel)
    return out


def cross_dot(a: npt.ArrayLike, b: npt.ArrayLike, *, cancel: Cancel | None = None) -> FloatArray:
    """The dot product of each row of `a`, float32 (m, d), with each of `b`, float32 (n, d): float32 (m, n)."""
    left, right = floats(a, 2, "a"), floats(b, 2, "b")
    _same_width(left, right)
    out = np.empty((len(left), len(right)), np.float32)
    nogil.rv_cross_dot(
        long_pointer(left), long_pointer(right), long_pointer(out), len(left), *right.shape, flag(cancel)
    )
    raise_if_cancelled(cancel)
    return out


def topk(
    m: npt.ArrayLike,
    x: npt.ArrayLike,
    k: int,
    keep: npt.NDArray[np.bool_] | None = None,
    *,
    metric: str = "dot",
    kind: str = "f32",
    cancel: Cancel | None = None,
) -> tuple[IndexArray, FloatArray]:
    """The `k` rows of `m`, (n, d), that rank best with `x`, (d,), by `metric`: dot, cosine, sqdist, hamming, jaccard.

    Numbers are of `kind`: f32, f16, bf16, i8 or, for hamming and jaccard, b1. Returns rows and scores, best first
    (least first for sqdist and hamming), ties by lower row; fewer than `k` where there are fewer. `keep`, bool (n,),
    passes over the rows where it is False. Rows that score NaN never win. Raises DimensionError, InvalidInputError.
    """
    checked_metric(metric, kind)
    matrix, vector = numbers(m, kind, 2, "m"), numbers(x, kind, 1, "x")
    rows_and_vector(matrix, vector)
    size, mask = checked_k(k, len(matrix)), bitmap(keep, len(matrix))
    rows, scores = np.empty(size, np.int32), np.empty(size, np.float32)
    found = nogil.rv_topk(
        f"{metric}_{kind}".encode(),
        long_pointer(matrix),
        long_pointer(vector),
        *matrix.shape,
        nogil_ffi.NULL if mask is None else long_pointer(mask),
        size,
        long_pointer(rows),
        long_pointer(scores),
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    return rows[:found].astype(np.int64), scores[:found]


def topk_dot(
    m: npt.ArrayLike,
    x: npt.ArrayLike,
    k: int,
    keep: npt.NDArray[np.bool_] | None = None,
    *,
    cancel: Cancel | None = None,
) -> tuple[IndexArray, FloatArray]:
    """`topk` by dot product of float32."""
    return topk(m, x, k, keep, cancel=cancel)


def cross_topk(
    queries: npt.ArrayLike,
    m: npt.ArrayLike,
    k: int,
    keep: npt.NDArray[np.bool_] | None = None,
    *,
    cancel: Cancel | None = None,
) -> list[tuple[IndexArray, FloatArray]]:
    """`topk_dot` for each row of `queries`, float32 (q, d), in one pass over `m`, float32 (n, d)."""
    left, right = floats(queries, 2, "queries"), floats(m, 2, "m")
    _same_width(left, right)
    size, mask = checked_k(k, len(right)), bitmap(keep, len(right))
    rows, scores = np.empty((len(left), size), np.int32), np.empty((len(left), size), np.float32)
    found = nogil_ffi.new("size_t[]", max(len(left), 1))
    nogil.rv_cross_topk(
        long_pointer(left),
        long_pointer(right),
        len(left),
        *right.shape,
        nogil_ffi.NULL if mask is None else long_pointer(mask),
        size,
        long_pointer(rows),
        long_pointer(scores),
        found,
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    each = zip(rows.astype(np.int64), scores, nogil_ffi.unpack(found, len(left)) if len(left) else (), strict=True)
    return [(r, s) if n == size else (r[:n], s[:n]) for r, s, n in each]


def assign(
    points: npt.ArrayLike, centroids: npt.ArrayLike, *, cancel: Cancel | None = None
) -> tuple[IndexArray, FloatArray]:
    """The nearest of `centroids`, float32 (c, d), c >= 1, to each of `points`, float32 (n, d).

    Returns the centroids' rows, int64 (n,), ties to the lower, and the squared distances, float32 (n,): the assignment
    step of k-means. Raises DimensionError.
    """
    left, right = floats(points, 2, "points"), floats(centroids, 2, "centroids")
    _same_width(left, right)
    if not len(right):
        raise DimensionError("There are no centroids.", "Give at least one.")
    nearest, distances = np.empty(len(left), np.int32), np.empty(len(left), np.float32)
    half_squares = np.empty(len(right), np.float32)
    nogil.rv_assign(
        long_pointer(left),
        long_pointer(right),
        len(left),
        *right.shape,
        long_pointer(half_squares),
        long_pointer(nearest),
        long_pointer(distances),
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    return nearest.astype(np.int64), distances


def pq_distances(table: npt.ArrayLike, codes: npt.ArrayLike, *, cancel: Cancel | None = None) -> FloatArray:
    """Asymmetric distances to product-quantised rows, float32 (n,): the sum over p of `table[p, codes[row, p]]`.

    `table`, float32 (parts, 256), holds the query's distance to every codeword, `codes`, uint8 (n, parts), the rows.
    Raises DimensionError.
    """
    entries, rows = floats(table, 2, "table"), numbers(codes, "b1", 2, "codes")
    if entries.shape != (rows.shape[1], 256):
        raise DimensionError(f"table has shape {entries.shape}, codes {rows.shape}.", "(parts, 256) and (n, parts).")
    out = np.empty(len(rows), np.float32)
    nogil.rv_adc(long_pointer(entries), long_pointer(rows), long_pointer(out), *rows.shape, flag(cancel))
    raise_if_cancelled(cancel)
    return out


def _same_width(a: AnyArray, b: AnyArray) -> None:
    if a.shape[1] != b.shape[1] or not a.shape[1]:
        raise DimensionError(f"Matrices have shapes {a.shape} and {b.shape}.", "Rows take one length of at least 1.")


def checked_metric(metric: str, kind: str) -> None:
    """Raises InvalidInputError unless there is such a metric for that kind of number."""
    if kind not in METRICS.get(metric, ()):
        accepted = ", ".join(f"{name} of {'/'.join(kinds)}" for name, kinds in METRICS.items())
        raise InvalidInputError(f"There is no metric {metric!r} of {kind!r}.", f"Take {accepted}.")


def checked_k(k: object, rows: int) -> int:
    """How many of the rows `k` stands for. Raises InvalidInputError."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InvalidInputError(f"k is {k!r}.", "It takes a whole number of at least 1.")
    return min(int(k), rows)


def bitmap(keep: npt.NDArray[np.bool_] | None, rows: int) -> npt.NDArray[np.uint8] | None:
    """`keep` as the kernels take it, a bit a row. Raises DimensionError."""
    if keep is None:
        return None
    if np.shape(keep) != (rows,) or keep.dtype != np.bool_:
        raise DimensionError(f"keep has shape {np.shape(keep)}.", f"It takes bool ({rows},).")
    return np.packbits(keep, bitorder="little")


def flag(cancel: Cancel | None) -> Any:
    """The flag as long calls take it."""
    return nogil_ffi.NULL if cancel is None else cancel.flag


def flag_address(cancel: Cancel | None) -> int:
    """Where the flag is, 0 for none."""
    return 0 if cancel is None else int(nogil_ffi.cast("uintptr_t", cancel.flag))


def raise_if_cancelled(cancel: Cancel | None) -> None:
    """Raises CancelledError if the flag is set."""
    if cancel is not None and cancel.is_set:
        raise CancelledError("The call was cancelled.")


def maxsim_bits(
    tokens: npt.ArrayLike,
    weights: npt.ArrayLike,
    bits: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    *,
    cancel: Cancel | None = None,
) -> FloatArray:
    """Late-interaction scores of n documents kept as sign bits, float32 (n,).

    `tokens`, float32 (q, d), are the query's token vectors, `weights`, float32 (q,), their importance (IDF, say).
    `bits`, uint8 (t, d / 8), hold the documents' tokens as `numpy.packbits(..., bitorder="little")` gives them;
    document i is `counts[i]` rows from row `starts[i]` on, both int64 (n,). A pair of tokens scores
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
    first, size = np.ascontiguousarray(starts), np.ascontiguousarray(counts)
    for name, array in (("starts", first), ("counts", size)):
        if array.dtype != np.int64 or array.ndim != 1 or array.size != first.size:
            raise DimensionError(f"{name} is {array.dtype} {array.shape}.", "starts and counts are int64 (n,).")
    if (first < 0).any() or (size < 0).any() or (size > len(bits) - first).any():
        raise InvalidInputError(f"A document reaches beyond the {len(bits)} rows of bits.", "Each lies within them.")
    scores = np.empty(first.size, np.float32)
    scratch = np.empty(nogil.rv_maxsim_scratch(count, dims), np.int32)
    nogil.rv_maxsim_bits(
        long_pointer(query),
        long_pointer(weight),
        count,
        dims,
        long_pointer(np.ascontiguousarray(bits)),
        long_pointer(first),
        long_pointer(size),
        scores.size,
        long_pointer(scratch),
        long_pointer(scores),
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    return scores

"""What one feedback teaches of one search, in one call each: short work, done while the caller waits, GIL kept.

All raise DimensionError if shapes do not fit; arrays that are not plain C arrays of the type named are copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError
from ruvllm_mcp.native.arrays import AnyArray, FloatArray, floats, pointer
from ruvllm_mcp.native.lib import gil, gil_ffi

IdArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]


class Move(NamedTuple):
    """A change `shift` (d,) of a question's vector, which adds `gain` times its product with each row of `vectors`
    (n, d) to that row's score."""

    vectors: FloatArray
    shift: FloatArray
    gain: float


class Spoken(NamedTuple):
    """What was said of q other questions: of `ids` int64 (n,), each to be `worth` float64 (n,) in [-1, 1]. `sizes`: how
    many of these each question has; `knots` and `shares`: the knot of a curve at or below its likeness, and how far on
    to the next it is."""

    ids: IdArray
    worth: DoubleArray
    sizes: Sequence[int]
    knots: Sequence[int]
    shares: Sequence[float]


def agreement(parts: FloatArray, counts: Sequence[bool], right: Sequence[bool]) -> float | None:
    """The share of pairs of a right and a wrong row of `parts`, float32 (n, p), that the sums of those parts that count
    (p,) order rightly, ties half; `right` (n,). None without such a pair."""
    table = floats(parts, 2, "parts")
    _fit(table.shape == (len(right), len(counts)), table)
    share: float = gil.rv_agreement(
        pointer(table), bytes(counts), bytes(right), *table.shape, pointer(np.empty(len(table)))
    )
    return share if share >= 0 else None


def contrast(
    parts: FloatArray, right: Sequence[bool], factors: Sequence[float], temperature: float, move: Move | None = None
) -> tuple[list[float], FloatArray]:
    """Gradients of minus the mean over right rows of log softmax(score / temperature), where a row's score is `parts`,
    float32 (n, p), times `factors` (p,), and what the `move` adds: in each factor, and in the shift (d,), of no
    numbers without a move. At least one row is `right` (n,)."""
    table, weights = floats(parts, 2, "parts"), np.array(factors, np.float32)
    _fit(table.shape == (len(right), len(weights)) and any(right), table)
    surplus, slopes, pull = np.empty(len(table)), np.empty(len(weights), np.float32), np.empty(0, np.float32)
    vectors, shift, gain, dims = gil_ffi.NULL, gil_ffi.NULL, 0.0, 0
    if move is not None:
        rows, moved = floats(move.vectors, 2, "vectors"), floats(move.shift, 1, "shift")
        _fit(rows.shape == (len(table), len(moved)), rows)
        pull = np.empty(len(moved), np.float32)
        vectors, shift, gain, dims = pointer(rows), pointer(moved), move.gain, len(moved)
    flags = gil_ffi.from_buffer("uint8_t[]", bytes(right))
    search = gil_ffi.new("rv_rated *", (pointer(table), vectors, flags, *table.shape, dims))
    out = pointer(surplus), pointer(slopes), pointer(pull)
    gil.rv_contrast(search, pointer(weights), temperature, shift, gain, *out)
    return slopes.tolist(), pull


def lora_descend(a: FloatArray, b: FloatArray, x: FloatArray, grad: FloatArray, rate: float, most: float) -> None:
    """One step down the gradient `grad` (d,) that a loss has in B A x, on A (rank, d) and B (d, rank), in place, which
    must be writeable C arrays of float32. Where |A| |B| is then above `most`, B is scaled to bring it there."""
    for matrix in (a, b):
        _fit(matrix.dtype == np.float32 and matrix.flags.carray, matrix)
    _fit(a.shape == b.shape[::-1] and x.shape == grad.shape == a.shape[1:], a)
    gil.rv_lora_descend(
        pointer(a),
        pointer(b),
        *a.shape,
        pointer(floats(x, 1, "x")),
        pointer(floats(grad, 1, "grad")),
        rate,
        most,
        pointer(np.empty(2 * len(a), np.float32)),
    )


def foreseen(
    spoken: Spoken, right: Iterable[int], shown: Iterable[int], asked: Iterable[int], knots: int
) -> tuple[DoubleArray, list[int]]:
    """How well what was `spoken` of foresaw which ids are `right` now: float64 (4, `knots`), at each knot the worth of
    what was said for, and of that where the id is right, and the same of what was said against ids that are `asked`
    about; and the places in `spoken.ids` of what was said for ids that are `shown`."""
    ids, worth = np.ascontiguousarray(spoken.ids, np.int64), np.ascontiguousarray(spoken.worth, np.float64)
    counts, lent = np.empty((4, knots)), np.empty(len(ids), np.uint8)
    sizes, low, shares = spoken.sizes, spoken.knots, spoken.shares
    _fit(sum(sizes) == len(ids) == len(worth) and min(sizes, default=0) >= 0, ids)
    _fit(len(sizes) == len(low) == len(shares) and min(low, default=0) >= 0 and max(low, default=0) + 1 < knots, ids)
    ends = np.array(list(accumulate(sizes)), np.int64)
    held: list[AnyArray] = [ids, worth, ends, np.array(low, np.int32), np.array(shares, np.float64)]
    said = gil_ffi.new("rv_spoken *", (*map(pointer, held), len(ends)))
    ascending = [np.array(sorted(ids), np.int64) for ids in (right, shown, asked)]
    lists = [gil_ffi.new("rv_ids *", (pointer(ids), len(ids))) for ids in ascending]
    gil.rv_foreseen(said, *lists, knots, pointer(counts), pointer(lent))
    return counts, lent.nonzero()[0].tolist()


def _fit(fits: bool, array: AnyArray) -> None:
    if not fits:
        raise DimensionError(f"Arrays do not fit together, one has shape {array.shape}.", "See the call's description.")

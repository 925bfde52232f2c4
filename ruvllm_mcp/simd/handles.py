"""Vectors and matrices checked once, for code that uses them many times.

A handle owns a read-only copy of its numbers. Its operations are methods in C (`csrc/rv_python_handles.h`), so that a
call runs no Python at all; what they do not serve (lists, other types, lengths that differ) comes back to `_general`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.arrays import TYPES, AnyArray, FloatArray, numbers, rows_and_vector
from ruvllm_mcp.native.lib import python_type
from ruvllm_mcp.simd.batches import (
    Cancel,
    IndexArray,
    bitmap,
    checked_k,
    checked_metric,
    flag_address,
    many,
    raise_if_cancelled,
)
from ruvllm_mcp.simd.pairs import MAX_INT8_DIMENSIONS

OPERATIONS = ("dot", "cosine", "sqdist", "hamming", "jaccard")

if TYPE_CHECKING:

    class _Vector:
        def __new__(cls, array: FloatArray) -> _Vector: ...
        @property
        def array(self) -> FloatArray: ...
        def dot(self, other: Vector) -> float: ...
        def cosine(self, other: Vector) -> float: ...
        def squared_distance(self, other: Vector) -> float: ...
        def distance(self, other: Vector) -> float: ...

    class _Matrix:
        def __new__(cls, array: AnyArray, kind: str) -> _Matrix: ...
        @property
        def array(self) -> AnyArray: ...
        def dot(self, x: npt.ArrayLike | Vector, *, cancel: Cancel | None = None) -> AnyArray: ...
        def cosine(self, x: npt.ArrayLike | Vector, *, cancel: Cancel | None = None) -> FloatArray: ...
        def squared_distance(self, x: npt.ArrayLike | Vector, *, cancel: Cancel | None = None) -> AnyArray: ...
        def hamming(self, x: npt.ArrayLike, *, cancel: Cancel | None = None) -> AnyArray: ...
        def jaccard(self, x: npt.ArrayLike, *, cancel: Cancel | None = None) -> FloatArray: ...
        def _topk(self, operation: int, x: Any, k: int, keep: Any, cancel: int) -> Any: ...

else:
    _Vector, _Matrix = python_type("Vector"), python_type("Matrix")


def _owned(values: npt.ArrayLike, kind: str, ndim: int) -> AnyArray:
    array = np.array(numbers(values, kind, ndim, "values"))
    if not array.size:
        raise DimensionError(f"The shape is {array.shape}.", "Give at least one number.")
    array.flags.writeable = False
    return array


class Vector(_Vector):
    """A float32 vector (d,), d >= 1, ready for many operations with others of its length.

    `dot`, `cosine` (0.0 for a zero vector), `squared_distance` and `distance` take another Vector and raise
    DimensionError if the lengths differ. The numbers are copied, so the array may change afterwards; `array` is the
    read-only copy.
    """

    __slots__ = ()

    def __new__(cls, values: npt.ArrayLike) -> Vector:
        vector: Vector = super().__new__(cls, _owned(values, "f32", 1))  # type: ignore[assignment]
        return vector

    def __len__(self) -> int:
        return int(self.array.size)

    def _general(self, operation: str, other: object) -> float:
        if not isinstance(other, Vector):
            raise InvalidInputError(
                f"{operation} of a Vector and {type(other).__name__}.", "Make a Vector of it first."
            )
        raise DimensionError(f"Vectors have {len(self)} and {len(other)} numbers.", "They take one length.")


class Matrix(_Matrix):
    """Rows (n, d), n and d >= 1, of one kind of number (f32, f16, bf16, i8, b1), to be compared with many vectors.

    `dot`, `cosine`, `squared_distance` and, for b1, `hamming` and `jaccard` take a vector (d,) of the kind, for f32
    also a `Vector`, and give one number a row; a `cancel` ends a long call. They raise DimensionError and
    InvalidInputError. The numbers are copied, so the array may change afterwards; `array` is the read-only copy. int8
    is exact, at most 33,025 dimensions.
    """

    __slots__ = ("kind",)
    kind: str

    def __new__(cls, values: npt.ArrayLike, kind: str = "f32") -> Matrix:
        if kind not in TYPES:
            raise InvalidInputError(f"There is no kind {kind!r} of number.", f"Take one of {', '.join(TYPES)}.")
        array = _owned(values, kind, 2)
        most = MAX_INT8_DIMENSIONS["sqdist"]
        if kind == "i8" and array.shape[1] > most:
            raise DimensionError(f"Rows have {array.shape[1]} dimensions.", f"At most {most} fit an int32 sum.")
        matrix: Matrix = super().__new__(cls, array, kind)  # type: ignore[assignment]
        matrix.kind = kind
        return matrix

    def __len__(self) -> int:
        return len(self.array)

    def topk(
        self,
        x: npt.ArrayLike | Vector,
        k: int,
        keep: npt.NDArray[np.bool_] | None = None,
        *,
        metric: str = "dot",
        cancel: Cancel | None = None,
    ) -> tuple[IndexArray, FloatArray]:
        """The `k` rows that rank best with `x`, as `simd.topk` has it, and their scores."""
        checked_metric(metric, self.kind)
        size, mask, operation = checked_k(k, len(self)), bitmap(keep, len(self)), OPERATIONS.index(metric)
        answer = self._topk(operation, x, size, mask, flag_address(cancel))
        if answer is None:
            answer = self._topk(operation, self._plain(x), size, mask, flag_address(cancel))
        raise_if_cancelled(cancel)
        rows, scores, found = answer
        return (rows, scores) if found == size else (rows[:found], scores[:found])

    def _general(self, operation: str, x: npt.ArrayLike | Vector, cancel: Cancel | None = None) -> AnyArray:
        checked_metric(operation, self.kind)
        return many(operation, self.kind, self.array, self._plain(x), cancel)

    def _plain(self, x: npt.ArrayLike | Vector) -> AnyArray:
        """`x` as the methods in C take it. Raises what they cannot say."""
        array = numbers(x.array if isinstance(x, Vector) else x, self.kind, 1, "x")
        rows_and_vector(self.array, array)
        return array

"""Two vectors in, one number out, and the same for every row of a matrix, for each kind of number.

Plain arrays take the short way: one C function that reads both by the buffer protocol. Whatever it does not take
(lists, float64, slices with a stride, shapes that do not fit) is converted or refused here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError
from ruvllm_mcp.native.arrays import AnyArray, numbers, pointer, rows_and_vector, same_length
from ruvllm_mcp.native.lib import gil, python_function
from ruvllm_mcp.simd.batches import Cancel, many

MAX_INT8_DIMENSIONS = {"dot": 131_072, "cosine": 131_072, "sqdist": 33_025, "dist": 33_025}


class PairOperation:
    """One operation on two vectors of one kind of number; call it with two arrays of one shape (d,), d >= 1.

    `many(m, x)` gives it for every row of `m`, (n, d), with `x`, (d,). Both raise DimensionError if the shapes do not
    fit and InvalidInputError if the values are not of the kind. NaN and infinity follow IEEE 754. int8 is exact up to
    131,072 dimensions for dot and cosine, 33,025 for distances: more are refused.
    """

    def __init__(self, operation: str, kind: str) -> None:
        self.operation, self.kind = operation, kind
        self.plain = python_function(f"{operation}_{kind}")
        self._kernel: Any = getattr(gil, f"rv_{operation}_{kind}")
        self._most = MAX_INT8_DIMENSIONS[operation] if kind == "i8" else None

    def __repr__(self) -> str:
        return f"<{self.operation} of {self.kind}>"

    def __call__(self, a: npt.ArrayLike, b: npt.ArrayLike) -> float:
        answer = self.plain(a, b)
        if answer is None or self._most is not None:
            x, y = numbers(a, self.kind, 1, "a"), numbers(b, self.kind, 1, "b")
            size = same_length(x, y)
            self._refuse_inexact(size)
            answer = self._kernel(pointer(x), pointer(y), size)
        number: float = answer
        return number

    def many(self, m: npt.ArrayLike, x: npt.ArrayLike, *, cancel: Cancel | None = None) -> AnyArray:
        matrix, vector = numbers(m, self.kind, 2, "m"), numbers(x, self.kind, 1, "x")
        _, cols = rows_and_vector(matrix, vector)
        self._refuse_inexact(cols)
        if self.operation == "dist":
            return np.sqrt(many("sqdist", self.kind, matrix, vector, cancel), dtype=np.float32)
        return many(self.operation, self.kind, matrix, vector, cancel)

    def _refuse_inexact(self, dimensions: int) -> None:
        if self._most is not None and dimensions > self._most:
            raise DimensionError(f"Vectors have {dimensions} dimensions.", f"At most {self._most} fit an int32 sum.")


class Kind:
    """The operations of one kind of number: `dot`, `cosine`, `squared_distance`, and `distance` of two vectors."""

    def __init__(self, kind: str) -> None:
        self.dot = PairOperation("dot", kind)
        self.cosine = PairOperation("cosine", kind)
        self.squared_distance = PairOperation("sqdist", kind)
        self.distance = PairOperation("dist", kind)


class Bits:
    """The operations of vectors of bits, packed by eights into uint8."""

    def __init__(self) -> None:
        self.hamming = PairOperation("hamming", "b1")
        self.jaccard = PairOperation("jaccard", "b1")

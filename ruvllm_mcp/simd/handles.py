"""Vectors checked once, for code that uses them many times.

A handle owns a read-only float32 copy and a C structure of pointer and length, so that a call checks nothing but that
the lengths agree, and that in C.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError
from ruvllm_mcp.native.arrays import FloatArray, floats, pointer
from ruvllm_mcp.native.lib import gil, gil_ffi

_dot = gil.rv_vector_dot
_cosine = gil.rv_vector_cosine
_squared_distance = gil.rv_vector_sqdist
_distance = gil.rv_vector_dist


class Vector:
    """A float32 vector (d,), d >= 1, ready for many operations with others of its length.

    The numbers are copied, so the array may change afterwards. Operations raise DimensionError if the lengths differ.
    """

    __slots__ = ("_handle", "_pointer", "array")

    def __init__(self, values: npt.ArrayLike) -> None:
        self.array: FloatArray = np.array(floats(values, 1, "values"))
        if not self.array.size:
            raise DimensionError("The vector is empty.", "Give at least one number.")
        self._pointer = pointer(self.array)
        self.array.flags.writeable = False
        self._handle = gil_ffi.new("rv_vector *", (self._pointer, self.array.size))

    def __len__(self) -> int:
        return int(self.array.size)

    def dot(self, other: Vector) -> float:
        """Sum of products."""
        answer: float = _dot(self._handle, other._handle)
        return answer if answer == answer else self._checked(other, answer)

    def cosine(self, other: Vector) -> float:
        """Cosine of the angle between the two, in [-1, 1]; 0.0 for a zero vector."""
        answer: float = _cosine(self._handle, other._handle)
        return answer if answer == answer else self._checked(other, answer)

    def squared_distance(self, other: Vector) -> float:
        """Sum of squared differences."""
        answer: float = _squared_distance(self._handle, other._handle)
        return answer if answer == answer else self._checked(other, answer)

    def distance(self, other: Vector) -> float:
        """Square root of the sum of squared differences."""
        answer: float = _distance(self._handle, other._handle)
        return answer if answer == answer else self._checked(other, answer)

    def _checked(self, other: Vector, answer: float) -> float:
        """NaN is the answer for lengths that differ, and one that the numbers themselves may give."""
        if len(self) != len(other):
            raise DimensionError(f"Vectors have {len(self)} and {len(other)} numbers.", "They take one length.")
        return answer

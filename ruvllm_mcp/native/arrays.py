"""Arrays on their way into C: checked once, here, so that no kernel ever sees a wrong length or a stray pointer.

Plain lists, other number types and non-contiguous arrays are converted (a copy); contiguous arrays of the right type
pass as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.int8]


def floats(values: npt.ArrayLike, ndim: int, name: str) -> FloatArray:
    """Contiguous float32 of that many axes. Raises InvalidInputError if not numbers, DimensionError if other axes."""
    try:
        array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{name} does not hold numbers.", "Give a list or array of numbers.") from None
    if np.ndim(values) != ndim:
        raise DimensionError(f"{name} has {np.ndim(values)} axes.", f"It takes {ndim}.")
    return array


def signed_bytes(values: npt.ArrayLike, name: str) -> ByteArray:
    """Contiguous int8 (d,). Raises InvalidInputError if any value is no whole number from -128 to 127."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise DimensionError(f"{name} has {array.ndim} axes.", "It takes 1.")
    if array.dtype == np.int8:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "iu" or (array.size and (array.min() < -128 or array.max() > 127)):
        raise InvalidInputError(f"{name} does not hold int8 numbers.", "Whole numbers from -128 to 127.")
    return np.ascontiguousarray(array, dtype=np.int8)


def same_length(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> int:
    """The common length of two vectors, at least 1. Raises DimensionError."""
    if a.shape != b.shape or not a.size:
        raise DimensionError(
            f"Vectors have shapes {a.shape} and {b.shape}.", "They take one common length of at least 1."
        )
    return int(a.size)

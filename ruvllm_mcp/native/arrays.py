"""Arrays on their way into C: checked once, here, so that no kernel ever sees a wrong length or a stray pointer.

Plain lists, other number types, non-contiguous and misaligned arrays are converted (a copy); contiguous arrays of the
right type pass as they are. A kind of number has one NumPy type: float16 is itself, bfloat16 travels as the uint16 of
its bits, single bits as uint8 of eight (`numpy.packbits(..., bitorder="little")`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.lib import gil_ffi, nogil_ffi

FloatArray = npt.NDArray[np.float32]
AnyArray = npt.NDArray[Any]

TYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "i8": np.dtype(np.int8),
    "b1": np.dtype(np.uint8),
}
_POINTERS = {
    np.dtype(np.float32): "float[]",
    np.dtype(np.float16): "uint16_t[]",
    np.dtype(np.uint16): "uint16_t[]",
    np.dtype(np.int8): "int8_t[]",
    np.dtype(np.uint8): "uint8_t[]",
    np.dtype(np.int32): "int32_t[]",
    np.dtype(np.int64): "int64_t[]",
    np.dtype(np.float64): "double[]",
}


def numbers(values: npt.ArrayLike, kind: str, ndim: int, name: str) -> AnyArray:
    """Contiguous, aligned array of that kind ("f32" ... "b1") and so many axes.

    Floats are converted to the kind's precision; int8 takes whole numbers from -128 to 127, bf16 and b1 their own NumPy
    types alone. Raises InvalidInputError if the values are no such numbers, DimensionError if the axes differ.
    """
    if isinstance(values, np.ndarray) and values.dtype is TYPES[kind] and values.ndim == ndim:
        flags = values.flags
        if flags.c_contiguous and flags.aligned:  # nothing to do: the usual case, and NumPy's own checks take longer
            return values
    try:
        array = np.asarray(values)
        if kind in ("f32", "f16") and array.dtype.kind in "biuf":  # NumPy would convert texts and None, too
            array = array.astype(TYPES[kind], copy=False)
        elif (
            kind == "i8" and array.dtype.kind in "iu" and (not array.size or -128 <= array.min() <= array.max() <= 127)
        ):
            array = array.astype(np.int8, copy=False)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{name} does not hold numbers.", "Give a list or array of numbers.") from None
    if array.dtype != TYPES[kind]:
        raise InvalidInputError(f"{name} is {array.dtype}.", f"It takes {TYPES[kind]} for {kind}.")
    if array.ndim != ndim:
        raise DimensionError(f"{name} has {array.ndim} axes.", f"It takes {ndim}.")
    return np.require(array, requirements=["C", "A"])


def floats(values: npt.ArrayLike, ndim: int, name: str) -> FloatArray:
    """`numbers` of float32."""
    return numbers(values, "f32", ndim, name)


def same_length(a: AnyArray, b: AnyArray) -> int:
    """The common length of two vectors, at least 1. Raises DimensionError."""
    if a.shape != b.shape or not a.size:
        raise DimensionError(
            f"Vectors have shapes {a.shape} and {b.shape}.", "They take one common length of at least 1."
        )
    return int(a.size)


def rows_and_vector(m: AnyArray, x: AnyArray) -> tuple[int, int]:
    """The shape of `m`, whose rows have the length of `x`, at least 1. Raises DimensionError."""
    if m.shape[1] != x.size or not x.size:
        raise DimensionError(
            f"m has shape {m.shape}, x {x.shape}.", "A row of m takes as many numbers as x, at least one."
        )
    return int(m.shape[0]), int(m.shape[1])


def pointer(array: AnyArray) -> Any:
    """Where an array's numbers are, for calls that keep the GIL. Keeps the array alive."""
    return gil_ffi.from_buffer(_POINTERS[array.dtype], array)


def long_pointer(array: AnyArray) -> Any:
    """The same for calls that release it."""
    return nogil_ffi.from_buffer(_POINTERS[array.dtype], array)

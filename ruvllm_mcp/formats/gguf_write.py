"""Writes GGUF version 3 files: the least that `gguf.GgufFile` and llama.cpp both read."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.formats.files import written_whole
from ruvllm_mcp.formats.gguf import ARRAY, DEFAULT_ALIGNMENT, MAGIC, MAX_NAME, SCALARS, STRING, TENSOR_TYPES

KINDS = {np.dtype(dtype): kind for kind, dtype in SCALARS.items()}
Data = npt.NDArray[Any]


def write_gguf(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    tensors: Mapping[str, tuple[str, tuple[int, ...], Data | Callable[[], Data]]],
) -> None:
    """Writes `metadata` and `tensors` to `path`, in the order given, whole or not at all.

    A metadata value is a `str`, number, NumPy array of one dimension, or a sequence of `str`. NumPy types say how wide
    a number is in the file; Python's own become 32 bits wide where these hold them. A tensor is (kind, row-major shape,
    its bytes as laid out by that kind, or a function that makes them when they are written). Raises InvalidInputError
    for a value that has no such form or bytes that do not fit kind and shape.
    """
    head = bytearray(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        head += _string(key) + _value(key, value)
    sizes, offset = {}, 0
    for name, (kind, shape, _) in tensors.items():
        layout = TENSOR_TYPES[kind]
        if shape[-1] % layout.block or len(name.encode()) > MAX_NAME:
            raise InvalidInputError(f"A GGUF file cannot hold {name!r} as {kind} {shape}.", "Use another type or name.")
        head += _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        head += struct.pack("<IQ", layout.number, offset)
        sizes[name] = math.prod(shape) // layout.block * layout.size
        offset += _aligned(sizes[name])
    with written_whole(Path(path)) as file:
        file.write(head.ljust(_aligned(len(head)), b"\0"))
        for name, (kind, shape, data) in tensors.items():
            raw = np.ascontiguousarray(data() if callable(data) else data).data
            if raw.nbytes != sizes[name]:
                raise InvalidInputError(f"Tensor {name!r}: {raw.nbytes} bytes do not make {kind} {shape}.")
            file.write(raw)
            file.write(bytes(_aligned(raw.nbytes) - raw.nbytes))


def _aligned(size: int) -> int:
    return -(-size // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, (bool, int, float, np.generic)):
        scalar = _narrowed(value)
        return struct.pack("<I", _kind(key, scalar)) + scalar.tobytes()
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return struct.pack("<IIQ", ARRAY, _kind(key, value), len(value)) + value.tobytes()
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_string, value))
    raise InvalidInputError(f"GGUF metadata {key!r} cannot be a {type(value).__name__}.")


def _narrowed(value: Any) -> npt.NDArray[Any]:
    """A number as wide as it says, or 32 bits if it says nothing and they hold it."""
    if isinstance(value, (bool, np.generic)):
        return np.asarray(value)
    if isinstance(value, float):
        single = np.float32(value)
        return np.asarray(single if single == value or value != value else value)
    narrow = np.uint32 if 0 <= value < 2**32 else np.int32 if -(2**31) <= value < 0 else np.int64
    return np.asarray(value if value >= 2**63 else narrow(value))


def _kind(key: str, array: npt.NDArray[Any]) -> int:
    if array.dtype not in KINDS:
        raise InvalidInputError(f"GGUF metadata {key!r} cannot be of type {array.dtype}.")
    return KINDS[array.dtype]

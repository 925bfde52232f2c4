"""Writes GGUF version 3 files: the least that `gguf.GgufFile` and llama.cpp both read."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.formats.gguf import ARRAY, DEFAULT_ALIGNMENT, MAGIC, SCALARS, STRING, TENSOR_TYPES

KINDS = {np.dtype(dtype): kind for kind, dtype in SCALARS.items()}


def write_gguf(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    tensors: Mapping[str, tuple[str, tuple[int, ...], npt.NDArray[Any]]],
) -> None:
    """Writes `metadata` and `tensors` to `path`, in the order given.

    A metadata value is a `str`, `bool`, NumPy scalar, NumPy array of one dimension, or a sequence of `str`: NumPy types
    say how wide a number is in the file. A tensor is (kind, row-major shape, its bytes as laid out by that kind).
    Raises InvalidInputError for a value that has no such form or bytes that do not fit kind and shape.
    """
    head, body = bytearray(), bytearray()
    head += MAGIC + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += _string(key) + _value(key, value)
    for name, (kind, shape, data) in tensors.items():
        layout = TENSOR_TYPES[kind]
        raw = np.ascontiguousarray(data).tobytes()
        if shape[-1] % layout.block or int(np.prod(shape)) // layout.block * layout.size != len(raw):
            raise InvalidInputError(f"Tensor {name!r}: {len(raw)} bytes do not make {kind} {shape}.")
        head += _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        head += struct.pack("<IQ", layout.number, len(body))
        body += raw + bytes(-len(raw) % DEFAULT_ALIGNMENT)
    Path(path).write_bytes(head + bytes(-len(head) % DEFAULT_ALIGNMENT) + body)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, (bool, np.generic)):
        scalar = np.asarray(value)
        return struct.pack("<I", _kind(key, scalar)) + scalar.tobytes()
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return struct.pack("<IIQ", ARRAY, _kind(key, value), len(value)) + value.tobytes()
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_string, value))
    raise InvalidInputError(f"GGUF metadata {key!r} cannot be a {type(value).__name__}.")


def _kind(key: str, array: npt.NDArray[Any]) -> int:
    if array.dtype not in KINDS:
        raise InvalidInputError(f"GGUF metadata {key!r} cannot be of type {array.dtype}.")
    return KINDS[array.dtype]

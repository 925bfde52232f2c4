"""SafeTensors files: what the `safetensors` package reads and writes, in the little that is needed here.

Layout: eight bytes header length (little-endian), a JSON header that names each tensor's type, shape and byte range,
then the bytes. A file from anywhere may be wrong in any way, so every number of the header is checked before it is
used; the ranges must tile the data exactly, as the format demands. bfloat16 reads as float32 and is not written.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import InvalidInputError, ModelError

Tensors = dict[str, npt.NDArray[Any]]

_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
_NAMES = {np.dtype(code).str.lstrip("<|"): name for name, code in _TYPES.items() if name != "BF16"}
_MAX_HEADER = 100_000_000
_HINT = "The file is damaged or no SafeTensors file; fetch or save it again."


def dumps(tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None) -> bytes:
    """The file's bytes. The same tensors and metadata give the same bytes. Raises InvalidInputError for a type that
    the format does not have, or metadata that is not text."""
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(key, str) and isinstance(text, str) for key, text in metadata.items()):
            raise InvalidInputError("SafeTensors metadata is not text.", "Give text to text.")
        header["__metadata__"] = dict(sorted(metadata.items()))
    chunks: list[bytes] = []
    offset = 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name)):  # keeps each type aligned
        array = np.ascontiguousarray(tensors[name]).reshape(tensors[name].shape)
        kind = _NAMES.get(array.dtype.str.lstrip("<|"))
        if kind is None or name == "__metadata__":
            raise InvalidInputError(f"Tensor {name!r} of type {array.dtype} cannot be saved.", "Convert or rename it.")
        chunks.append(array.tobytes())
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(chunks)


def loads(blob: bytes) -> tuple[Tensors, dict[str, str]]:
    """Tensors by name and the metadata. The arrays are read-only views of `blob`. Raises ModelError if damaged."""
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or length > min(_MAX_HEADER, len(blob) - 8):
        raise ModelError("A SafeTensors header is cut short or far too long.", _HINT)
    try:
        header = json.loads(blob[8 : 8 + length].decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ModelError("A SafeTensors header is not JSON.", _HINT) from None
    if not isinstance(header, dict):
        raise ModelError("A SafeTensors header is not a table.", _HINT)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ModelError("SafeTensors metadata is not text.", _HINT)
    spans = sorted((_span(name, entry), name) for name, entry in header.items())
    end = 0
    for (start, stop), name in spans:
        if start != end:
            raise ModelError(f"Tensor {name!r} overlaps another or leaves a hole.", _HINT)
        end = stop
    if end != len(blob) - 8 - length:
        raise ModelError("SafeTensors data is longer or shorter than its header says.", _HINT)
    return {name: _tensor(blob, 8 + length, header[name]) for name in header}, metadata


def save(path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file, whole or not at all."""
    write_atomically(path, dumps(tensors, metadata))


def load(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read a file. Raises ModelError if it is missing or damaged."""
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from None
    return loads(blob)


def write_atomically(path: Path, blob: bytes) -> None:
    """Put `blob` at `path` so that a reader, or a crash at any moment, sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _span(name: str, entry: Any) -> tuple[int, int]:
    """The checked byte range of one header entry."""
    try:
        kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sizes = [start, stop, *shape]
    except (TypeError, KeyError, ValueError):
        raise ModelError(f"Tensor {name!r} is not described rightly.", _HINT) from None
    if not all(type(size) is int and 0 <= size < 2**48 for size in sizes) or str(kind) not in _TYPES or len(shape) > 16:
        raise ModelError(f"Tensor {name!r} has an unknown type or impossible sizes.", _HINT)
    if stop - start != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
        raise ModelError(f"Tensor {name!r} has a shape that does not fit its bytes.", _HINT)
    return start, stop


def _tensor(blob: bytes, data: int, entry: Mapping[str, Any]) -> npt.NDArray[Any]:
    shape, start = entry["shape"], data + entry["data_offsets"][0]
    array = np.frombuffer(blob, _TYPES[entry["dtype"]], math.prod(shape), start).reshape(shape)
    if entry["dtype"] == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array

"""SafeTensors files: what the `safetensors` package reads and writes, in the little that is needed here.

Layout: eight bytes header length (little-endian), a JSON header that names each tensor's type, shape and byte range,
then the bytes. A file from anywhere may be wrong in any way, so every number of the header is checked before it is
used; the ranges must tile the data exactly, as the format demands. `loads` and `load` give arrays, with bfloat16 as
float32; `SafeTensorsFile` maps a file of any size and leaves its bytes as they are. bfloat16 is not written.
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
from ruvllm_mcp.formats.files import Tensor, TensorFile, mapped, written_whole

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


class SafeTensorsFile(TensorFile):
    """An open file: `tensors` and the text `metadata`, both by name. Raises ModelError if it is missing or damaged."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._data = mapped(self.path)
        try:
            self.tensors, self.metadata = _described(self._data)
        except ModelError as error:
            raise ModelError(f"{self.path}: {error.message}", error.hint) from None


def loads(blob: bytes) -> tuple[Tensors, dict[str, str]]:
    """Tensors by name and the metadata. The arrays are read-only views of `blob`. Raises ModelError if damaged."""
    tensors, metadata = _described(memoryview(blob))
    return {name: _array(blob, tensor) for name, tensor in tensors.items()}, metadata


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
    """Put `blob` at `path`, whole or not at all."""
    with written_whole(path) as file:
        file.write(blob)


def _described(blob: memoryview) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The checked header."""
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or length > min(_MAX_HEADER, len(blob) - 8):
        raise ModelError("A SafeTensors header is cut short or far too long.", _HINT)
    try:
        header = json.loads(bytes(blob[8 : 8 + length]).decode("utf-8"))
    except (ValueError, RecursionError):
        raise ModelError("A SafeTensors header is not JSON.", _HINT) from None
    if not isinstance(header, dict):
        raise ModelError("A SafeTensors header is not a table.", _HINT)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ModelError("SafeTensors metadata is not text.", _HINT)
    tensors = {name: _tensor(name, entry, 8 + length) for name, entry in header.items()}
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.size)):
        if tensor.offset != end:
            raise ModelError(f"Tensor {tensor.name!r} overlaps another or leaves a hole.", _HINT)
        end += tensor.size
    if end != len(blob):
        raise ModelError("SafeTensors data is longer or shorter than its header says.", _HINT)
    return tensors, metadata


def _tensor(name: str, entry: Any, data: int) -> Tensor:
    """One checked entry of the header; `data` is where the tensors begin."""
    try:
        kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sizes = [start, stop, *shape]
    except (TypeError, KeyError, ValueError):
        raise ModelError(f"Tensor {name!r} is not described rightly.", _HINT) from None
    if not all(type(size) is int and 0 <= size < 2**48 for size in sizes) or str(kind) not in _TYPES or len(shape) > 16:
        raise ModelError(f"Tensor {name!r} has an unknown type or impossible sizes.", _HINT)
    if stop - start != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
        raise ModelError(f"Tensor {name!r} has a shape that does not fit its bytes.", _HINT)
    return Tensor(name, kind, tuple(shape), data + start, stop - start)


def _array(blob: bytes, tensor: Tensor) -> npt.NDArray[Any]:
    array = np.frombuffer(blob, _TYPES[tensor.kind], math.prod(tensor.shape), tensor.offset).reshape(tensor.shape)
    if tensor.kind == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array

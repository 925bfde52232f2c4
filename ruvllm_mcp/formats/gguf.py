"""GGUF version 2 and 3 files, memory-mapped and checked.

Nothing in the file is trusted: every length, count, type, dimension and offset is checked against what is left of the
file before it is used, so a truncated, lying or hostile file ends in a ModelError. Tensor data is never copied: `view`
gives the mapped bytes, which the processes of a machine share. Format: github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.files import Bytes, Tensor, TensorFile, mapped
from ruvllm_mcp.native.lib import nogil, nogil_ffi

MAGIC = b"GGUF"
SCALARS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "|b1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
STRING, ARRAY = 8, 9
DEFAULT_ALIGNMENT = 32
MAX_KEY, MAX_NAME, MAX_DIMENSIONS, MAX_DEPTH = 65_535, 64, 4, 4
"""Bytes of a metadata key and of a tensor's name, dimensions of a tensor (all of the format), arrays within arrays."""
MAX_ITEMS = 1 << 22
"""Keys, strings, arrays and tensors in a file, together: what is read one by one. Large vocabularies have 10^6."""


class TensorType(NamedTuple):
    """How values lie in a tensor: `block` values take `size` bytes; `number` is the file's code for the type."""

    number: int
    block: int
    size: int


TENSOR_TYPES: Mapping[str, TensorType] = {
    "F32": TensorType(0, 1, 4),
    "F16": TensorType(1, 1, 2),
    "Q4_0": TensorType(2, 32, 18),
    "Q4_1": TensorType(3, 32, 20),
    "Q5_0": TensorType(6, 32, 22),
    "Q5_1": TensorType(7, 32, 24),
    "Q8_0": TensorType(8, 32, 34),
    "Q2_K": TensorType(10, 256, 84),
    "Q3_K": TensorType(11, 256, 110),
    "Q4_K": TensorType(12, 256, 144),
    "Q5_K": TensorType(13, 256, 176),
    "Q6_K": TensorType(14, 256, 210),
    "I8": TensorType(24, 1, 1),
    "I16": TensorType(25, 1, 2),
    "I32": TensorType(26, 1, 4),
    "I64": TensorType(27, 1, 8),
    "F64": TensorType(28, 1, 8),
    "BF16": TensorType(30, 1, 2),
}
NAMES = {kind.number: name for name, kind in TENSOR_TYPES.items()}


class Strings(Sequence[str]):
    """An array of strings left in place: `buffer` holds each as a little-endian 64-bit length and its bytes."""

    def __init__(self, buffer: memoryview, starts: npt.NDArray[np.int64]) -> None:
        self.buffer = buffer
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    def raw(self, index: int) -> bytes:
        """The bytes of one string."""
        start = int(self._starts[index])
        (length,) = struct.unpack_from("<Q", self.buffer, start)
        return bytes(self.buffer[start + 8 : start + 8 + length])

    def texts(self) -> list[str]:
        """All of them at once, several times quicker than one by one."""
        raw, starts = bytes(self.buffer), self._starts.tolist()
        try:
            return [raw[a + 8 : b].decode() for a, b in zip(starts, [*starts[1:], len(raw)], strict=True)]
        except UnicodeDecodeError:
            raise _bad("holds text that is not UTF-8") from None

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return _text(self.raw(index))


class GgufFile(TensorFile):
    """An open file: `metadata` (numbers, strings, NumPy arrays, `Strings`) and `tensors`, both by name, in file order.

    Raises ModelError when the file cannot be opened or is not sound.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._data = mapped(self.path)
        try:
            self.metadata, self.tensors = _parse(self._data)
        except ModelError as error:
            raise ModelError(f"{self.path} {error.message}.", "Get the file anew; it may be cut off.") from None

    def tensor(self, name: str, kind: str, shape: tuple[int, ...]) -> Bytes:
        """The bytes of tensor `name`, which must be of that kind and shape: raises ModelError otherwise."""
        found = self.tensors.get(name)
        if found is None or found.kind != kind or found.shape != shape:
            there = f"{found.kind} {found.shape}" if found else "missing"
            raise ModelError(f"{self.path}: tensor {name!r} is {there}, wanted {kind} {shape}.", "Use another file.")
        return self.view(found)

    def value(self, key: str, kind: type[Any]) -> Any:
        """The metadata value `key`, which must be of Python type `kind`: raises ModelError otherwise."""
        found = self.metadata.get(key)
        if not isinstance(found, kind):
            there = type(found).__name__ if key in self.metadata else "missing"
            raise ModelError(f"{self.path}: {key!r} is {there}, wanted {kind.__name__}.", "Use another file.")
        return found


class _Cursor:
    """A reader that never leaves the buffer."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.place = 0
        self.items = 0

    def skip(self, count: int) -> int:
        """Moves past `count` bytes and returns where they began."""
        if count > len(self.data) - self.place:
            raise _bad(f"ends early: {count} bytes wanted at {self.place}, {len(self.data) - self.place} left")
        start = self.place
        self.place += count
        return start

    def count(self, items: int) -> range:
        """Counts so many more things to be read one by one; a file of too many would only waste time."""
        self.items += items
        if self.items > MAX_ITEMS:
            raise _bad(f"claims {self.items} keys, strings and tensors, more than the {MAX_ITEMS} that are read")
        return range(items)

    def unsigned(self, size: int) -> int:
        start = self.skip(size)
        return int.from_bytes(self.data[start : start + size], "little")

    def text(self, limit: int) -> str:
        length = self.unsigned(8)
        if length > limit:
            raise _bad(f"holds a name of {length} bytes where {limit} are allowed")
        start = self.skip(length)
        return _text(bytes(self.data[start : start + length]))


def _parse(data: memoryview) -> tuple[dict[str, Any], dict[str, Tensor]]:
    cursor = _Cursor(data)
    if bytes(data[:4]) != MAGIC:
        raise _bad("is not a GGUF file")
    cursor.skip(4)
    version = cursor.unsigned(4)
    if version not in (2, 3):
        big_endian = version in (2 << 24, 3 << 24)
        raise _bad("is big-endian GGUF" if big_endian else f"is GGUF version {version}; 2 and 3 can be read")
    tensor_count, value_count = cursor.unsigned(8), cursor.unsigned(8)
    metadata: dict[str, Any] = {}
    for _ in cursor.count(value_count):
        key = cursor.text(MAX_KEY)
        if key in metadata:
            raise _bad(f"has {key!r} twice")
        metadata[key] = _value(cursor, cursor.unsigned(4), MAX_DEPTH)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
        raise _bad(f"has alignment {alignment!r}, which is no power of two")
    described = [_tensor(cursor) for _ in cursor.count(tensor_count)]
    base = -(-cursor.place // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    for tensor in described:
        if tensor.name in tensors:
            raise _bad(f"has tensor {tensor.name!r} twice")
        if tensor.offset % alignment or base + tensor.offset + tensor.size > len(data):
            raise _bad(f"puts tensor {tensor.name!r} outside itself")
        tensors[tensor.name] = Tensor(tensor.name, tensor.kind, tensor.shape, base + tensor.offset, tensor.size)
    in_place = sorted(tensors.values(), key=lambda tensor: tensor.offset)
    for before, after in itertools.pairwise(in_place):
        if before.offset + before.size > after.offset:
            raise _bad(f"lays tensor {after.name!r} over {before.name!r}")
    return metadata, tensors


def _value(cursor: _Cursor, kind: int, depth: int) -> Any:
    if kind in SCALARS:
        dtype = np.dtype(SCALARS[kind])
        found = np.frombuffer(cursor.data, dtype, 1, cursor.skip(dtype.itemsize))[0]
        return found.item()
    if kind == STRING:
        return cursor.text(len(cursor.data))
    if kind != ARRAY or depth == 0:
        raise _bad(f"holds a value of kind {kind}" if kind != ARRAY else "nests arrays too deeply")
    inner, count = cursor.unsigned(4), cursor.unsigned(8)
    if inner in SCALARS:
        dtype = np.dtype(SCALARS[inner])
        start = cursor.skip(count * dtype.itemsize)
        return np.frombuffer(cursor.data, dtype, count, start)
    if inner == STRING:
        return _strings(cursor, count)
    return tuple(_value(cursor, inner, depth - 1) for _ in cursor.count(count))


def _strings(cursor: _Cursor, count: int) -> Strings:
    cursor.count(count)
    rest = cursor.data[cursor.place :]
    starts = np.empty(count, np.int64)
    taken = nogil.rv_string_starts(
        nogil_ffi.from_buffer("uint8_t[]", rest), len(rest), count, nogil_ffi.from_buffer("int64_t[]", starts)
    )
    if taken > len(rest):
        raise _bad("ends within an array of strings")
    cursor.skip(taken)
    return Strings(rest[:taken], starts)


def _tensor(cursor: _Cursor) -> Tensor:
    """One tensor's description; its `offset` still counts from the start of the tensor data."""
    name = cursor.text(MAX_NAME)
    dimensions = cursor.unsigned(4)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise _bad(f"gives tensor {name!r} {dimensions} dimensions")
    shape = tuple(cursor.unsigned(8) for _ in range(dimensions))[::-1]
    number, offset = cursor.unsigned(4), cursor.unsigned(8)
    if number not in NAMES:
        raise _bad(f"has tensor {name!r} of type {number}; readable are {', '.join(TENSOR_TYPES)}")
    kind = TENSOR_TYPES[NAMES[number]]
    values = 1
    for length in shape:
        values *= length  # Python's integers do not overflow
    if values == 0 or shape[-1] % kind.block:
        raise _bad(f"gives tensor {name!r} the shape {shape}, which {NAMES[number]} cannot have")
    return Tensor(name, NAMES[number], shape, offset, values // kind.block * kind.size)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _bad("holds text that is not UTF-8") from None


def _bad(what: str) -> ModelError:
    return ModelError(what)

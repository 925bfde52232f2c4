"""What the formats share: tensors in a mapped file, and files that are written whole or not at all."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import ModelError

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tensor:
    """One tensor's place. `shape` is row-major, outermost first; a row is `shape[-1]` values, laid out as `kind`
    ("F32", "Q8_0") says. `offset` counts from the start of the file, in bytes, as does `size`."""

    name: str
    kind: str
    shape: tuple[int, ...]
    offset: int
    size: int


class TensorFile:
    """A file of tensors, mapped while it or a view of it lives; the processes of a machine share its pages."""

    path: Path
    tensors: Mapping[str, Tensor]
    _data: memoryview

    def view(self, tensor: Tensor) -> Bytes:
        """The bytes of a tensor of this file, uint8 (size,), read-only, not copied."""
        return np.frombuffer(self._data, np.uint8, tensor.size, tensor.offset)


def mapped(path: Path) -> memoryview:
    """The bytes of a file, read-only and not copied. Raises ModelError if it is empty or cannot be read."""
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path} is no file.", "Check the path.")  # opening a pipe would wait for its writer
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise ModelError(f"{path} is empty.", "Get the file anew.")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{path} cannot be read: {what}.", "Check the path.") from None


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to; it takes its place at `path` when the block ends well, so that a reader, or a crash at any
    moment, sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

"""Which of many short texts occur in a longer one, found in a single pass in C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ruvllm_mcp.native.lib import gil, gil_ffi


class Markers:
    """Up to 254 texts, each of two bytes or more in UTF-8. Thread-safe."""

    def __init__(self, markers: Sequence[str]) -> None:
        encoded = [marker.encode() for marker in markers]
        ends = np.cumsum([len(marker) for marker in encoded], dtype=np.int64)
        self._count, self._text = len(encoded), gil_ffi.from_buffer("uint8_t[]", b"".join(encoded))
        self._memory = np.empty(-(-int(gil.rv_markers_size(self._count)) // 8), np.uint64)
        self._table = gil_ffi.from_buffer(self._memory)
        if not gil.rv_markers_build(self._table, self._text, gil_ffi.from_buffer("int64_t[]", ends), self._count):
            raise ValueError("More than 254 markers, or one of less than two bytes.")

    def within(self, text: str) -> Sequence[int]:
        """The places of those that occur in `text`, ascending."""
        encoded = text.encode("utf-8", "surrogatepass")
        found = gil_ffi.new("uint8_t[]", self._count)
        if not gil.rv_markers_find(self._table, encoded, len(encoded), found):
            return ()
        return [place for place, is_there in enumerate(bytes(gil_ffi.buffer(found))) if is_there]

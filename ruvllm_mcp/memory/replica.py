"""A process's own searchable copy of the store: vectors, postings and what scoping needs, kept current by the change
feed.

It can be thrown away at any time and rebuilt. Rows are only appended: a changed memory gets a new position and its
old one dies, so positions held by the postings never need repair. The caller holds a lock around `apply` and each
use.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory import analysis, exact
from ruvllm_mcp.memory.lexical import Postings
from ruvllm_mcp.memory.store import Change, Changes

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
NEAR_DUPLICATE = 0.95


class Column:
    """An array that grows at the end; `rows` is the filled part."""

    def __init__(self, dtype: Any, width: int | None = None) -> None:
        self._data: npt.NDArray[Any] = np.zeros((64,) if width is None else (64, width), dtype)
        self._size = 0

    def extend(self, values: npt.NDArray[Any]) -> None:
        size = self._size + len(values)
        if size > len(self._data):
            grown = np.zeros((max(size, len(self._data) * 3 // 2), *self._data.shape[1:]), self._data.dtype)
            grown[: self._size] = self._data[: self._size]
            self._data = grown
        self._data[self._size : size] = values
        self._size = size

    @property
    def rows(self) -> npt.NDArray[Any]:
        return self._data[: self._size]


class Replica:
    """Columns by position: `ids`, `alive`, `namespace` (code), `chain` (hash), `importance`, `created_at`,
    `expires_at` (inf for never), `lengths` (terms), `embedded`, `vectors` (zero rows until embedded)."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.seq = 0
        self.postings = Postings()
        self.token_frequency = np.zeros(65_536, np.int64)
        self._columns = {
            "ids": Column(np.int64),
            "alive": Column(np.bool_),
            "namespace": Column(np.int32),
            "chain": Column(np.int64),
            "importance": Column(np.float32),
            "created_at": Column(np.float64),
            "expires_at": Column(np.float64),
            "lengths": Column(np.float32),
            "embedded": Column(np.bool_),
            "vectors": Column(np.float32, dim),
        }
        self._position_of: dict[int, int] = {}
        self._namespace_codes: dict[str, int] = {}
        self._chains: tuple[int, IntArray, IntArray] | None = None

    def __len__(self) -> int:
        return len(self._position_of)

    def rows(self, column: str) -> npt.NDArray[Any]:
        """A column's filled part, by position."""
        return self._columns[column].rows

    def apply(self, changes: Changes) -> list[Change]:
        """Takes changes in. Returns those whose terms were made by another version of the analysis: they are searchable
        by meaning only, until their terms are written anew."""
        for memory_id in changes.deleted:
            self._bury(memory_id)
        if changes.changed:
            for change in changes.changed:
                self._bury(change.id)
            self._append(changes.changed)
        self.seq = changes.seq
        self._chains = None
        return [change for change in changes.changed if change.analysis != analysis.VERSION]

    def _bury(self, memory_id: int) -> None:
        position = self._position_of.pop(memory_id, None)
        if position is not None:
            self.rows("alive")[position] = False

    def _append(self, changed: Sequence[Change]) -> None:
        start, size = len(self.rows("ids")), len(changed)
        codes = self._namespace_codes
        vectors = np.zeros((size, self.dim), np.float32)
        for row, change in enumerate(changed):
            if change.vector is not None:
                vectors[row] = np.frombuffer(change.vector, np.float32)
            if change.token_ids:
                self._count_tokens(np.unique(np.frombuffer(change.token_ids, np.uint32)))
        unpacked = [
            analysis.unpack_terms(change.terms if change.analysis == analysis.VERSION else b"") for change in changed
        ]
        values: dict[str, Any] = {
            "ids": [change.id for change in changed],
            "alive": [True] * size,
            "namespace": [codes.setdefault(change.namespace, len(codes)) for change in changed],
            "chain": [zlib.crc32(f"{change.namespace}\x1f{change.chain}".encode()) for change in changed],
            "importance": [change.importance for change in changed],
            "created_at": [change.created_at for change in changed],
            "expires_at": [np.inf if change.expires_at is None else change.expires_at for change in changed],
            "lengths": [counts.sum() for _, counts in unpacked],
            "embedded": [change.vector is not None for change in changed],
            "vectors": vectors,
        }
        for name, column in self._columns.items():
            column.extend(np.asarray(values[name], column.rows.dtype))
        self._position_of.update((change.id, start + row) for row, change in enumerate(changed))
        self.postings.add_many(range(start, start + size), [ids for ids, _ in unpacked], [c for _, c in unpacked])

    def _count_tokens(self, distinct: npt.NDArray[np.uint32]) -> None:
        if len(distinct) and distinct[-1] >= len(self.token_frequency):
            grown = np.zeros(int(distinct[-1]) + 1, np.int64)
            grown[: len(self.token_frequency)] = self.token_frequency
            self.token_frequency = grown
        self.token_frequency[distinct] += 1

    def scope(self, namespaces: Sequence[str] | None, now: float) -> BoolArray:
        """Which positions are alive, unexpired and in the namespaces (None: any)."""
        inside: BoolArray = self.rows("alive") & (self.rows("expires_at") > now)
        if namespaces is not None:
            codes = [self._namespace_codes[name] for name in namespaces if name in self._namespace_codes]
            inside &= np.isin(self.rows("namespace"), codes)
        return inside

    def positions(self, ids: Iterable[int]) -> IntArray:
        """Positions of those ids that are there, in the order given."""
        found = (self._position_of.get(memory_id) for memory_id in ids)
        return np.array([position for position in found if position is not None], np.int64)

    def vector(self, memory_id: int) -> FloatArray | None:
        """The memory's vector, or None when it is gone or not embedded yet."""
        position = self._position_of.get(memory_id)
        if position is None or not self.rows("embedded")[position]:
            return None
        row: FloatArray = self.rows("vectors")[position]
        return row

    def near(self, vector: FloatArray, namespace: str, now: float) -> Sequence[int]:
        """Up to 10 ids in the namespace whose cosine with `vector` is at least 0.95, most similar first."""
        cosines = exact.cosines(self.rows("vectors"), vector)
        positions = np.flatnonzero((cosines >= NEAR_DUPLICATE) & self.scope([namespace], now))
        found: list[int] = self.rows("ids")[positions[np.argsort(-cosines[positions], kind="stable")][:10]].tolist()
        return found

    def neighbours(self, positions: IntArray) -> tuple[IntArray, IntArray]:
        """Positions of the memory before and after each, in order of id among those of the same namespace, source and
        session; -1 where there is none."""
        if self._chains is None:
            alive = np.flatnonzero(self.rows("alive"))
            order = alive[np.lexsort((self.rows("ids")[alive], self.rows("chain")[alive]))]
            before = np.full(len(self.rows("ids")), -1, np.int64)
            after = before.copy()
            same = self.rows("chain")[order[1:]] == self.rows("chain")[order[:-1]]
            before[order[1:][same]] = order[:-1][same]
            after[order[:-1][same]] = order[1:][same]
            self._chains = (self.seq, before, after)
        return self._chains[1][positions], self._chains[2][positions]

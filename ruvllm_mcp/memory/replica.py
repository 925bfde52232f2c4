"""A process's own searchable copy of the store: codes, postings and what scoping needs, kept current by the change
feed.

It can be thrown away at any time and rebuilt, or begun from a snapshot. Rows are only appended: a changed memory gets
a new row and its old one dies, so row numbers held by the indexes never need repair. The caller holds a lock around
every use.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory import analysis, lexical
from ruvllm_mcp.memory.candidates import TokenRows
from ruvllm_mcp.memory.codes import Query, quantised
from ruvllm_mcp.memory.columns import Column, Scope, Scopes
from ruvllm_mcp.memory.filters import Filter
from ruvllm_mcp.memory.index import Index, VectorIndex
from ruvllm_mcp.memory.sets import distinct, located
from ruvllm_mcp.memory.store import Change, Changes, Store
from ruvllm_mcp.memory.tokens import TokenBits

IntArray = npt.NDArray[np.int64]
NEAR_DUPLICATE = 0.95
RELINK_AT = 2_000
KNOWN_FILTERS = 16
COLUMNS: Mapping[str, Any] = {
    "ids": np.int64,
    "alive": np.bool_,
    "namespace": np.int32,  # code: its index in `namespaces`
    "chain": np.uint32,  # hash of namespace, source and session, 0 without a session
    "before": np.int32,  # row of the memory before it in its chain, -1 for none
    "after": np.int32,
    "importance": np.float32,
    "trust": np.int8,  # an index into TRUST_LEVELS
    "created_at": np.float64,
    "expires_at": np.float64,  # inf for never
    "lengths": np.float32,  # terms
    "embedded": np.bool_,
}


class Replica:
    """`namespaces`: names by code. `vectors` and `postings` number rows as the columns do."""

    def __init__(self, dim: int, seq: int = 0, namespaces: Sequence[str] = ()) -> None:
        self.dim = dim
        self.seq = seq
        self.namespaces = list(namespaces)
        self.token_frequency = np.zeros(65_536, np.int64)
        self.postings = lexical.Postings()
        self.vectors: Index = VectorIndex(np.empty((0, dim), np.int8), np.empty(0, np.float32))
        self.tokens = TokenBits(dim // 8)
        self.columns = {name: Column(dtype) for name, dtype in COLUMNS.items()}
        self.alive = 0
        self.unembedded = 0
        self._codes = {name: code for code, name in enumerate(self.namespaces)}
        self._scopes = Scopes()
        self._sorted_ids, self._sorted_rows = np.empty(0, np.int64), np.empty(0, np.int64)
        self._row_of: dict[int, int] = {}  # what the sorted arrays do not know: rows added since
        self._last_of_chain: dict[int, int] | None = None
        self._is_linked = True
        self._matching: dict[str, Column] = {}

    def begin(
        self, columns: Mapping[str, npt.NDArray[Any]], vectors: Index, postings: lexical.Segment, tokens: IntArray
    ) -> None:
        """Takes a snapshot's rows into an empty replica."""
        for name, values in columns.items():
            self.columns[name].extend(values)
        self.vectors, self.postings, self.token_frequency = vectors, lexical.Postings(postings), tokens.copy()
        living = np.flatnonzero(columns["alive"])
        order = np.argsort(columns["ids"][living], kind="stable")
        self._sorted_ids, self._sorted_rows = columns["ids"][living][order], living[order]
        self.alive = len(living)
        self.unembedded = self.alive - int(np.count_nonzero(columns["embedded"][living]))

    def __len__(self) -> int:
        return len(self.columns["ids"].rows)

    def rows(self, column: str) -> npt.NDArray[Any]:
        """A column's filled part."""
        return self.columns[column].rows

    def apply(self, changes: Changes) -> None:
        """Takes changes in. Terms made by another version of the analysis are left out until they are written anew."""
        old = [self._row(change.id) for change in changes.changed]
        gone = [row for row in map(self._row, changes.deleted) if row is not None]
        self._unlink(gone)
        self._bury([*gone, *(row for row in old if row is not None)])
        for memory_id in changes.deleted:
            self._row_of.pop(memory_id, None)
        for start in range(0, len(changes.changed), 10_000):
            self._append(changes.changed[start : start + 10_000], old[start : start + 10_000])
        self.seq = changes.seq

    def _row(self, memory_id: int) -> int | None:
        row = self._row_of.get(memory_id)
        if row is None:
            slot = int(np.searchsorted(self._sorted_ids, memory_id))
            if slot < len(self._sorted_ids) and self._sorted_ids[slot] == memory_id:
                row = int(self._sorted_rows[slot])
        return row if row is not None and self.rows("alive")[row] else None

    def _bury(self, rows: Sequence[int]) -> None:
        if not rows:
            return
        self.rows("alive")[rows] = False
        self.alive -= len(rows)
        self.unembedded -= len(rows) - int(np.count_nonzero(self.rows("embedded")[rows]))
        self._scopes.removed(rows, self.columns)

    def _unlink(self, rows: Sequence[int]) -> None:
        before, after, ends = self.rows("before"), self.rows("after"), self._last_of_chain
        for row in rows:
            previous, following = int(before[row]), int(after[row])
            if previous >= 0:
                after[previous] = following
            if following >= 0:
                before[following] = previous
            elif ends is not None and previous >= 0:
                ends[int(self.rows("chain")[row])] = previous
            elif ends is not None:
                ends.pop(int(self.rows("chain")[row]), None)

    def _append(self, changed: Sequence[Change], old: Sequence[int | None]) -> None:
        first, size = len(self), len(changed)
        vectors = self._vectors(changed)
        for change in changed:
            if change.token_ids:
                self._count_tokens(distinct(np.frombuffer(change.token_ids, np.uint32)))
        packed = list(map(_terms, changed))
        values = self._values(changed)
        for name, column in self.columns.items():
            column.extend(values[name])
        self.vectors.append(vectors)
        self.postings.add(range(first, first + size), packed)
        self._row_of.update((change.id, first + row) for row, change in enumerate(changed))
        self.alive += size
        self.unembedded += sum(change.vector is None for change in changed)
        self._scopes.added(first, self.columns)
        self._is_linked &= size <= RELINK_AT
        if self._is_linked:
            self._link(first, old)

    def _vectors(self, changed: Sequence[Change]) -> FloatArray:
        blank = bytes(4 * self.dim)
        joined = b"".join([blank if change.vector is None else change.vector for change in changed])
        return np.frombuffer(joined, np.float32).reshape(len(changed), self.dim)

    def _values(self, changed: Sequence[Change]) -> dict[str, npt.NDArray[Any]]:
        """Columns of rows for the changes."""
        values: dict[str, Any] = {
            "ids": [change.id for change in changed],
            "alive": [True] * len(changed),
            "namespace": [self._code(change.namespace) for change in changed],
            "chain": [_chain(change) for change in changed],
            "before": [-1] * len(changed),
            "after": [-1] * len(changed),
            "importance": [change.importance for change in changed],
            "trust": [change.trust for change in changed],
            "created_at": [change.created_at for change in changed],
            "expires_at": [np.inf if change.expires_at is None else change.expires_at for change in changed],
            "lengths": [lexical.length(_terms(change)) for change in changed],
            "embedded": [change.vector is not None for change in changed],
        }
        return {name: np.asarray(values[name], dtype) for name, dtype in COLUMNS.items()}

    def reword(self, parts: Iterable[Changes]) -> None:
        """Gives rows that have no terms yet those of `parts`, which tell of the whole store, and takes in what else
        changed. A row whose memory has new terms and nothing else stays where vectors, token bits and graph have it."""
        rows: list[int] = []
        packed: list[bytes] = []
        others: list[Change] = []
        seen: set[int] = set()
        seq = self.seq
        for part in parts:
            seq = part.seq
            seen.update(change.id for change in part.changed)
            for change, row in zip(part.changed, self._same(part.changed).tolist(), strict=True):
                if row < 0:
                    others.append(change)
                else:
                    rows.append(row)
                    packed.append(_terms(change))
        order = sorted(range(len(rows)), key=rows.__getitem__)
        self.rows("lengths")[rows] = [lexical.length(terms) for terms in packed]
        self.postings.add([rows[place] for place in order], [packed[place] for place in order])
        gone = set(self.rows("ids")[self.rows("alive")].tolist()) - seen
        self.apply(Changes(seq, others, sorted(gone)))

    def _same(self, changed: Sequence[Change]) -> IntArray:
        """The row of each memory, -1 where it has none or any of it but its terms changed."""
        found = [self._row(change.id) for change in changed]
        rows = np.array([-1 if row is None else row for row in found], np.int64)
        known = np.flatnonzero(rows >= 0)
        now, here = self._values(changed), rows[known]
        same = np.ones(len(known), np.bool_)
        for name in ("namespace", "chain", "importance", "trust", "created_at", "expires_at", "embedded"):
            same &= self.rows(name)[here] == now[name][known]
        coded, scales = quantised(self._vectors(changed)[known])
        same &= (self.vectors.rows(here) == coded * scales[:, None]).all(axis=1)
        has_tokens = np.array([bool(change.token_ids) for change in changed], np.bool_)
        if self.tokens.file is not None:
            same &= (self.tokens.file.counts[here] > 0) == has_tokens[known]
        rows[known[~same]] = -1
        return rows

    def _code(self, namespace: str) -> int:
        code = self._codes.get(namespace)
        if code is None:
            code = self._codes[namespace] = len(self.namespaces)
            self.namespaces.append(namespace)
        return code

    def _count_tokens(self, distinct: npt.NDArray[np.uint32]) -> None:
        if distinct[-1] >= len(self.token_frequency):
            grown = np.zeros(int(distinct[-1]) + 1, np.int64)
            grown[: len(self.token_frequency)] = self.token_frequency
            self.token_frequency = grown
        self.token_frequency[distinct] += 1

    def frequency_of(self, token_ids: npt.NDArray[np.uint32]) -> tuple[IntArray, int]:
        """In how many memories each token occurs, and how many memories there are."""
        frequency = self.token_frequency
        known = np.minimum(token_ids, len(frequency) - 1)
        return np.where(token_ids < len(frequency), frequency[known], 0), self.alive

    def _link(self, first: int, old: Sequence[int | None]) -> None:
        """Gives each new row its place: that of the row it replaces, or the end of its chain. A new id is the highest
        there, unless another machine took it earlier than it committed."""
        before, after, chains = self.rows("before"), self.rows("after"), self.rows("chain")
        ids = self.rows("ids")
        if self._last_of_chain is None:
            ends = np.flatnonzero(self.rows("alive")[:first] & (after[:first] < 0) & (chains[:first] > 0))
            self._last_of_chain = dict(zip(chains[ends].tolist(), ends.tolist(), strict=True))
        for row, replaced in enumerate(old, start=first):
            chain = int(chains[row])
            if not chain and (replaced is None or not chains[replaced]):
                continue
            previous, following = self._last_of_chain.get(chain, -1), -1
            if replaced is not None:
                if chains[replaced] != chain:
                    self._is_linked = False
                    return
                previous, following = int(before[replaced]), int(after[replaced])
            elif previous >= 0 and ids[previous] > ids[row]:
                self._is_linked = False
                return
            before[row], after[row] = previous, following
            if previous >= 0:
                after[previous] = row
            if following >= 0:
                before[following] = row
            else:
                self._last_of_chain[chain] = row

    def relink(self) -> None:
        """Makes every chain anew from the ids, where changes made that necessary."""
        if self._is_linked:
            return
        before, after = self.rows("before"), self.rows("after")
        living = np.flatnonzero(self.rows("alive") & (self.rows("chain") > 0))
        order = living[np.lexsort((self.rows("ids")[living], self.rows("chain")[living]))]
        same = self.rows("chain")[order[1:]] == self.rows("chain")[order[:-1]]
        before[:] = after[:] = -1
        before[order[1:][same]] = order[:-1][same]
        after[order[:-1][same]] = order[1:][same]
        self._is_linked, self._last_of_chain = True, None

    def scope(self, namespaces: Sequence[str] | None, now: float) -> Scope:
        """The living, unexpired rows of the namespaces (None: any)."""
        codes = None
        if namespaces is not None:
            codes = tuple(sorted(self._codes[name] for name in set(namespaces) if name in self._codes))
        return self._scopes.get(codes, self.columns, now)

    def find(self, ids: Iterable[int]) -> IntArray:
        """Rows of those ids that are there, in the order given."""
        wanted = np.fromiter(ids, np.int64)
        rows = np.full(len(wanted), -1, np.int64)
        places, are_known = located(wanted, self._sorted_ids)
        rows[are_known] = self._sorted_rows[places[are_known]]
        if self._row_of:  # a memory that has a later row is dead at its earlier one
            places = np.flatnonzero((rows < 0) | ~self.rows("alive")[rows])
            rows[places] = [self._row_of.get(item, -1) for item in wanted[places].tolist()]
        rows = rows[rows >= 0]
        living: IntArray = rows[self.rows("alive")[rows]]
        return living

    def matching(self, keep: Filter, store: Store) -> npt.NDArray[np.uint8]:
        """uint8 (n,): 1 for each row whose memory passes the filter. A row never changes, so only rows added since the
        same filter was last asked are looked at."""
        marks = self._matching.pop(keep.key, None) or Column(np.uint8)
        self._matching[keep.key] = marks  # last used last
        if len(self._matching) > KNOWN_FILTERS:
            del self._matching[next(iter(self._matching))]
        known = len(marks.rows)
        if known < len(self):
            new = self.rows("ids")[known:]
            passing = store.matching(keep, new.tolist() if len(new) <= RELINK_AT else None)
            marks.extend(np.isin(new, np.array(passing, np.int64)).astype(np.uint8))
        return marks.rows

    def token_rows(self, rows: IntArray, fetch: Callable[[Sequence[int]], Mapping[int, bytes]]) -> list[TokenRows]:
        """The token bits of living rows; `fetch` reads those of memories that are neither saved nor remembered. They go
        by row: a changed memory has a new one."""
        known = self.rows("ids")

        def fetched(rows: Sequence[int]) -> Mapping[int, bytes]:
            named = dict(zip(known[rows].tolist(), rows, strict=True))
            return {named[memory_id]: bits for memory_id, bits in fetch(list(named)).items()}

        return self.tokens.of(rows, fetched)

    def near(
        self, vector: FloatArray, namespace: str, now: float, threshold: float = NEAR_DUPLICATE, limit: int = 10
    ) -> Sequence[tuple[float, int]]:
        """Cosine and id of up to `limit` memories of the namespace whose cosine with `vector` reaches the threshold,
        most similar first."""
        scope = self.scope([namespace], now)
        rows, scores = self.vectors.best(Query(vector), scope.keep.rows, scope.kept, limit)
        reaching = scores >= threshold
        return list(zip(scores[reaching].tolist(), self.rows("ids")[rows[reaching]].tolist(), strict=True))

    def neighbours(self, rows: IntArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Rows of the memory before and after each, by id among those of the same namespace, source and session; -1
        where there is none."""
        self.relink()
        return self.rows("before")[rows], self.rows("after")[rows]


def _terms(change: Change) -> bytes:
    return change.terms if change.analysis == analysis.VERSION else b""


def _chain(change: Change) -> int:
    """A name for what the memory is a successive part of; 0 where it is part of nothing."""
    return zlib.crc32(f"{change.namespace}\x1f{change.chain}".encode()) or 1 if change.chain else 0

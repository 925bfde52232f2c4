"""The store on one SQLite file (`memory.db`): rows in, rows out, and the change feed.

A memory's `seq` is the number of its last change; a deleted one leaves a tombstone with its number. Both are read by
number, so catching up costs what changed, whatever the size of the store.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.memory import rows, spaces
from ruvllm_mcp.memory.connection import LARGE_CACHE, USUAL_CACHE, Connections
from ruvllm_mcp.memory.filters import Filter
from ruvllm_mcp.memory.store import NO_LIMITS, Change, Changes, Draft, Embedding, Limits, Text
from ruvllm_mcp.types import TRUST_LEVELS, Link, MemoryRecord, NamespaceInfo

FILE_NAME = "memory.db"
_RECORD = """SELECT m.id, m.content, m.metadata, n.name, m.kind, m.importance, m.source, m.client, m.trust,
    m.created_at, m.updated_at, m.expires_at, a.accessed_at, coalesce(a.count, 0)
    FROM memories m JOIN namespaces n ON n.id = m.namespace_id LEFT JOIN access a ON a.memory_id = m.id"""
_TEXT = "SELECT m.id, m.content_hash, m.content, m.metadata FROM memories m"
BATCH = 5_000
LARGE = 200
SAMPLE = 1_000
_CHANGE = """SELECT m.id, n.name, coalesce(m.source || char(31) || json_extract(m.metadata, '$.session'), ''),
    m.importance, m.trust, m.created_at, m.expires_at, t.analysis, t.postings, v.vector, k.ids
    FROM memories m JOIN namespaces n ON n.id = m.namespace_id JOIN terms t ON t.memory_id = m.id
    LEFT JOIN vectors v ON v.memory_id = m.id AND v.embedder_id = :embedder
    LEFT JOIN tokens k ON k.memory_id = m.id AND k.embedder_id = :embedder
    WHERE m.id IN (SELECT id FROM memories INDEXED BY memories_by_seq WHERE seq > :since) ORDER BY m.id"""


class SqliteStore:
    """The `Store` protocol on a folder. Raises the StoreError family; see `connection`."""

    def __init__(self, folder: Path, limits: Limits = NO_LIMITS) -> None:
        self._connections = Connections(folder / FILE_NAME)
        self._limits = limits

    def sequence(self) -> int:
        with self._connections.read() as connection:
            return int(connection.execute("SELECT value FROM counters WHERE name = 'seq'").fetchone()[0])

    def identity(self) -> str:
        with self._connections.read() as connection:
            return str(connection.execute("SELECT value FROM identity").fetchone()[0])

    def changes(self, since: int, embedder: str) -> Iterator[Changes]:
        with self._connections.read() as connection:
            connection.execute("BEGIN")
            try:
                query = (
                    "SELECT value, (SELECT id FROM embedders WHERE fingerprint = ?) FROM counters WHERE name = 'seq'"
                )
                seq, embedder_id = connection.execute(query, (embedder,)).fetchone()
                parameters = {"since": since, "embedder": embedder_id}
                changed = connection.execute(_CHANGE, parameters)
                while batch := list(map(Change._make, changed.fetchmany(BATCH))):
                    yield Changes(since, batch)
                gone = connection.execute("SELECT memory_id FROM tombstones WHERE seq > ?", (since,)) if since else ()
                yield Changes(seq, (), [row[0] for row in gone])
            finally:
                connection.execute("ROLLBACK")

    def insert(self, drafts: Sequence[Draft], embedder: str, now: float) -> list[tuple[int, bool]]:
        with self._connections.write(LARGE_CACHE if len(drafts) > LARGE else USUAL_CACHE) as connection:
            embedder_id = rows.make_embedder(connection, embedder)
            numbers = {name: spaces.make(connection, name) for name in {draft.namespace for draft in drafts}}
            before = spaces.held(connection, numbers.values())
            seq = rows.take_numbers(connection, len(drafts))
            written = rows.insert(connection, drafts, numbers, embedder_id, seq, now)
            spaces.refuse_overgrown(connection, before, self._limits)
            return written

    def known(self, namespace: str, hashes: Sequence[bytes]) -> set[bytes]:
        with self._connections.read() as connection:
            query = """SELECT content_hash FROM memories
                WHERE namespace_id = (SELECT id FROM namespaces WHERE name = ?) AND content_hash IN """
            return {row[0] for row in _by_ids(connection, query, hashes, namespace)}

    def update(
        self, memory_id: int, columns: Mapping[str, Any], draft: Draft | None, embedder: str, now: float
    ) -> None:
        changed = {**columns, "updated_at": now}
        with self._connections.write() as connection:
            changed["seq"] = rows.take_numbers(connection, 1)
            if "namespace" in changed:
                changed["namespace_id"] = spaces.make(connection, changed.pop("namespace"))
            query = "SELECT coalesce(?, (SELECT namespace_id FROM memories WHERE id = ?))"
            number = connection.execute(query, (changed.get("namespace_id"), memory_id)).fetchone()[0]
            before = {} if number is None else spaces.held(connection, [number])
            if draft is not None:
                changed.update(content=draft.content, content_hash=draft.content_hash)
            assignments = ", ".join(f"{name} = :{name}" for name in changed)
            try:
                cursor = connection.execute(
                    f"UPDATE memories SET {assignments} WHERE id = :id", {**changed, "id": memory_id}
                )
            except sqlite3.IntegrityError:
                raise InvalidInputError(
                    "Another memory of that namespace says exactly the same.", "Delete one of the two instead."
                ) from None
            if not cursor.rowcount:
                raise NotFoundError(f"There is no memory {memory_id}.", "It may have been deleted or have expired.")
            if draft is not None:
                rows.replace_derived(connection, memory_id, draft, rows.make_embedder(connection, embedder))
            spaces.refuse_overgrown(connection, before, self._limits)

    def delete(self, ids: Sequence[int]) -> list[int]:
        with self._connections.write() as connection:
            return rows.delete(connection, ids)

    def merge(self, into: Mapping[int, int], now: float) -> dict[int, int]:
        with self._connections.write() as connection:
            pairs = {gone: kept for gone, kept in into.items() if rows.give(connection, gone, kept, now)}
            rows.renumber(connection, sorted(set(pairs.values())))
            rows.delete(connection, list(pairs))
            return pairs

    def records(self, ids: Sequence[int]) -> dict[int, MemoryRecord]:
        with self._connections.read() as connection:
            return {row[0]: _record(row) for row in _by_ids(connection, _RECORD + " WHERE m.id IN ", ids)}

    def token_bits(self, ids: Sequence[int], embedder: str) -> dict[int, bytes]:
        with self._connections.read() as connection:
            query = """SELECT memory_id, bits FROM tokens
                WHERE embedder_id = (SELECT id FROM embedders WHERE fingerprint = ?) AND memory_id IN """
            return dict(_by_ids(connection, query, ids, embedder))

    def vectors(self, ids: Sequence[int], embedder: str) -> dict[int, FloatArray]:
        with self._connections.read() as connection:
            query = """SELECT memory_id, vector FROM vectors
                WHERE embedder_id = (SELECT id FROM embedders WHERE fingerprint = ?) AND memory_id IN """
            return {row[0]: np.frombuffer(row[1], np.float32) for row in _by_ids(connection, query, ids, embedder)}

    def store_embeddings(self, embeddings: Mapping[int, tuple[bytes, Embedding]], embedder: str) -> None:
        with self._connections.write() as connection:
            number = rows.make_embedder(connection, embedder)
            seq = rows.take_numbers(connection, len(embeddings))
            for offset, (memory_id, (content_hash, embedding)) in enumerate(embeddings.items()):
                is_current = connection.execute(
                    "UPDATE memories SET seq = ? WHERE id = ? AND content_hash = ?",
                    (seq + offset, memory_id, content_hash),
                ).rowcount
                if is_current:
                    rows.write_embeddings(connection, [(memory_id, embedding)], number)

    def unembedded(self, embedder: str, limit: int) -> list[Text]:
        with self._connections.read() as connection:
            query = f"""{_TEXT} WHERE NOT EXISTS (SELECT 1 FROM vectors v
                WHERE v.memory_id = m.id AND v.embedder_id = ?) ORDER BY m.id LIMIT ?"""
            return [Text(*row) for row in connection.execute(query, (rows.embedder_id(connection, embedder), limit))]

    def out_of_date(self, analysis: int, limit: int) -> list[Text]:
        with self._connections.read() as connection:
            query = f"{_TEXT} JOIN terms t ON t.memory_id = m.id WHERE t.analysis <> ? LIMIT ?"
            return [Text(*row) for row in connection.execute(query, (analysis, limit))]

    def store_terms(self, terms: Mapping[int, bytes], analysis: int) -> None:
        with self._connections.write() as connection:
            seq = rows.take_numbers(connection, len(terms))
            for offset, (memory_id, packed) in enumerate(terms.items()):
                connection.execute("UPDATE memories SET seq = ? WHERE id = ?", (seq + offset, memory_id))
                connection.execute(
                    "UPDATE terms SET analysis = ?, postings = ? WHERE memory_id = ?", (analysis, packed, memory_id)
                )

    def page(
        self,
        after: int,
        limit: int,
        namespaces: Sequence[str] | None,
        keep: Filter | None,
        now: float,
    ) -> list[MemoryRecord]:
        inside, values = _inside(namespaces)
        likely, needles = _likely(keep)
        query = f"""{_RECORD} WHERE m.id > ? AND (m.expires_at IS NULL OR m.expires_at > ?) {inside} {likely}
            ORDER BY m.id"""
        with self._connections.read() as connection:
            found = (_record(row) for row in connection.execute(query, (after, now, *values, *needles)))
            return list(islice((record for record in found if keep is None or keep(record.metadata)), limit))

    def matching(self, keep: Filter, ids: Sequence[int] | None = None) -> list[int]:
        with self._connections.read() as connection:
            if ids is None:
                likely, needles = _likely(keep)
                found: Iterable[Any] = connection.execute(
                    f"SELECT m.id, m.metadata FROM memories m WHERE 1 {likely}", needles
                )
            else:
                found = _by_ids(connection, "SELECT id, metadata FROM memories WHERE id IN ", ids)
            return [row[0] for row in found if keep(json.loads(row[1]))]

    def touch(self, counts: Mapping[int, tuple[int, float]]) -> None:
        with self._connections.write() as connection:
            connection.executemany(
                """INSERT INTO access SELECT id, :count, :at FROM memories WHERE id = :id
                ON CONFLICT (memory_id) DO UPDATE SET count = count + excluded.count,
                accessed_at = max(accessed_at, excluded.accessed_at)""",
                [{"id": item, "count": count, "at": at} for item, (count, at) in counts.items()],
            )

    def accesses(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        with self._connections.read() as connection:
            rows = connection.execute("SELECT memory_id, count, accessed_at FROM access ORDER BY memory_id").fetchall()
        found = np.array(rows, np.float64).reshape(-1, 3)
        return found[:, 0].astype(np.int64), found[:, 1].astype(np.int64), found[:, 2]

    def link(self, a: int, b: int, kind: str, weight: float) -> None:
        with self._connections.write() as connection:
            for end in (a, b):
                if not connection.execute("SELECT 1 FROM memories WHERE id = ?", (end,)).fetchone():
                    raise NotFoundError(f"There is no memory {end}.", "Link memories that exist.")
            connection.execute(
                "INSERT INTO links VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET weight = excluded.weight",
                (a, b, kind, weight),
            )

    def unlink(self, a: int, b: int, kind: str) -> bool:
        with self._connections.write() as connection:
            query = "DELETE FROM links WHERE a = ? AND b = ? AND kind = ?"
            return connection.execute(query, (a, b, kind)).rowcount > 0

    def links(self, ids: Sequence[int]) -> dict[int, list[Link]]:
        found: dict[int, list[Link]] = {item: [] for item in ids}
        with self._connections.read() as connection:
            if not connection.execute("SELECT EXISTS (SELECT 1 FROM links)").fetchone()[0]:
                return found  # as in most stores: two look-ups for each memory spared
            for here, there in (("a", "b"), ("b", "a")):
                query = f"SELECT {here}, {there}, kind, weight FROM links WHERE {here} IN "
                for near, far, kind, weight in _by_ids(connection, query, ids):
                    found[near].append(Link(far, kind, weight))
        return {item: sorted(edges, key=lambda edge: (-edge.weight, edge.id)) for item, edges in found.items()}

    def namespaces(self) -> dict[str, NamespaceInfo]:
        with self._connections.read() as connection:
            return spaces.known(connection)

    def configure(self, namespace: str, changes: Mapping[str, Any]) -> None:
        with self._connections.write() as connection:
            rows.renumber(connection, spaces.configure(connection, spaces.make(connection, namespace), changes))

    def stats(self) -> dict[str, Any]:
        with self._connections.read() as connection:
            count = connection.execute("SELECT count(*) FROM memories").fetchone()[0]
            links = connection.execute("SELECT count(*) FROM links").fetchone()[0]
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            size = connection.execute("PRAGMA page_size").fetchone()[0]
            means = _bytes_per_memory(connection)
        return {
            "memories": count,
            "links": links,
            "bytes": pages * size,
            "bytes_per_memory": means,
            "path": str(self._connections.path),
        }

    def close(self) -> None:
        self._connections.close()


def _bytes_per_memory(connection: sqlite3.Connection) -> dict[str, float]:
    """Means over up to `SAMPLE` memories spread evenly over the ids."""
    low, high = connection.execute("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM memories").fetchone()
    ids = range(low, high + 1, max(1, (high - low) // SAMPLE))
    sampled = [row[0] for row in _by_ids(connection, "SELECT id FROM memories WHERE id IN ", ids)]
    sizes = {
        "text": ("memories", "id", "length(CAST(content AS BLOB)) + length(CAST(metadata AS BLOB))"),
        "terms": ("terms", "memory_id", "length(postings)"),
        "vectors": ("vectors", "memory_id", "length(vector)"),
        "token_bits": ("tokens", "memory_id", "length(ids) + length(bits)"),
    }
    return {
        name: sum(row[0] for row in _by_ids(connection, f"SELECT {size} FROM {table} WHERE {key} IN ", sampled))
        / max(len(sampled), 1)
        for name, (table, key, size) in sizes.items()
    }


def _record(row: Sequence[Any]) -> MemoryRecord:
    fields = list(row)
    fields[2], fields[8] = json.loads(row[2]), TRUST_LEVELS[row[8]]
    return MemoryRecord(*fields)


def _inside(namespaces: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    if namespaces is None:
        return "", ()
    return f"AND n.name IN ({', '.join('?' * len(namespaces))})", tuple(namespaces)


def _likely(keep: Filter | None) -> tuple[str, tuple[str, ...]]:
    """A condition that every memory the filter keeps meets, a search for text being cheaper than reading JSON."""
    groups = keep.needles if keep else ()
    clauses = (" OR ".join(["instr(m.metadata, ?)"] * len(group)) for group in groups)
    return "".join(f"AND ({clause}) " for clause in clauses), tuple(text for group in groups for text in group)


def _by_ids(connection: sqlite3.Connection, query: str, ids: Iterable[int | bytes], *first: object) -> Iterator[Any]:
    """The rows of a query that ends in `IN`; `first` are the values of its other marks."""
    numbers = list(ids)
    for start in range(0, len(numbers), 500):
        part = numbers[start : start + 500]
        yield from connection.execute(f"{query} ({', '.join('?' * len(part))})", (*first, *part))

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

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.memory.analysis import VERSION as ANALYSIS
from ruvllm_mcp.memory.connection import Connections
from ruvllm_mcp.memory.filters import Filter
from ruvllm_mcp.memory.store import Change, Changes, Draft, Embedding, Text
from ruvllm_mcp.types import Link, MemoryRecord

FILE_NAME = "memory.db"
_RECORD = """SELECT m.id, m.content, m.metadata, n.name, m.kind, m.importance, m.source, m.client, m.created_at,
    m.updated_at, m.expires_at, a.accessed_at, coalesce(a.count, 0)
    FROM memories m JOIN namespaces n ON n.id = m.namespace_id LEFT JOIN access a ON a.memory_id = m.id"""
_TEXT = "SELECT m.id, m.content_hash, m.content, m.metadata FROM memories m"
BATCH = 5_000
_CHANGE = """SELECT m.id, n.name, coalesce(m.source || char(31) || json_extract(m.metadata, '$.session'), ''),
    m.importance, m.created_at, m.expires_at, t.analysis, t.postings, v.vector, k.ids
    FROM memories m JOIN namespaces n ON n.id = m.namespace_id JOIN terms t ON t.memory_id = m.id
    LEFT JOIN vectors v ON v.memory_id = m.id AND v.embedder_id = :embedder
    LEFT JOIN tokens k ON k.memory_id = m.id AND k.embedder_id = :embedder
    WHERE m.id IN (SELECT id FROM memories INDEXED BY memories_by_seq WHERE seq > :since) ORDER BY m.id"""


class SqliteStore:
    """The `Store` protocol on a folder. Raises the StoreError family; see `connection`."""

    def __init__(self, folder: Path) -> None:
        self._connections = Connections(folder / FILE_NAME)
        self._embedders: dict[str, int] = {}

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
                seq = connection.execute("SELECT value FROM counters WHERE name = 'seq'").fetchone()[0]
                parameters = {"since": since, "embedder": _embedder_id(connection, embedder)}
                rows = connection.execute(_CHANGE, parameters)
                while batch := [Change(*row) for row in rows.fetchmany(BATCH)]:
                    yield Changes(since, batch)
                gone = connection.execute("SELECT memory_id FROM tombstones WHERE seq > ?", (since,)) if since else ()
                yield Changes(seq, (), [row[0] for row in gone])
            finally:
                connection.execute("ROLLBACK")

    def insert(self, drafts: Sequence[Draft], embedder: str, now: float) -> list[tuple[int, bool]]:
        with self._connections.write() as connection:
            embedder_id = _make_embedder(connection, embedder)
            spaces = {name: _make_namespace(connection, name) for name in {draft.namespace for draft in drafts}}
            seq = _take_numbers(connection, len(drafts))
            return [
                _insert_one(connection, draft, spaces[draft.namespace], embedder_id, seq + position, now)
                for position, draft in enumerate(drafts)
            ]

    def known(self, namespace: str, hashes: Sequence[bytes]) -> set[bytes]:
        query = """SELECT m.content_hash FROM memories m JOIN namespaces n ON n.id = m.namespace_id
            WHERE n.name = ? AND m.content_hash = ?"""
        with self._connections.read() as connection:
            return {item for item in hashes if connection.execute(query, (namespace, item)).fetchone()}

    def update(
        self, memory_id: int, columns: Mapping[str, Any], draft: Draft | None, embedder: str, now: float
    ) -> None:
        changed = {**columns, "updated_at": now}
        with self._connections.write() as connection:
            changed["seq"] = _take_numbers(connection, 1)
            if "namespace" in changed:
                changed["namespace_id"] = _make_namespace(connection, changed.pop("namespace"))
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
                _write_derived(connection, memory_id, draft, _make_embedder(connection, embedder))

    def delete(self, ids: Sequence[int]) -> list[int]:
        with self._connections.write() as connection:
            there = [item for item in ids if connection.execute("DELETE FROM memories WHERE id = ?", (item,)).rowcount]
            if there:
                seq = _take_numbers(connection, len(there))
                connection.executemany(
                    "INSERT INTO tombstones VALUES (?, ?)", [(seq + offset, item) for offset, item in enumerate(there)]
                )
            return there

    def records(self, ids: Sequence[int]) -> dict[int, MemoryRecord]:
        with self._connections.read() as connection:
            return {row[0]: _record(row) for row in _by_ids(connection, _RECORD + " WHERE m.id IN ", ids)}

    def token_bits(self, ids: Sequence[int], embedder: str) -> dict[int, bytes]:
        with self._connections.read() as connection:
            number = _embedder_id(connection, embedder)
            query = f"SELECT memory_id, bits FROM tokens WHERE embedder_id = {number} AND memory_id IN "
            return dict(_by_ids(connection, query, ids))

    def vectors(self, ids: Sequence[int], embedder: str) -> dict[int, FloatArray]:
        with self._connections.read() as connection:
            number = _embedder_id(connection, embedder)
            query = f"SELECT memory_id, vector FROM vectors WHERE embedder_id = {number} AND memory_id IN "
            return {row[0]: np.frombuffer(row[1], np.float32) for row in _by_ids(connection, query, ids)}

    def store_embeddings(self, embeddings: Mapping[int, tuple[bytes, Embedding]], embedder: str) -> None:
        with self._connections.write() as connection:
            number = _make_embedder(connection, embedder)
            seq = _take_numbers(connection, len(embeddings))
            for offset, (memory_id, (content_hash, embedding)) in enumerate(embeddings.items()):
                is_current = connection.execute(
                    "UPDATE memories SET seq = ? WHERE id = ? AND content_hash = ?",
                    (seq + offset, memory_id, content_hash),
                ).rowcount
                if is_current:
                    _write_embedding(connection, memory_id, embedding, number)

    def unembedded(self, embedder: str, limit: int) -> list[Text]:
        with self._connections.read() as connection:
            query = f"""{_TEXT} WHERE NOT EXISTS (SELECT 1 FROM vectors v
                WHERE v.memory_id = m.id AND v.embedder_id = ?) ORDER BY m.id LIMIT ?"""
            return [Text(*row) for row in connection.execute(query, (_embedder_id(connection, embedder), limit))]

    def out_of_date(self, analysis: int, limit: int) -> list[Text]:
        with self._connections.read() as connection:
            query = f"{_TEXT} JOIN terms t ON t.memory_id = m.id WHERE t.analysis <> ? LIMIT ?"
            return [Text(*row) for row in connection.execute(query, (analysis, limit))]

    def store_terms(self, terms: Mapping[int, bytes], analysis: int) -> None:
        with self._connections.write() as connection:
            seq = _take_numbers(connection, len(terms))
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
            rows = (_record(row) for row in connection.execute(query, (after, now, *values, *needles)))
            return list(islice((row for row in rows if keep is None or keep(row.metadata)), limit))

    def matching(self, keep: Filter, ids: Sequence[int] | None = None) -> list[int]:
        with self._connections.read() as connection:
            if ids is None:
                likely, needles = _likely(keep)
                rows: Iterable[Any] = connection.execute(
                    f"SELECT m.id, m.metadata FROM memories m WHERE 1 {likely}", needles
                )
            else:
                rows = _by_ids(connection, "SELECT id, metadata FROM memories WHERE id IN ", ids)
            return [row[0] for row in rows if keep(json.loads(row[1]))]

    def touch(self, counts: Mapping[int, tuple[int, float]]) -> None:
        with self._connections.write() as connection:
            connection.executemany(
                """INSERT INTO access SELECT id, :count, :at FROM memories WHERE id = :id
                ON CONFLICT (memory_id) DO UPDATE SET count = count + excluded.count,
                accessed_at = max(accessed_at, excluded.accessed_at)""",
                [{"id": item, "count": count, "at": at} for item, (count, at) in counts.items()],
            )

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
            for here, there in (("a", "b"), ("b", "a")):
                query = f"SELECT {here}, {there}, kind, weight FROM links WHERE {here} IN "
                for near, far, kind, weight in _by_ids(connection, query, ids):
                    found[near].append(Link(far, kind, weight))
        return {item: sorted(edges, key=lambda edge: (-edge.weight, edge.id)) for item, edges in found.items()}

    def namespaces(self) -> dict[str, int]:
        query = """SELECT n.name, count(*) FROM memories m JOIN namespaces n ON n.id = m.namespace_id
            GROUP BY n.id ORDER BY n.name"""
        with self._connections.read() as connection:
            return dict(connection.execute(query).fetchall())

    def stats(self) -> dict[str, Any]:
        with self._connections.read() as connection:
            count = connection.execute("SELECT count(*) FROM memories").fetchone()[0]
            links = connection.execute("SELECT count(*) FROM links").fetchone()[0]
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            size = connection.execute("PRAGMA page_size").fetchone()[0]
        return {"memories": count, "links": links, "bytes": pages * size, "path": str(self._connections.path)}

    def close(self) -> None:
        self._connections.close()


def _take_numbers(connection: sqlite3.Connection, count: int) -> int:
    query = "UPDATE counters SET value = value + ? WHERE name = 'seq' RETURNING value"
    return int(connection.execute(query, (count,)).fetchall()[0][0]) - count + 1


def _make_namespace(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT INTO namespaces (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
    return int(connection.execute("SELECT id FROM namespaces WHERE name = ?", (name,)).fetchone()[0])


def _embedder_id(connection: sqlite3.Connection, fingerprint: str) -> int:
    row = connection.execute("SELECT id FROM embedders WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return int(row[0]) if row else -1


def _make_embedder(connection: sqlite3.Connection, fingerprint: str) -> int:
    connection.execute("INSERT INTO embedders (fingerprint) VALUES (?) ON CONFLICT DO NOTHING", (fingerprint,))
    return _embedder_id(connection, fingerprint)


def _insert_one(
    connection: sqlite3.Connection, draft: Draft, namespace_id: int, embedder_id: int, seq: int, now: float
) -> tuple[int, bool]:
    kept = connection.execute(
        "SELECT id, metadata FROM memories WHERE namespace_id = ? AND content_hash = ?",
        (namespace_id, draft.content_hash),
    ).fetchone()
    if kept:
        _refresh(connection, kept[0], kept[1], draft, seq, now)
        return kept[0], True
    memory_id = connection.execute(
        """INSERT INTO memories (seq, namespace_id, content_hash, content, metadata, kind, importance, source, client,
        created_at, updated_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(seq, namespace_id, draft.content_hash, draft.content, draft.metadata, draft.kind, draft.importance),
            *(draft.source, draft.client, draft.created_at, now, draft.expires_at),
        ),
    ).lastrowid
    assert memory_id is not None
    _write_derived(connection, memory_id, draft, embedder_id)
    return memory_id, False


def _refresh(connection: sqlite3.Connection, memory_id: int, metadata: str, draft: Draft, seq: int, now: float) -> None:
    merged = {**json.loads(metadata), **json.loads(draft.metadata)}
    connection.execute(
        """UPDATE memories SET seq = ?, metadata = ?, importance = max(importance, ?), updated_at = ?,
        expires_at = CASE WHEN expires_at IS NULL OR ?5 IS NULL THEN NULL ELSE max(expires_at, ?5) END WHERE id = ?6""",
        (
            *(seq, json.dumps(merged, ensure_ascii=False, separators=(",", ":")), draft.importance, now),
            *(draft.expires_at, memory_id),
        ),
    )


def _write_derived(connection: sqlite3.Connection, memory_id: int, draft: Draft, embedder_id: int) -> None:
    connection.execute("INSERT OR REPLACE INTO terms VALUES (?, ?, ?)", (memory_id, ANALYSIS, draft.terms))
    connection.execute("DELETE FROM vectors WHERE memory_id = ?", (memory_id,))
    connection.execute("DELETE FROM tokens WHERE memory_id = ?", (memory_id,))
    if draft.embedding is not None:
        _write_embedding(connection, memory_id, draft.embedding, embedder_id)


def _write_embedding(connection: sqlite3.Connection, memory_id: int, embedding: Embedding, embedder_id: int) -> None:
    vector = np.ascontiguousarray(embedding.vector, np.float32).tobytes()
    connection.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", (embedder_id, memory_id, vector))
    if len(embedding.token_ids):
        connection.execute(
            "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)",
            (embedder_id, memory_id, embedding.token_ids.tobytes(), embedding.token_bits.tobytes()),
        )


def _record(row: Sequence[Any]) -> MemoryRecord:
    return MemoryRecord(row[0], row[1], json.loads(row[2]), *row[3:])


def _inside(namespaces: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    if namespaces is None:
        return "", ()
    return f"AND n.name IN ({', '.join('?' * len(namespaces))})", tuple(namespaces)


def _likely(keep: Filter | None) -> tuple[str, tuple[str, ...]]:
    """A condition that every memory the filter keeps meets, a search for text being cheaper than reading JSON."""
    groups = keep.needles if keep else ()
    clauses = (" OR ".join(["instr(m.metadata, ?)"] * len(group)) for group in groups)
    return "".join(f"AND ({clause}) " for clause in clauses), tuple(text for group in groups for text in group)


def _by_ids(connection: sqlite3.Connection, query: str, ids: Iterable[int]) -> Iterator[Any]:
    numbers = list(ids)
    for start in range(0, len(numbers), 500):
        part = numbers[start : start + 500]
        yield from connection.execute(f"{query} ({', '.join('?' * len(part))})", part)

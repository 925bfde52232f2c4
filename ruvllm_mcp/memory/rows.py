"""One memory's rows in the SQLite store, inside a transaction that the caller opened: numbering, writing, handing over,
deleting."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from ruvllm_mcp.memory import spaces
from ruvllm_mcp.memory.analysis import VERSION as ANALYSIS
from ruvllm_mcp.memory.metadata import joined
from ruvllm_mcp.memory.store import Draft, Embedding


def take_numbers(connection: sqlite3.Connection, count: int) -> int:
    query = "UPDATE counters SET value = value + ? WHERE name = 'seq' RETURNING value"
    return int(connection.execute(query, (count,)).fetchall()[0][0]) - count + 1


def renumber(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Puts the memories at the end of the change feed."""
    seq = take_numbers(connection, len(ids))
    numbers = [(seq + offset, item) for offset, item in enumerate(ids)]
    connection.executemany("UPDATE memories SET seq = ? WHERE id = ?", numbers)


def delete(connection: sqlite3.Connection, ids: Sequence[int]) -> list[int]:
    there = [item for item in ids if connection.execute("DELETE FROM memories WHERE id = ?", (item,)).rowcount]
    if there:
        seq = take_numbers(connection, len(there))
        connection.executemany(
            "INSERT INTO tombstones VALUES (?, ?)", [(seq + offset, item) for offset, item in enumerate(there)]
        )
    return there


def give(connection: sqlite3.Connection, gone: int, kept: int, now: float) -> bool:
    """Hands links, accesses and metadata over; False when either memory is missing."""
    query = "SELECT metadata, trust FROM memories WHERE id = ?"
    old, new = (connection.execute(query, (item,)).fetchone() for item in (gone, kept))
    if old is None or new is None or gone == kept:
        return False
    if old[1] >= new[1]:
        merged = joined(old[0], new[0])
        connection.execute("UPDATE memories SET metadata = ?, updated_at = ? WHERE id = ?", (merged, now, kept))
    for here, there in (("a", "b"), ("b", "a")):
        connection.execute(
            f"""INSERT INTO links ({here}, {there}, kind, weight) SELECT ?, {there}, kind, weight FROM links
            WHERE {here} = ? AND {there} <> ? ON CONFLICT DO UPDATE SET weight = max(weight, excluded.weight)""",
            (kept, gone, kept),
        )
    connection.execute(
        """INSERT INTO access SELECT ?, count, accessed_at FROM access WHERE memory_id = ? ON CONFLICT (memory_id) DO
        UPDATE SET count = count + excluded.count, accessed_at = max(accessed_at, excluded.accessed_at)""",
        (kept, gone),
    )
    return True


def embedder_id(connection: sqlite3.Connection, fingerprint: str) -> int:
    row = connection.execute("SELECT id FROM embedders WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return int(row[0]) if row else -1


def make_embedder(connection: sqlite3.Connection, fingerprint: str) -> int:
    connection.execute("INSERT INTO embedders (fingerprint) VALUES (?) ON CONFLICT DO NOTHING", (fingerprint,))
    return embedder_id(connection, fingerprint)


def insert(
    connection: sqlite3.Connection, draft: Draft, namespace_id: int, embedder_id: int, seq: int, now: float
) -> tuple[int, bool]:
    kept = connection.execute(
        "SELECT id, metadata, trust FROM memories WHERE namespace_id = ? AND content_hash = ?",
        (namespace_id, draft.content_hash),
    ).fetchone()
    if kept:
        _refresh(connection, kept, draft, seq, now)
        return kept[0], True
    memory_id = connection.execute(
        """INSERT INTO memories (seq, namespace_id, content_hash, content, metadata, kind, importance, source, client,
        trust, created_at, updated_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(seq, namespace_id, draft.content_hash, draft.content, draft.metadata, draft.kind, draft.importance),
            *(draft.source, draft.client, draft.trust, draft.created_at, now, draft.expires_at),
        ),
    ).lastrowid
    assert memory_id is not None
    write_derived(connection, memory_id, draft, embedder_id)
    return memory_id, False


def _refresh(connection: sqlite3.Connection, kept: tuple[int, str, int], draft: Draft, seq: int, now: float) -> None:
    memory_id, metadata, trust = kept
    merged = joined(metadata, draft.metadata) if draft.trust >= trust else joined(draft.metadata, metadata)
    connection.execute(
        """UPDATE memories SET seq = ?, metadata = ?, importance = max(importance, ?), updated_at = ?,
        expires_at = CASE WHEN expires_at IS NULL OR ?5 IS NULL THEN NULL ELSE max(expires_at, ?5) END,
        trust = max(trust, ?6) WHERE id = ?7""",
        (seq, merged, draft.importance, now, draft.expires_at, draft.trust, memory_id),
    )


def write_derived(connection: sqlite3.Connection, memory_id: int, draft: Draft, embedder_id: int) -> None:
    connection.execute("INSERT OR REPLACE INTO terms VALUES (?, ?, ?)", (memory_id, ANALYSIS, draft.terms))
    connection.execute("DELETE FROM vectors WHERE memory_id = ?", (memory_id,))
    connection.execute("DELETE FROM tokens WHERE memory_id = ?", (memory_id,))
    if draft.embedding is not None:
        write_embedding(connection, memory_id, draft.embedding, embedder_id)


def write_embedding(connection: sqlite3.Connection, memory_id: int, embedding: Embedding, embedder_id: int) -> None:
    vector = np.ascontiguousarray(embedding.vector, np.float32).tobytes()
    connection.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", (embedder_id, memory_id, vector))
    if len(embedding.token_ids) and spaces.keeps_token_bits(connection, memory_id):
        connection.execute(
            "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)",
            (embedder_id, memory_id, embedding.token_ids.tobytes(), embedding.token_bits.tobytes()),
        )

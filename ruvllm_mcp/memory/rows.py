"""One memory's rows in the SQLite store, inside a transaction that the caller opened: numbering, writing, handing over,
deleting."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from ruvllm_mcp.memory.analysis import VERSION as ANALYSIS
from ruvllm_mcp.memory.metadata import joined
from ruvllm_mcp.memory.store import Draft, Embedding

ROWS_AT_ONCE = 200


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
    known = embedder_id(connection, fingerprint)
    if known >= 0:
        return known
    connection.execute("INSERT INTO embedders (fingerprint) VALUES (?)", (fingerprint,))
    return embedder_id(connection, fingerprint)


def insert(
    connection: sqlite3.Connection,
    drafts: Sequence[Draft],
    numbers: Mapping[str, int],
    embedder_id: int,
    seq: int,
    now: float,
) -> list[tuple[int, bool]]:
    """Writes drafts under successive numbers from `seq` on; `numbers` are those of their namespaces. The id of each,
    and whether it was there already and is only refreshed."""
    _insert_rows(
        connection,
        """INSERT INTO memories (seq, namespace_id, content_hash, content, metadata, kind, importance, source, client,
        trust, created_at, updated_at, expires_at) VALUES {} ON CONFLICT (namespace_id, content_hash) DO NOTHING""",
        [
            (
                *(number, numbers[draft.namespace], draft.content_hash, draft.content, draft.metadata, draft.kind),
                *(draft.importance, draft.source, draft.client, draft.trust, draft.created_at, now, draft.expires_at),
            )
            for number, draft in enumerate(drafts, start=seq)
        ],
    )
    new = dict(connection.execute("SELECT seq, id FROM memories WHERE seq >= ?", (seq,)))
    numbered = list(enumerate(drafts, start=seq))
    _write_derived(connection, [(new[number], draft) for number, draft in numbered if number in new], embedder_id)
    written: list[tuple[int, bool]] = []
    for number, draft in numbered:
        is_new = number in new
        memory_id = new[number] if is_new else _refresh(connection, numbers[draft.namespace], draft, number, now)
        written.append((memory_id, not is_new))
    return written


def _insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    """Puts rows in the place of the statement's braces, many at a time: around each statement SQLite checks keys, keeps
    pages for undoing it and runs triggers, which costs more than a row does."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        marks = f"({', '.join('?' * len(part[0]))})"
        connection.execute(statement.format(", ".join([marks] * len(part))), list(chain.from_iterable(part)))


def _refresh(connection: sqlite3.Connection, namespace_id: int, draft: Draft, seq: int, now: float) -> int:
    """Gives what is there already the draft's metadata, and the higher importance, expiry and trust; returns its id."""
    query = "SELECT id, metadata, trust FROM memories WHERE namespace_id = ? AND content_hash = ?"
    memory_id, metadata, trust = connection.execute(query, (namespace_id, draft.content_hash)).fetchone()
    merged = joined(metadata, draft.metadata) if draft.trust >= trust else joined(draft.metadata, metadata)
    connection.execute(
        """UPDATE memories SET seq = ?, metadata = ?, importance = max(importance, ?), updated_at = ?,
        expires_at = CASE WHEN expires_at IS NULL OR ?5 IS NULL THEN NULL ELSE max(expires_at, ?5) END,
        trust = max(trust, ?6) WHERE id = ?7""",
        (seq, merged, draft.importance, now, draft.expires_at, draft.trust, memory_id),
    )
    return int(memory_id)


def replace_derived(connection: sqlite3.Connection, memory_id: int, draft: Draft, embedder_id: int) -> None:
    """Puts a draft's terms and embedding in the place of those that a memory had, of every embedder."""
    for table in ("terms", "vectors", "tokens"):
        connection.execute(f"DELETE FROM {table} WHERE memory_id = ?", (memory_id,))
    _write_derived(connection, [(memory_id, draft)], embedder_id)


def _write_derived(connection: sqlite3.Connection, new: Sequence[tuple[int, Draft]], embedder_id: int) -> None:
    terms = [(memory_id, ANALYSIS, draft.terms) for memory_id, draft in new]
    _insert_rows(connection, "INSERT INTO terms VALUES {}", terms)
    made = [(memory_id, draft.embedding) for memory_id, draft in new if draft.embedding is not None]
    write_embeddings(connection, made, embedder_id)


def write_embeddings(connection: sqlite3.Connection, made: Sequence[tuple[int, Embedding]], embedder_id: int) -> None:
    """Sets the vectors of memories by one embedder, and the token bits of those whose namespace keeps them."""
    vectors = [
        (embedder_id, memory_id, np.ascontiguousarray(embedding.vector, np.float32).tobytes())
        for memory_id, embedding in made
    ]
    _insert_rows(connection, "INSERT OR REPLACE INTO vectors VALUES {}", vectors)
    tokens = [
        (embedder_id, embedding.token_ids.tobytes(), embedding.token_bits.tobytes(), memory_id)
        for memory_id, embedding in made
        if len(embedding.token_ids)
    ]
    connection.executemany(
        """INSERT OR REPLACE INTO tokens SELECT ?, m.id, ?, ? FROM memories m JOIN namespaces n ON n.id = m.namespace_id
        WHERE m.id = ? AND n.token_bits""",
        tokens,
    )

"""Backups of the shared database, in the form that every store has: one SQLite file, complete as of one moment.

So a backup of either kind of store can be put back into the other, which is also how a memory moves from a file to a
database or back. It reads every row once: for tens of millions of memories, PostgreSQL's own `pg_dump` of the schema is
the better tool.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruvllm_mcp.memory import connection as files
from ruvllm_mcp.memory.postgres_connection import Address, Connections
from ruvllm_mcp.memory.postgres_rows import one
from ruvllm_mcp.memory.postgres_values import read_packed, read_vector, sent_terms, sent_vector

if TYPE_CHECKING:
    from psycopg import Cursor

    from ruvllm_mcp.memory.postgres_connection import Session

BATCH = 1_000
_EMBEDDERS = "id, fingerprint"
_NAMESPACES = "id, name, max_memories, max_bytes, token_bits"
_MEMORY = """id, namespace_id, content_hash, content, metadata, kind, importance, source, client, trust, created_at,
    updated_at, expires_at"""
_SAME: Mapping[str, str] = {  # tables whose columns are the same on both sides
    "links": "a, b, kind, weight",
    "access": "memory_id, count, accessed_at",
    "trajectories": """request_id, at, client, namespaces, query, fingerprint, vector, part_names, ids, parts, shown,
        version, tokens""",
    "feedback": """seq, request_id, at, client, rating, relevant, irrelevant, correction, correction_id, task_success,
        question, voted, votes, counts, shown, "right", step_names, step""",
    "versions": "id, created_at, kind, label, parent, status, metrics, fingerprint, blob",
    "learning_state": "name, value",
}


def backup(address: Address, target: Path) -> None:
    """Writes the store to the new SQLite file `target`, readable by its owner alone."""
    files.Connections(target).close()
    connections = Connections(address)
    file = files.connect(target)
    try:
        with connections.view() as database, files.translated(target):
            file.execute("BEGIN IMMEDIATE")
            _fill(file, database)
            file.execute("COMMIT")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            file.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        file.close()
        connections.close()


def restore(address: Address, source: Path) -> int:
    """Makes the store what the SQLite file `source` holds, in one transaction, so that every process takes the change
    in at its next search. Returns how many memories that are."""
    connections = Connections(address)
    file = files.connect(source)
    try:
        with files.translated(source):
            return connections.write(lambda database: _replace(database, file))
    finally:
        file.close()
        connections.close()


def _fill(file: sqlite3.Connection, database: Session) -> None:
    _put(file, "namespaces", _NAMESPACES, _rows(database, f"SELECT {_NAMESPACES} FROM namespaces"))
    _put(file, "embedders", _EMBEDDERS, _rows(database, f"SELECT {_EMBEDDERS} FROM embedders"))
    memories = _rows(database, f"SELECT row_number() OVER (ORDER BY id), {_MEMORY} FROM memories ORDER BY id")
    _put(file, "memories", f"seq, {_MEMORY}", memories)
    terms = _rows(database, "SELECT id, analysis, array_send(term_ids), term_counts FROM memories")
    packed = ((number, analysis, read_packed(ids, counts)) for number, analysis, ids, counts in terms)
    _put(file, "terms", "memory_id, analysis, postings", packed)
    vectors = _rows(database, "SELECT embedder_id, memory_id, vector_send(vector) FROM embeddings")
    plain = ((embedder, number, read_vector(sent).tobytes()) for embedder, number, sent in vectors)
    _put(file, "vectors", "embedder_id, memory_id, vector", plain)
    tokens = "SELECT embedder_id, memory_id, token_ids, token_bits FROM embeddings WHERE token_ids IS NOT NULL"
    _put(file, "tokens", "embedder_id, memory_id, ids, bits", _rows(database, tokens))
    for table, columns in _SAME.items():
        _put(file, table, columns, _rows(database, f"SELECT {columns} FROM {table}"))
    file.execute("UPDATE counters SET value = (SELECT count(*) FROM memories) WHERE name = 'seq'")


def _rows(database: Session, query: str) -> Iterator[Any]:
    """Rows as they are needed, not all at once."""
    with database.cursor("rows") as cursor:
        cursor.itersize = BATCH
        cursor.execute(query, binary=True)
        yield from cursor


def _put(file: sqlite3.Connection, table: str, columns: str, rows: Iterable[Any]) -> None:
    marks = ", ".join("?" * len(columns.split(",")))
    file.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def _replace(database: Session, file: sqlite3.Connection) -> int:
    database.execute("SET LOCAL statement_timeout = 0")
    last = int(one(database, "SELECT value FROM counters WHERE name = 'changes' FOR UPDATE"))
    made = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE 'large\\_%'"
    for (name,) in database.execute(made).fetchall():
        database.execute(f"DROP INDEX {name}".encode())  # made for namespaces that get other numbers
    for table in ("feedback", "trajectories", "versions", "learning_state", "memories", "namespaces", "embedders"):
        database.execute(f"DELETE FROM {table}".encode())
    spaces = ((*row[:-1], bool(row[-1])) for row in file.execute(f"SELECT {_NAMESPACES} FROM namespaces"))
    _copy(database, "namespaces", _NAMESPACES, spaces)
    _copy(database, "embedders", _EMBEDDERS, file.execute(f"SELECT {_EMBEDDERS} FROM embedders"))
    query = f"SELECT {_MEMORY}, t.analysis, t.postings FROM memories JOIN terms t ON t.memory_id = id"
    memories = ((*row[:-1], *sent_terms(row[-1])) for row in file.execute(query))
    types = "int8 int4 bytea text text text float8 text text int2 float8 float8 float8 int4 int4[] bytea"
    _copy(database, "memories", f"{_MEMORY}, analysis, term_ids, term_counts", memories, types)
    query = """SELECT v.memory_id, v.embedder_id, m.namespace_id, v.vector, k.ids, k.bits FROM vectors v
        JOIN memories m ON m.id = v.memory_id
        LEFT JOIN tokens k ON k.memory_id = v.memory_id AND k.embedder_id = v.embedder_id"""
    embeddings = ((*row[:3], sent_vector(np.frombuffer(row[3], np.float32)), *row[4:]) for row in file.execute(query))
    columns = "memory_id, embedder_id, namespace_id, vector, token_ids, token_bits"
    _copy(database, "embeddings", columns, embeddings, "int8 int4 int4 vector bytea bytea")
    for table, columns in _SAME.items():
        _copy(database, table, columns, file.execute(f"SELECT {columns} FROM {table}"))
    return _settle(database, last)


def _copy(database: Session, table: str, columns: str, rows: Iterable[Any], types: str = "") -> None:
    form = "(FORMAT binary)" if types else ""
    cursor: Cursor[Any] = database.cursor()
    with cursor.copy(f"COPY {table} ({columns}) FROM STDIN {form}".encode()) as copy:
        if types:
            copy.set_types(types.split())
        for row in rows:
            copy.write_row(row)


def _settle(database: Session, last: int) -> int:
    """Numbers everything anew and counts what the namespaces hold."""
    for statement in (
        """UPDATE namespaces n SET (memories, bytes) = (SELECT count(*),
            coalesce(sum(octet_length(content) + octet_length(metadata)), 0) FROM memories m
            WHERE m.namespace_id = n.id)""",
        "UPDATE identity SET value = replace(gen_random_uuid()::text, '-', '')",
        "UPDATE counters SET value = value + 1 WHERE name = 'learning'",
        "UPDATE counters SET value = greatest(value, (SELECT max(seq) FROM feedback)) WHERE name = 'feedback'",
        "INSERT INTO feed SELECT id, 0, false FROM memories ON CONFLICT DO NOTHING",
    ):
        database.execute(statement.encode())
    for table in ("memories", "namespaces", "embedders", "versions"):
        query = """SELECT setval(s, greatest((SELECT max(id) FROM {table}), (SELECT last_value FROM {sequence})))
            FROM pg_get_serial_sequence('{table}', 'id') s"""
        sequence = one(database, "SELECT pg_get_serial_sequence(%s, 'id')", (table,))
        database.execute(query.format(table=table, sequence=sequence).encode())
    database.execute(
        """UPDATE feed SET seq = t.seq, is_gone = t.is_gone FROM (
            SELECT f.memory_id, %s + row_number() OVER (ORDER BY f.memory_id) AS seq, m.id IS NULL AS is_gone
            FROM feed f LEFT JOIN memories m ON m.id = f.memory_id) t WHERE t.memory_id = feed.memory_id""",
        (last,),
    )
    query = "UPDATE counters SET value = %s + (SELECT count(*) FROM feed) WHERE name = 'changes'"
    database.execute(query, (last,))
    return int(one(database, "SELECT count(*) FROM memories"))

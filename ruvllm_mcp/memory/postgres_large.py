"""Namespaces too large for a copy in every process: noticed while they grow, indexed in the background, then left out
of the feed.

Indexes are made while writers go on (`CONCURRENTLY`), by one machine at a time, and only then does the namespace
become large, in one transaction that also tells every process to let its rows go. A machine that dies meanwhile leaves
everything as it was; the next to write there begins anew. A namespace stays large when it shrinks. Vectors of another
embedder get their index when the first of them are written.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ruvllm_mcp.errors import StoreError
from ruvllm_mcp.memory.postgres_connection import Connections

if TYPE_CHECKING:
    from ruvllm_mcp.memory.postgres_connection import Session

log = logging.getLogger(__name__)
LARGE_AT = 100_000  # memories: about where building a process's own copy takes longer than anybody waits
LOOK_EVERY = 500  # memories written by this process
M, EF_CONSTRUCTION = 16, 128
MAINTENANCE_MEMORY = "512MB"
INDEXED_DIMS = 4_000  # at most, says pgvector; wider vectors are scanned
_GROWN = """SELECT id FROM namespaces WHERE memories >= %s AND NOT is_large
    UNION SELECT n.id FROM namespaces n, embedders e WHERE n.is_large AND e.fingerprint = %s
    AND NOT EXISTS (SELECT FROM pg_index WHERE indisvalid
        AND indexrelid = to_regclass(format('large_%%s_vectors_%%s', n.id, e.id)))
    AND EXISTS (SELECT FROM embeddings v
        WHERE v.namespace_id = n.id AND v.embedder_id = e.id AND vector_dims(vector) <= %s)"""


class Grower:
    """Watches what one process writes, and makes namespaces large in a thread of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._written = 0
        self._thread: threading.Thread | None = None
        self._working: Session | None = None

    def wrote(self, count: int, embedder: str) -> None:
        """To be told of every insertion, of memories or of their embeddings."""
        with self._lock:
            self._written += count
            if self._written < LOOK_EVERY or (self._thread is not None and self._thread.is_alive()):
                return
            self._written = 0
            self._thread = threading.Thread(target=self._work, args=(embedder,), name="ruvllm-large", daemon=True)
            self._thread.start()

    def _work(self, embedder: str) -> None:
        try:
            with self._connections.read() as connection:
                grown = [row[0] for row in connection.execute(_GROWN, (LARGE_AT, embedder, INDEXED_DIMS))]
            for number in grown:
                connection = self._working = self._connections.connect()
                with connection:
                    enlarge(self._connections, connection, number)
        except StoreError as error:
            log.warning("The indexes of a large namespace could not be made: %s", error)
        finally:
            self._working = None

    def close(self) -> None:
        """Stops what is under way."""
        working, thread = self._working, self._thread
        if working is not None:
            working.cancel()
        if thread is not None:
            thread.join()


def enlarge(connections: Connections, connection: Session, number: int) -> bool:
    """Makes the namespace of that number large, over a connection of its own; False while another machine is at it."""
    with connections.translating():
        key = f"ruvllm large {connections.address.schema} {number}"
        if not connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)).fetchall()[0][0]:
            return False
        try:
            connection.execute("SET statement_timeout = 0")
            connection.execute(f"SET maintenance_work_mem = '{MAINTENANCE_MEMORY}'".encode())
            for name, made in _indexes(connection, number).items():
                _make(connection, name, made)
        finally:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (key,))
    connections.write(lambda transaction: _leave_out(transaction, number))
    return True


def _indexes(connection: Session, number: int) -> dict[str, str]:
    """The namespace's indexes by name, as what follows `CREATE INDEX name ON`."""
    made = {
        f"large_{number}_terms": f"memories USING gin (term_ids) WHERE namespace_id = {number}",
        f"large_{number}_metadata": f"""memories USING gin ((metadata::jsonb) jsonb_path_ops)
            WHERE namespace_id = {number}""",
    }
    query = """SELECT DISTINCT ON (embedder_id) embedder_id, vector_dims(vector) FROM embeddings
        WHERE namespace_id = %s"""
    for embedder_id, dim in connection.execute(query, (number,)):
        if dim <= INDEXED_DIMS:
            made[f"large_{number}_vectors_{embedder_id}"] = f"""embeddings
                USING hnsw ((vector::halfvec({dim})) halfvec_ip_ops) WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})
                WHERE namespace_id = {number} AND embedder_id = {embedder_id}"""
    return made


def _make(connection: Session, name: str, made: str) -> None:
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    row = connection.execute(query, (name,)).fetchone()
    if row is not None and not row[0]:  # its making was interrupted
        connection.execute(f"DROP INDEX {name}".encode())
    if row is None or not row[0]:
        connection.execute(f"CREATE INDEX CONCURRENTLY {name} ON {made}".encode())


def _leave_out(connection: Session, number: int) -> None:
    connection.execute("SET LOCAL statement_timeout = 0")
    (last,) = connection.execute("SELECT value FROM counters WHERE name = 'changes' FOR UPDATE").fetchall()[0]
    connection.execute("UPDATE namespaces SET is_large = true WHERE id = %s", (number,))
    gone = connection.execute(
        """UPDATE feed SET is_gone = true, seq = %s + t.place FROM (
            SELECT f.memory_id, row_number() OVER (ORDER BY f.memory_id) AS place
            FROM feed f JOIN memories m ON m.id = f.memory_id WHERE m.namespace_id = %s AND NOT f.is_gone) t
        WHERE t.memory_id = feed.memory_id""",
        (last, number),
    ).rowcount
    connection.execute("UPDATE counters SET value = value + %s WHERE name = 'changes'", (gone + 1,))

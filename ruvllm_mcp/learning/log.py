"""Trajectories and feedback in the store's own file: what learning is made from, and how processes share it.

A row is written on every search, so this connection commits with `synchronous=NORMAL`: a killed process loses nothing,
a power cut at most the last moments of a log that answers do not depend on. Nor may a search wait behind another
process's long write: a row that cannot be written at once is kept and written before the next one. Feedback waits, and
takes a number in commit order, by which every process catches up. Trajectories nobody spoke of make room first.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruvllm_mcp.errors import NotFoundError, StoreError
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.said import INSERT, SINCE, Said, feedback_of, said_of, to_columns
from ruvllm_mcp.learning.trajectory import COLUMNS, Trajectory, from_row, to_row
from ruvllm_mcp.memory.connection import translated

logger = logging.getLogger(__name__)

KEPT_UNRATED = 10_000
KEPT_RATED = 20_000
_PRUNE_EVERY = 256
_PENDING_LIMIT = 1_000
_RECENT_LIMIT = 64  # feedback mostly speaks of the last searches of the same process
_BUSY_MS = 30_000
_INSERT = f"INSERT OR IGNORE INTO trajectories ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(', ')))})"


class TrajectoryLog:
    """The log in one store file whose schema is up to date. Thread-safe. Raises the StoreError family."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pending: list[tuple[Any, ...]] = []
        self._recent: dict[str, Trajectory] = {}
        self._written = 0
        with translated(path):
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "temp_store = MEMORY"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()

    def record(self, trajectory: Trajectory) -> None:
        """Write a trajectory, or keep it for the next call when another process is writing. Never waits."""
        with self.use() as connection:
            self._recent[trajectory.request_id] = trajectory
            if len(self._recent) > _RECENT_LIMIT:
                del self._recent[next(iter(self._recent))]
            self._pending.append(to_row(trajectory))
            del self._pending[:-_PENDING_LIMIT]
            try:
                self._write_pending(connection)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise

    def get(self, request_id: str) -> Trajectory:
        """The trajectory of a request. Raises NotFoundError when it is unknown or has made room for newer ones."""
        with self.use() as connection:
            self._flush(connection)
            if request_id in self._recent:
                return self._recent[request_id]
            query = f"SELECT {COLUMNS} FROM trajectories WHERE request_id = ?"
            row = connection.execute(query, (request_id,)).fetchone()
        if row is None:
            raise NotFoundError(
                f"No request {str(request_id)[:60]!r} is known here.",
                "Give the request_id of a search or query on this store; old ones nobody rated are dropped in time.",
            )
        return from_row(row)

    def add(self, said: Said, feedback: Feedback, at: float) -> int:
        """Write one feedback and return the number it got (that in `said` is not looked at). Raises StoreBusyError when
        another process writes for too long."""
        row = to_columns(said, feedback, at)
        with self.use() as connection, _waiting(connection):
            return int(connection.execute(INSERT, row).lastrowid or 0)

    def since(self, seq: int) -> list[Said]:
        """Feedback numbered above `seq`, in order. A damaged row is passed over, and the log says so: what one feedback
        taught is not worth a search that fails."""
        with self.use() as connection:
            return [said for row in connection.execute(SINCE, (seq,)) if (said := _readable(row)) is not None]

    def feedbacks(self) -> list[tuple[str, Feedback]]:
        """Every feedback as it was given, with its request id, in order."""
        query = """SELECT request_id, rating, relevant, irrelevant, correction, correction_id, task_success, client
            FROM feedback ORDER BY seq"""
        with self.use() as connection:
            return [(row[0], feedback_of(row[1:])) for row in connection.execute(query)]

    def marker(self) -> int:
        """A number that changes whenever another connection has written to the store. A few microseconds."""
        with self.use() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def recent(self, limit: int, *, only_rated: bool = False) -> list[Trajectory]:
        """The newest trajectories, newest first."""
        rated = "WHERE EXISTS (SELECT 1 FROM feedback f WHERE f.request_id = t.request_id)" if only_rated else ""
        with self.use() as connection:
            self._flush(connection)
            query = f"SELECT {COLUMNS} FROM trajectories t {rated} ORDER BY request_id DESC LIMIT ?"
            return [from_row(row) for row in connection.execute(query, (limit,))]

    def counts(self) -> dict[str, int]:
        """How many trajectories and feedbacks are kept."""
        with self.use() as connection:
            self._flush(connection)
            trajectories = connection.execute("SELECT count(*) FROM trajectories").fetchone()[0]
            return {
                "trajectories": trajectories,
                "feedback": connection.execute("SELECT count(*) FROM feedback").fetchone()[0],
            }

    def close(self) -> None:
        """Write what was kept back and free the file; further calls are StoreErrors."""
        with self.use() as connection:
            try:
                self._flush(connection)
            finally:
                connection.close()
                self._closed = True

    _closed = False

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that commits at the end, or leaves no trace when anything inside raises."""
        with self.use() as connection, _waiting(connection):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection, to this caller alone."""
        with translated(self._path), self._lock:
            if self._closed:
                raise StoreError(f"{self._path} was closed.", "Open it again.")
            yield self._connection

    def _flush(self, connection: sqlite3.Connection) -> None:
        if self._pending:
            with _waiting(connection):
                self._write_pending(connection)

    def _write_pending(self, connection: sqlite3.Connection) -> None:
        while self._pending:
            connection.execute(_INSERT, self._pending[0])
            del self._pending[0]
            self._written += 1
            if self._written % _PRUNE_EVERY == 0:
                _prune(connection)


def _readable(row: Sequence[Any]) -> Said | None:
    try:
        return said_of(row)
    except (ValueError, TypeError) as error:
        logger.warning("feedback %s is damaged and passed over: %s", row[0], error)
        return None


@contextmanager
def _waiting(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}").fetchall()
    try:
        yield
    finally:
        connection.execute("PRAGMA busy_timeout = 0").fetchall()


def _prune(connection: sqlite3.Connection) -> None:
    """Drop all but the newest: request ids sort by time."""
    for rated, kept in (("NOT EXISTS", KEPT_UNRATED), ("EXISTS", KEPT_RATED)):
        connection.execute(
            f"""DELETE FROM trajectories WHERE request_id IN (SELECT request_id FROM trajectories t
            WHERE {rated} (SELECT 1 FROM feedback f WHERE f.request_id = t.request_id)
            ORDER BY request_id DESC LIMIT -1 OFFSET ?)""",
            (kept,),
        )

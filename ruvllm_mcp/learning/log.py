"""Trajectories and feedback in the store's journal: what learning is made from, and how processes share it.

A row is written on every search, and no search may wait behind another process's long write: a row that cannot be
written at once is kept and written before the next one. Feedback waits, and takes a number in commit order, by which
every process catches up. Trajectories nobody spoke of make room first.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from ruvllm_mcp.errors import NotFoundError, StoreBusyError
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.said import INSERT, SINCE, Said, feedback_of, said_of, to_columns
from ruvllm_mcp.learning.trajectory import COLUMNS, Trajectory, from_row, to_row
from ruvllm_mcp.memory.journal import Journal, Rows

logger = logging.getLogger(__name__)

KEPT_UNRATED = 10_000
KEPT_RATED = 20_000
_PRUNE_EVERY = 256
_PENDING_LIMIT = 1_000
_READ_AT_ONCE = 64
_RECENT_LIMIT = 64  # feedback mostly speaks of the last searches of the same process
_MARKS = ", ".join("?" * len(COLUMNS.split(", ")))
_INSERT = f"INSERT INTO trajectories ({COLUMNS}) VALUES ({_MARKS}) ON CONFLICT DO NOTHING"


class TrajectoryLog:
    """The log of one store. Thread-safe. Raises the StoreError family."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._writing = threading.Lock()  # held by whoever writes pending rows; taken before the journal
        self._pending: deque[tuple[Any, ...]] = deque(maxlen=_PENDING_LIMIT)
        self._lock = threading.Lock()
        self._recent: dict[str, Trajectory] = {}
        self._written = 0

    def record(self, trajectory: Trajectory) -> None:
        """Write a trajectory, or keep it for the next call when another process is writing. Never waits."""
        with self._lock:
            self._recent[trajectory.request_id] = trajectory
            if len(self._recent) > _RECENT_LIMIT:
                del self._recent[next(iter(self._recent))]
        self._pending.append(to_row(trajectory))
        if self._writing.acquire(blocking=False):
            try:
                with suppress(StoreBusyError), self._journal.at_once() as rows:
                    self._write_pending(rows)
            finally:
                self._writing.release()

    def get(self, request_id: str) -> Trajectory:
        """The trajectory of a request. Raises NotFoundError when it is unknown or has made room for newer ones."""
        known = self._recent.get(request_id)
        if known is not None:
            return known
        self.flush()
        query = f"SELECT {COLUMNS} FROM trajectories WHERE request_id = ?"
        with self._journal.use() as rows:
            row = rows.execute(query, (request_id,)).fetchone()
        if row is None:
            raise NotFoundError(
                f"No request {str(request_id)[:60]!r} is known here.",
                "Give the request_id of a search or query on this store; old ones nobody rated are dropped in time.",
            )
        return from_row(row)

    def add(self, rows: Rows, said: Said, feedback: Feedback, at: float) -> int:
        """Write one feedback in the journal's transaction `rows` and return the number it got (that in `said` is not
        looked at)."""
        return int(rows.execute(INSERT, to_columns(said, feedback, at)).fetchall()[0][0])

    def since(self, seq: int) -> Iterator[Said]:
        """Feedback numbered above `seq`, in order, a few in memory at a time. A damaged row is passed over, and the log
        says so: what one feedback taught is not worth a search that fails."""
        last: int | None = seq
        while last is not None:
            with self._journal.use() as rows:
                read = rows.execute(SINCE, (last, _READ_AT_ONCE)).fetchall()
            yield from (said for row in read if (said := _readable(row)) is not None)
            last = read[-1][0] if len(read) == _READ_AT_ONCE else None

    def feedbacks(self) -> list[tuple[str, Feedback]]:
        """Every feedback as it was given, with its request id, in order."""
        query = """SELECT request_id, rating, relevant, irrelevant, correction, correction_id, task_success, client
            FROM feedback ORDER BY seq"""
        with self._journal.use() as rows:
            return [(row[0], feedback_of(row[1:])) for row in rows.execute(query)]

    def recent(self, limit: int, *, only_rated: bool = False) -> list[Trajectory]:
        """The newest trajectories, newest first."""
        return list(itertools.islice(self.newest(only_rated=only_rated), limit))

    def newest(self, *, only_rated: bool = False) -> Iterator[Trajectory]:
        """All trajectories, newest first, a few in memory at a time."""
        rated = "AND EXISTS (SELECT 1 FROM feedback f WHERE f.request_id = t.request_id)" if only_rated else ""
        query = f"""SELECT {COLUMNS} FROM trajectories t WHERE request_id < ? {rated}
            ORDER BY request_id DESC LIMIT {_READ_AT_ONCE}"""
        self.flush()
        last: str | None = "s"  # after every request id
        while last is not None:
            with self._journal.use() as rows:
                read = rows.execute(query, (last,)).fetchall()
            yield from map(from_row, read)
            last = read[-1][0] if len(read) == _READ_AT_ONCE else None

    def counts(self) -> dict[str, int]:
        """How many trajectories and feedbacks are kept."""
        self.flush()
        with self._journal.use() as rows:
            return {
                "trajectories": rows.execute("SELECT count(*) FROM trajectories").fetchone()[0],
                "feedback": rows.execute("SELECT count(*) FROM feedback").fetchone()[0],
            }

    def close(self) -> None:
        """Write what was kept back and let go of the journal; further calls are StoreErrors."""
        try:
            self.flush()
        finally:
            self._journal.close()

    def flush(self) -> None:
        """Write what was kept back, waiting for other writers."""
        with self._writing:
            if self._pending:
                with self._journal.use() as rows:
                    self._write_pending(rows)

    def _write_pending(self, rows: Rows) -> None:
        while self._pending:
            row = self._pending[0]
            rows.execute(_INSERT, row)
            with suppress(ValueError):  # where newer ones have pushed it out
                self._pending.remove(row)
            self._written += 1
            if self._written % _PRUNE_EVERY == 0:
                _prune(rows)


def _readable(row: Sequence[Any]) -> Said | None:
    try:
        return said_of(row)
    except (ValueError, TypeError) as error:
        logger.warning("feedback %s is damaged and passed over: %s", row[0], error)
        return None


def _prune(rows: Rows) -> None:
    """Drop all but the newest: request ids sort by time."""
    for rated, kept in (("NOT EXISTS", KEPT_UNRATED), ("EXISTS", KEPT_RATED)):
        rows.execute(
            f"""DELETE FROM trajectories WHERE request_id IN (SELECT request_id FROM trajectories t
            WHERE {rated} (SELECT 1 FROM feedback f WHERE f.request_id = t.request_id)
            ORDER BY request_id DESC LIMIT 1000000000 OFFSET ?)""",
            (kept,),
        )

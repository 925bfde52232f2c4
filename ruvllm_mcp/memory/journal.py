"""Where learning keeps its rows: beside the memories, in the same database, by SQL that both kinds of store understand.

Values are written `?`. A row is written on every search, so a journal promises less than memories do: a killed process
loses nothing, a power cut at most the last moments.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, Union

from ruvllm_mcp.errors import StoreBusyError, StoreError
from ruvllm_mcp.memory.connection import translated

Place = Union[Path, str]  # noqa: UP007 - evaluated; a store's file, or the address of a database
BUSY_MS = 30_000
_PATIENCE = 0.02  # seconds that a write which is not to wait waits for this process's own


class Result(Protocol):
    """The rows of one statement."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Sequence[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Rows(Protocol):
    """What runs statements."""

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> Result: ...


class Journal(Protocol):
    """One store's learning tables. Thread-safe. Raises the StoreError family."""

    def use(self) -> AbstractContextManager[Rows]:
        """For statements that each are a transaction of their own; waits for other writers. May be asked for within a
        `write` of the same thread, and what it reads then may or may not hold that one's changes."""
        ...

    def at_once(self) -> AbstractContextManager[Rows]:
        """The same, but a write that would have to wait for another one raises StoreBusyError instead."""
        ...

    def write(self) -> AbstractContextManager[Rows]:
        """A transaction that commits at the end, or leaves no trace when anything inside raises. From its beginning to
        its end nobody else's `write` on this store gets anywhere."""
        ...

    def marker(self) -> int:
        """A number that changes whenever another process has written feedback or versions. Asked at every search."""
        ...

    def close(self) -> None:
        """Lets go of the database; further calls are StoreErrors."""
        ...


def open_journal(place: Place) -> Journal:
    """The journal of a store that was opened before, so that its schema is up to date."""
    if isinstance(place, Path):
        return SqliteJournal(place)
    from ruvllm_mcp.memory.postgres_journal import PostgresJournal

    return PostgresJournal(place)


class SqliteJournal:
    """One connection of its own to the store's file, for one caller at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._closed = False
        with translated(path):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
            for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "temp_store = MEMORY"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        with translated(self._path), self._lock:
            if self._closed:
                raise StoreError(f"{self._path} was closed.", "Open it again.")
            yield self._connection

    @contextmanager
    def at_once(self) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=_PATIENCE):
            raise StoreBusyError(f"{self._path} is being written.", "Try again when that has finished.")
        try:
            with self.use() as connection:
                connection.execute("PRAGMA busy_timeout = 0").fetchall()
                try:
                    yield connection
                finally:
                    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}").fetchall()
        finally:
            self._lock.release()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        with self.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def marker(self) -> int:
        with self.use() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        with self.use() as connection:
            self._closed = True
            connection.close()

"""Opening the store's file: permissions, pragmas, schema, a pool of readers, and SQLite's errors in our own words.

Durability: WAL with `synchronous=FULL`, so a commit is on the disk when it returns. Writers begin with `BEGIN
IMMEDIATE` and wait up to `BUSY_SECONDS` for each other; a reader never waits. One connection writes, behind a lock;
readers are pooled.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ruvllm_mcp.errors import (
    StorageFullError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreVersionError,
)
from ruvllm_mcp.memory import migrations

log = logging.getLogger(__name__)
BUSY_SECONDS = 30.0
USUAL_CACHE, LARGE_CACHE = -2_000, -16_000  # KiB: what a large add changes, hashes in no order among it
_TRANSLATIONS: tuple[tuple[tuple[str, ...], type[StoreError], str, str], ...] = (
    (("locked", "busy"), StoreBusyError, "is held by another process", "Try again when it has finished."),
    (("full",), StorageFullError, "cannot grow: the disk is full", "Free some space; what was stored is intact."),
    (
        ("readonly", "unable to open", "disk i/o", "permission", "read-only"),
        StorageFullError,
        "cannot be written or read",
        "Check the disk's space and the folder's permissions; what was stored is intact.",
    ),
    (
        ("malformed", "not a database", "corrupt"),
        StoreCorruptError,
        "is damaged or no store of ours",
        "Run `ruvllm doctor`, or restore a backup.",
    ),
)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors inside become the StoreError family."""
    try:
        yield
    except UnicodeDecodeError as error:  # text, or SQLite's own message, with bytes scribbled over
        raise StoreCorruptError(f"{path} is damaged ({error}).", "Run `ruvllm doctor`, or restore a backup.") from error
    except (sqlite3.Error, OSError) as error:
        text = str(error).lower()
        for needles, kind, what, hint in _TRANSLATIONS:
            if any(needle in text for needle in needles):
                raise kind(f"{path} {what} ({error}).", hint) from error
        if isinstance(error, OSError):
            raise StorageFullError(
                f"{path} cannot be used ({error}).", "Check the disk and the permissions."
            ) from error
        raise StoreError(f"{path}: {error}.", "Run `ruvllm doctor`.") from error


class Connections:
    """One store file, open: `write()` for a transaction, `read()` for a snapshot of committed data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._pool_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        self._cache = 0
        with translated(path):
            create_private(path)
            self._writer = connect(path)
            try:
                check_identity(self._writer, path)
                _bring_up_to_date(self._writer, path)
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def write(self, cache: int = USUAL_CACHE) -> Iterator[sqlite3.Connection]:
        """A transaction that commits at the end, or leaves no trace when anything inside raises. `cache`: what it may
        keep in memory until the next one, as SQLite's `cache_size`."""
        with translated(self.path), self._lock:
            self._refuse_if_closed()
            if cache != self._cache:
                self._writer.execute(f"PRAGMA cache_size = {cache}")
                self._cache = cache
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A pooled connection for statements outside a transaction."""
        with translated(self.path):
            with self._pool_lock:
                self._refuse_if_closed()
                connection = self._readers.pop() if self._readers else None
            if connection is None:
                connection = connect(self.path)
            try:
                yield connection
            finally:
                with self._pool_lock:
                    if self._closed:
                        connection.close()
                    else:
                        self._readers.append(connection)

    def close(self) -> None:
        """Closes every connection not in use now; the others close when handed back."""
        with self._lock, self._pool_lock:
            self._closed = True
            for connection in (*self._readers, self._writer):
                connection.close()
            self._readers.clear()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path} was closed.", "Open the memory again.")


def create_private(path: Path) -> None:
    """Makes the file, empty and for its owner alone, and its folder, where there is none yet.

    A file that exists is not opened here: closing it would drop every lock that this process holds on it through SQLite
    (POSIX locks belong to the process), and another process could then take the log away from under us.
    """
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # -wal and -shm get the same permissions


def connect(path: Path) -> sqlite3.Connection:
    """A connection with our pragmas, usable from any thread."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "page_size = 8192",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "mmap_size = 1073741824",
        ):
            _set(connection, pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _set(connection: sqlite3.Connection, pragma: str) -> None:
    """SQLite waits for no one when a new file is given its log (two that switch at once would wait for each other)."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(f"PRAGMA {pragma}").fetchall()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.001)


def copy(source: Path, target: Path) -> None:
    """One consistent copy, however busy the source is, as the private new file `target` without a log beside it.
    StoreCorruptError when what was copied is damaged; then, as after any other error, there is no `target`."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    create_private(partial)
    try:
        reading = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
        writing = sqlite3.connect(partial)
        try:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE").fetchall()
            seen = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            writing.close()
            reading.close()
        if seen != "ok":
            raise StoreCorruptError(f"{source} is damaged ({seen}).", "Name another backup, or run `ruvllm doctor`.")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def keep_copy(path: Path, version: int) -> Path:
    """Copies the store, which has that schema, to a new file beside it."""
    target = path.with_name(f"{path.name}.schema{version}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    copy(path, target)
    return target


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    version = migrations.version_of(connection)
    if 0 < version < len(migrations.STEPS) and connection.execute("SELECT 1 FROM memories LIMIT 1").fetchone():
        kept = keep_copy(path, version)
        log.warning("%s moves from schema %d to %d; as it was: %s", path, version, len(migrations.STEPS), kept)
    migrations.migrate(connection, time.time())


def check_identity(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreCorruptError for another program's file, StoreVersionError for a newer release's."""
    connection.execute("BEGIN")  # one moment for the three: another process may be making the schema
    try:
        version = migrations.version_of(connection)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        is_empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if application != migrations.APPLICATION_ID and not is_empty:
        raise StoreCorruptError(f"{path} is an SQLite file of another program.", "Name another folder as home.")
    if version > len(migrations.STEPS):
        raise StoreVersionError(
            f"{path} has schema {version}; this release knows up to {len(migrations.STEPS)}.",
            "Upgrade ruvllm-mcp, or name another home.",
        )

"""Copies of the store: made while it is in use, and put back while it is in use.

A backup is one SQLite file of the same schema, complete as of one moment. Restoring replaces the rows in one
transaction and gives each a new sequence number (and what is gone a tombstone), so that every process takes the
change in at its next search like any other. A store too damaged to be opened is set aside and the backup takes its
place.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from ruvllm_mcp.errors import InvalidInputError, StoreCorruptError
from ruvllm_mcp.memory import migrations, spaces
from ruvllm_mcp.memory.connection import Connections, connect, copy, translated
from ruvllm_mcp.memory.sqlite import FILE_NAME

_OWN = ("counters", "identity", "migrations", "tombstones", "sqlite_sequence")


def backup(folder: Path, target: Path, store: str = "") -> int:
    """Copies the store in `folder`, or in the database at the address `store`, to the new file `target` (mode 0600) and
    checks the copy; returns its bytes."""
    if target.exists():
        raise InvalidInputError(f"{target} exists already.", "Name a new file.")
    if store:
        return _backup_of_database(store, target)
    if not (folder / FILE_NAME).exists():
        raise InvalidInputError(f"{folder} holds no store.", "Name the home of one.")
    with translated(target):
        copy(folder / FILE_NAME, target)
    return target.stat().st_size


def _backup_of_database(store: str, target: Path) -> int:
    from ruvllm_mcp.memory import postgres_backup
    from ruvllm_mcp.memory.postgres_connection import address_of

    filling = target.with_name(f"{target.name}.{os.getpid()}.filling.partial")
    try:
        with translated(target):
            postgres_backup.backup(address_of(store), filling)
            copy(filling, target)
    finally:
        for suffix in ("", "-wal", "-shm"):
            filling.with_name(filling.name + suffix).unlink(missing_ok=True)
    return target.stat().st_size


def restore(folder: Path, source: Path, store: str = "") -> int:
    """Makes the store in `folder`, or in the database at the address `store`, what it was when `source` was made;
    returns how many memories that are. A backup of either kind of store can be put back into the other."""
    if not source.is_file():
        raise InvalidInputError(f"There is no file {source}.", "Name a backup.")
    path, incoming = folder / FILE_NAME, folder / f"restore.{os.getpid()}.partial"
    with translated(source):
        try:
            copy(source, incoming)
            Connections(incoming).close()  # checks that it is a store of ours and brings its schema up to date
            if store:
                return _restored_to_database(store, incoming)
            try:
                Connections(path).close()
            except StoreCorruptError:
                set_aside(path)
                Connections(path).close()
            return _replace_rows(path, incoming)
        finally:
            for leftover in folder.glob(f"{incoming.name}*"):
                leftover.unlink()


def _restored_to_database(store: str, incoming: Path) -> int:
    from ruvllm_mcp.memory import postgres_backup
    from ruvllm_mcp.memory.postgres_connection import address_of

    return postgres_backup.restore(address_of(store), incoming)


def set_aside(path: Path) -> None:
    """Renames the store's files to `memory.db.damaged-<time>`."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(path.with_name(f"{path.name}.damaged-{stamp}{suffix}"))


def _replace_rows(path: Path, incoming: Path) -> int:
    connection = connect(path)
    try:
        connection.execute("ATTACH ? AS incoming", (str(incoming),))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA defer_foreign_keys = ON")
        if migrations.version_of(connection) != len(migrations.STEPS):
            raise StoreCorruptError(f"{path} changed meanwhile.", "Try again.")
        offset = connection.execute("SELECT value + 1 FROM main.counters WHERE name = 'seq'").fetchone()[0]
        gone = connection.execute(
            "SELECT id FROM main.memories WHERE id NOT IN (SELECT id FROM incoming.memories) ORDER BY id"
        ).fetchall()
        tables = connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in _OWN:
                connection.execute(f"DELETE FROM main.{table}")
        for (table,) in tables:
            if table not in _OWN:
                connection.execute(f"INSERT INTO main.{table} SELECT * FROM incoming.{table}")
        spaces.recount(connection)  # the triggers counted the rows that came with their counts
        connection.execute("UPDATE main.memories SET seq = -seq")  # by a detour: no two may be equal on the way
        connection.execute("UPDATE main.memories SET seq = ? - seq", (offset,))
        last = connection.execute("SELECT coalesce(max(seq), ?) FROM main.memories", (offset,)).fetchone()[0]
        connection.executemany(
            "INSERT INTO main.tombstones VALUES (?, ?)", [(last + n, row[0]) for n, row in enumerate(gone, start=1)]
        )
        connection.execute("UPDATE main.counters SET value = ? WHERE name = 'seq'", (last + len(gone),))
        connection.execute("UPDATE main.identity SET value = lower(hex(randomblob(16)))")
        count = connection.execute("SELECT count(*) FROM main.memories").fetchone()[0]
        connection.execute("COMMIT")
        return int(count)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.close()

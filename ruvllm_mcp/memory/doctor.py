"""What can be wrong with a store on disk, each with what it means and whether it can be put right.

The memories' rows are the record; everything else (terms, vectors, snapshots, SQLite's own indexes) can be made again
from them, and `repair` does so after setting a copy of the file aside. `salvage` reads what is on damaged pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from ruvllm_mcp.errors import RuvLLMError, StoreError
from ruvllm_mcp.memory import migrations, snapshot
from ruvllm_mcp.memory.connection import Connections
from ruvllm_mcp.memory.drafting import content_hash
from ruvllm_mcp.memory.salvage import salvage
from ruvllm_mcp.memory.sqlite import FILE_NAME
from ruvllm_mcp.memory.symptoms import Symptom


def examine(folder: Path) -> list[Symptom]:
    """Everything wrong with the store in `folder`; reads all of it and changes nothing
    but the schema, which opening brings up to date. Empty when it is sound or
    absent."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    found = [*_stray_files(folder)]
    try:
        connections = Connections(path)
    except StoreError as error:
        return [*found, Symptom("unreadable", str(error), _is_ours(path))]
    try:
        with connections.read() as connection:
            for check in (_pages, _orphans, _terms, _hashes, _vectors, _numbers):
                found += check(connection)
                if any(symptom.name == "pages" for symptom in found):
                    break  # what else is wrong follows from it
    except RuvLLMError as error:
        found.append(Symptom("pages", str(error), True))
    finally:
        connections.close()
    return found


def repair(folder: Path) -> list[Symptom]:
    """Puts right what can be, with nobody else using the store, and returns what is still wrong. The file as it was is
    kept as `memory.db.damaged-<time>` when pages had to be salvaged."""
    for symptom in examine(folder):
        if symptom.name in ("snapshot", "leftover"):
            (folder / symptom.detail.split(" ", 1)[0]).unlink(missing_ok=True)
        elif symptom.name in ("pages", "unreadable") and symptom.is_repairable:
            salvage(folder / FILE_NAME)
        elif symptom.is_repairable:
            connections = Connections(folder / FILE_NAME)
            try:
                with connections.write() as connection:
                    _CURES[symptom.name](connection)
            finally:
                connections.close()
    return examine(folder)


def _is_ours(path: Path) -> bool:
    """Whether the file's header still says that it is a store, of a schema that this release knows."""
    with path.open("rb") as stream:
        header = stream.read(100)
    version = int.from_bytes(header[60:64], "big")
    return header[68:72] == migrations.APPLICATION_ID.to_bytes(4, "big") and version <= len(migrations.STEPS)


def _stray_files(folder: Path) -> Iterator[Symptom]:
    for path in sorted(folder.glob("*.partial*")):
        yield Symptom("leftover", f"{path.name} was left by a process that was killed", True)
    for path in sorted(folder.glob("index-*.snap")):
        try:
            snapshot.verify(path)
        except StoreError as error:
            yield Symptom("snapshot", f"{path.name} is damaged: {error.message}", True)


def _pages(connection: sqlite3.Connection) -> Iterator[Symptom]:
    seen = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if seen == ["ok"]:
        return
    only_indexes = all("index" in message for message in seen)
    yield Symptom("indexes" if only_indexes else "pages", "; ".join(seen)[:500], True)


def _orphans(connection: sqlite3.Connection) -> Iterator[Symptom]:
    count = len(connection.execute("PRAGMA foreign_key_check").fetchall())
    if count:
        yield Symptom("orphans", f"{count} rows belong to memories that are gone", True)


def _terms(connection: sqlite3.Connection) -> Iterator[Symptom]:
    count = connection.execute(f"SELECT count(*) {_WITHOUT_TERMS}").fetchone()[0]
    if count:
        yield Symptom("terms", f"{count} memories have no index terms and are not found", True)


def _hashes(connection: sqlite3.Connection) -> Iterator[Symptom]:
    count = sum(content_hash(row[1]) != row[2] for row in connection.execute(_CONTENTS))
    if count:
        yield Symptom("hashes", f"{count} memories do not match their checksum: their text may be damaged", True)


def _vectors(connection: sqlite3.Connection) -> Iterator[Symptom]:
    count = connection.execute(f"SELECT count(*) {_ODD_VECTORS}").fetchone()[0]
    if count:
        yield Symptom("vectors", f"{count} vectors have the wrong length", True)


def _numbers(connection: sqlite3.Connection) -> Iterator[Symptom]:
    if connection.execute(f"SELECT {_HIGHEST} > value FROM counters WHERE name = 'seq'").fetchone()[0]:
        yield Symptom("numbers", "changes are numbered beyond the counter", True)


_WITHOUT_TERMS = "FROM memories WHERE id NOT IN (SELECT memory_id FROM terms)"
_CONTENTS = "SELECT id, content, content_hash FROM memories"
_ODD_VECTORS = """FROM vectors WHERE length(vector) % 4 OR length(vector) <> (SELECT length(vector) FROM vectors o
    WHERE o.embedder_id = vectors.embedder_id GROUP BY length(vector) ORDER BY count(*) DESC LIMIT 1)"""
_HIGHEST = """max((SELECT coalesce(max(seq), 0) FROM memories), (SELECT coalesce(max(seq), 0) FROM tombstones))"""


def _drop_orphans(connection: sqlite3.Connection) -> None:
    for table, rowid, *_ in connection.execute("PRAGMA foreign_key_check").fetchall():
        if rowid is not None:
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
    connection.execute(
        "DELETE FROM links WHERE a NOT IN (SELECT id FROM memories) OR b NOT IN (SELECT id FROM memories)"
    )


def _forget_terms(connection: sqlite3.Connection) -> None:
    connection.execute(f"INSERT INTO terms SELECT id, -1, x'' {_WITHOUT_TERMS}")  # -1: to be analysed at next opening


def _hash_again(connection: sqlite3.Connection) -> None:
    for memory_id, content, stored in connection.execute(_CONTENTS).fetchall():
        if content_hash(content) != stored:
            connection.execute(
                "UPDATE OR IGNORE memories SET content_hash = ? WHERE id = ?", (content_hash(content), memory_id)
            )


def _drop_vectors(connection: sqlite3.Connection) -> None:
    connection.execute(f"DELETE {_ODD_VECTORS}")


def _count_on(connection: sqlite3.Connection) -> None:
    connection.execute(f"UPDATE counters SET value = {_HIGHEST} WHERE name = 'seq'")


def _reindex(connection: sqlite3.Connection) -> None:
    connection.execute("REINDEX")


_CURES: dict[str, Callable[[sqlite3.Connection], None]] = {
    "orphans": _drop_orphans,
    "terms": _forget_terms,
    "hashes": _hash_again,
    "vectors": _drop_vectors,
    "numbers": _count_on,
    "indexes": _reindex,
}

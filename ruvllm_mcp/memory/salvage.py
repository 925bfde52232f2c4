"""What can still be read of a damaged store, in a new one: memories, namespaces, links, searches and feedback.

What is derived is made anew from the text, and what was learned from the feedback. Rows on damaged pages are looked for
one by one; a row that arrives is checked, since damage that spares a page's structure goes unnoticed by SQLite.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.memory.backup import set_aside
from ruvllm_mcp.memory.connection import Connections, translated
from ruvllm_mcp.memory.drafting import content_hash

Row = Mapping[str, Any]
SEARCHED = 100_000  # numbers that are tried one by one
_SPACE = ("id", "name", "max_memories", "max_bytes", "token_bits")
_MEMORY = (
    *("id", "namespace_id", "content", "metadata", "kind", "importance", "source", "client", "trust"),
    *("created_at", "updated_at", "expires_at"),
)
_TRAJECTORY = (
    *("request_id", "at", "client", "namespaces", "query", "fingerprint", "vector", "part_names", "ids", "parts"),
    *("shown", "version", "tokens"),
)
_FEEDBACK = (
    *("seq", "request_id", "at", "client", "rating", "relevant", "irrelevant", "correction", "correction_id"),
    *("task_success", "question", "voted", "votes", "counts", "shown", "right", "step_names", "step"),
)


def salvage(path: Path) -> None:
    """Puts a new store with what can be read in the place of the one at `path`, which is kept beside it."""
    rescued = path.with_name(f"salvage.{os.getpid()}.partial")
    rescued.unlink(missing_ok=True)
    Connections(rescued).close()
    with translated(path):
        damaged = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        fresh = sqlite3.connect(rescued, isolation_level=None)
        try:
            fresh.execute("BEGIN")
            _rescue(damaged, fresh)
            fresh.execute("COMMIT")
        finally:
            fresh.close()
            damaged.close()
        set_aside(path)
        rescued.replace(path)


def _rescue(damaged: sqlite3.Connection, fresh: sqlite3.Connection) -> None:
    for row in _numbered(damaged, "namespaces", "id", _SPACE):
        _insert(fresh, "namespaces", row)
    for number, row in enumerate(_numbered(damaged, "memories", "id", _MEMORY), start=1):
        _save(fresh, number, row)
    highest = "(SELECT coalesce(max(max(seq), max(id)), 0) FROM memories)"
    fresh.execute(f"UPDATE counters SET value = {highest} WHERE name = 'seq'")
    for table, rows, is_sound in (
        ("access", _numbered(damaged, "access", "memory_id", ("memory_id", "count", "accessed_at")), _is_access),
        ("links", _ordered(damaged, "links", "a, b, kind", ("a", "b", "kind", "weight")), _is_link),
        ("trajectories", _numbered(damaged, "trajectories", "rowid", _TRAJECTORY), _is_trajectory),
        ("feedback", _numbered(damaged, "feedback", "seq", _FEEDBACK), _is_feedback),
    ):
        for row in rows:
            if is_sound(row):
                _insert(fresh, table, row)
    for table, gone in (
        ("links", "a NOT IN (SELECT id FROM memories) OR b NOT IN (SELECT id FROM memories)"),
        ("access", "memory_id NOT IN (SELECT id FROM memories)"),
        ("feedback", "request_id NOT IN (SELECT request_id FROM trajectories)"),
    ):
        fresh.execute(f"DELETE FROM {table} WHERE {gone}")


def _save(fresh: sqlite3.Connection, number: int, row: Row) -> None:
    if not isinstance(row["content"], str):
        return
    space = {"id": row["namespace_id"], "name": f"salvaged-{row['namespace_id']}"}
    _insert(fresh, "namespaces", space)  # unless its own row was read
    if _insert(fresh, "memories", {**row, "seq": number, "content_hash": content_hash(row["content"])}):
        fresh.execute("INSERT INTO terms VALUES (?, -1, x'')", (row["id"],))  # -1: to be analysed at next opening


def _insert(fresh: sqlite3.Connection, table: str, row: Row) -> int:
    marks = ", ".join("?" * len(row))
    query = f"INSERT OR IGNORE INTO {table} ({_quoted(row)}) VALUES ({marks})"
    return fresh.execute(query, tuple(row.values())).rowcount


def _is_access(row: Row) -> bool:
    return isinstance(row["count"], int) and _is_number(row["accessed_at"])


def _is_link(row: Row) -> bool:
    return isinstance(row["kind"], str) and _is_number(row["weight"])


def _is_trajectory(row: Row) -> bool:
    texts, blobs = ("request_id", "query", "fingerprint", "part_names"), ("vector", "ids", "parts", "shown")
    if not all(isinstance(row[name], str) for name in texts) or not all(isinstance(row[name], bytes) for name in blobs):
        return False
    if any(len(row[name]) % size for name, size in (("vector", 4), ("ids", 8), ("parts", 4), ("shown", 8))):
        return False
    return all(bool(np.isfinite(np.frombuffer(row[name], "<f4")).all()) for name in ("vector", "parts"))


def _is_feedback(row: Row) -> bool:
    blobs = [row[name] for name in ("voted", "votes", "counts", "step") if name in row]
    return isinstance(row["request_id"], str) and _is_number(row["at"]) and all(isinstance(b, bytes) for b in blobs)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _columns(damaged: sqlite3.Connection, table: str, wanted: Sequence[str]) -> list[str]:
    """Those of `wanted` that the table has: an older schema lacks some."""
    there = {row[1] for row in damaged.execute(f"PRAGMA table_info({table})")}
    return [name for name in wanted if name in there]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _numbered(damaged: sqlite3.Connection, table: str, key: str, wanted: Sequence[str]) -> Iterator[Row]:
    """The rows that can be read, by their number: forwards to the first damage, then backwards from the end to it,
    then one by one."""
    names = _columns(damaged, table, wanted)
    columns = f"{key}, {_quoted(names)}"
    seen: set[int] = set()
    bounds = []
    for order, beyond in (("ASC", ">"), ("DESC", "<")):
        at = 0 if order == "ASC" else 2**62
        try:
            while names:
                query = f"SELECT {columns} FROM {table} WHERE {key} {beyond} ? ORDER BY {key} {order} LIMIT 1"
                row = damaged.execute(query, (at,)).fetchone()
                if row is None or row[0] in seen:
                    break
                at = row[0]
                seen.add(at)
                yield dict(zip(names, row[1:], strict=True))
        except (sqlite3.Error, OverflowError):
            pass
        bounds.append(at)
    low, high = bounds
    for number in range(low + 1, min(high, low + SEARCHED, _last_number(damaged) + 1)):
        if number not in seen:
            try:
                row = damaged.execute(f"SELECT {columns} FROM {table} WHERE {key} = ?", (number,)).fetchone()
            except (sqlite3.Error, OverflowError):
                continue
            if row is not None:
                yield dict(zip(names, row[1:], strict=True))


def _ordered(damaged: sqlite3.Connection, table: str, key: str, wanted: Sequence[str]) -> Iterator[Row]:
    """The rows before the first damage, and after the last, of a table without numbers. Some may come twice."""
    names = _columns(damaged, table, wanted)
    for order in ("ASC", "DESC"):
        by = ", ".join(f"{name} {order}" for name in key.split(", "))
        try:
            for row in damaged.execute(f"SELECT {_quoted(names)} FROM {table} ORDER BY {by}"):
                yield dict(zip(names, row, strict=True))
        except (sqlite3.Error, OverflowError):
            continue
        break


def _last_number(damaged: sqlite3.Connection) -> int:
    """No memory's id is higher than the number of the last change; of the rest, there are seldom more."""
    try:
        return int(damaged.execute("SELECT value FROM counters WHERE name = 'seq'").fetchone()[0])
    except (sqlite3.Error, TypeError, ValueError):
        return 2**62

"""Namespaces in the SQLite store: what each holds, may hold and keeps.

Triggers count memories and bytes as rows come and go, so a limit costs one row to check, inside the transaction that
would break it: no number of processes can outgrow a limit together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from ruvllm_mcp.errors import NamespaceFullError
from ruvllm_mcp.memory.store import Limits
from ruvllm_mcp.types import NamespaceInfo

_TRIGGERS = {
    "memories_added": ("AFTER INSERT ON memories", (("+", "NEW"),)),
    "memories_deleted": ("AFTER DELETE ON memories", (("-", "OLD"),)),
    "memories_changed": ("AFTER UPDATE OF content, metadata, namespace_id ON memories", (("-", "OLD"), ("+", "NEW"))),
}
_COUNT = """UPDATE namespaces SET memories = memories {sign} 1, bytes = bytes {sign} (
    length(CAST({row}.content AS BLOB)) + length(CAST({row}.metadata AS BLOB))) WHERE id = {row}.namespace_id;"""


def start_counting(connection: sqlite3.Connection) -> None:
    """Makes the triggers and counts what is there."""
    for name, (event, steps) in _TRIGGERS.items():
        body = " ".join(_COUNT.format(sign=sign, row=row) for sign, row in steps)
        connection.execute(f"CREATE TRIGGER {name} {event} BEGIN {body} END")
    recount(connection)


def stop_counting(connection: sqlite3.Connection) -> None:
    """Removes the triggers."""
    for name in _TRIGGERS:
        connection.execute(f"DROP TRIGGER {name}")


def recount(connection: sqlite3.Connection) -> None:
    """Counts all namespaces anew."""
    connection.execute(
        """UPDATE namespaces SET (memories, bytes) = (SELECT count(*), coalesce(sum(length(CAST(m.content AS BLOB)) +
        length(CAST(m.metadata AS BLOB))), 0) FROM memories m WHERE m.namespace_id = namespaces.id)"""
    )


def make(connection: sqlite3.Connection, name: str) -> int:
    """The namespace's number, new if need be."""
    query = "SELECT id FROM namespaces WHERE name = ?"
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO namespaces (name) VALUES (?)", (name,))
        row = connection.execute(query, (name,)).fetchone()
    return int(row[0])


def held(connection: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Memories and bytes of each namespace."""
    query = "SELECT memories, bytes FROM namespaces WHERE id = ?"
    return {number: connection.execute(query, (number,)).fetchone() for number in numbers}


def refuse_overgrown(connection: sqlite3.Connection, before: Mapping[int, tuple[int, int]], limits: Limits) -> None:
    """Raises NamespaceFullError, for the transaction to be rolled back, when a namespace grew beyond its limit."""
    query = (
        "SELECT name, memories, bytes, coalesce(max_memories, ?), coalesce(max_bytes, ?) FROM namespaces WHERE id = ?"
    )
    for number, (memories, size) in before.items():
        row = connection.execute(query, (limits.max_memories, limits.max_bytes, number)).fetchone()
        name, memories_now, size_now, max_memories, max_bytes = row
        overgrown(name, "memories", memories, memories_now, max_memories)
        overgrown(name, "bytes of text", size, size_now, max_bytes)


def overgrown(name: str, what: str, was: int, now: int, limit: int | None) -> None:
    """Raises NamespaceFullError when a namespace grew beyond a limit."""
    if limit is not None and now > max(limit, was):
        raise NamespaceFullError(
            f"Namespace {name!r} holds {was:,} of at most {limit:,} {what}; this would make it {now:,}. "
            "Nothing was written.",
            f"Make room with `ruvllm memory prune -n {name!r}`, or raise its limit with "
            f"`ruvllm memory limit -n {name!r}`.",
        )


def known(connection: sqlite3.Connection) -> dict[str, NamespaceInfo]:
    """Those that hold something or have settings of their own."""
    rows = connection.execute(
        """SELECT name, memories, bytes, max_memories, max_bytes, token_bits FROM namespaces
        WHERE memories OR max_memories IS NOT NULL OR max_bytes IS NOT NULL OR NOT token_bits ORDER BY name"""
    )
    return {row[0]: NamespaceInfo(row[1], row[2], row[3], row[4], bool(row[5])) for row in rows}


def configure(connection: sqlite3.Connection, number: int, changes: Mapping[str, Any]) -> list[int]:
    """Sets a namespace's columns; returns the memories whose derived data was dropped."""
    had_bits = connection.execute("SELECT token_bits FROM namespaces WHERE id = ?", (number,)).fetchone()[0]
    for name in ("max_memories", "max_bytes", "token_bits"):
        if name in changes:
            connection.execute(f"UPDATE namespaces SET {name} = ? WHERE id = ?", (changes[name], number))
    if changes.get("token_bits", had_bits) == had_bits:
        return []
    members = "(SELECT id FROM memories WHERE namespace_id = ?)"
    connection.execute(f"DELETE FROM tokens WHERE memory_id IN {members}", (number,))
    if not had_bits:
        connection.execute(f"DELETE FROM vectors WHERE memory_id IN {members}", (number,))
    return [row[0] for row in connection.execute("SELECT id FROM memories WHERE namespace_id = ?", (number,))]

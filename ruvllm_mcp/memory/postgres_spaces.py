"""Namespaces in the shared database: what each holds, may hold and keeps.

What a namespace holds is brought up to date by the transaction that changes it, after it has taken its number: from
then on it is the only writer, so no number of machines can outgrow a limit together, and nobody waits for a
namespace's row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from psycopg import sql

from ruvllm_mcp.memory.spaces import overgrown
from ruvllm_mcp.memory.store import Limits
from ruvllm_mcp.types import NamespaceInfo

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.rows import TupleRow

    from ruvllm_mcp.memory.postgres_connection import Session

Weight = tuple[int, int]  # memories, and bytes of their content and metadata


def made(connection: Session, names: Collection[str]) -> dict[str, int]:
    """The namespaces' numbers, new ones where need be."""
    query = "SELECT name, id FROM namespaces WHERE name = ANY(%s)"
    found: dict[str, int] = dict(connection.execute(query, (list(names),)).fetchall())
    if len(found) < len(names):
        new = sorted(set(names).difference(found))
        connection.execute("INSERT INTO namespaces (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (new,))
        found = dict(connection.execute(query, (list(names),)).fetchall())
    return found


def weighed(connection: Session, ids: Iterable[int]) -> dict[int, Weight]:
    """What the memories among `ids` weigh, by namespace."""
    query = """SELECT namespace_id, count(*), sum(octet_length(content) + octet_length(metadata)) FROM memories
        WHERE id = ANY(%s::bigint[]) GROUP BY namespace_id"""
    return {row[0]: (row[1], int(row[2])) for row in connection.execute(query, (list(ids),))}


def account(connection: Session, ids: Sequence[int], held: Mapping[int, Weight], limits: Limits) -> None:
    """Adds to what the namespaces hold what the memories among `ids` weigh now beyond what they `held`.
    NamespaceFullError, for the transaction to be rolled back, when a namespace grew beyond its limit."""
    query = """UPDATE namespaces n SET memories = memories + more, bytes = bytes + bigger FROM (
            SELECT space, sum(memories)::bigint AS more, sum(bytes)::bigint AS bigger FROM (
                SELECT namespace_id, 1, octet_length(content) + octet_length(metadata) FROM memories
                WHERE id = ANY(%s::bigint[])
                UNION ALL SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[])
            ) AS change (space, memories, bytes) GROUP BY space) AS changed
        WHERE id = space AND (more <> 0 OR bigger <> 0)
        RETURNING name, more, memories, coalesce(max_memories, %s), bigger, bytes, coalesce(max_bytes, %s)"""
    weights = ([-count for count, _ in held.values()], [-size for _, size in held.values()])
    parameters = (list(ids), list(held), *weights, limits.max_memories, limits.max_bytes)
    for name, more, memories, max_memories, bigger, size, max_bytes in connection.execute(query, parameters):
        overgrown(name, "memories", memories - more, memories, max_memories)
        overgrown(name, "bytes of text", size - bigger, size, max_bytes)


def ask_with_token_bits(connection: Session, numbers: Collection[int]) -> Cursor[TupleRow]:
    """Those namespaces that keep token bits."""
    return connection.execute("SELECT id FROM namespaces WHERE id = ANY(%s::int[]) AND token_bits", (list(numbers),))


def known(connection: Session) -> dict[str, NamespaceInfo]:
    """Those that hold something or have settings of their own."""
    rows = connection.execute(
        """SELECT name, memories, bytes, max_memories, max_bytes, token_bits FROM namespaces WHERE memories > 0
        OR max_memories IS NOT NULL OR max_bytes IS NOT NULL OR NOT token_bits ORDER BY name COLLATE "C\""""
    )
    return {row[0]: NamespaceInfo(*row[1:]) for row in rows}


def configure(connection: Session, name: str, changes: Mapping[str, Any]) -> list[int]:
    """Sets a namespace's columns; returns the memories whose derived data was dropped."""
    number = made(connection, [name])[name]
    query = "SELECT token_bits FROM namespaces WHERE id = %s FOR NO KEY UPDATE"
    had_bits = connection.execute(query, (number,)).fetchall()[0][0]
    for column in changes.keys() & {"max_memories", "max_bytes", "token_bits"}:
        statement = sql.SQL("UPDATE namespaces SET {} = %s WHERE id = %s").format(sql.Identifier(column))
        connection.execute(statement, (changes[column], number))
    if bool(changes.get("token_bits", had_bits)) == had_bits:
        return []
    if had_bits:
        connection.execute(
            "UPDATE embeddings SET token_ids = NULL, token_bits = NULL WHERE namespace_id = %s", (number,)
        )
    else:
        connection.execute("DELETE FROM embeddings WHERE namespace_id = %s", (number,))
    return [row[0] for row in connection.execute("SELECT id FROM memories WHERE namespace_id = %s", (number,))]

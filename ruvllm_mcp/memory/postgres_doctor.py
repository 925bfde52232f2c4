"""What can be wrong with the shared database beyond what its server looks after, and putting it right.

Constraints keep rows together, so there is little: texts that are not what was written, counts and numbers that
disagree with the rows (somebody changed tables by hand), indexes whose making was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ruvllm_mcp.memory.drafting import content_hash
from ruvllm_mcp.memory.postgres_connection import Address, Connections
from ruvllm_mcp.memory.symptoms import Symptom

if TYPE_CHECKING:
    from ruvllm_mcp.memory.postgres_connection import Session

BATCH = 1_000
_HELD = """(SELECT count(*), coalesce(sum(octet_length(content) + octet_length(metadata)), 0)
    FROM memories m WHERE m.namespace_id = n.id)"""
_UNNUMBERED = """FROM memories m JOIN namespaces n ON n.id = m.namespace_id LEFT JOIN feed f ON f.memory_id = m.id
    WHERE NOT n.is_large AND (f.memory_id IS NULL OR f.is_gone)"""
_HIGHEST = "(SELECT coalesce(max(seq), 0) FROM feed)"
_INTERRUPTED = """SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace"""


def examine(address: Address) -> list[Symptom]:
    """Everything wrong with the store; reads all texts and changes nothing but the schema, which opening brings up to
    date. Raises the StoreError family when it cannot be reached."""
    connections = Connections(address)
    try:
        with connections.view() as connection:
            return [symptom for check in (_texts, _counts, _feed, _numbers, _indexes) for symptom in check(connection)]
    finally:
        connections.close()


def repair(address: Address) -> list[Symptom]:
    """Puts right what can be, while others go on, and returns what is still wrong."""
    found = {symptom.name for symptom in examine(address)}
    connections = Connections(address)
    try:
        for name in found & _CURES.keys():
            connections.write(_CURES[name])
    finally:
        connections.close()
    return examine(address)


def _texts(connection: Session) -> Iterator[Symptom]:
    with connection.cursor("texts") as rows:
        rows.itersize = BATCH
        rows.execute("SELECT content, content_hash FROM memories")
        count = sum(content_hash(content) != stored for content, stored in rows)
    if count:
        yield Symptom("hashes", f"{count} memories do not match their checksum: their text was changed", False)


def _counts(connection: Session) -> Iterator[Symptom]:
    query = f"""SELECT count(*) FROM namespaces n, LATERAL {_HELD} AS held (memories, bytes)
        WHERE (n.memories, n.bytes) IS DISTINCT FROM (held.memories, held.bytes)"""
    (count,) = connection.execute(query).fetchall()[0]
    if count:
        yield Symptom("counts", f"{count} namespaces hold something else than they say", True)


def _feed(connection: Session) -> Iterator[Symptom]:
    (count,) = connection.execute(f"SELECT count(*) {_UNNUMBERED}").fetchall()[0]
    if count:
        yield Symptom("feed", f"{count} memories are not in the change feed and are not found", True)


def _numbers(connection: Session) -> Iterator[Symptom]:
    query = f"SELECT {_HIGHEST} > value FROM counters WHERE name = 'changes'"
    if connection.execute(query).fetchall()[0][0]:
        yield Symptom("numbers", "changes are numbered beyond the counter", True)


def _indexes(connection: Session) -> Iterator[Symptom]:
    for (name,) in connection.execute(_INTERRUPTED):
        yield Symptom("indexes", f"the index {name} is not complete", True)


def _recount(connection: Session) -> None:
    connection.execute("UPDATE counters SET value = value WHERE name = 'changes'")  # no writer meanwhile
    connection.execute(f"UPDATE namespaces n SET (memories, bytes) = {_HELD}")


def _renumber(connection: Session) -> None:
    connection.execute("UPDATE counters SET value = value WHERE name = 'changes'")
    connection.execute(
        f"""WITH missing AS (SELECT m.id, row_number() OVER (ORDER BY m.id) AS place {_UNNUMBERED}),
        counted AS (UPDATE counters SET value = value + (SELECT count(*) FROM missing) WHERE name = 'changes'
            RETURNING value)
        INSERT INTO feed SELECT id, value - (SELECT count(*) FROM missing) + place, false FROM missing, counted
        ON CONFLICT (memory_id) DO UPDATE SET seq = excluded.seq, is_gone = false"""
    )


def _count_on(connection: Session) -> None:
    connection.execute(f"UPDATE counters SET value = {_HIGHEST} WHERE name = 'changes'")


def _drop_incomplete(connection: Session) -> None:
    for (name,) in connection.execute(_INTERRUPTED).fetchall():
        connection.execute(f'DROP INDEX "{name}"'.encode())


_CURES: dict[str, Callable[[Session], None]] = {
    "counts": _recount,
    "feed": _renumber,
    "numbers": _count_on,
    "indexes": _drop_incomplete,
}

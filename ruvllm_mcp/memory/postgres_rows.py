"""Writing rows to the shared database: the parts of a transaction, each to be called inside `Connections.write`.

A transaction weighs what it is about to touch, writes, and publishes: takes the change's numbers, brings what the
namespaces hold up to date and checks their limits. Rows are locked in ascending order and the counter after them, so
writers of the same memories wait for each other and seldom in a circle. What the server need not be waited for between
goes to it together: one memory takes four exchanges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ruvllm_mcp.memory import postgres_spaces as spaces
from ruvllm_mcp.memory.analysis import VERSION as ANALYSIS
from ruvllm_mcp.memory.metadata import joined
from ruvllm_mcp.memory.postgres_connection import ChangedMeanwhileError
from ruvllm_mcp.memory.postgres_values import sent_terms, sent_vector
from ruvllm_mcp.memory.store import NO_LIMITS, Draft, Embedding, Limits

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.rows import TupleRow

    from ruvllm_mcp.memory.postgres_connection import Session

FEW = 8  # rows
_MEMORY_COLUMNS = """id, namespace_id, content_hash, content, metadata, kind, importance, source, client, trust,
    created_at, updated_at, expires_at, analysis, term_ids, term_counts"""
_MEMORY_TYPES = (
    *("int8", "int4", "bytea", "text", "text", "text", "float8", "text", "text", "int2"),
    *("float8", "float8", "float8", "int4", "int4[]", "bytea"),
)
_EMBEDDING_COLUMNS = "memory_id, embedder_id, namespace_id, vector, token_ids, token_bits"
_EMBEDDING_TYPES = ("int8", "int4", "int4", "vector", "bytea", "bytea")


def insert(
    connection: Session, drafts: Sequence[Draft], embedder: str, now: float, limits: Limits
) -> list[tuple[int, bool]]:
    """See `Store.insert`."""
    with connection.pipeline():
        found = _ask_kept(connection, drafts)
        numbered = _ask_new_ids(connection, len(drafts))
        numbers = spaces.made(connection, {draft.namespace for draft in drafts})
        kept = {(row[0], bytes(row[1])): row[2] for row in found}
        new_ids = sorted(row[0] for row in numbered)
    keys = [(numbers[draft.namespace], draft.content_hash) for draft in drafts]
    held = spaces.weighed(connection, kept.values()) if kept else {}
    fresh = {key: draft for key, draft in zip(reversed(keys), reversed(drafts), strict=True) if key not in kept}
    order = [key for key in dict.fromkeys(keys) if key in fresh]
    ids = {**kept, **dict(zip(order, new_ids, strict=False))}
    rows = [
        (
            *(ids[key], *key, draft.content, draft.metadata, draft.kind, draft.importance, draft.source),
            *(draft.client, draft.trust, draft.created_at, now, draft.expires_at, ANALYSIS, *sent_terms(draft.terms)),
        )
        for key, draft in sorted(fresh.items())  # in one order everywhere: the same texts never wait in a circle
    ]
    made = [(ids[key], key[0], draft.embedding) for key, draft in fresh.items() if draft.embedding is not None]
    with together(connection, len(drafts)):
        put(connection, "memories", _MEMORY_COLUMNS, _MEMORY_TYPES, rows)
        write_embeddings(connection, made, embedder)
        seen: set[tuple[int, bytes]] = set()
        merged = []
        for key in keys:
            merged.append(key in kept or key in seen)
            seen.add(key)
        again = [(ids[key], draft) for key, draft, was in zip(keys, drafts, merged, strict=True) if was]
        for memory_id, draft in sorted(again, key=lambda pair: pair[0]):
            _refresh(connection, memory_id, draft, now)
        publish(connection, list(dict.fromkeys(ids[key] for key in keys)), held, limits)
    return [(ids[key], was) for key, was in zip(keys, merged, strict=True)]


def _refresh(connection: Session, memory_id: int, draft: Draft, now: float) -> None:
    """Merges a draft into the memory that says the same."""
    query = "SELECT metadata, trust FROM memories WHERE id = %s FOR NO KEY UPDATE"
    row = connection.execute(query, (memory_id,)).fetchone()
    if row is None:
        raise ChangedMeanwhileError("a memory was deleted while it was added again")
    metadata, trust = row
    merged = joined(metadata, draft.metadata) if draft.trust >= trust else joined(draft.metadata, metadata)
    connection.execute(
        """UPDATE memories SET metadata = %(metadata)s, importance = greatest(importance, %(importance)s),
        trust = greatest(trust, %(trust)s::smallint), updated_at = %(now)s,
        expires_at = CASE WHEN expires_at IS NULL OR %(expires)s::float8 IS NULL THEN NULL
        ELSE greatest(expires_at, %(expires)s) END WHERE id = %(id)s""",
        {
            "metadata": merged,
            "importance": draft.importance,
            "trust": draft.trust,
            "now": now,
            "expires": draft.expires_at,
            "id": memory_id,
        },
    )


def give(connection: Session, gone: int, kept: int, now: float) -> bool:
    """Hands links, accesses and metadata over; False when either memory is missing. Both are locked by the caller."""
    query = "SELECT id, metadata, trust FROM memories WHERE id = ANY(%s::bigint[])"
    rows = {row[0]: row[1:] for row in connection.execute(query, ([gone, kept],))}
    if len(rows) < 2:
        return False
    if rows[gone][1] >= rows[kept][1]:
        merged = joined(rows[gone][0], rows[kept][0])
        connection.execute("UPDATE memories SET metadata = %s, updated_at = %s WHERE id = %s", (merged, now, kept))
    for here, there in (("a", "b"), ("b", "a")):
        connection.execute(
            f"""INSERT INTO links ({here}, {there}, kind, weight) SELECT %s, {there}, kind, weight FROM links
            WHERE {here} = %s AND {there} <> %s
            ON CONFLICT (a, b, kind) DO UPDATE SET weight = greatest(links.weight, excluded.weight)""",
            (kept, gone, kept),
        )
    connection.execute(
        """INSERT INTO access SELECT %s, count, accessed_at FROM access WHERE memory_id = %s
        ON CONFLICT (memory_id) DO UPDATE SET count = access.count + excluded.count,
        accessed_at = greatest(access.accessed_at, excluded.accessed_at)""",
        (kept, gone),
    )
    return True


def write_embeddings(connection: Session, rows: Sequence[tuple[int, int, Embedding]], embedder: str) -> None:
    """Rows are (memory, namespace, embedding); the memories have none of this embedder yet."""
    if not rows:
        return
    with connection.pipeline():
        bits_kept = spaces.ask_with_token_bits(connection, {namespace_id for _, namespace_id, _ in rows})
        number = _make_embedder(connection, embedder)
        with_bits = {row[0] for row in bits_kept}
    sent = []
    for memory_id, namespace_id, made in rows:
        ids, bits = None, None
        if len(made.token_ids) and namespace_id in with_bits:
            ids, bits = made.token_ids.tobytes(), made.token_bits.tobytes()
        sent.append((memory_id, number, namespace_id, sent_vector(made.vector), ids, bits))
    put(connection, "embeddings", _EMBEDDING_COLUMNS, _EMBEDDING_TYPES, sent)


def put(connection: Session, table: str, columns: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """New rows: by COPY, or, since that is three exchanges, a few by INSERT."""
    if len(rows) <= FEW:
        marks = ", ".join(["%s"] * len(types))
        connection.cursor().executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})".encode(), rows)
        return
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)".encode()) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def together(connection: Session, count: int) -> AbstractContextManager[object]:
    """Statements inside go to the server without waiting for each one's end, where `count` rows allow it: COPY does
    not."""
    return connection.pipeline() if count <= FEW else nullcontext()


def publish(
    connection: Session, ids: Sequence[int], held: Mapping[int, spaces.Weight], limits: Limits = NO_LIMITS
) -> None:
    """Numbers changes, as the last thing that a transaction does: from here to its end other writers wait. `held` is
    what `spaces.weighed` said of those of `ids` that were there before. NamespaceFullError beyond a limit."""
    if not ids:
        return
    with connection.pipeline():
        connection.execute("UPDATE counters SET value = value + %s WHERE name = 'changes'", (len(ids),))
        connection.execute(
            """INSERT INTO feed SELECT t.id, c.value - %s + t.place, m.id IS NULL OR n.is_large
            FROM counters c, unnest(%s::bigint[]) WITH ORDINALITY AS t (id, place)
            LEFT JOIN memories m ON m.id = t.id LEFT JOIN namespaces n ON n.id = m.namespace_id
            WHERE c.name = 'changes'
            AND (NOT n.is_large OR EXISTS (SELECT FROM feed f WHERE f.memory_id = t.id))
            ON CONFLICT (memory_id) DO UPDATE SET seq = excluded.seq, is_gone = excluded.is_gone""",
            (len(ids), list(ids)),
        )
        connection.execute("SELECT pg_notify('ruvllm ' || current_schema(), '')")
        spaces.account(connection, ids, held, limits)


def locked(connection: Session, ids: Iterable[int], strength: str = "UPDATE") -> list[int]:
    """Those of `ids` that exist, in the order given, kept from other writers."""
    wanted = list(dict.fromkeys(ids))
    query = f"SELECT id FROM memories WHERE id = ANY(%s::bigint[]) ORDER BY id FOR {strength}"
    there = {row[0] for row in connection.execute(query, (wanted,))}
    return [item for item in wanted if item in there]


def _ask_kept(connection: Session, drafts: Sequence[Draft]) -> Cursor[TupleRow]:
    """Namespace, content hash and id of the memories that say the same already."""
    query = """SELECT m.namespace_id, m.content_hash, m.id FROM unnest(%s::text[], %s::bytea[]) AS t (space, hash)
        JOIN namespaces n ON n.name = t.space
        JOIN memories m ON m.namespace_id = n.id AND m.content_hash = t.hash"""
    return connection.execute(query, ([draft.namespace for draft in drafts], [draft.content_hash for draft in drafts]))


def _ask_new_ids(connection: Session, count: int) -> Cursor[TupleRow]:
    query = "SELECT nextval(pg_get_serial_sequence('memories', 'id')) FROM generate_series(1, %s)"
    return connection.execute(query, (count,))


def embedder_id(connection: Session, fingerprint: str) -> int:
    """The embedder's number, -1 where it is unknown."""
    row = connection.execute("SELECT id FROM embedders WHERE fingerprint = %s", (fingerprint,)).fetchone()
    return int(row[0]) if row else -1


def _make_embedder(connection: Session, fingerprint: str) -> int:
    number = embedder_id(connection, fingerprint)
    if number >= 0:
        return number
    connection.execute("INSERT INTO embedders (fingerprint) VALUES (%s) ON CONFLICT DO NOTHING", (fingerprint,))
    return embedder_id(connection, fingerprint)


def one(connection: Session, query: str, parameters: Sequence[Any] = ()) -> Any:
    """The only value that a query gives."""
    return connection.execute(query, parameters).fetchall()[0][0]

"""The store on PostgreSQL with pgvector: one memory for many machines.

What SQLite's single writer gives for free is asked for here. The number of a change is taken from a counter's row,
which stays locked until the transaction ends: numbers are in commit order, and whoever sees one sees all before it (a
sequence would be read ahead of slower writers). It is taken last, so that writers hold each other up no longer than a
commit takes; whatever conflicts on the way is run again. New rows come by COPY, few or many.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.memory import postgres_spaces as spaces
from ruvllm_mcp.memory.analysis import VERSION as ANALYSIS
from ruvllm_mcp.memory.candidates import Question
from ruvllm_mcp.memory.filters import Filter
from ruvllm_mcp.memory.postgres_connection import Address, Connections
from ruvllm_mcp.memory.postgres_large import Grower
from ruvllm_mcp.memory.postgres_listen import Listener
from ruvllm_mcp.memory.postgres_rows import embedder_id, give, insert, locked, one, publish, write_embeddings
from ruvllm_mcp.memory.postgres_search import LargeCollection, nearest
from ruvllm_mcp.memory.postgres_statistics import Statistics, sampled
from ruvllm_mcp.memory.postgres_values import read_packed, read_vector, sent_terms
from ruvllm_mcp.memory.pushdown import Near, Sight
from ruvllm_mcp.memory.store import NO_LIMITS, Change, Changes, Draft, Embedding, Limits, Text
from ruvllm_mcp.types import TRUST_LEVELS, Link, MemoryRecord, NamespaceInfo

if TYPE_CHECKING:
    from ruvllm_mcp.memory.postgres_connection import Session

BATCH = 5_000
SAMPLE = 1_000
STATISTICS_SECONDS = 600.0
_RECORD = """SELECT m.id, m.content, m.metadata, n.name, m.kind, m.importance, m.source, m.client, m.trust,
    m.created_at, m.updated_at, m.expires_at, a.accessed_at, coalesce(a.count, 0)
    FROM memories m JOIN namespaces n ON n.id = m.namespace_id LEFT JOIN access a ON a.memory_id = m.id"""
_TEXT = "SELECT m.id, m.content_hash, m.content, m.metadata FROM memories m"
_CHANGE = """SELECT m.id, n.name, coalesce(m.source || chr(31) || (m.metadata::jsonb ->> 'session'), ''), m.importance,
    m.trust, m.created_at, m.expires_at, m.analysis, array_send(m.term_ids), m.term_counts,
    vector_send(e.vector), e.token_ids
    FROM feed f JOIN memories m ON m.id = f.memory_id JOIN namespaces n ON n.id = m.namespace_id
    LEFT JOIN embeddings e ON e.memory_id = m.id AND e.embedder_id = %s
    WHERE f.seq > %s AND NOT f.is_gone ORDER BY m.id"""
_MEANS = """SELECT coalesce(avg(octet_length(content) + octet_length(metadata)), 0),
    coalesce(avg(4 * cardinality(term_ids) + octet_length(term_counts)), 0), coalesce(avg(vectors), 0),
    coalesce(avg(bits), 0)
    FROM (SELECT * FROM memories ORDER BY id DESC LIMIT %s) m, LATERAL (
        SELECT coalesce(sum(4 * vector_dims(vector)), 0) AS vectors,
        coalesce(sum(octet_length(token_ids) + octet_length(token_bits)), 0) AS bits
        FROM embeddings e WHERE e.memory_id = m.id) e"""


class PostgresStore:
    """The `Store` protocol on a database. Raises the StoreError family; see `postgres_connection`."""

    def __init__(self, address: Address, limits: Limits = NO_LIMITS) -> None:
        self.connections = Connections(address)
        self._limits = limits
        self._listener: Listener | None = None
        self._grower = Grower(self.connections)
        self._large: frozenset[str] = frozenset()
        self._statistics: dict[tuple[tuple[int, ...], int], tuple[float, Statistics]] = {}

    def sequence(self) -> int:
        query = """SELECT value, ARRAY(SELECT name FROM namespaces WHERE is_large) FROM counters
            WHERE name = 'changes'"""
        with self.connections.read() as connection:
            seq, large = connection.execute(query).fetchall()[0]
        self._large = frozenset(large)
        return int(seq)

    def watch(self, changed: Callable[[], object]) -> None:
        if self._listener is None:
            self._listener = Listener(self.connections, changed)

    def large(self) -> frozenset[str]:
        return self._large

    def collection(self, question: Question, sight: Sight, embedder: str) -> LargeCollection:
        with self.connections.read() as connection:
            query = "SELECT id FROM namespaces WHERE memories > 0 AND (%s::text[] IS NULL OR name = ANY(%s::text[]))"
            names = None if sight.namespaces is None else list(sight.namespaces)
            spaces = tuple(row[0] for row in connection.execute(query, (names, names)))
            number = embedder_id(connection, embedder)
            made, statistics = self._statistics.get((spaces, number), (0.0, None))
            if statistics is None or made < sight.now - STATISTICS_SECONDS:
                statistics = sampled(connection, spaces, number)
                self._statistics[spaces, number] = sight.now, statistics
        return LargeCollection(self.connections, spaces, number, statistics, question, sight)

    def near(
        self, vector: FloatArray, namespace: str, embedder: str, now: float, threshold: float, limit: int
    ) -> list[Near]:
        where = "(m.expires_at IS NULL OR m.expires_at > %s)"
        with self.connections.read() as connection:
            row = connection.execute("SELECT id FROM namespaces WHERE name = %s", (namespace,)).fetchone()
            number = embedder_id(connection, embedder)
            beside = [] if row is None else nearest(connection, row[0], number, vector, limit, where, [now])
        others = self.vectors([item for _, item in beside], embedder)
        found = [(float(other @ vector), item) for item, other in others.items()]
        return sorted(pair for pair in found if pair[0] >= threshold)[::-1]

    def identity(self) -> str:
        with self.connections.read() as connection:
            return str(one(connection, "SELECT value FROM identity"))

    def changes(self, since: int, embedder: str) -> Iterator[Changes]:
        with self.connections.view() as connection:
            query = """SELECT value, (SELECT id FROM embedders WHERE fingerprint = %s) FROM counters
                WHERE name = 'changes'"""
            ((seq, number),) = connection.execute(query, (embedder,)).fetchall()
            if seq - since <= BATCH:
                changed = connection.execute(_CHANGE, (number, since), binary=True)
                yield Changes(since, [_change(row) for row in changed])
            else:
                with connection.cursor("changes") as rows:
                    rows.itersize = BATCH
                    rows.execute(_CHANGE, (number, since), binary=True)
                    while batch := rows.fetchmany(BATCH):
                        yield Changes(since, [_change(row) for row in batch])
            query = "SELECT memory_id FROM feed WHERE seq > %s AND is_gone"
            gone = connection.execute(query, (since,)).fetchall() if since else ()
            yield Changes(seq, (), [row[0] for row in gone])

    def insert(self, drafts: Sequence[Draft], embedder: str, now: float) -> list[tuple[int, bool]]:
        written = self.connections.write(lambda connection: insert(connection, drafts, embedder, now, self._limits))
        self._grower.wrote(len(drafts), embedder)
        return written

    def known(self, namespace: str, hashes: Sequence[bytes]) -> set[bytes]:
        query = """SELECT m.content_hash FROM memories m JOIN namespaces n ON n.id = m.namespace_id
            WHERE n.name = %s AND m.content_hash = ANY(%s)"""
        with self.connections.read() as connection:
            return {bytes(row[0]) for row in connection.execute(query, (namespace, list(hashes)))}

    def update(
        self, memory_id: int, columns: Mapping[str, Any], draft: Draft | None, embedder: str, now: float
    ) -> None:
        def work(connection: Session) -> None:
            held = spaces.weighed(connection, locked(connection, [memory_id], "NO KEY UPDATE"))
            if not held:
                raise NotFoundError(f"There is no memory {memory_id}.", "It may have been deleted or have expired.")
            changed: dict[str, Any] = {**columns, "updated_at": now}
            if "namespace" in changed:
                name = changed.pop("namespace")
                changed["namespace_id"] = spaces.made(connection, [name])[name]
            if draft is not None:
                term_ids, term_counts = sent_terms(draft.terms)
                changed.update(content=draft.content, content_hash=draft.content_hash)
                changed.update(analysis=ANALYSIS, term_ids=term_ids, term_counts=term_counts)
            _refuse_second_of_a_kind(connection, memory_id, changed)
            assignments = sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changed
            )
            query = sql.SQL("UPDATE memories SET {} WHERE id = %(id)s RETURNING namespace_id").format(assignments)
            (number,) = connection.execute(query, {**changed, "id": memory_id}).fetchall()[0]
            moved = "UPDATE embeddings SET namespace_id = %s WHERE memory_id = %s AND namespace_id <> %s"
            connection.execute(moved, (number, memory_id, number))
            if draft is not None:
                connection.execute("DELETE FROM embeddings WHERE memory_id = %s", (memory_id,))
                if draft.embedding is not None:
                    write_embeddings(connection, [(memory_id, number, draft.embedding)], embedder)
            publish(connection, [memory_id], held, self._limits)

        self.connections.write(work)

    def delete(self, ids: Sequence[int]) -> list[int]:
        def work(connection: Session) -> list[int]:
            there = locked(connection, ids)
            _delete(connection, there)
            return there

        return self.connections.write(work)

    def merge(self, into: Mapping[int, int], now: float) -> dict[int, int]:
        def work(connection: Session) -> dict[int, int]:
            there = set(locked(connection, [*into, *into.values()]))
            kept = sorted(there.intersection(into.values()))
            held = spaces.weighed(connection, kept)
            pairs = {
                gone: one_kept
                for gone, one_kept in into.items()
                if gone != one_kept and {gone, one_kept} <= there and give(connection, gone, one_kept, now)
            }
            publish(connection, kept, held)
            _delete(connection, list(pairs))
            return pairs

        return self.connections.write(work)

    def records(self, ids: Sequence[int]) -> dict[int, MemoryRecord]:
        with self.connections.read() as connection:
            rows = connection.execute(f"{_RECORD} WHERE m.id = ANY(%s::bigint[])", (list(ids),))
            return {row[0]: _record(row) for row in rows}

    def token_bits(self, ids: Sequence[int], embedder: str) -> dict[int, bytes]:
        query = """SELECT memory_id, token_bits FROM embeddings
            WHERE embedder_id = %s AND memory_id = ANY(%s::bigint[]) AND token_bits IS NOT NULL"""
        with self.connections.read() as connection:
            parameters = (embedder_id(connection, embedder), list(ids))
            return {row[0]: bytes(row[1]) for row in connection.execute(query, parameters, binary=True)}

    def vectors(self, ids: Sequence[int], embedder: str) -> dict[int, FloatArray]:
        query = """SELECT memory_id, vector_send(vector) FROM embeddings
            WHERE embedder_id = %s AND memory_id = ANY(%s::bigint[])"""
        with self.connections.read() as connection:
            parameters = (embedder_id(connection, embedder), list(ids))
            return {row[0]: read_vector(row[1]) for row in connection.execute(query, parameters, binary=True)}

    def store_embeddings(self, embeddings: Mapping[int, tuple[bytes, Embedding]], embedder: str) -> None:
        def work(connection: Session) -> None:
            query = """SELECT id, namespace_id, content_hash FROM memories WHERE id = ANY(%s::bigint[])
                ORDER BY id FOR UPDATE"""
            rows = connection.execute(query, (list(embeddings),)).fetchall()
            current = [(row[0], row[1]) for row in rows if embeddings[row[0]][0] == row[2]]
            query = "DELETE FROM embeddings WHERE embedder_id = %s AND memory_id = ANY(%s::bigint[])"
            connection.execute(query, (embedder_id(connection, embedder), [item for item, _ in current]))
            write_embeddings(connection, [(item, space, embeddings[item][1]) for item, space in current], embedder)
            _renumber(connection, [item for item, _ in current])

        self.connections.write(work)
        self._grower.wrote(len(embeddings), embedder)

    def unembedded(self, embedder: str, limit: int) -> list[Text]:
        query = f"""{_TEXT} WHERE NOT EXISTS (SELECT FROM embeddings e
            WHERE e.memory_id = m.id AND e.embedder_id = %s) ORDER BY m.id LIMIT %s"""
        with self.connections.read() as connection:
            return [Text(*row) for row in connection.execute(query, (embedder_id(connection, embedder), limit))]

    def out_of_date(self, analysis: int, limit: int) -> list[Text]:
        query = f"{_TEXT} WHERE m.analysis < %s OR m.analysis > %s LIMIT %s"  # two ranges: an index finds none at once
        with self.connections.read() as connection:
            return [Text(*row) for row in connection.execute(query, (analysis, analysis, limit))]

    def store_terms(self, terms: Mapping[int, bytes], analysis: int) -> None:
        def work(connection: Session) -> None:
            for memory_id in sorted(terms):
                connection.execute(
                    "UPDATE memories SET analysis = %s, term_ids = %s, term_counts = %s WHERE id = %s",
                    (analysis, *sent_terms(terms[memory_id]), memory_id),
                )
            _renumber(connection, sorted(terms))

        self.connections.write(work)

    def page(
        self,
        after: int,
        limit: int,
        namespaces: Sequence[str] | None,
        keep: Filter | None,
        now: float,
    ) -> list[MemoryRecord]:
        likely, needles = _likely(keep)
        query = f"""{_RECORD} WHERE m.id > %s AND (m.expires_at IS NULL OR m.expires_at > %s)
            AND (%s::text[] IS NULL OR n.name = ANY(%s::text[])) {likely} ORDER BY m.id"""
        spaces = None if namespaces is None else list(namespaces)
        with self.connections.view() as connection, connection.cursor("page") as rows:
            rows.itersize = limit if keep is None else 10 * limit
            rows.execute(query, (after, now, spaces, spaces, *needles))
            found = map(_record, rows)
            return list(islice((record for record in found if keep is None or keep(record.metadata)), limit))

    def matching(self, keep: Filter, ids: Sequence[int] | None = None) -> list[int]:
        likely, needles = _likely(keep)
        query = f"""SELECT m.id, m.metadata FROM memories m JOIN namespaces n ON n.id = m.namespace_id
            WHERE NOT n.is_large AND (%s::bigint[] IS NULL OR m.id = ANY(%s)) {likely}"""
        wanted = None if ids is None else list(ids)
        with self.connections.view() as connection, connection.cursor("matching") as rows:
            rows.itersize = BATCH
            rows.execute(query, (wanted, wanted, *needles))
            return [row[0] for row in rows if keep(json.loads(row[1]))]

    def touch(self, counts: Mapping[int, tuple[int, float]]) -> None:
        def work(connection: Session) -> None:
            connection.execute(
                """INSERT INTO access
                SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::float8[]) AS t (id, count, at)
                WHERE EXISTS (SELECT FROM memories m WHERE m.id = t.id) ORDER BY id
                ON CONFLICT (memory_id) DO UPDATE SET count = access.count + excluded.count,
                accessed_at = greatest(access.accessed_at, excluded.accessed_at)""",
                (list(counts), [count for count, _ in counts.values()], [at for _, at in counts.values()]),
            )

        self.connections.write(work)

    def accesses(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        with self.connections.read() as connection:
            query = "SELECT memory_id, count, accessed_at FROM access ORDER BY memory_id"
            found = np.array(connection.execute(query).fetchall(), np.float64).reshape(-1, 3)
        return found[:, 0].astype(np.int64), found[:, 1].astype(np.int64), found[:, 2]

    def link(self, a: int, b: int, kind: str, weight: float) -> None:
        def work(connection: Session) -> None:
            missing = {a, b}.difference(locked(connection, [a, b], "KEY SHARE"))
            if missing:
                raise NotFoundError(f"There is no memory {min(missing)}.", "Link memories that exist.")
            connection.execute(
                """INSERT INTO links VALUES (%s, %s, %s, %s)
                ON CONFLICT (a, b, kind) DO UPDATE SET weight = excluded.weight""",
                (a, b, kind, weight),
            )

        self.connections.write(work)

    def unlink(self, a: int, b: int, kind: str) -> bool:
        query = "DELETE FROM links WHERE a = %s AND b = %s AND kind = %s"
        return self.connections.write(lambda connection: connection.execute(query, (a, b, kind)).rowcount > 0)

    def links(self, ids: Sequence[int]) -> dict[int, list[Link]]:
        found: dict[int, list[Link]] = {item: [] for item in ids}
        query = """SELECT a, b, kind, weight FROM links WHERE a = ANY(%(ids)s::bigint[])
            UNION ALL SELECT b, a, kind, weight FROM links WHERE b = ANY(%(ids)s::bigint[])"""
        with self.connections.read() as connection:
            for near, far, kind, weight in connection.execute(query, {"ids": list(ids)}):
                found[near].append(Link(far, kind, weight))
        return {item: sorted(edges, key=lambda edge: (-edge.weight, edge.id)) for item, edges in found.items()}

    def namespaces(self) -> dict[str, NamespaceInfo]:
        with self.connections.read() as connection:
            return spaces.known(connection)

    def configure(self, namespace: str, changes: Mapping[str, Any]) -> None:
        self.connections.write(
            lambda connection: _renumber(connection, spaces.configure(connection, namespace, changes))
        )

    def stats(self) -> dict[str, Any]:
        query = """SELECT (SELECT sum(memories) FROM namespaces), (SELECT count(*) FROM links),
            (SELECT sum(pg_total_relation_size(oid)) FROM pg_class
             WHERE relnamespace = %s::regnamespace AND relkind = 'r')"""
        address = self.connections.address
        with self.connections.read() as connection:
            memories, links, size = connection.execute(query, (f'"{address.schema}"',)).fetchall()[0]
            means = connection.execute(_MEANS, (SAMPLE,)).fetchall()[0]
        return {
            "memories": int(memories or 0),
            "links": links,
            "bytes": int(size),
            "bytes_per_memory": dict(zip(("text", "terms", "vectors", "token_bits"), map(float, means), strict=True)),
            "path": address.shown,
        }

    def close(self) -> None:
        self._grower.close()
        if self._listener is not None:
            self._listener.close()
        self.connections.close()


def _change(row: Sequence[Any]) -> Change:
    number, name, chain, importance, trust, created_at, expires_at, version, term_ids, counts, vector, tokens = row
    packed, sent = read_packed(term_ids, counts), None if vector is None else read_vector(vector).tobytes()
    return Change(number, name, chain, importance, trust, created_at, expires_at, version, packed, sent, tokens)


def _record(row: Sequence[Any]) -> MemoryRecord:
    fields = list(row)
    fields[2], fields[8] = json.loads(row[2]), TRUST_LEVELS[row[8]]
    return MemoryRecord(*fields)


def _delete(connection: Session, ids: Sequence[int]) -> None:
    """Deletes locked memories."""
    held = spaces.weighed(connection, ids)
    connection.execute("DELETE FROM memories WHERE id = ANY(%s::bigint[])", (list(ids),))
    publish(connection, ids, held)


def _renumber(connection: Session, ids: Sequence[int]) -> None:
    """Puts memories whose derived data changed at the end of the feed."""
    publish(connection, ids, spaces.weighed(connection, ids))


def _refuse_second_of_a_kind(connection: Session, memory_id: int, changed: Mapping[str, Any]) -> None:
    query = """SELECT FROM memories m JOIN memories other ON other.id <> m.id
        AND other.namespace_id = coalesce(%s, m.namespace_id) AND other.content_hash = coalesce(%s, m.content_hash)
        WHERE m.id = %s"""
    parameters = (changed.get("namespace_id"), changed.get("content_hash"), memory_id)
    if connection.execute(query, parameters).fetchone() is not None:
        raise InvalidInputError(
            "Another memory of that namespace says exactly the same.", "Delete one of the two instead."
        )


def _likely(keep: Filter | None) -> tuple[str, tuple[str, ...]]:
    """A condition that every memory the filter keeps meets, a search for text being cheaper than reading JSON."""
    groups = keep.needles if keep else ()
    clauses = (" OR ".join(["strpos(m.metadata, %s) > 0"] * len(group)) for group in groups)
    return "".join(f"AND ({clause}) " for clause in clauses), tuple(text for group in groups for text in group)

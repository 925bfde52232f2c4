"""Searching in the database what is too large for a copy in every process: an `Evidence` made of SQL.

Vectors go down pgvector's HNSW, one index for each large namespace and embedder (half precision inside; what it finds
is scored anew from the stored floats); small namespaces beside it are scanned. Words go down an index on term ids: the
question's rarest terms fetch some thousand memories, which BM25 then ranks exactly. A filter is a condition of the same
queries; where the index gave too few through it, all is scanned, so that a filter never loses a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.candidates import Candidates, IntArray, Question, TokenRows
from ruvllm_mcp.memory.lexical import K1, B
from ruvllm_mcp.memory.postgres_connection import Connections
from ruvllm_mcp.memory.postgres_filters import condition
from ruvllm_mcp.memory.postgres_large import INDEXED_DIMS
from ruvllm_mcp.memory.postgres_migrations import chain, session
from ruvllm_mcp.memory.postgres_statistics import Statistics, frequencies
from ruvllm_mcp.memory.postgres_values import VectorBytes, read_occurrences, read_vector, sent_vector
from ruvllm_mcp.memory.pushdown import Sight
from ruvllm_mcp.memory.sets import distinct
from ruvllm_mcp.memory.tokens import laid_out
from ruvllm_mcp.types import SearchMode

if TYPE_CHECKING:
    from ruvllm_mcp.memory.postgres_connection import Session

FETCHED = 3_000  # memories that the lexical list looks at
EF_SEARCH = 300
SCANNED = 200_000  # tuples that one walk down the index may visit through a filter


def distance(dim: int) -> str:
    """How far a row's vector is from a placeholder, as the indexes order it."""
    kind = f"halfvec({dim})" if dim <= INDEXED_DIMS else f"vector({dim})"
    return f"e.vector::{kind} <#> %s::{kind}"


def nearest(
    connection: Session, space: int, embedder_id: int, vector: FloatArray, count: int, where: str, values: Sequence[Any]
) -> list[tuple[float, int]]:
    """About the `count` nearest of one namespace that meet `where` (on `m`), with their distance, nearest first; all
    that there are when they are fewer."""
    sent: VectorBytes = sent_vector(vector)
    query = f"""SELECT {distance(len(vector))}, e.memory_id FROM embeddings e JOIN memories m ON m.id = e.memory_id
        WHERE e.namespace_id = {space} AND e.embedder_id = {embedder_id} AND {where}
        ORDER BY 1 LIMIT {count}""".encode()
    with connection.transaction():
        for setting, value in (
            ("hnsw.ef_search", min(1_000, max(EF_SEARCH, 2 * count))),
            ("hnsw.iterative_scan", "strict_order"),
            ("hnsw.max_scan_tuples", SCANNED),
        ):
            connection.execute("SELECT set_config(%s, %s, true)", (setting, str(value)))
        found = connection.execute(query, (sent, *values)).fetchall()
        if len(found) < count:
            connection.execute("SET LOCAL enable_indexscan = off")
            found = connection.execute(query, (sent, *values)).fetchall()
    return found


class LargeCollection:
    """One search's view of namespaces of any size. `spaces`: their numbers."""

    def __init__(
        self,
        connections: Connections,
        spaces: Sequence[int],
        embedder_id: int,
        statistics: Statistics,
        question: Question,
        sight: Sight,
    ) -> None:
        self._connections, self._spaces, self._embedder_id = connections, spaces, embedder_id
        self._statistics, self._question, self._sight = statistics, question, sight
        filtered, values = condition(sight.keep)
        self._where = f"m.trust >= %s AND (m.expires_at IS NULL OR m.expires_at > %s) AND {filtered}"
        self._values = [sight.least, sight.now, *values]
        with connections.read() as connection:
            self._frequencies = frequencies(connection, statistics, question.terms, spaces)
        rarity = np.log1p((statistics.total - self._frequencies + 0.5).clip(min=0) / (self._frequencies + 0.5))
        self._idf = np.where(self._frequencies > 0, rarity, 0.0).astype(np.float32)

    def best(self, count: int, mode: SearchMode) -> IntArray:
        found: list[int] = []
        with self._connections.read() as connection:
            if mode != "lexical":
                found += self._by_vector(connection, count)
            if mode != "vector":
                found += self._by_words(connection, count)
            if mode == "hybrid":
                found += self._sight.taught
                if len(found) < count:  # what no list reaches (not embedded yet, no term) still counts as there
                    query = f"SELECT m.id FROM memories m WHERE {self._inside()} LIMIT {count}"
                    found += [row[0] for row in connection.execute(query.encode(), self._values)]
        return distinct(np.array(found, np.int64))

    def _inside(self) -> str:
        numbers = ", ".join(map(str, self._spaces)) or "NULL"
        return f"m.namespace_id IN ({numbers}) AND {self._where}"

    def _by_vector(self, connection: Session, count: int) -> list[int]:
        where, values, vector = self._where, self._values, self._question.vector
        found = [
            near
            for space in self._spaces
            for near in nearest(connection, space, self._embedder_id, vector, count, where, values)
        ]
        return [memory_id for _, memory_id in sorted(found)[:count]]

    def _by_words(self, connection: Session, count: int) -> list[int]:
        known = np.flatnonzero(self._frequencies > 0)
        if not len(known):
            return []
        rarest = known[np.argsort(self._frequencies[known], kind="stable")]
        reach = np.cumsum(self._frequencies[rarest])
        few = rarest[: max(1, int(np.searchsorted(reach, FETCHED)))]
        fetched: dict[int, tuple[bytes, bytes]] = {}
        tries = [("&&", few)]
        if reach[0] > FETCHED:  # even the rarest is common: first those that hold several of the rare ones
            tries = [("@>", rarest[:2]), ("&&", few)]
        for operator, chosen in tries:
            terms = self._question.terms[chosen].view(np.int32).tolist()
            for space in self._spaces:
                query = f"""SELECT m.id, array_send(m.term_ids), m.term_counts FROM memories m
                    WHERE m.namespace_id = {space} AND m.term_ids {operator} %s::int[] AND {self._where}
                    LIMIT {FETCHED}"""
                rows = connection.execute(query.encode(), (terms, *self._values), binary=True)
                fetched.update((row[0], (row[1], row[2])) for row in rows)
        ids = np.fromiter(fetched, np.int64, len(fetched))
        scores = self._bm25(list(fetched.values()))
        order = np.lexsort((ids, -scores))[:count]
        return [int(ids[row]) for row in order if scores[row] > 0]

    def _bm25(self, rows: Sequence[tuple[bytes, bytes]]) -> FloatArray:
        """The question's BM25 with each memory, of which the terms and counts are given as sent."""
        asked = self._question.terms
        if not len(asked) or not rows:
            return np.zeros(len(rows), np.float32)
        order = np.argsort(asked)
        row, terms, times = read_occurrences(rows)
        slot = order[np.minimum(np.searchsorted(asked, terms, sorter=order), len(asked) - 1)]
        lengths = np.bincount(row, times, len(rows))
        norm = K1 * (1 - B + B * lengths / max(self._statistics.mean_length, 1e-3))
        share = self._idf[slot] * times * (K1 + 1) / (times + norm[row])
        scores: FloatArray = np.bincount(row, np.where(asked[slot] == terms, share, 0.0), len(rows)).astype(np.float32)
        return scores

    def measure(self, ids: IntArray) -> Candidates:
        query = f"""SELECT m.id, m.importance, m.created_at, array_send(m.term_ids), m.term_counts,
            vector_send(e.vector) FROM memories m
            LEFT JOIN embeddings e ON e.memory_id = m.id AND e.embedder_id = {self._embedder_id}
            WHERE m.id = ANY(%s::bigint[]) AND {self._inside()} ORDER BY m.id"""
        with self._connections.read() as connection:
            rows = connection.execute(query.encode(), (ids.tolist(), *self._values), binary=True).fetchall()
        vector, found = self._question.vector, np.array([row[0] for row in rows], np.int64)
        dense = [0.0 if row[5] is None else float(read_vector(row[5]) @ vector) for row in rows]
        told = self._sight.confirmed
        ages = self._sight.now - np.array([row[2] for row in rows], np.float64)
        return Candidates(
            ids=found,
            dense=np.array(dense, np.float32),
            lexical=self._bm25([(row[3], row[4]) for row in rows]),
            confirmed=np.zeros(len(rows), np.float32) if told is None else told(found.tolist()),
            taught=np.array([self._sight.taught.get(item, 0.0) for item in found.tolist()], np.float32),
            importance=np.array([row[1] for row in rows], np.float32),
            age_seconds=np.maximum(ages, 0).astype(np.float32),
        )

    def token_rows(self, ids: IntArray) -> Sequence[TokenRows]:
        query = f"""SELECT memory_id, token_bits FROM embeddings WHERE embedder_id = {self._embedder_id}
            AND memory_id = ANY(%s::bigint[]) AND token_bits IS NOT NULL"""
        with self._connections.read() as connection:
            rows = connection.execute(query.encode(), (ids.tolist(),), binary=True)
            found = {row[0]: bytes(row[1]) for row in rows}
        width = len(self._question.vector) // 8
        return [TokenRows(np.arange(len(ids)), *laid_out([found.get(item, b"") for item in ids.tolist()], width))]

    def neighbours(self, ids: IntArray) -> tuple[IntArray, IntArray]:
        beside = f"""(SELECT o.id FROM memories o WHERE o.namespace_id = m.namespace_id AND {chain("o")} = {chain("m")}
            AND {session("o")} IS NOT NULL AND o.id %s m.id ORDER BY o.id %s LIMIT 1)"""
        before, after = beside % ("<", "DESC"), beside % (">", "ASC")
        query = f"""SELECT m.id, {before}, {after} FROM memories m
            WHERE m.id = ANY(%s::bigint[]) AND {session("m")} IS NOT NULL"""
        inside = f"SELECT m.id FROM memories m WHERE m.id = ANY(%s::bigint[]) AND {self._inside()}"
        with self._connections.read() as connection:
            rows = connection.execute(query.encode(), (ids.tolist(),)).fetchall()
            ends = list({end for row in rows for end in row[1:] if end is not None})
            seen = {row[0] for row in connection.execute(inside.encode(), (ends, *self._values))} if ends else set()
        found = {row[0]: [end if end in seen else 0 for end in row[1:]] for row in rows}
        table = np.array([found.get(item, (0, 0)) for item in ids.tolist()], np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def vectors(self, ids: IntArray) -> FloatArray:
        query = f"""SELECT memory_id, vector_send(vector) FROM embeddings WHERE embedder_id = {self._embedder_id}
            AND memory_id = ANY(%s::bigint[])"""
        table = np.zeros((len(ids), len(self._question.vector)), np.float32)
        with self._connections.read() as connection:
            rows = dict(connection.execute(query.encode(), (ids.tolist(),), binary=True).fetchall())
        for row, memory_id in enumerate(ids.tolist()):
            if memory_id in rows:
                table[row] = read_vector(rows[memory_id])
        return table

    def links(self, ids: IntArray) -> npt.NDArray[np.float64]:
        query = f"""WITH ends AS (SELECT a AS near, b AS far, weight FROM links WHERE a = ANY(%s::bigint[])
            UNION ALL SELECT b, a, weight FROM links WHERE b = ANY(%s::bigint[]))
            SELECT near, far, weight FROM ends JOIN memories m ON m.id = far WHERE {self._inside()}"""
        with self._connections.read() as connection:
            rows = connection.execute(query.encode(), (ids.tolist(), ids.tolist(), *self._values)).fetchall()
        return np.array(rows, np.float64).reshape(-1, 3)

    def idf(self) -> FloatArray:
        return self._idf

    def token_frequency(self, token_ids: npt.NDArray[np.uint32]) -> tuple[IntArray, int]:
        return self._statistics.token_frequency(token_ids), self._statistics.total

    def cosines(self, ids: Sequence[int]) -> Mapping[int, float]:
        rows = self.vectors(np.array(ids, np.int64))
        return {memory_id: float(row @ self._question.vector) for memory_id, row in zip(ids, rows, strict=True)}

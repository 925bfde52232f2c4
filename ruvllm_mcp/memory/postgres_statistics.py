"""How often terms and tokens occur in a namespace that no process has a copy of: from a sample, and counted where a
term is too rare for one.

BM25 needs in how many memories a term occurs and how long memories are; late interaction in how many a token occurs.
A sample of some thousands gives both within a few per cent for what is common, which is what matters there; what the
sample hardly saw is counted in the index, up to a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.memory.analysis import TermArray
from ruvllm_mcp.memory.postgres_values import read_counts, read_terms
from ruvllm_mcp.memory.sets import located

if TYPE_CHECKING:
    from ruvllm_mcp.memory.postgres_connection import Session

SAMPLE = 5_000
SEEN_ENOUGH = 8  # times in the sample; rarer terms are counted
COUNTED_UP_TO = 5_000


@dataclass(frozen=True)
class Statistics:
    """Of `total` memories, from `sampled` of them. `terms` (t,) ascending with how many of the sample hold each;
    `tokens` likewise, by token id; `mean_length` in terms."""

    total: int
    sampled: int
    terms: TermArray
    term_counts: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    mean_length: float

    def seen(self, terms: TermArray) -> npt.NDArray[np.int64]:
        """How many of the sample hold each term."""
        if not len(self.terms):
            return np.zeros(len(terms), np.int64)
        places, are_known = located(terms, self.terms)
        return np.where(are_known, self.term_counts[places], 0)

    def token_frequency(self, token_ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """In about how many memories each token occurs."""
        if not len(self.tokens):
            return np.zeros(len(token_ids), np.int64)
        known = self.tokens[np.minimum(token_ids, len(self.tokens) - 1)]
        seen = np.where(token_ids < len(self.tokens), known, 0)
        return np.rint(seen * (self.total / max(self.sampled, 1))).astype(np.int64)


def sampled(connection: Session, spaces: Sequence[int], embedder_id: int) -> Statistics:
    """Statistics of the namespaces with those numbers."""
    query = "SELECT coalesce(sum(memories), 0) FROM namespaces WHERE id = ANY(%s::int[])"
    total = int(connection.execute(query, (list(spaces),)).fetchall()[0][0])
    everything = "SELECT coalesce(sum(memories), 0) FROM namespaces"
    share = min(100.0, 100.0 * 4 * SAMPLE / max(int(connection.execute(everything).fetchall()[0][0]), 1))
    rows = connection.execute(
        f"""SELECT array_send(m.term_ids), m.term_counts, e.token_ids FROM memories m TABLESAMPLE SYSTEM ({share:f})
        LEFT JOIN embeddings e ON e.memory_id = m.id AND e.embedder_id = %s
        WHERE m.namespace_id = ANY(%s::int[]) LIMIT %s""".encode(),
        (embedder_id, list(spaces), SAMPLE),
        binary=True,
    ).fetchall()
    terms, counts = np.unique(
        np.concatenate([np.empty(0, np.uint32), *(read_terms(row[0]) for row in rows)]), return_counts=True
    )
    distinct = [np.unique(np.frombuffer(row[2], np.uint32)) for row in rows if row[2]]
    lengths = [int(read_counts(row[1]).sum()) for row in rows]
    return Statistics(
        total,
        len(rows),
        terms,
        counts,
        np.bincount(np.concatenate(distinct)) if distinct else np.empty(0, np.int64),
        float(np.mean(lengths)) if lengths else 0.0,
    )


def frequencies(
    connection: Session, statistics: Statistics, terms: TermArray, spaces: Sequence[int]
) -> npt.NDArray[np.float64]:
    """In how many of the namespaces' memories each of `terms` occurs: float64 (t,)."""
    seen = statistics.seen(terms)
    if statistics.sampled >= statistics.total:
        return seen.astype(np.float64)
    found = (seen * (statistics.total / max(statistics.sampled, 1))).astype(np.float64)
    rare = np.flatnonzero(seen < SEEN_ENOUGH)
    if len(rare):
        counted = " + ".join(
            f"""(SELECT count(*) FROM (SELECT FROM memories WHERE namespace_id = {number} AND term_ids @> ARRAY[t]
            LIMIT {COUNTED_UP_TO}) AS one)"""
            for number in spaces
        )
        query = f"SELECT {counted} FROM unnest(%s::int[]) WITH ORDINALITY AS q (t, place) ORDER BY place"
        rows = connection.execute(query.encode(), (terms[rare].view(np.int32).tolist(),)).fetchall()
        found[rare] = [row[0] for row in rows]
    return found

"""One search, from question to ranked candidates: scope, three lists, one table, one score.

`vector` ranks by cosine alone and `lexical` by BM25 alone; `hybrid` takes the best of both and what feedback points
to, and fuses. A filter narrows the scope before anything is ranked, so it can never push a match out of the results.
The index scores in int8; what is ranked or reported as a cosine is computed anew from the stored float vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.candidates import Candidates, IntArray, Question, TokenRows
from ruvllm_mcp.memory.codes import Query, blur
from ruvllm_mcp.memory.fusion import fuse
from ruvllm_mcp.memory.late import TokenSigns
from ruvllm_mcp.memory.pushdown import Collected, Sight
from ruvllm_mcp.memory.replica import Replica
from ruvllm_mcp.memory.sets import distinct, located
from ruvllm_mcp.memory.store import Store
from ruvllm_mcp.memory.weights import DEFAULT, FusionWeights
from ruvllm_mcp.types import Link, MemoryResult, SearchMode

CANDIDATES = 150
_NONE: IntArray = np.empty(0, np.int64)
VECTOR_MARGIN = 54  # how many more than k are ranked anew by their float vectors


@dataclass(frozen=True)
class Ranked:
    """Candidates best first: ids (n,), scores (n,), cosines (n,), and each part's share of the score. The cosines of
    the hits are exact, those of the others good to about 0.001."""

    ids: IntArray
    scores: FloatArray
    similarity: FloatArray
    parts: Mapping[str, FloatArray]
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A search's outcome: the hits, and what a trajectory keeps. `query_vector` is as embedded, before any teacher
    moved it, `tokens` what is kept of its tokens; `candidates` lists everything that was ranked, best first."""

    hits: tuple[MemoryResult, ...]
    query_vector: FloatArray
    candidates: Ranked
    tokens: TokenSigns | None = None


class Collection:
    """What one search may rank: a replica seen through a `Sight`. Used while the replica's lock is held."""

    def __init__(self, replica: Replica, store: Store, fingerprint: str, question: Question, sight: Sight) -> None:
        self._replica, self._store, self._fingerprint = replica, store, fingerprint
        self._question, self._taught, self._now = question, sight.taught, sight.now
        self._confirmed = sight.confirmed
        self._measured: tuple[IntArray, IntArray] = (_NONE, _NONE)
        self._by_id: tuple[IntArray, IntArray] = (_NONE, _NONE)
        self._links: dict[int, list[Link]] = {}
        scope = replica.scope(sight.namespaces, sight.now)
        self._keep, self._kept = scope.keep.rows, scope.kept
        if sight.keep is not None:
            self._keep = replica.matching(sight.keep, store) & self._keep
        if sight.least:
            self._keep = (replica.rows("trust") >= sight.least) & self._keep
        if sight.keep is not None or sight.least:
            self._kept = int(np.count_nonzero(self._keep))
        self._query = Query(question.vector)
        self._asked = replica.postings.ask(
            question.terms, replica.rows("lengths"), scope.keep.rows, scope.kept, scope.mean_length
        )

    def best(self, count: int, mode: SearchMode) -> IntArray:
        lists: list[npt.NDArray[np.integer]] = []
        if mode != "lexical":
            rows = self._replica.vectors.best(self._query, self._keep, self._kept, count)[0]
            lists.append(rows[self._replica.rows("embedded")[rows]])
        if mode != "vector":
            lists.append(self._asked.top(count, self._keep)[0])
        if mode == "hybrid":
            if self._taught:
                lists.append(self._inside(self._replica.find(self._taught)))
            if sum(map(len, lists)) < count:  # what no list reaches (not embedded yet, no term) still counts as there
                lists.append(np.flatnonzero(self._keep)[:count])
        return self._named(distinct(np.concatenate(lists)))

    def _named(self, rows: IntArray) -> IntArray:
        """The ids of rows, whose rows are then known without another look-up."""
        ids: IntArray = self._replica.rows("ids")[rows]
        order = np.argsort(ids, kind="stable")
        self._measured, self._by_id = (ids, rows), (ids[order], rows[order])
        return ids

    def _rows(self, ids: IntArray) -> IntArray:
        if ids is self._measured[0]:
            return self._measured[1]
        known, rows = self._by_id
        places, are_known = located(ids, known)
        return rows[places] if are_known.all() else self._replica.find(ids.tolist())

    def _inside(self, rows: IntArray) -> IntArray:
        kept: IntArray = rows[self._keep[rows] > 0]
        return kept

    def token_rows(self, ids: IntArray) -> Sequence[TokenRows]:
        rows = self._rows(ids)
        return self._replica.token_rows(rows, lambda missing: self._store.token_bits(missing, self._fingerprint))

    def neighbours(self, ids: IntArray) -> tuple[IntArray, IntArray]:
        before, after = self._replica.neighbours(self._rows(ids))
        return self._ids_inside(before), self._ids_inside(after)

    def vectors(self, ids: IntArray) -> FloatArray:
        return self._replica.vectors.rows(self._rows(ids))

    def links(self, ids: IntArray) -> npt.NDArray[np.float64]:
        asked = ids.tolist()
        self._links |= self._store.links([item for item in asked if item not in self._links])
        rows = [(near, far.id, far.weight) for near in asked for far in self._links[near]]
        table = np.array(rows, np.float64).reshape(-1, 3)
        if not rows:
            return table
        far = table[:, 1].astype(np.int64)
        inside = self._inside(self._replica.find(distinct(far).tolist()))
        return table[located(far, self._replica.rows("ids")[inside])[1]]

    def _ids_inside(self, rows: npt.NDArray[np.int32]) -> IntArray:
        if not (rows >= 0).any():
            return np.zeros(len(rows), np.int64)
        return np.where((rows >= 0) & (self._keep[rows] > 0), self._replica.rows("ids")[rows], 0)

    def measure(self, ids: IntArray) -> Candidates:
        rows = self._inside(self._rows(ids))
        found = self._named(rows)
        confirmed = np.zeros(len(found), np.float32) if self._confirmed is None else self._confirmed(found.tolist())
        return Candidates(
            ids=found,
            dense=self._replica.vectors.score(self._query, rows),
            lexical=self._asked.at(rows),
            taught=np.array([self._taught.get(item, 0.0) for item in found.tolist()], np.float32),
            confirmed=confirmed,
            importance=self._replica.rows("importance")[rows],
            age_seconds=np.maximum(self._now - self._replica.rows("created_at")[rows], 0).astype(np.float32),
        )

    def idf(self) -> FloatArray:
        return self._asked.idf

    def token_frequency(self, token_ids: npt.NDArray[np.uint32]) -> tuple[IntArray, int]:
        return self._replica.frequency_of(token_ids)

    def cosines(self, ids: Sequence[int]) -> Mapping[int, float]:
        found = self._store.vectors(ids, self._fingerprint)
        return {memory_id: float(vector @ self._question.vector) for memory_id, vector in found.items()}


def rank(
    question: Question,
    collection: Collected,
    k: int,
    mode: SearchMode,
    weights: Mapping[str, float],
    fusion: FusionWeights = DEFAULT,
) -> Ranked:
    """The candidates of a search, best first; at least k where the scope holds as many. `fusion` makes the hybrid
    score's parts, `weights` are learned factors of them."""
    enough = k + VECTOR_MARGIN if mode == "vector" else max(CANDIDATES, k)
    candidates = collection.measure(collection.best(enough, mode))
    if mode == "hybrid" and len(candidates.ids):
        fused = fuse(question, candidates, collection, fusion)
        parts = {name: share * np.float32(weights.get(name, 1.0)) for name, share in fused.parts.items()}
        scores: FloatArray = np.stack(list(parts.values())).sum(axis=0)
        ranked = _exact(_ordered(fused.candidates, scores, parts), collection, min(k, len(scores)))
        return replace(ranked, weights=weights)
    if mode == "lexical":
        ranked = _ordered(candidates, candidates.lexical, {"lexical": candidates.lexical})
        return _exact(ranked, collection, min(k, len(ranked.ids)))
    ranked = _ordered(candidates, candidates.dense, {"dense": candidates.dense})
    doubtful = min(k, len(ranked.ids))
    if doubtful < len(ranked.ids):
        doubtful = int(np.count_nonzero(ranked.scores >= ranked.scores[doubtful - 1] - 2 * blur(len(question.vector))))
    ranked = _exact(ranked, collection, doubtful)
    exact = replace(candidates, ids=ranked.ids, dense=ranked.similarity)
    return _ordered(exact, ranked.similarity, {"dense": ranked.similarity})


def _ordered(candidates: Candidates, scores: FloatArray, parts: Mapping[str, FloatArray]) -> Ranked:
    order = np.lexsort((candidates.ids, -scores))
    shares = {name: share[order] for name, share in parts.items()}
    return Ranked(candidates.ids[order], scores[order], candidates.dense[order], shares)


def _exact(ranked: Ranked, collection: Collected, count: int) -> Ranked:
    """The same with exact cosines for the first `count`."""
    exact = collection.cosines(ranked.ids[:count].tolist())
    similarity = ranked.similarity.copy()
    similarity[:count] = [exact.get(memory_id, 0.0) for memory_id in ranked.ids[:count].tolist()]
    return replace(ranked, similarity=similarity)


def results(ranked: Ranked, k: int, store: Store) -> tuple[MemoryResult, ...]:
    """The first `k` with all that a caller sees of them, less those that were deleted meanwhile."""
    wanted = ranked.ids[:k].tolist()
    records = store.records(wanted)
    scores, cosines = ranked.scores[:k].tolist(), ranked.similarity[:k].clip(-1, 1).tolist()
    shares = {name: share[:k].tolist() for name, share in ranked.parts.items()}
    return tuple(
        MemoryResult(
            id=record.id,
            content=record.content,
            metadata=record.metadata,
            similarity=cosines[row],
            score=scores[row],
            explain={name: share[row] for name, share in shares.items()},
            namespace=record.namespace,
            kind=record.kind,
            source=record.source,
            created_at=record.created_at,
            trust=record.trust,
        )
        for row, item in enumerate(wanted)
        if (record := records.get(item)) is not None
    )

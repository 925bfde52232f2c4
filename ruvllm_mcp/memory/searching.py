"""One search, from question to ranked candidates: scope, three lists, one table, one score.

`vector` ranks by cosine alone and `lexical` by BM25 alone; `hybrid` takes the best of both and what feedback points
to, and fuses. A filter narrows the scope before anything is ranked, so it can never push a match out of the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory import exact, lexical
from ruvllm_mcp.memory.candidates import Candidates, IntArray, Question
from ruvllm_mcp.memory.fusion import fuse
from ruvllm_mcp.memory.replica import BoolArray, Replica
from ruvllm_mcp.memory.store import Embedding, Store
from ruvllm_mcp.types import SearchMode

CANDIDATES = 300


@dataclass(frozen=True)
class Ranked:
    """Candidates best first: ids (n,), scores (n,), cosines (n,), and each part's share of the score."""

    ids: IntArray
    scores: FloatArray
    similarity: FloatArray
    parts: Mapping[str, FloatArray]


class Collection:
    """The `Evidence` of one search: a replica seen through a scope. Used while the replica's lock is held."""

    def __init__(
        self,
        replica: Replica,
        store: Store,
        fingerprint: str,
        question: Question,
        spaces: BoolArray,
        scope: BoolArray,
        taught: Mapping[int, float],
        now: float,
    ) -> None:
        self._replica, self._store, self._fingerprint = replica, store, fingerprint
        self._scope, self._taught, self._now = scope, taught, now
        self.dense = exact.cosines(replica.rows("vectors"), question.vector)
        repeats = np.ones(len(question.terms), np.uint16)
        self.lexical = lexical.bm25(replica.postings, question.terms, repeats, replica.rows("lengths"), spaces)

    def best(self, count: int, mode: SearchMode) -> IntArray:
        """Ids of the candidates: the best by each list that `mode` uses, and what was taught."""
        lists = []
        if mode != "lexical":
            lists.append(exact.best(self.dense, self._scope & self._replica.rows("embedded"), count))
        if mode != "vector":
            lists.append(exact.best(self.lexical, self._scope & (self.lexical > 0), count))
        if mode == "hybrid":
            lists.append(self._inside(self._replica.positions(self._taught)))
            if sum(map(len, lists)) < count:  # what no list reaches (not embedded yet, no term) still counts as there
                lists.append(np.flatnonzero(self._scope)[:count])
        ids: IntArray = self._replica.rows("ids")[np.unique(np.concatenate(lists))]
        return ids

    def _inside(self, positions: IntArray) -> IntArray:
        kept: IntArray = positions[self._scope[positions]]
        return kept

    def embeddings(self, ids: Sequence[int]) -> Mapping[int, Embedding]:
        return self._store.embeddings(ids, self._fingerprint)

    def neighbours(self, ids: IntArray) -> tuple[IntArray, IntArray]:
        known = self._replica.rows("ids")
        before, after = self._replica.neighbours(self._replica.positions(ids.tolist()))
        return tuple(  # type: ignore[return-value]  # a generator's length is not typed
            np.where((side >= 0) & self._scope[side], known[side], 0) for side in (before, after)
        )

    def measure(self, ids: IntArray) -> Candidates:
        positions = self._inside(self._replica.positions(ids.tolist()))
        found = self._replica.rows("ids")[positions]
        return Candidates(
            ids=found,
            dense=self.dense[positions],
            lexical=self.lexical[positions],
            taught=np.array([self._taught.get(item, 0.0) for item in found.tolist()], np.float32),
            importance=self._replica.rows("importance")[positions],
            age_seconds=np.maximum(self._now - self._replica.rows("created_at")[positions], 0).astype(np.float32),
        )

    def token_frequency(self, token_ids: npt.NDArray[np.uint32]) -> tuple[IntArray, int]:
        frequency = self._replica.token_frequency
        known = np.minimum(token_ids, len(frequency) - 1)
        return np.where(token_ids < len(frequency), frequency[known], 0), len(self._replica)


def rank(question: Question, collection: Collection, k: int, mode: SearchMode) -> Ranked:
    """The candidates of a search, best first; at least k where the scope holds as many."""
    candidates = collection.measure(collection.best(max(CANDIDATES, k), mode))
    if mode == "vector" or not len(candidates.ids):
        scores, parts = candidates.dense, {"dense": candidates.dense}
    elif mode == "lexical":
        scores, parts = candidates.lexical, {"lexical": candidates.lexical}
    else:
        fused = fuse(question, candidates, collection)
        candidates, scores, parts = fused.candidates, fused.scores, dict(fused.parts)
    order = np.lexsort((candidates.ids, -scores))
    return Ranked(
        candidates.ids[order],
        scores[order],
        candidates.dense[order],
        {name: share[order] for name, share in parts.items()},
    )

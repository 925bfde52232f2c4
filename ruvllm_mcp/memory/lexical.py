"""BM25 over postings kept in memory: an index in two parts, one sorted and fixed, one small and growing.

The fixed part is compressed-sparse-row over term ids (terms sorted; positions and counts back to back); the growing
part is lists by term, folded into the fixed one when it reaches a quarter of it. Scores are Robertson's BM25 with
Lucene's never-negative idf, ln(1 + (N - df + 0.5) / (df + 0.5)); N, df and the mean length are those of the
namespaces searched. FTS5 was the first candidate; ranking an OR of common words there costs tens of milliseconds at
100,000 memories.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
K1 = 1.2
B = 0.75
_SMALL = 20_000


class Postings:
    """Which positions hold which terms, how often. Positions only grow; the caller masks the dead ones."""

    def __init__(self) -> None:
        self._terms = np.empty(0, np.uint32)
        self._starts = np.zeros(1, np.int64)
        self._positions = np.empty(0, np.int32)
        self._counts = np.empty(0, np.uint16)
        self._recent: dict[int, tuple[list[int], list[int]]] = {}
        self._recent_size = 0

    def add(self, position: int, terms: npt.NDArray[np.uint32], counts: npt.NDArray[np.uint16]) -> None:
        """Records one memory's distinct terms."""
        for term, count in zip(terms.tolist(), counts.tolist(), strict=True):
            entry = self._recent.get(term)
            if entry is None:
                entry = self._recent[term] = ([], [])
            entry[0].append(position)
            entry[1].append(count)
        self._recent_size += len(terms)
        if self._recent_size > max(_SMALL, len(self._positions) // 4):
            self._fold()

    def add_many(
        self,
        positions: Sequence[int],
        terms: Sequence[npt.NDArray[np.uint32]],
        counts: Sequence[npt.NDArray[np.uint16]],
    ) -> None:
        """The same for many memories at once, straight into the fixed part."""
        sizes = [len(item) for item in terms]
        if sum(sizes) <= _SMALL:
            for position, term, count in zip(positions, terms, counts, strict=True):
                self.add(position, term, count)
            return
        where = np.repeat(np.asarray(positions, np.int32), sizes)
        self._merge(np.concatenate(list(terms)), where, np.concatenate(list(counts)))

    def _fold(self) -> None:
        sizes = [len(entry[0]) for entry in self._recent.values()]
        terms = np.repeat(np.fromiter(self._recent.keys(), np.uint32, len(sizes)), sizes)
        positions = np.fromiter((p for entry in self._recent.values() for p in entry[0]), np.int32, self._recent_size)
        counts = np.fromiter((c for entry in self._recent.values() for c in entry[1]), np.uint16, self._recent_size)
        self._recent, self._recent_size = {}, 0
        self._merge(terms, positions, counts)

    def _merge(
        self, terms: npt.NDArray[np.uint32], positions: npt.NDArray[np.int32], counts: npt.NDArray[np.uint16]
    ) -> None:
        all_terms = np.concatenate([np.repeat(self._terms, np.diff(self._starts)), terms])
        order = np.argsort(all_terms, kind="stable")
        self._positions = np.concatenate([self._positions, positions])[order]
        self._counts = np.concatenate([self._counts, counts])[order]
        self._terms, first = np.unique(all_terms[order], return_index=True)
        self._starts = np.append(first, len(order)).astype(np.int64)

    def of(self, term: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
        """Positions holding `term` and its counts there."""
        slot = int(np.searchsorted(self._terms, np.uint32(term)))
        if slot < len(self._terms) and self._terms[slot] == term:
            part = slice(self._starts[slot], self._starts[slot + 1])
            positions, counts = self._positions[part], self._counts[part]
        else:
            positions, counts = self._positions[:0], self._counts[:0]
        recent = self._recent.get(term)
        if recent is None:
            return positions, counts
        return (
            np.concatenate([positions, np.asarray(recent[0], np.int32)]),
            np.concatenate([counts, np.asarray(recent[1], np.uint16)]),
        )


def bm25(
    postings: Postings,
    terms: npt.NDArray[np.uint32],
    repeats: npt.NDArray[np.uint16],
    lengths: npt.NDArray[np.float32],
    scope: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """BM25 of every position, float32 (n,), 0 outside `scope` and where no term occurs.

    `terms` are the question's distinct terms, asked `repeats` times each; `lengths` (n,) counts the terms of each
    position.
    """
    scores = np.zeros(len(scope), np.float32)
    size = int(np.count_nonzero(scope))
    if not size:
        return scores
    mean = max(float(lengths.dot(scope)) / size, 1.0)
    for term, repeat in zip(terms.tolist(), repeats.tolist(), strict=True):
        positions, counts = postings.of(term)
        inside = scope[positions]
        positions, counts = positions[inside], counts[inside]
        if not len(positions):
            continue
        idf = np.log1p((size - len(positions) + 0.5) / (len(positions) + 0.5))
        saturation = counts + K1 * (1 - B + B * lengths[positions] / mean)
        scores[positions] += np.float32(idf * repeat * (K1 + 1)) * counts / saturation
    return scores

"""BM25 over postings that follow the change feed: an index in segments, each sorted and fixed, merged as they grow.

New memories collect in a dictionary; every `LIVE` of them become a segment in compressed-sparse-row form (term ids
ascending; rows and counts back to back), and segments of like size are merged, so that there are few and rows ascend
across them. Scores are Robertson's BM25 with Lucene's never-negative idf, ln(1 + (N - df + 0.5) / (df + 0.5)), where
N, df and the mean length are those of the namespaces searched. FTS5 was the first candidate; ranking an OR of common
words there grows with every memory that holds one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.analysis import TermArray
from ruvllm_mcp.memory.sets import distinct, is_first
from ruvllm_mcp.native.lib import gil, gil_ffi, nogil, nogil_ffi

RowArray = npt.NDArray[np.int32]
CountArray = npt.NDArray[np.uint16]
K1 = 1.2
B = 0.75
LIVE = 512
_PART = np.dtype(
    [("rows", np.uint64), ("counts", np.uint64), ("size", np.uint64), ("term", np.uint32), ("weight", np.float32)]
)


def pack(terms: TermArray) -> bytes:
    """The distinct terms of one memory as stored: their ids (uint32), then how often each occurs (uint16)."""
    ids, often = terms.copy(), np.empty(len(terms), np.uint16)
    slots = np.empty(2 << len(terms).bit_length(), np.uint32)
    size = gil.rv_count_terms(
        gil_ffi.from_buffer("uint32_t[]", ids),
        len(ids),
        gil_ffi.from_buffer("uint16_t[]", often),
        gil_ffi.from_buffer("uint32_t[]", slots),
        len(slots),
    )
    return ids[:size].tobytes() + often[:size].tobytes()


def unpack(packed: bytes) -> tuple[TermArray, CountArray]:
    """The reverse of `pack`."""
    size = len(packed) // 6
    return np.frombuffer(packed, np.uint32, size), np.frombuffer(packed, np.uint16, size, offset=4 * size)


def length(packed: bytes) -> int:
    """How many terms the memory has, repeated ones counted as often as they occur."""
    return sum(memoryview(packed)[len(packed) // 6 * 4 :].cast("H"))


@dataclass(frozen=True)
class Segment:
    """Postings of a range of rows: `terms` (t,) ascending; term i's are `rows`/`counts`[starts[i]:starts[i + 1]]."""

    terms: TermArray
    starts: npt.NDArray[np.int64]
    rows: RowArray
    counts: CountArray

    def parts(self, terms: TermArray) -> npt.NDArray[Any]:
        """What C needs to know of each of `terms` that occurs here, by its place among them."""
        found = np.empty(len(terms), _PART)
        count = nogil.rv_postings_find(
            nogil_ffi.from_buffer("uint32_t[]", self.terms),
            len(self.terms),
            nogil_ffi.from_buffer("int64_t[]", self.starts),
            nogil_ffi.from_buffer("int32_t[]", self.rows),
            nogil_ffi.from_buffer("uint16_t[]", self.counts),
            nogil_ffi.from_buffer("uint32_t[]", terms),
            len(terms),
            nogil_ffi.from_buffer("rv_postings[]", found),
        )
        return found[:count]

    @property
    def bytes(self) -> int:
        return self.terms.nbytes + self.starts.nbytes + self.rows.nbytes + self.counts.nbytes


EMPTY = Segment(np.empty(0, np.uint32), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.uint16))


def make_segment(rows: Sequence[int], terms: Sequence[TermArray], counts: Sequence[CountArray]) -> Segment:
    """The segment of memories at ascending `rows` with the given distinct terms."""
    all_terms = np.concatenate([EMPTY.terms, *terms])
    order = np.argsort(all_terms, kind="stable")
    all_rows = np.repeat(np.asarray(rows, np.int32), [len(item) for item in terms])[order]
    ordered = all_terms[order]
    first = np.flatnonzero(is_first(ordered))
    return Segment(
        ordered[first],
        np.append(first, len(order)).astype(np.int64),
        all_rows,
        np.concatenate([EMPTY.counts, *counts])[order],
    )


def merge(segments: Sequence[Segment], renamed: RowArray) -> Segment:
    """One segment in place of several whose rows ascend from one to the next; row r becomes renamed[r], -1 drops it."""
    all_terms = distinct(np.concatenate([EMPTY.terms, *(segment.terms for segment in segments)]))
    parts = np.concatenate([np.empty(0, _PART), *(segment.parts(all_terms) for segment in segments)])
    parts = np.ascontiguousarray(parts[np.argsort(parts["term"], kind="stable")])
    size = int(parts["size"].sum())
    starts, rows, counts = np.zeros(len(all_terms) + 1, np.int64), np.empty(size, np.int32), np.empty(size, np.uint16)
    nogil.rv_postings_merge(
        nogil_ffi.from_buffer("rv_postings[]", parts),
        len(parts),
        nogil_ffi.from_buffer("int32_t[]", renamed),
        len(renamed),
        nogil_ffi.from_buffer("int64_t[]", starts),
        nogil_ffi.from_buffer("int32_t[]", rows),
        nogil_ffi.from_buffer("uint16_t[]", counts),
    )
    kept = starts[1:] > starts[:-1]
    return Segment(
        all_terms[kept],
        np.append(starts[:-1][kept], starts[-1]),
        rows[: starts[-1]].copy(),
        counts[: starts[-1]].copy(),
    )


class Postings:
    """Which rows hold which terms, how often. Rows only grow; searches mask the dead ones."""

    def __init__(self, base: Segment = EMPTY) -> None:
        self.segments = [base]
        self._live: list[tuple[int, TermArray, CountArray]] = []
        self._scores = np.zeros(0, np.float32)
        self._touched = np.zeros(0, np.int32)

    def add(self, rows: Sequence[int], packed: Sequence[bytes]) -> None:
        """Records memories at ascending rows, beyond all recorded so far."""
        self._live += [(row, *unpack(item)) for row, item in zip(rows, packed, strict=True)]
        if len(self._live) >= LIVE:
            self._settle()

    def _settle(self) -> None:
        self.segments.append(
            make_segment(
                [row for row, _, _ in self._live],
                [term for _, term, _ in self._live],
                [count for *_, count in self._live],
            )
        )
        self._live = []
        while len(self.segments) > 2 and len(self.segments[-2].rows) < 3 * len(self.segments[-1].rows):
            self.segments[-2:] = [self._merged(self.segments[-2:])]

    @staticmethod
    def _merged(segments: Sequence[Segment]) -> Segment:
        last = max(int(segment.rows.max(initial=-1)) for segment in segments)
        return merge(segments, np.arange(last + 1, dtype=np.int32))

    def settled(self) -> Sequence[Segment]:
        """All segments, with nothing left outside them."""
        if self._live:
            self._settle()
        return self.segments

    def whole(self) -> Segment:
        """Everything as one segment."""
        return self._merged(self.settled())

    def ask(self, terms: TermArray, lengths: FloatArray, keep: npt.NDArray[np.uint8], kept: int, mean: float) -> Asked:
        """A question of distinct `terms` to the `kept` rows that `keep` (n,) marks, whose mean length is `mean`."""
        segments = self.settled() if len(self._live) > 64 else [*self.segments, *self._live_segment()]
        parts = np.concatenate([np.empty(0, _PART), *(segment.parts(terms) for segment in segments)])
        if len(keep) > len(self._scores):
            self._scores, self._touched = (
                np.zeros(len(keep) * 5 // 4, np.float32),
                np.empty(len(keep) * 5 // 4, np.int32),
            )
        return Asked(terms, parts, lengths, keep, kept, mean, segments, self._scores, self._touched)

    def _live_segment(self) -> Sequence[Segment]:
        if not self._live:
            return ()
        rows, terms, counts = zip(*self._live, strict=True)
        return (make_segment(rows, terms, counts),)


class Asked:
    """One question to the postings: document frequencies, the best rows, the scores of given rows.

    `frequencies` float64 (terms,): in how many kept rows each term occurs (an estimate beyond 8,192 of them); `idf`
    float32 (terms,), 0 where a term does not occur.
    """

    def __init__(
        self,
        terms: TermArray,
        parts: npt.NDArray[Any],
        lengths: FloatArray,
        keep: npt.NDArray[np.uint8],
        kept: int,
        mean: float,
        segments: Sequence[Segment],
        scores: FloatArray,
        touched: RowArray,
    ) -> None:
        self._alive = (segments, parts, keep, lengths)  # C holds pointers into these
        self._scores, self._touched = scores, touched
        self._question = nogil_ffi.new("rv_bm25 *")
        self._question.keep = nogil_ffi.from_buffer("uint8_t[]", keep)
        self._question.lengths = nogil_ffi.from_buffer("float[]", lengths)
        self._question.rows, self._question.terms = len(keep), len(terms)
        self._question.mean, self._question.k1, self._question.b = max(mean, 1e-3), K1, B
        self._question.parts, self._question.part_count = nogil_ffi.from_buffer("rv_postings[]", parts), len(parts)
        self.frequencies, self.idf = np.empty(len(terms)), np.empty(len(terms), np.float32)
        nogil.rv_bm25_weigh(
            self._question,
            kept,
            nogil_ffi.from_buffer("double[]", self.frequencies),
            nogil_ffi.from_buffer("float[]", self.idf),
        )

    def top(self, count: int, keep: npt.NDArray[np.uint8]) -> tuple[RowArray, FloatArray]:
        """The `count` best of the rows that `keep` (n,) marks and where a term occurs, with their scores, best first,
        ties by lower row. `keep` may narrow what the frequencies were counted over."""
        self._question.keep = nogil_ffi.from_buffer("uint8_t[]", keep)
        room = min(count, len(self._scores))
        rows, scores = np.empty(room, np.int32), np.empty(room, np.float32)
        found = nogil.rv_bm25_top(
            self._question,
            room,
            nogil_ffi.from_buffer("float[]", self._scores),
            nogil_ffi.from_buffer("int32_t[]", self._touched),
            nogil_ffi.from_buffer("int32_t[]", rows),
            nogil_ffi.from_buffer("float[]", scores),
        )
        return rows[:found], scores[:found]

    def at(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        """The scores of `rows`, in any order."""
        order = np.argsort(rows, kind="stable")
        ascending = np.ascontiguousarray(rows[order], np.int32)
        scores = np.zeros(len(rows), np.float32)
        nogil.rv_bm25_at(
            self._question,
            nogil_ffi.from_buffer("int32_t[]", ascending),
            len(rows),
            nogil_ffi.from_buffer("float[]", scores),
        )
        out = np.empty_like(scores)
        out[order] = scores
        return out

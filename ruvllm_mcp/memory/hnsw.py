"""A navigable small-world graph over int8 codes (HNSW, Malkov & Yashunin, arXiv:1603.09320), kept in plain arrays.

The arrays are ours, so the graph can be mapped from a file, copied, and extended; the walking is in C. hnswlib was the
first candidate: it holds float32 rows (1.5 GB for a million of 384 dimensions) and cannot be mapped. Levels are drawn
from the row number and rows join in batches, each linked to what the graph held before it and to the rows before it in
its batch, so the same rows always give the same graph, on any number of threads.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.codes import CodeArray, KeepArray, Query, RowArray
from ruvllm_mcp.native.lib import nogil, nogil_ffi

DEGREE = 16
EF_CONSTRUCTION = 100
EF_SEARCH = 64
ROWS_PER_EF = 1_600
BATCH = 256  # rows: scoring them among themselves costs a hundredth of their walks
AT_ONCE = 16  # rows that a thread takes from a batch


def ef_search(rows: int) -> int:
    """How wide a beam finds .98 of the ten nearest of so many rows: 64 of 100,000, 512 of a million were measured."""
    return max(EF_SEARCH, rows // ROWS_PER_EF)


def levels_of(first: int, end: int, degree: int) -> npt.NDArray[np.uint8]:
    """The top level of each row: floor(-ln(u) / ln(degree)) with u uniform, drawn from the row number (splitmix64)."""
    mixed = np.arange(first + 1, end + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    uniform = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53
    drawn = -np.log(np.maximum(uniform, 1e-300)) / np.log(degree)
    levels: npt.NDArray[np.uint8] = np.minimum(drawn, nogil.RV_GRAPH_LEVELS - 1).astype(np.uint8)
    return levels


@dataclass(frozen=True)
class Graph:
    """`near` int32 (n, 2 degree) and `far` int32 (lists, degree): links, -1 after the last; `far_at` int32 (n,): first
    list of a row above level 0, -1 for none; `levels` uint8 (n,); `entry`: where searches start."""

    near: RowArray
    far: RowArray
    far_at: RowArray
    levels: npt.NDArray[np.uint8]
    entry: int

    def __len__(self) -> int:
        return len(self.near)

    @property
    def degree(self) -> int:
        return int(self.far.shape[1])

    @property
    def bytes(self) -> int:
        return self.near.nbytes + self.far.nbytes + self.far_at.nbytes + self.levels.nbytes


def empty(degree: int = DEGREE) -> Graph:
    """A graph of nothing."""
    no_rows = np.empty(0, np.int32)
    return Graph(no_rows.reshape(0, 2 * degree), no_rows.reshape(0, degree), no_rows, np.empty(0, np.uint8), -1)


class Walker:
    """A graph over its vectors, with what a search works in. One search at a time."""

    def __init__(self, graph: Graph, codes: CodeArray, scales: FloatArray, ef: int = EF_SEARCH) -> None:
        rows = len(graph)
        self._arrays = (graph, codes, scales)  # C holds pointers into these
        self._ef = 0
        self._visited, self._seen = np.zeros(rows // 64 + 1, np.uint64), np.empty(rows, np.int32)
        frontier = rows + 2 * graph.degree + 1
        self._frontier = (np.empty(frontier, np.int32), np.empty(frontier, np.float32))
        self.c_graph = nogil_ffi.new("rv_graph *")
        vectors = self.c_graph.vectors
        vectors.codes, vectors.scales = _pointer("int8_t", codes), _pointer("float", scales)
        vectors.rows, vectors.cols = rows, codes.shape[1]
        self.c_graph.degree, self.c_graph.entry = graph.degree, graph.entry
        self.c_graph.near, self.c_graph.far = _pointer("int32_t", graph.near), _pointer("int32_t", graph.far)
        self.c_graph.far_at, self.c_graph.levels = _pointer("int32_t", graph.far_at), _pointer("uint8_t", graph.levels)
        self.c_graph.far_lists = len(graph.far)
        self.c_scratch = nogil_ffi.new("rv_scratch *")
        self.c_scratch.visited = _pointer("uint64_t", self._visited)
        self.c_scratch.seen = _pointer("int32_t", self._seen)
        self.c_scratch.frontier_rows = _pointer("int32_t", self._frontier[0])
        self.c_scratch.frontier_scores = _pointer("float", self._frontier[1])
        self._make_room(ef)

    def _make_room(self, ef: int) -> None:
        if ef > self._ef:
            self._ef, self._beam = ef, (np.empty(ef, np.int32), np.empty(ef, np.float32))
            self.c_scratch.beam_rows = _pointer("int32_t", self._beam[0])
            self.c_scratch.beam_scores = _pointer("float", self._beam[1])

    def search(self, query: Query, keep: KeepArray, ef: int) -> tuple[RowArray, FloatArray]:
        """The rows that a beam of `ef` finds and their cosines, best first: as many as `ef` where there are."""
        ef = min(ef, len(self._arrays[0]))
        self._make_room(ef)
        marks = _pointer("uint8_t", keep)
        found = nogil.rv_graph_search(self.c_graph, self.c_scratch, query.pointer, marks, ef, nogil_ffi.NULL)
        return self._beam[0][:found].copy(), self._beam[1][:found] * query.scale


def extended(
    graph: Graph,
    codes: CodeArray,
    scales: FloatArray,
    cancel: Any = (0,),
    ef: int = EF_CONSTRUCTION,
    threads: int | None = None,
) -> Graph | None:
    """The graph with every row of `codes` beyond its own inserted, on `threads` (None: one for each processor);
    None when *cancel* (a C int) stopped it."""
    grown, rows = _with_room(graph, len(codes)), len(codes)
    walkers = [Walker(grown, codes, scales, ef) for _ in range(threads or os.cpu_count() or 1)]
    picks = np.empty((BATCH, nogil.RV_GRAPH_LEVELS, graph.degree), np.int32)
    entry, first = graph.entry, len(graph)
    with ThreadPoolExecutor(len(walkers), thread_name_prefix="ruvllm-graph", initializer=_give_way) as pool:
        while first < rows:
            if cancel[0]:
                return None
            end = min(first - first % BATCH + BATCH, rows)
            _insert(pool, walkers, first, end, ef, _pointer("int32_t", picks))
            highest = first + int(np.argmax(grown.levels[first:end]))
            if not 0 <= entry < rows or grown.levels[highest] > grown.levels[entry]:
                entry = highest
            for walker in walkers:
                walker.c_graph.entry = entry
            first = end
    return replace(grown, entry=entry)


def _give_way() -> None:
    """Lets searches and adds go before this thread (Linux has a priority for each)."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(10, os.getpriority(os.PRIO_PROCESS, thread)))


def _insert(pool: ThreadPoolExecutor, walkers: Sequence[Walker], first: int, end: int, ef: int, picks: Any) -> None:
    """Inserts one batch of rows, shared among the walkers."""
    free: SimpleQueue[Walker] = SimpleQueue()
    for walker in walkers:
        free.put(walker)

    def pick(start: int) -> None:
        walker, stop = free.get(), min(start + AT_ONCE, end)
        nogil.rv_graph_pick(walker.c_graph, walker.c_scratch, first, start, stop, ef, picks)
        free.put(walker)

    def link(part: int) -> None:
        walker = walkers[part]
        nogil.rv_graph_link(walker.c_graph, walker.c_scratch, first, end, part, len(walkers), picks)

    for step, shares in ((pick, range(first, end, AT_ONCE)), (link, range(len(walkers)))):
        for _ in pool.map(step, shares):
            pass


def _with_room(graph: Graph, rows: int) -> Graph:
    """The same graph with lists, still empty, for new rows."""
    degree, done = graph.degree, len(graph)
    levels = np.concatenate([graph.levels, levels_of(done, rows, degree)])
    lists = np.concatenate([[0], np.cumsum(levels[done:], dtype=np.int64)])
    near = np.full((rows, 2 * degree), -1, np.int32)
    near[:done] = graph.near
    far = np.full((len(graph.far) + int(lists[-1]), degree), -1, np.int32)
    far[: len(graph.far)] = graph.far
    new_at = np.where(levels[done:] > 0, len(graph.far) + lists[:-1], -1).astype(np.int32)
    return Graph(near, far, np.concatenate([graph.far_at, new_at]), levels, graph.entry)


def _pointer(kind: str, values: npt.NDArray[Any]) -> Any:
    return nogil_ffi.from_buffer(f"{kind}[]", values)

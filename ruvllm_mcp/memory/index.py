"""The dense index: exact integer scan and graph search behind one interface, chosen by what is cheaper.

A beam of `ef` over the graph costs about ef / f row visits of a microsecond each when a fraction f of the n rows is
kept; scoring every kept row costs f n times a fiftieth of that. The graph is taken when f² n > 50 ef: never below
some 15,000 rows, and never for a selective filter, whose rows are scored one and all.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory import codes, hnsw
from ruvllm_mcp.memory.codes import CodeArray, KeepArray, Query, RowArray
from ruvllm_mcp.memory.columns import Column
from ruvllm_mcp.memory.hnsw import Graph, Walker

ROWS_PER_EF = 50
WORTH_A_GRAPH = 15_000
Found = tuple[RowArray, FloatArray]


class Index(Protocol):
    """Rows of unit vectors, numbered as they were added."""

    def __len__(self) -> int: ...

    @property
    def unsettled(self) -> int:
        """How many rows, the last ones, are not yet kept as they are to be kept for good."""
        ...

    @property
    def bytes(self) -> int:
        """What all rows take, mapped or not."""
        ...

    def append(self, vectors: FloatArray) -> None:
        """Adds rows; a zero row scores 0 with everything."""
        ...

    def best(self, query: Query, keep: KeepArray, kept: int, count: int) -> Found:
        """About the `count` best of the `kept` rows that `keep` (n,) marks and their cosines, best first."""
        ...

    def score(self, query: Query, rows: npt.NDArray[np.int64]) -> FloatArray:
        """The cosines of the named rows."""
        ...

    def rows(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        """The named rows as vectors, float32 (n, d), as exactly as they are kept."""
        ...


class VectorIndex:
    """An `Index` over a fixed part, perhaps mapped from a file and perhaps with a graph, and a part that grows."""

    def __init__(self, fixed: CodeArray, scales: FloatArray, graph: Graph | None = None) -> None:
        self.fixed = fixed
        self.graph = graph
        self.scales = Column(np.float32)
        self.scales.extend(scales)
        self.recent = Column(np.int8, fixed.shape[1])
        self._walker = None if graph is None else Walker(graph, fixed, scales)

    def __len__(self) -> int:
        return len(self.fixed) + len(self.recent.rows)

    @property
    def unsettled(self) -> int:
        """How many rows no graph leads to."""
        return len(self) - (0 if self.graph is None else len(self.graph))

    @property
    def bytes(self) -> int:
        """Codes, scales and graph."""
        codes_bytes = self.fixed.nbytes + self.recent.rows.nbytes + self.scales.rows.nbytes
        return int(codes_bytes) + (0 if self.graph is None else self.graph.bytes)

    def append(self, vectors: FloatArray) -> None:
        coded, scales = codes.quantised(vectors)
        self.recent.extend(coded)
        self.scales.extend(scales)

    def best(self, query: Query, keep: KeepArray, kept: int, count: int) -> Found:
        ef = max(hnsw.ef_search(len(self)), count)
        if self._walker is not None and kept * kept > ROWS_PER_EF * ef * len(self):
            reached = len(self.graph or ())
            found = [self._walker.search(query, keep, ef), *self._scanned(query, keep, count, reached)]
        else:
            found = self._scanned(query, keep, count, 0)
        rows: RowArray = np.concatenate([part for part, _ in found])
        scores: FloatArray = np.concatenate([part for _, part in found])
        order = np.lexsort((rows, -scores))[:count]
        return rows[order], scores[order]

    def _scanned(self, query: Query, keep: KeepArray, count: int, first: int) -> list[Found]:
        fixed = len(self.fixed)
        found: list[Found] = [(np.empty(0, np.int32), np.empty(0, np.float32))]
        if first < fixed:
            found.append(codes.scan(self.fixed, self.scales.rows[:fixed], query, keep[:fixed], count, first))
        if len(self.recent.rows):
            rows, scores = codes.scan(self.recent.rows, self.scales.rows[fixed:], query, keep[fixed:], count)
            found.append((rows + np.int32(fixed), scores))
        return found

    def score(self, query: Query, rows: npt.NDArray[np.int64]) -> FloatArray:
        fixed = len(self.fixed)
        scores = np.empty(len(rows), np.float32)
        is_fixed = rows < fixed
        scores[is_fixed] = codes.score(self.fixed, self.scales.rows[:fixed], query, rows[is_fixed])
        scores[~is_fixed] = codes.score(self.recent.rows, self.scales.rows[fixed:], query, rows[~is_fixed] - fixed)
        return scores

    def rows(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        fixed = len(self.fixed)
        is_fixed = rows < fixed
        found = np.empty((len(rows), self.fixed.shape[1]), np.float32)
        found[is_fixed] = self.fixed[rows[is_fixed]]
        found[~is_fixed] = self.recent.rows[rows[~is_fixed] - fixed]
        found *= self.scales.rows[rows, None]
        return found

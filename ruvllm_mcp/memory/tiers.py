"""An index a tenth the size: vectors kept as exactly as they are used, scanned tier by tier, the doubtful read whole.

What is found often is kept as float32, then float16, then product-quantised (pairs of dimensions by the nearest of 256
points, 8 times smaller), and all the rest as sign bits (32 times smaller). New rows stay float32 until they are
settled. The store has every vector whole: what codes and sign bits say is the best is ranked anew by those, so the
answer is that of exact search but for what the first pass misses. There is no graph: a search reads every code, some
110 bytes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp import simd
from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.codes import KeepArray, Query, RowArray
from ruvllm_mcp.memory.columns import Column
from ruvllm_mcp.memory.sets import located

IntArray = npt.NDArray[np.int64]
Fetch = Callable[[IntArray], FloatArray]
HOT, WARM, COOL, COLD = range(4)
NAMES = ("hot", "warm", "cool", "cold")
SHARES = (0.01, 0.05, 0.20)  # of all rows, the most used first: how far each tier but the last reaches
HALF_LIFE = 30 * 86_400.0
SAMPLE, ROUNDS = 4_096, 6
FIRST_PASS = 400  # sign bits by differing bits, before they meet the question's numbers
WHOLE = {COOL: 20, COLD: 100}  # rows read from the store for a search


def levels(
    counts: npt.NDArray[np.integer], accessed_at: npt.NDArray[np.float64], now: float, rows: int
) -> npt.NDArray[np.uint8]:
    """The tiers, uint8 (n,), of n rows that were found so often and then last, of `rows` in all; those never found are
    cold. What was last found a month ago counts half."""
    warmth = counts * np.exp2((accessed_at - now) / HALF_LIFE)
    order = np.argsort(-warmth, kind="stable")
    tiers = np.full(len(counts), COLD, np.uint8)
    for level in (COOL, WARM, HOT):
        tiers[order[: int(np.ceil(SHARES[level] * rows))]] = level
    tiers[warmth <= 0] = COLD
    return tiers


def tiers_of(wanted: IntArray, ids: IntArray, tiers: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The tiers of the memories `wanted`, where `tiers` are those of `ids`, ascending; of all others: cold."""
    found = np.full(len(wanted), COLD, np.uint8)
    places, are_known = located(wanted, ids)
    found[are_known] = tiers[places[are_known]]
    return found


class Codebook:
    """Product quantisation by pairs of dimensions: `points` float32 (pairs, 256, 2), trained by Lloyd's algorithm."""

    def __init__(self, points: FloatArray) -> None:
        self.points = points

    @classmethod
    def trained(cls, vectors: FloatArray, seed: int = 0) -> Codebook:
        generator = np.random.default_rng(seed)
        sample = vectors[generator.permutation(len(vectors))[:SAMPLE]]
        pairs = np.ascontiguousarray(_paired(sample).transpose(1, 0, 2))
        start = pairs[:, generator.integers(0, len(sample), 256)]
        points = start + 1e-4 * generator.standard_normal(start.shape, np.float32)
        for _ in range(ROUNDS):
            for one, pair in zip(points, pairs, strict=True):
                nearest, _ = simd.assign(pair, one)
                sizes = np.bincount(nearest, minlength=256)
                for axis in range(2):
                    sums = np.bincount(nearest, pair[:, axis], 256)
                    one[:, axis] = np.where(sizes > 0, sums / np.maximum(sizes, 1), one[:, axis])
        return cls(points)

    def encode(self, vectors: FloatArray) -> npt.NDArray[np.uint8]:
        """uint8 (n, pairs)."""
        pairs = np.ascontiguousarray(_paired(vectors).transpose(1, 0, 2))
        found = [simd.assign(pair, points)[0] for pair, points in zip(pairs, self.points, strict=True)]
        return np.stack(found, axis=1).astype(np.uint8)

    def decode(self, codes: npt.NDArray[np.uint8]) -> FloatArray:
        """float32 (n, 2 pairs)."""
        return self.points[np.arange(len(self.points)), codes].reshape(len(codes), -1)

    def cosines(self, vector: FloatArray, codes: npt.NDArray[np.uint8]) -> FloatArray:
        table = np.einsum("pd,pkd->pk", _paired(vector[None])[0], self.points)
        return simd.pq_distances(np.ascontiguousarray(table), codes)


def _paired(vectors: FloatArray) -> FloatArray:
    return np.pad(vectors, ((0, 0), (0, vectors.shape[1] % 2))).reshape(len(vectors), -1, 2)


def _signs(vectors: FloatArray) -> npt.NDArray[np.uint8]:
    return np.packbits(vectors > 0, axis=1, bitorder="little")


@dataclass(frozen=True)
class Tier:
    """The codes of one tier, and the rows they belong to."""

    codes: Column
    rows: Column

    @property
    def bytes(self) -> int:
        return int(self.codes.rows.nbytes)


class TieredIndex:
    """An `Index` whose rows are settled into tiers. `fetch` reads the whole vectors of rows, float32 (n, d), zeros for
    those that are gone. `settled_at`: when it was decided which row belongs where."""

    def __init__(self, dim: int, fetch: Fetch, codebook: Codebook | None = None, settled_at: float = 0.0) -> None:
        self.codebook = codebook
        self.settled_at = settled_at
        self.recent = Column(np.float32, dim)
        self._dim, self._fetch = dim, fetch
        forms = ((np.float32, dim), (np.float16, dim), (np.uint8, (dim + 1) // 2), (np.uint8, (dim + 7) // 8))
        self.tiers = tuple(Tier(Column(dtype, width), Column(np.int32)) for dtype, width in forms)
        self._level, self._slot = Column(np.uint8), Column(np.int32)

    def __len__(self) -> int:
        return self.settled + len(self.recent.rows)

    @property
    def settled(self) -> int:
        """How many rows are in tiers: the first ones."""
        return len(self._level.rows)

    @property
    def unsettled(self) -> int:
        return len(self.recent.rows)

    def append(self, vectors: FloatArray) -> None:
        self.recent.extend(vectors)

    def settle(self, level: npt.NDArray[np.uint8]) -> None:
        """Moves the recent rows into the tiers given, uint8 (recent,)."""
        vectors, first = self.recent.rows, self.settled
        if self.codebook is None and (level == COOL).any():
            self.codebook = Codebook.trained(vectors)
        self.put([self._encoded(tier, vectors[level == tier]) for tier in range(4)], level, first)
        self.recent = Column(np.float32, self._dim)

    def _encoded(self, tier: int, vectors: FloatArray) -> npt.NDArray[Any]:
        if tier == COOL:
            return (
                self.codebook.encode(vectors)
                if self.codebook and len(vectors)
                else np.empty((0, (self._dim + 1) // 2), np.uint8)
            )
        return vectors if tier == HOT else vectors.astype(np.float16) if tier == WARM else _signs(vectors)

    def put(self, codes: Sequence[npt.NDArray[Any]], level: npt.NDArray[np.uint8], first: int = 0) -> None:
        """Takes the codes of rows from `first` on, tier by tier, as they are."""
        slots = np.empty(len(level), np.int32)
        for number, (tier, part) in enumerate(zip(self.tiers, codes, strict=True)):
            inside = np.flatnonzero(level == number)
            slots[inside] = len(tier.rows.rows) + np.arange(len(inside))
            tier.codes.extend(part)
            tier.rows.extend((inside + first).astype(np.int32))
        self._level.extend(level)
        self._slot.extend(slots)

    @property
    def level(self) -> npt.NDArray[np.uint8]:
        """The tier of each settled row."""
        return self._level.rows

    def best(self, query: Query, keep: KeepArray, kept: int, count: int) -> tuple[RowArray, FloatArray]:
        """About the `count` best of the kept rows and their cosines, best first; those read whole are exact."""
        count = min(count, kept)
        if not count:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        found = [self._recent_best(query, keep, count), *(self._best_of(tier, query, keep, count) for tier in range(4))]
        rows: RowArray = np.concatenate([part for part, _ in found])
        scores: FloatArray = np.concatenate([part for _, part in found])
        order = np.lexsort((rows, -scores))[:count]
        return rows[order], scores[order]

    def _recent_best(self, query: Query, keep: KeepArray, count: int) -> tuple[RowArray, FloatArray]:
        if not self.unsettled:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        rows, scores = simd.topk(self.recent.rows, query.vector, count, keep[self.settled :] > 0)
        return (rows + self.settled).astype(np.int32), scores

    def _best_of(self, number: int, query: Query, keep: KeepArray, count: int) -> tuple[RowArray, FloatArray]:
        tier = self.tiers[number]
        codes, rows = tier.codes.rows, tier.rows.rows
        if not len(rows):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        inside = keep[rows] > 0
        if number == HOT:
            slots, scores = simd.topk(codes, query.vector, count, inside)
        elif number == WARM:
            slots, scores = simd.topk(codes, query.vector.astype(np.float16), count, inside, kind="f16")
        elif number == COOL:
            slots = np.flatnonzero(inside)
            scores = self._codebook.cosines(query.vector, codes)[slots]
        else:
            room = max(FIRST_PASS, 2 * count)
            slots = simd.topk(codes, _signs(query.vector[None])[0], room, inside, metric="hamming", kind="b1")[0]
            scores = self._by_signs(query.vector, codes[slots])
        if number >= COOL:
            order = np.argsort(-scores, kind="stable")[: max(count, WHOLE[number])]
            slots, scores = slots[order], scores[order]
            doubtful = rows[slots[: WHOLE[number]]]
            scores[: len(doubtful)] = self._fetch(doubtful.astype(np.int64)) @ query.vector
        return rows[slots], scores

    @property
    def _codebook(self) -> Codebook:
        assert self.codebook is not None  # there are no codes without one
        return self.codebook

    def _by_signs(self, vector: FloatArray, codes: npt.NDArray[np.uint8]) -> FloatArray:
        """Cosines estimated from the rows' signs and the question's numbers, to about 0.03."""
        signs = np.unpackbits(codes, axis=1, count=self._dim, bitorder="little").astype(np.float32)
        cosines: FloatArray = (2 * (signs @ vector) - vector.sum()) * np.float32(np.sqrt(np.pi / 2 / self._dim))
        return cosines

    def score(self, query: Query, rows: IntArray) -> FloatArray:
        scores: FloatArray = self.rows(rows) @ query.vector
        return scores

    def rows(self, rows: IntArray) -> FloatArray:
        """The named rows as vectors, float32 (n, d); cold ones are read from the store."""
        found = np.empty((len(rows), self._dim), np.float32)
        is_recent = rows >= self.settled
        found[is_recent] = self.recent.rows[rows[is_recent] - self.settled]
        level = np.full(len(rows), len(NAMES), np.uint8)
        level[~is_recent] = self.level[rows[~is_recent]]
        for number, tier in enumerate(self.tiers):
            chosen = np.flatnonzero(level == number)
            if not len(chosen):
                continue
            codes = tier.codes.rows[self._slot.rows[rows[chosen]]]
            if number == COLD:
                found[chosen] = self._fetch(rows[chosen])
            else:
                found[chosen] = self._codebook.decode(codes)[:, : self._dim] if number == COOL else codes
        return found

    @property
    def bytes(self) -> int:
        """What the rows take in memory: codes, and where each row's are."""
        places = self._level.rows.nbytes + 2 * self._slot.rows.nbytes
        book = 0 if self.codebook is None else self.codebook.points.nbytes
        return sum(tier.bytes for tier in self.tiers) + places + book + int(self.recent.rows.nbytes)

    @property
    def sizes(self) -> dict[str, int]:
        """How many rows each tier holds; those not settled are hot."""
        held = {name: len(tier.rows.rows) for name, tier in zip(NAMES, self.tiers, strict=True)}
        return {**held, "hot": held["hot"] + self.unsettled}

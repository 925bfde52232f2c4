"""What a trajectory with votes asks of a ranking, and the fusion weights that answer it best.

A rated search becomes a `Row`: its candidates' score parts, their vectors and which of them were right. The score that
learning may change is

    score_c = sum_p weight_p * part_pc + weight_dense * gain * (q' - q) . d_c

with weight_p the learned factor of part p (1 when nothing is learned), q' the adapted question vector, and gain the
slope by which the dense part follows the cosine in that search. Weights are fitted as a conditional logit (McFadden
1974): the right candidates' share of softmax(score), with a ridge towards 1, by Newton's steps kept within bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.learning.contrastive import Example, Places
from ruvllm_mcp.learning.trajectory import FloatArray, IdArray, Trajectory
from ruvllm_mcp.simd import Move, agreement, contrast

DENSE, TAUGHT, CONFIRMED = "dense", "taught", "confirmed"
LEAST_WEIGHT, GREATEST_WEIGHT = 0.05, 5.0
RIDGE = 5.0
TEMPERATURE = 1.7  # at which softmax(score / TEMPERATURE) was about calibrated on the development sets
TRAINED_ON = 32  # of each search's candidates
DEPTH = 10  # of the ranking that is judged, as in nDCG@10
_RIGHT = 0.5  # the settled vote from which a memory counts as right

Weights = Mapping[str, float]
Vectors = Callable[[IdArray], FloatArray]


@dataclass(frozen=True)
class Row:
    """One rated search. `names` and `parts` float32 (n, p): unweighted score parts of the n candidates; `right` bool
    (n,); `ideal`: how many memories were right, found or not; `table` float32 (m, d): vectors of theirs and maybe of
    other rows' candidates, `places` which of them are whose; `gain` >= 0."""

    request_id: str
    query: FloatArray
    names: tuple[str, ...]
    parts: FloatArray
    right: npt.NDArray[np.bool_]
    ideal: int
    table: FloatArray
    gain: float
    places: Places = ...

    @property
    def vectors(self) -> FloatArray:
        """The candidates' vectors, float32 (n, d)."""
        return self.table[self.places]

    def scores(self, weights: Weights, moved: FloatArray | None = None) -> FloatArray:
        """The candidates' scores (n,) under learned weights and an adapted question vector."""
        factors = np.array([weights.get(name, 1.0) for name in self.names], np.float32)
        scores: FloatArray = self.parts @ factors
        if moved is not None and self.gain:
            shift: FloatArray = self.vectors @ (moved - self.query)
            scores += shift * np.float32(weights.get(DENSE, 1.0) * self.gain)
        return scores


def row_of(trajectory: Trajectory, votes: Mapping[int, float], vectors: Vectors, most: int | None = None) -> Row | None:
    """The row that a hybrid search and the votes on it make, of the `most` best candidates and the right ones (all when
    None); None where the votes say nothing of the ranking."""
    candidates = trajectory.candidates
    kept, right, ideal = _judged(trajectory, votes, most)
    if DENSE not in candidates.names or not any(right):
        return None
    table = vectors(candidates.ids[kept])
    parts = candidates.parts[kept].copy()
    place = candidates.names.index(DENSE)
    cosines = table @ trajectory.vector
    gain, level = _line(cosines, parts[:, place])
    if gain:  # as if searched with the plain vector, whatever had moved it then
        parts[:, place] = level + gain * cosines
    return Row(
        trajectory.request_id, trajectory.vector, candidates.names, parts, np.array(right, np.bool_), ideal, table, gain
    )


def slopes(
    trajectory: Trajectory, votes: Mapping[int, float], weights: Weights, most: int | None = None
) -> dict[str, float] | None:
    """The gradient of `gradients` in each part's weight, of the search as it was answered: no vectors are looked up."""
    names = trajectory.candidates.names
    kept, right, _ = _judged(trajectory, votes, most)
    if not any(right):
        return None
    factors = [weights.get(name, 1.0) for name in names]
    return dict(zip(names, contrast(trajectory.candidates.parts[kept], right, factors, TEMPERATURE)[0], strict=True))


def _judged(
    trajectory: Trajectory, votes: Mapping[int, float], most: int | None
) -> tuple[slice | list[int], list[bool], int]:
    """The places of the `most` best candidates of a hybrid search and the right ones, which of them were right, and how
    many memories were; none right where that says nothing of the ranking."""
    right_ids = {memory for memory, vote in votes.items() if vote >= _RIGHT}
    candidates = trajectory.candidates
    if TAUGHT not in candidates.names:
        return [], [], len(right_ids)
    first = candidates.ids[:most].tolist()
    right = [memory in right_ids for memory in first]
    kept: slice | list[int] = slice(len(first))
    if not right_ids.issubset(first):
        further = [place for place, memory in enumerate(candidates.ids.tolist()) if memory in right_ids]
        further = [place for place in further if place >= len(first)]
        kept, right = [*range(len(first)), *further], right + [True] * len(further)
    return (kept, right, len(right_ids)) if not all(right) else ([], [], len(right_ids))


def agreement_of(trajectory: Trajectory, votes: Mapping[int, float]) -> float | None:
    """How well the untrained scores of what was shown agree with `votes` (see `credit`)."""
    candidates = trajectory.candidates
    if TAUGHT not in candidates.names:
        return None
    known = trajectory.shown
    if tuple(candidates.ids[: len(known)].tolist()) == known:  # the usual case: the best were shown
        rows = candidates.parts[: len(known)]
    else:
        place_of = {memory: place for place, memory in enumerate(candidates.ids.tolist())}
        known = tuple(memory for memory in known if memory in place_of)
        rows = candidates.parts[[place_of[memory] for memory in known]]
    is_untrained = [name not in (TAUGHT, CONFIRMED) for name in candidates.names]
    return agreement(rows, is_untrained, [votes.get(memory, 0.0) >= _RIGHT for memory in known])


def _line(cosines: FloatArray, shares: FloatArray) -> tuple[float, float]:
    """Slope and intercept of the dense part over the cosine, by least squares; (0, 0) where there is no slope."""
    centred = cosines - cosines.mean()
    spread = float(centred @ centred)
    slope = float(centred @ shares) / spread if spread > 1e-6 else 0.0
    if not math.isfinite(slope) or slope <= 0:
        return 0.0, 0.0
    return slope, float(shares.mean()) - slope * float(cosines.mean())


def gradients(row: Row, weights: Weights, moved: FloatArray) -> tuple[FloatArray, dict[str, float]]:
    """Of the row's loss, -sum over right candidates of log softmax(score / TEMPERATURE) / count: in the adapted vector
    (d,), and in each part's weight."""
    factors = [weights.get(name, 1.0) for name in row.names]
    move = Move(row.vectors, moved - row.query, weights.get(DENSE, 1.0) * row.gain)
    slopes, in_vector = contrast(row.parts, row.right.tolist(), factors, TEMPERATURE, move)
    return in_vector, dict(zip(row.names, slopes, strict=True))


def fit_weights(rows: Sequence[Row], ridge: float = RIDGE, steps: int = 20) -> dict[str, float]:
    """The factors, each in [LEAST_WEIGHT, GREATEST_WEIGHT], that make the right candidates of `rows` likeliest.

    Only their ratios order anything. So one common factor, the sharpness, is fitted first, the ridge pulls towards it,
    and it is divided out of the result.
    """
    names = sorted({name for row in rows for name in row.names})
    place = {name: index for index, name in enumerate(names)}
    tables = [(row.parts, [place[name] for name in row.names], row.right / row.right.sum()) for row in rows]
    sums = [(parts.sum(axis=1, keepdims=True, dtype=np.float64), [0], target) for parts, _, target in tables]
    sharpness = float(_newton(sums, np.ones(1), 0.0, steps)[0])
    weights = _newton(tables, np.full(len(names), sharpness), ridge, steps) / sharpness
    return dict(zip(names, weights.tolist(), strict=True))


_Tables = Sequence[tuple[npt.NDArray[np.floating], list[int], npt.NDArray[np.float64]]]


def _newton(tables: _Tables, centre: npt.NDArray[np.float64], ridge: float, steps: int) -> npt.NDArray[np.float64]:
    """Weights of the parts that minimise the loss plus ridge / 2 * |weights - centre|^2, kept within bounds around the
    centre."""
    low, high = LEAST_WEIGHT * centre, GREATEST_WEIGHT * centre
    weights = centre.copy()
    for _ in range(steps):
        slope = ridge * (weights - centre)
        curve = (ridge + 1e-6) * np.eye(len(weights))
        for table, columns, target in tables:
            parts = table.astype(np.float64)
            chance = _softmax(parts @ weights[columns])
            slope[columns] += parts.T @ (chance - target)
            centred = parts - chance @ parts
            curve[np.ix_(columns, columns)] += (centred * chance[:, None]).T @ centred
        is_free = ~(((weights <= low) & (slope > 0)) | ((weights >= high) & (slope < 0)))
        moved = weights.copy()
        moved[is_free] -= np.linalg.solve(curve[np.ix_(is_free, is_free)], slope[is_free])
        moved = np.clip(moved, low, high)
        if np.abs(moved - weights).max() < 1e-6:
            break
        weights = moved
    return weights


def example_of(row: Row, weights: Weights) -> Example:
    """What an adapter can learn from the row's `TRAINED_ON` best candidates and the right ones once `weights` are in
    force."""
    kept = np.flatnonzero((np.arange(len(row.right)) < TRAINED_ON) | row.right)
    places = np.arange(len(row.table))[row.places][kept]
    targets = (row.right[kept] / row.right.sum()).astype(np.float32)
    dense = weights.get(DENSE, 1.0) * row.gain / TEMPERATURE
    plain = np.float32(dense) * (row.table[places] @ row.query)
    offsets = (row.scores(weights)[kept] / np.float32(TEMPERATURE) - plain).astype(np.float32)
    return Example(row.query, row.table, targets, offsets, dense, places)


def ndcg(row: Row, scores: FloatArray, depth: int = DEPTH) -> float:
    """nDCG of the row's candidates ordered by `scores`, right or wrong, in [0, 1] (Järvelin and Kekäläinen 2002)."""
    order = np.argsort(-scores, kind="stable")[:depth]
    discounts = 1 / np.log2(np.arange(2, depth + 2))
    gained = float(row.right[order] @ discounts[: len(order)])
    return gained / float(discounts[: min(depth, row.ideal)].sum())


def likelihood(row: Row, scores: FloatArray) -> float:
    """How likely the right candidates are by `scores`: mean log softmax(score / TEMPERATURE), at most 0."""
    logits = scores.astype(np.float64) / TEMPERATURE
    logits -= logits.max()
    return float(np.mean(logits[row.right])) - math.log(float(np.exp(logits).sum()))


def _softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = np.exp(scores - scores.max())
    shares /= shares.sum()
    return shares

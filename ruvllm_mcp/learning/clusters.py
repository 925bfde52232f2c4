"""k-means with k-means++ seeding (Arthur and Vassilvitskii 2007), greedy as in scikit-learn.

Each new centre is the best of 2 + ln k candidates drawn by squared distance. Lloyd's steps end when no point changes
its centre, or the centres' squared shift falls under `TOLERANCE` times the mean variance. An emptied cluster restarts
at the point farthest from its centre. Distances are expanded into one matrix product in float32; inertia is summed in
float64. The same data, k and seed give the same clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

TOLERANCE = 1e-4
_CHUNK = 4096  # rows at a time: the block of distances stays in the second-level cache


@dataclass(frozen=True)
class Clustering:
    """`centres`: float32 (k, d). `labels`: int64 (n,), each point's centre. `inertia`: sum of squared distances."""

    centres: FloatArray
    labels: IntArray
    inertia: float


def k_means(points: npt.ArrayLike, k: int, *, seed: int = 0, max_steps: int = 100) -> Clustering:
    """Cluster `points`, float32 (n, d), n >= k >= 1. Raises DimensionError, InvalidInputError."""
    data = np.ascontiguousarray(points, np.float32)
    if data.ndim != 2 or not data.size:
        raise DimensionError(f"points have shape {data.shape}.", "Give a table of numbers (n, d).")
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(data):
        raise InvalidInputError(f"k is {k!r}.", f"It takes a whole number from 1 to the {len(data)} points.")
    if not np.isfinite(data).all():
        raise InvalidInputError("A point holds NaN or infinity.", "Leave it out.")
    origin = data.mean(axis=0)
    centred = data - origin  # the expanded distance loses digits far from zero
    norms = np.einsum("nd,nd->n", centred, centred)
    centres = _seeds(centred, norms, k, np.random.default_rng(seed))
    tolerance = TOLERANCE * float(centred.var(axis=0).mean())
    labels, distances = _assigned(centred, norms, centres)
    for _ in range(max_steps):
        moved = _means(centred, labels, distances, centres)
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        before = labels
        labels, distances = _assigned(centred, norms, centres)
        if shift <= tolerance or np.array_equal(labels, before):
            break
    return Clustering(centres + origin, labels, float(distances.sum(dtype=np.float64)))


def _seeds(points: FloatArray, norms: FloatArray, k: int, random: np.random.Generator) -> FloatArray:
    candidates = 2 + int(np.log(k))
    chosen = [int(random.integers(len(points)))]
    nearest = _distances(points, norms, chosen)[0]
    for _ in range(1, k):
        cumulative = np.cumsum(nearest, dtype=np.float64)
        drawn = np.searchsorted(cumulative, random.random(candidates) * cumulative[-1], side="right")
        drawn = np.minimum(drawn, len(points) - 1)
        closer = np.minimum(_distances(points, norms, drawn.tolist()), nearest)
        best = int(closer.sum(axis=1).argmin())
        chosen.append(int(drawn[best]))
        nearest = closer[best]
    return points[chosen].copy()


def _distances(points: FloatArray, norms: FloatArray, rows: list[int]) -> FloatArray:
    """Squared distances of all points from some of them, (len(rows), n)."""
    squared: FloatArray = points[rows] @ points.T
    squared *= -2
    squared += norms
    squared += norms[rows, None]
    return np.maximum(squared, 0, out=squared)


def _assigned(points: FloatArray, norms: FloatArray, centres: FloatArray) -> tuple[IntArray, FloatArray]:
    """Each point's nearest centre and squared distance from it."""
    labels = np.empty(len(points), np.int64)
    distances = np.empty(len(points), np.float32)
    halves = 0.5 * np.einsum("kd,kd->k", centres, centres)
    turned = np.ascontiguousarray(centres.T)
    for start in range(0, len(points), _CHUNK):
        rows = slice(start, start + _CHUNK)
        closeness = points[rows] @ turned
        closeness -= halves
        labels[rows] = closeness.argmax(axis=1)
        distances[rows] = norms[rows] - 2 * closeness[np.arange(len(closeness)), labels[rows]]
    return labels, np.maximum(distances, 0, out=distances)


def _means(points: FloatArray, labels: IntArray, distances: FloatArray, centres: FloatArray) -> FloatArray:
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=len(centres))
    full = np.flatnonzero(sizes)
    starts = np.cumsum(sizes[full]) - sizes[full]
    moved = np.empty_like(centres)
    moved[full] = np.add.reduceat(points[order], starts, axis=0) / sizes[full, None]
    empty = np.flatnonzero(sizes == 0)
    moved[empty] = points[np.argsort(-distances, kind="stable")[: len(empty)]]
    return moved

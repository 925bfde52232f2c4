"""Several adapters side by side, one of them active, and new ones made of old ones.

Adapters are merged as whole additions ΔW = scale * B A, because their factors are only defined up to a basis: averaging
A's and B's apart averages nothing in particular. The merged ΔW is brought back to a low rank by its singular value
decomposition, the best approximation there is (Eckart and Young 1936). Methods: `linear`, the weighted sum; `ties`
(Yadav et al. 2023, arXiv:2306.01708), trim, elect a sign, average those that agree; `dare` (Yu et al. 2024,
arXiv:2311.03099), drop entries at random and scale up the rest, then sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError, NotFoundError
from ruvllm_mcp.learning.lora import LoraAdapter

FloatArray = npt.NDArray[np.float32]
MergeMethod = Literal["linear", "ties", "dare"]
MERGE_METHODS: tuple[MergeMethod, ...] = ("linear", "ties", "dare")


class LoraManager:
    """Adapters of one shape by name. Not thread-safe."""

    def __init__(self) -> None:
        self._adapters: dict[str, LoraAdapter] = {}
        self._active: str | None = None

    @property
    def adapters(self) -> Mapping[str, LoraAdapter]:
        """Every registered adapter by name."""
        return dict(self._adapters)

    @property
    def active(self) -> LoraAdapter | None:
        """The adapter in use, None for the unchanged base."""
        return None if self._active is None else self._adapters[self._active]

    @property
    def active_name(self) -> str | None:
        """Its name."""
        return self._active

    def register(self, name: str, adapter: LoraAdapter) -> None:
        """Adds an adapter. Raises InvalidInputError if the name is taken, DimensionError if it is of another shape."""
        if not name or name in self._adapters:
            raise InvalidInputError(f"An adapter cannot be named {name!r}.", "Give a name that is not taken.")
        for other in self._adapters.values():
            _same_shape(adapter, other)
        self._adapters[name] = adapter

    def remove(self, name: str) -> LoraAdapter:
        """Forgets an adapter and returns it; the base becomes active if it was. Raises NotFoundError."""
        adapter = self._named(name)
        del self._adapters[name]
        if self._active == name:
            self._active = None
        return adapter

    def set_active(self, name: str | None) -> None:
        """Puts an adapter to use, or none. Raises NotFoundError."""
        if name is not None:
            self._named(name)
        self._active = name

    def forward(self, x: npt.ArrayLike) -> FloatArray:
        """The active adapter's addition to W x, zeros when none is active (`x` as for `LoraAdapter.forward`)."""
        if self.active is not None:
            return self.active.forward(x)
        if not self._adapters:
            return np.zeros(np.shape(x), np.float32)
        inputs = np.asarray(x, np.float32)
        return np.zeros((*inputs.shape[:-1], next(iter(self._adapters.values())).out_features), np.float32)

    def merge(
        self,
        weights: Mapping[str, float],
        *,
        method: MergeMethod = "linear",
        rank: int | None = None,
        density: float = 0.5,
        seed: int = 0,
    ) -> LoraAdapter:
        """A new adapter from those named, each with its weight; not registered yet. `rank` defaults to the greatest
        of theirs. `density`, in (0, 1], is the share of entries that `ties` and `dare` keep; `seed` is `dare`'s.
        Raises NotFoundError, InvalidInputError.
        """
        if not weights:
            raise InvalidInputError("There is nothing to merge.", "Name at least one adapter.")
        adapters = [self._named(name) for name in weights]
        deltas = [adapter.delta_weight() for adapter in adapters]
        merged = merge_deltas(deltas, list(weights.values()), method=method, density=density, seed=seed)
        return factor(merged, rank or max(adapter.rank for adapter in adapters))

    def _named(self, name: str) -> LoraAdapter:
        if name not in self._adapters:
            raise NotFoundError(f"No adapter is named {name!r}.", f"Known: {', '.join(sorted(self._adapters))}.")
        return self._adapters[name]


def merge_deltas(
    deltas: Sequence[FloatArray],
    weights: Sequence[float],
    *,
    method: MergeMethod = "linear",
    density: float = 0.5,
    seed: int = 0,
) -> FloatArray:
    """Additions ΔW (out, in) of one shape into one. Raises InvalidInputError, DimensionError."""
    if method not in MERGE_METHODS:
        raise InvalidInputError(f"method is {method!r}.", f"It takes one of {', '.join(MERGE_METHODS)}.")
    if not 0 < density <= 1:
        raise InvalidInputError(f"density is {density!r}.", "It takes more than 0, at most 1.")
    if len({delta.shape for delta in deltas}) != 1 or len(weights) != len(deltas):
        raise DimensionError("Additions to merge differ in shape, or in number from their weights.", "Match them.")
    if not np.isfinite(weights).all():
        raise InvalidInputError("A weight is NaN or infinite.", "Give finite weights.")
    stack = np.stack(deltas).astype(np.float64)
    shares = np.asarray(weights, np.float64).reshape(-1, 1, 1)
    if method == "ties":
        return _ties(stack, shares, density)
    if method == "dare":
        kept = np.random.default_rng(seed).random(stack.shape) < density
        stack = stack * kept / density
    summed: FloatArray = (stack * shares).sum(axis=0).astype(np.float32)
    return summed


def _ties(stack: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], density: float) -> FloatArray:
    """Trim each to its largest entries; per entry elect the sign of the sum; average the weighted ones that agree."""
    kept = max(1, int(density * stack[0].size))
    trimmed = np.zeros_like(stack)
    for delta, target in zip(stack.reshape(len(stack), -1), trimmed.reshape(len(stack), -1), strict=True):
        largest = np.argpartition(-np.abs(delta), kept - 1)[:kept]
        target[largest] = delta[largest]
    agrees = np.sign(trimmed) == np.where(trimmed.sum(axis=0) >= 0, 1.0, -1.0)
    total = np.where(agrees, trimmed * shares, 0.0).sum(axis=0)
    merged: FloatArray = (total / np.maximum(1, agrees.sum(axis=0))).astype(np.float32)
    return merged


def factor(delta: npt.ArrayLike, rank: int) -> LoraAdapter:
    """The adapter of that rank (scale 1) whose addition is nearest to `delta`, (out, in), in the Frobenius norm."""
    matrix = np.asarray(delta, np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise InvalidInputError("An addition to factor is not a finite matrix.", "Give numbers of shape (out, in).")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise InvalidInputError(f"rank is {rank!r}.", "Give a whole number of at least 1.")
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    kept = min(rank, len(singular))
    root = np.sqrt(singular[:kept])
    return LoraAdapter.from_factors(root[:, None] * right[:kept], left[:, :kept] * root)


def _same_shape(one: LoraAdapter, other: LoraAdapter) -> None:
    if (one.in_features, one.out_features) != (other.in_features, other.out_features):
        raise DimensionError(
            f"The adapter maps {one.in_features} to {one.out_features}, the others {other.in_features} to "
            f"{other.out_features}.",
            "One manager holds adapters of one shape.",
        )

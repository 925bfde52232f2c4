"""Elastic weight consolidation, online and per sample: what earlier learning needs is made stiff.

After Kirkpatrick et al. 2017 (the penalty), Schwarz et al. 2018 and Chaudhry et al. 2018 (EWC++: one running Fisher
instead of one per task). Equations, element by element, with g the gradient of one sample's loss:

    fisher     <- decay * fisher + (1 - decay) * g^2                      at every observed sample
    importance <- keep * importance + min_max(fisher)                     at every consolidation, then min_max again
    penalty     = strength / 2 * sum(importance * (theta - anchor)^2)

The Fisher starts bias-corrected like Adam's second moment, so ten samples count as ten. min_max maps all parameters of
a consolidation onto [0, 1] together. Accumulation is in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError

Array = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]


class EwcPlusPlus:
    """Importance of named parameters. Not thread-safe.

    `strength` is the original's `ewc_lambda` (its default 2000); `decay` in [0, 1) sets how many samples the Fisher
    remembers, about 1 / (1 - decay); `keep` in [0, 1] how much of the earlier importance each consolidation keeps.
    """

    def __init__(self, strength: float = 2000.0, *, decay: float = 0.99, keep: float = 0.9) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise InvalidInputError(f"strength is {strength!r}.", "Give a number of at least 0.")
        if not 0 <= decay < 1 or not 0 <= keep <= 1:
            raise InvalidInputError(f"decay is {decay!r}, keep {keep!r}.", "decay takes [0, 1), keep [0, 1].")
        self.strength, self.decay, self.keep = float(strength), float(decay), float(keep)
        self.samples = 0
        self._moments: dict[str, Array] = {}
        self.importance: dict[str, Array] = {}
        self.anchor: dict[str, Array] = {}

    @property
    def fisher(self) -> dict[str, Array]:
        """The diagonal Fisher of the samples seen since the last consolidation; empty before the first."""
        correction = 1 - self.decay**self.samples
        return {name: moment / correction for name, moment in self._moments.items()}

    def observe(self, gradients: Arrays) -> None:
        """Takes in the gradients of one sample's loss. Raises DimensionError if names or shapes change,
        InvalidInputError if a number is not finite; then nothing is changed."""
        if self._moments:
            _same_shapes(gradients, self._moments)
        squares = {name: np.square(gradient, dtype=np.float64) for name, gradient in gradients.items()}
        if not all(np.isfinite(square).all() for square in squares.values()):
            raise InvalidInputError("A gradient holds NaN or infinity.", "Leave that sample out.")
        for name, square in squares.items():
            moment = self._moments.get(name, np.zeros_like(square))
            self._moments[name] = self.decay * moment + (1 - self.decay) * square
        self.samples += 1

    def consolidate(self, parameters: Arrays) -> None:
        """Makes `parameters` the anchor, adds what was observed to the importance and begins a new observation.

        Raises InvalidInputError when nothing was observed, DimensionError when the names or shapes differ.
        """
        if not self.samples:
            raise InvalidInputError("Nothing was observed since the last consolidation.", "Call observe() first.")
        _same_shapes(parameters, self._moments)
        fresh = _min_max(self.fisher)
        if self.importance:
            fresh = _min_max({name: self.keep * self.importance[name] + fresh[name] for name in fresh})
        self.importance = fresh
        self.anchor = {name: np.array(value, np.float64) for name, value in parameters.items()}
        self._moments, self.samples = {}, 0

    def penalty(self, parameters: Arrays) -> float:
        """strength / 2 * sum(importance * (parameters - anchor)^2); 0 before the first consolidation."""
        if not self.anchor:
            return 0.0
        _same_shapes(parameters, self.anchor)
        return (
            0.5
            * self.strength
            * math.fsum(
                float((self.importance[name] * (parameters[name] - anchor) ** 2).sum())
                for name, anchor in self.anchor.items()
            )
        )

    def penalty_gradients(self, parameters: Arrays) -> dict[str, Array]:
        """The gradient of `penalty` in each parameter; zeros before the first consolidation."""
        if not self.anchor:
            return {name: np.zeros(np.shape(value)) for name, value in parameters.items()}
        _same_shapes(parameters, self.anchor)
        return {
            name: self.strength * self.importance[name] * (parameters[name] - anchor)
            for name, anchor in self.anchor.items()
        }


def _min_max(values: Mapping[str, Array]) -> dict[str, Array]:
    """All values together mapped onto [0, 1]; all zero where they are all equal (none matters more than another)."""
    low = min(float(value.min()) for value in values.values())
    spread = max(float(value.max()) for value in values.values()) - low
    if spread <= 0:
        return {name: np.zeros_like(value) for name, value in values.items()}
    return {name: (value - low) / spread for name, value in values.items()}


def _same_shapes(given: Arrays, known: Arrays) -> None:
    if {name: np.shape(value) for name, value in given.items()} != {
        name: np.shape(value) for name, value in known.items()
    }:
        raise DimensionError(
            "The parameters are not those observed before.", "Give the same names and shapes every time."
        )

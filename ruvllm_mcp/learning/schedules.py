"""Learning-rate schedules: a step's number in, that step's factor of the peak learning rate out.

Steps count from 0. All but `Plateau` are functions of the step alone, so a resumed training needs nothing but its step;
`Plateau` listens to the validation loss and keeps its state in `state`. Shapes follow the field's: cosine as in
SGDR (Loshchilov and Hutter 2017) without restarts, one-cycle as in Smith and Topin 2018 with cosine arms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ruvllm_mcp.errors import InvalidInputError

Schedule = Callable[[int], float]
Kind = Literal["constant", "cosine", "linear", "step", "one_cycle"]
KINDS: tuple[Kind, ...] = ("constant", "cosine", "linear", "step", "one_cycle")


def schedule(
    kind: Kind,
    steps: int,
    *,
    warmup: int = 0,
    floor: float = 0.0,
    step_size: int = 30,
    gamma: float = 0.1,
    rise: float = 0.3,
) -> Schedule:
    """The factor at each step of a training of `steps` steps, in [0, 1]; after the last it stays as at the end.

    `warmup`: the first steps climb linearly, the rest follows `kind` over what is left. `cosine` and `linear` fall from
    1 to `floor`; `step` multiplies by `gamma` every `step_size` steps; `one_cycle` climbs from 1/25 to 1 in the first
    `rise` of the steps and falls to `floor`. Raises InvalidInputError.
    """
    _check(kind, steps, warmup, floor, step_size, gamma, rise)
    left = max(1, steps - warmup)
    shapes: dict[str, Schedule] = {
        "constant": lambda _step: 1.0,
        "cosine": lambda step: floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, step / left))) / 2,
        "linear": lambda step: floor + (1 - floor) * (1 - min(1.0, step / left)),
        "step": lambda step: gamma ** (step // step_size),
        "one_cycle": lambda step: _one_cycle(step, left, rise, floor),
    }
    shape = shapes[kind]
    return lambda step: (step + 1) / (warmup + 1) if step < warmup else shape(step - warmup)


def _one_cycle(step: int, steps: int, rise: float, floor: float) -> float:
    top = rise * steps - 1
    if step <= top:
        return _arc(1 / 25, 1.0, step / top if top else 1.0)
    return _arc(1.0, floor, min(1.0, (step - top) / (steps - 1 - top)) if steps - 1 > top else 1.0)


def _arc(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _check(kind: str, steps: int, warmup: int, floor: float, step_size: int, gamma: float, rise: float) -> None:
    rules = {
        f"kind is {kind!r}; it takes one of {', '.join(KINDS)}": kind in KINDS,
        f"steps is {steps}; it takes at least 1": steps >= 1,
        f"warmup is {warmup}; it takes 0 to steps": 0 <= warmup <= steps,
        f"floor is {floor}; it takes 0 to 1": 0 <= floor <= 1,
        f"step_size is {step_size}; it takes at least 1": step_size >= 1,
        f"gamma is {gamma}; it takes more than 0, at most 1": 0 < gamma <= 1,
        f"rise is {rise}; it takes more than 0, less than 1": 0 < rise < 1,
    }
    for rule, holds in rules.items():
        if not holds:
            raise InvalidInputError(f"No such schedule: {rule}.", "Correct that argument.")


@dataclass(frozen=True)
class Plateau:
    """Multiplies the factor by `gamma` when the loss has not fallen by `tolerance` (relative) for more than `patience`
    reports. Immutable: `after(loss)` gives the state that follows."""

    gamma: float = 0.5
    patience: int = 5
    tolerance: float = 1e-4
    lowest_factor: float = 1e-3
    factor: float = 1.0
    best: float = math.inf
    waited: int = 0

    def after(self, loss: float) -> Plateau:
        """The state after one more report of the validation loss."""
        if loss < self.best * (1 - self.tolerance):
            return replace(self, best=loss, waited=0)
        if self.waited < self.patience:
            return replace(self, waited=self.waited + 1)
        return replace(self, factor=max(self.lowest_factor, self.factor * self.gamma), waited=0)

from __future__ import annotations

import math
from typing import Any

import pytest

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.learning.schedules import KINDS, Plateau, schedule


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("constant", {}, {0: 1, 50: 1, 200: 1}),
        ("cosine", {}, {0: 1, 25: (1 + math.cos(math.pi / 4)) / 2, 50: 0.5, 100: 0, 200: 0}),
        ("cosine", {"floor": 0.2}, {0: 1, 50: 0.6, 100: 0.2}),
        ("linear", {"floor": 0.5}, {0: 1, 50: 0.75, 100: 0.5, 150: 0.5}),
        ("step", {"step_size": 10, "gamma": 0.5}, {9: 1, 10: 0.5, 29: 0.25}),
        ("one_cycle", {"rise": 0.3}, {0: 1 / 25, 29: 1, 64: 0.5, 99: 0, 150: 0}),
        ("cosine", {"warmup": 9}, {0: 0.1, 8: 0.9, 9: 1, 100: 0}),
    ],
)
def test_the_factor_follows_its_curve(kind: Any, options: dict[str, Any], expected: dict[int, float]) -> None:
    factor = schedule(kind, 100, **options)
    for step, value in expected.items():
        assert factor(step) == pytest.approx(value, abs=1e-12), step


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_every_schedule_stays_within_bounds_however_short(kind: Any, steps: int) -> None:
    for warmup in {0, 1, steps}:
        factor = schedule(kind, steps, warmup=warmup)
        assert all(0 <= factor(step) <= 1 for step in range(2 * steps))


def test_a_plateau_lowers_the_rate_only_when_patience_is_out() -> None:
    plateau = Plateau(gamma=0.5, patience=2)
    factors = []
    for loss in (1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5):
        plateau = plateau.after(loss)
        factors.append(plateau.factor)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]


def test_a_plateau_never_lowers_below_its_lowest() -> None:
    plateau = Plateau(gamma=0.1, patience=0, lowest_factor=0.05)
    for _ in range(10):
        plateau = plateau.after(1.0)
    assert plateau.factor == 0.05


@pytest.mark.parametrize(
    "options",
    [{"kind": "spiral"}, {"steps": 0}, {"warmup": 11}, {"floor": 2}, {"step_size": 0}, {"gamma": 0}, {"rise": 1}],
)
def test_impossible_schedules_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        schedule(**{"kind": "cosine", "steps": 10, **options})

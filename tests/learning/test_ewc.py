"""Against the three equations in the module's head, written out element by element in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.learning.ewc import EwcPlusPlus

SHAPES = {"a": (2, 3), "b": (4,)}


def sample(random: np.random.Generator) -> dict[str, Any]:
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def flat(arrays: Any) -> list[float]:
    return [float(value) for name in sorted(arrays) for value in np.asarray(arrays[name]).ravel()]


def reference(tasks: list[list[dict[str, Any]]], decay: float, keep: float) -> list[float]:
    importance: list[float] | None = None
    for task in tasks:
        moment = [0.0] * len(flat(task[0]))
        for gradients in task:
            moment = [decay * m + (1 - decay) * g * g for m, g in zip(moment, flat(gradients), strict=True)]
        fisher = [m / (1 - decay ** len(task)) for m in moment]
        fresh = normal(fisher)
        importance = (
            fresh if importance is None else normal([keep * i + f for i, f in zip(importance, fresh, strict=True)])
        )
    assert importance is not None
    return importance


def normal(values: list[float]) -> list[float]:
    return [(value - min(values)) / (max(values) - min(values)) for value in values]


def test_importance_penalty_and_gradient_are_the_equations() -> None:
    random = np.random.default_rng(1)
    tasks = [[sample(random) for _ in range(count)] for count in (1, 7, 30)]
    ewc = EwcPlusPlus(50.0, decay=0.9, keep=0.6)
    for task in tasks:
        for gradients in task:
            ewc.observe(gradients)
        anchor = sample(random)
        ewc.consolidate(anchor)
    expected = reference(tasks, 0.9, 0.6)
    assert np.allclose(flat(ewc.importance), expected, rtol=1e-12, atol=1e-15)
    now = sample(random)
    differences = [n - a for n, a in zip(flat(now), flat(anchor), strict=True)]
    penalty = 25.0 * math.fsum(i * d * d for i, d in zip(expected, differences, strict=True))
    assert ewc.penalty(now) == pytest.approx(penalty, rel=1e-9)
    gradient = [50.0 * i * d for i, d in zip(expected, differences, strict=True)]
    assert np.allclose(flat(ewc.penalty_gradients(now)), gradient, rtol=1e-6, atol=1e-9)


def test_one_sample_counts_in_full_whatever_the_decay() -> None:
    ewc = EwcPlusPlus(decay=0.999)
    ewc.observe({"a": np.array([2.0, 3.0])})
    assert np.allclose(ewc.fisher["a"], [4.0, 9.0])


def test_before_anything_is_consolidated_nothing_is_held() -> None:
    ewc = EwcPlusPlus()
    assert ewc.penalty({"a": np.ones(3)}) == 0
    assert not ewc.penalty_gradients({"a": np.ones(3)})["a"].any()
    with pytest.raises(InvalidInputError):
        ewc.consolidate({"a": np.ones(3)})


def test_bad_samples_leave_everything_as_it_was() -> None:
    ewc = EwcPlusPlus()
    ewc.observe({"a": np.ones(3)})
    before = ewc.fisher["a"].copy()
    with pytest.raises(InvalidInputError):
        ewc.observe({"a": np.array([1.0, np.nan, 1.0])})
    with pytest.raises(DimensionError):
        ewc.observe({"a": np.ones(4)})
    with pytest.raises(DimensionError):
        ewc.consolidate({"b": np.ones(3)})
    assert np.array_equal(ewc.fisher["a"], before)
    assert ewc.samples == 1


def test_parameters_that_all_matter_alike_are_left_free() -> None:
    ewc = EwcPlusPlus()
    ewc.observe({"a": np.ones(3)})
    ewc.consolidate({"a": np.zeros(3)})
    assert ewc.penalty({"a": np.ones(3)}) == 0


@pytest.mark.parametrize("options", [{"strength": -1}, {"strength": np.inf}, {"decay": 1.0}, {"keep": 1.1}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        EwcPlusPlus(**options)

"""Judged by AdamW's equations in float64, and by what a resumed training must be: the same to the bit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.learning.schedules import Plateau
from ruvllm_mcp.learning.training import TrainingConfig, TrainingPipeline

Row = tuple[Any, float]


def rows(count: int = 40, seed: int = 0) -> list[Row]:
    random = np.random.default_rng(seed)
    truth = np.array([1.0, -2.0, 0.5, 0.0])
    inputs = random.normal(size=(count, 4)).astype(np.float32)
    return [(x, float(x @ truth + 0.01 * random.normal())) for x in inputs]


def squares(parameters: Mapping[str, Any], batch: Sequence[Row]) -> tuple[float, dict[str, Any]]:
    x, y = np.stack([row[0] for row in batch]), np.array([row[1] for row in batch])
    error = x @ parameters["w"] + parameters["c"][0] - y
    return float((error**2).mean()), {"w": 2 * x.T @ error / len(y), "c": np.array([2 * error.mean()])}


def start() -> dict[str, Any]:
    return {"w": np.ones(4, np.float32), "c": np.zeros(1, np.float32)}


def pipeline(**options: Any) -> TrainingPipeline[Row]:
    return TrainingPipeline(start(), squares, TrainingConfig(**{"steps": 30, "batch_size": 8, **options}))


def test_steps_are_adamw_in_float64() -> None:
    config = {"learning_rate": 0.05, "weight_decay": 0.1, "clip_norm": 0.0, "kind": "constant"}
    training = pipeline(**config)
    batch = rows(8)
    theta = {name: value.astype(np.float64) for name, value in start().items()}
    moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in theta.items()}
    for step in range(1, 26):
        training.step(batch)
        _, gradients = squares(theta, batch)
        for name, gradient in gradients.items():
            first = 0.9 * moments[name][0] + 0.1 * gradient
            second = 0.999 * moments[name][1] + 0.001 * gradient**2
            moments[name] = first, second
            corrected = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            theta[name] = theta[name] - 0.05 * 0.1 * theta[name] - 0.05 * corrected
    for name, value in theta.items():
        assert np.allclose(training.parameters[name], value, rtol=1e-4, atol=1e-5)


def test_it_finds_what_there_is_to_find() -> None:
    training = pipeline(steps=400, learning_rate=0.05, weight_decay=0.0)
    report = training.fit(rows())
    assert np.allclose(training.parameters["w"], [1.0, -2.0, 0.5, 0.0], atol=0.02)
    assert report.losses[-1] < 0.01 * report.losses[0]
    assert report.steps == 400


def test_clipping_bounds_the_norm_of_all_gradients_together() -> None:
    seen: list[float] = []

    def watched(parameters: Mapping[str, Any], batch: Sequence[Row]) -> tuple[float, dict[str, Any]]:
        loss, gradients = squares(parameters, batch)
        seen.append(math.sqrt(sum(float((g**2).sum()) for g in gradients.values())))
        return loss, gradients

    batch, moved = rows(8), []
    for clip_norm in (0.0, 0.5):
        # with a rate and an epsilon that large and equal, a step is its gradient
        config = TrainingConfig(
            clip_norm=clip_norm, beta1=0.0, beta2=0.0, epsilon=1e6, learning_rate=1e6, weight_decay=0.0
        )
        training = TrainingPipeline(start(), watched, config)
        training.step(batch)
        moved.append(math.hypot(*(training.parameters["w"] - 1), *training.parameters["c"]))
    assert seen[0] > 1
    assert moved == pytest.approx([seen[0], 0.5], rel=1e-3)


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    trained = [pipeline(seed=seed) for seed in (3, 3, 4)]
    for training in trained:
        training.fit(rows())
    assert np.array_equal(trained[0].parameters["w"], trained[1].parameters["w"])
    assert not np.array_equal(trained[0].parameters["w"], trained[2].parameters["w"])


@pytest.mark.parametrize("stop_at", [1, 7, 10, 29])
def test_a_resumed_training_ends_as_if_it_had_never_stopped(tmp_path: Path, stop_at: int) -> None:
    options: dict[str, Any] = {"validate_every": 3, "patience": 9, "plateau": Plateau(patience=1), "warmup": 4}
    whole = pipeline(**options)
    expected = whole.fit(rows(), rows(10, seed=1))
    first = pipeline(**options)
    first.fit(
        rows(), rows(10, seed=1), checkpoint=tmp_path / "c", checkpoint_every=stop_at, should_stop=_after(stop_at)
    )
    second = pipeline(**options)
    second.resume(tmp_path / "c")
    assert second.fit(rows(), rows(10, seed=1)) == expected
    for name, value in whole.parameters.items():
        assert np.array_equal(second.parameters[name], value)


def _after(steps: int) -> Any:
    asked = iter(range(10_000))
    return lambda: next(asked) >= steps


def test_early_stopping_keeps_the_best_parameters() -> None:
    losses = iter([5.0, 4.0, 3.0, 3.5, 3.6, 3.7, 1.0])
    kept: list[Any] = []

    def loss(parameters: Mapping[str, Any], batch: Sequence[str]) -> tuple[float, dict[str, Any]]:
        if batch[0] == "validation":
            kept.append(parameters["w"].copy())
            return next(losses), {"w": np.zeros(2)}
        return 1.0, {"w": np.ones(2)}

    config = TrainingConfig(steps=100, validate_every=1, patience=3)
    training = TrainingPipeline({"w": np.zeros(2, np.float32)}, loss, config)
    report = training.fit(["train"], ["validation"])
    assert report.stopped_early
    assert (report.steps, report.best_step) == (6, 3)
    assert np.array_equal(training.parameters["w"], kept[2])


def test_a_loss_that_is_not_finite_stops_before_harm() -> None:
    def loss(parameters: Mapping[str, Any], _batch: Sequence[int]) -> tuple[float, dict[str, Any]]:
        return math.nan, {"w": np.ones_like(parameters["w"])}

    training = TrainingPipeline({"w": np.ones(2, np.float32)}, loss, TrainingConfig())
    with pytest.raises(InvalidInputError, match="finite"):
        training.fit([1])
    assert np.array_equal(training.parameters["w"], [1, 1])


def test_checkpoints_of_other_trainings_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    training = pipeline()
    training.save_checkpoint(tmp_path / "c")
    with pytest.raises(InvalidInputError, match="another training"):
        pipeline(seed=5).resume(tmp_path / "c")
    blob = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(blob[: len(blob) // 2])
    with pytest.raises(ModelError):
        training.resume(tmp_path / "c")


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"beta2": 1.0},
        {"epsilon": 0.0},
        {"weight_decay": -1.0},
        {"clip_norm": -1.0},
        {"validate_every": 0},
        {"patience": -1},
        {"kind": "none"},
    ],
)
def test_impossible_trainings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        TrainingConfig(**options)


def test_nothing_to_train_or_learn_from_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        TrainingPipeline({}, squares, TrainingConfig())
    with pytest.raises(InvalidInputError):
        pipeline().fit([])

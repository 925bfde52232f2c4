"""Scores, gradients and fitted weights against the module's equation in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from ruvllm_mcp.learning.judging import paired_bootstrap
from ruvllm_mcp.learning.objective import (
    GREATEST_WEIGHT,
    LEAST_WEIGHT,
    TEMPERATURE,
    FloatArray,
    Row,
    agreement_of,
    example_of,
    fit_weights,
    gradients,
    likelihood,
    ndcg,
    row_of,
)
from ruvllm_mcp.learning.trajectory import Candidates, Trajectory

from .conftest import DIM, trajectory

NAMES = ("dense", "lexical", "taught")


def searched(seed: int = 0, count: int = 12, slope: float = 3.0) -> tuple[Trajectory, FloatArray]:
    """A search whose dense part is `slope` times the cosine plus one, and the candidates' vectors."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = random.normal(size=DIM).astype(np.float32)
    query /= np.linalg.norm(query)
    parts = random.normal(size=(count, 3)).astype(np.float32)
    parts[:, 0] = slope * (vectors @ query) + 1
    ids = np.arange(1, count + 1, dtype=np.int64)
    return trajectory(query, ids[:5].tolist(), candidates=Candidates(ids, NAMES, parts)), vectors


def row(seed: int = 0) -> Row:
    asked, vectors = searched(seed)
    made = row_of(asked, {2: 1.0, 4: 1.0, 3: -0.5, 99: 1.0}, lambda _ids: vectors)
    assert made is not None
    return made


def in_float64(item: Row, weights: Mapping[str, float], moved: np.ndarray, temperature: float = TEMPERATURE) -> float:
    factors = np.array([weights.get(name, 1.0) for name in item.names])
    scores = item.parts.astype(np.float64) @ factors
    scores = scores + weights.get("dense", 1.0) * item.gain * (item.vectors.astype(np.float64) @ (moved - item.query))
    scores = scores / temperature
    logs = scores - np.log(np.exp(scores).sum())
    return float(-logs[item.right].mean())


def test_a_row_knows_what_was_right_and_how_the_dense_part_follows_the_cosine() -> None:
    made = row()
    assert made.right.nonzero()[0].tolist() == [1, 3]
    assert made.ideal == 3  # one right memory was not found at all
    assert made.gain == pytest.approx(3.0, rel=1e-4)


@pytest.mark.parametrize("votes", [{}, {1: -1.0}, {99: 1.0}, dict.fromkeys(range(1, 13), 1.0)])
def test_votes_that_order_nothing_make_no_row(votes: dict[int, float]) -> None:
    asked, vectors = searched()
    assert row_of(asked, votes, lambda _ids: vectors) is None


def test_gradients_agree_with_central_differences() -> None:
    item = row()
    weights = {"dense": 0.7, "lexical": 1.3}
    moved = item.query + np.random.default_rng(5).normal(size=DIM) * 0.1
    in_vector, in_weights = gradients(item, weights, moved.astype(np.float32))
    step = 1e-5
    for index in range(DIM):
        offset = np.zeros(DIM)
        offset[index] = step
        slope = (in_float64(item, weights, moved + offset) - in_float64(item, weights, moved - offset)) / (2 * step)
        assert in_vector[index] == pytest.approx(slope, abs=2e-4)
    for name in ("lexical", "taught"):
        value = weights.get(name, 1.0)
        up, down = {**weights, name: value + step}, {**weights, name: value - step}
        slope = (in_float64(item, up, moved) - in_float64(item, down, moved)) / (2 * step)
        assert in_weights[name] == pytest.approx(slope, abs=2e-4)


def test_fitted_weights_are_the_minimum_of_the_ridged_loss_up_to_their_scale() -> None:
    lift = np.array([0.9, 0.5, 0.2], np.float32)
    rows = [replace(item, parts=item.parts + item.right[:, None] * lift) for item in map(row, range(30))]
    fitted = fit_weights(rows, ridge=2.0)

    def loss(weights: Mapping[str, float]) -> float:
        return sum(in_float64(item, weights, item.query, 1.0) for item in rows)

    sharpness = min(np.linspace(0.01, 3, 600), key=lambda scale: loss(dict.fromkeys(NAMES, float(scale))))

    def objective(weights: Mapping[str, float]) -> float:
        return loss(weights) + sum((value - sharpness) ** 2 for value in weights.values())

    scaled = {name: value * float(sharpness) for name, value in fitted.items()}
    least = objective(scaled)
    for name in NAMES:
        assert LEAST_WEIGHT * 0.999 <= fitted[name] <= GREATEST_WEIGHT * 1.001
        for turn in (-0.1, 0.1):
            value = fitted[name] + turn
            if LEAST_WEIGHT <= value <= GREATEST_WEIGHT:
                assert objective({**scaled, name: value * float(sharpness)}) > least


def test_a_part_that_tells_right_from_wrong_gains_weight_and_one_that_misleads_loses_it() -> None:
    rows = []
    for seed in range(20):
        item = row(seed)
        parts = item.parts.copy()
        parts[:, 1] = np.where(item.right, 1.0, -1.0)
        parts[:, 2] = np.where(item.right, -1.0, 1.0)
        rows.append(Row(item.request_id, item.query, NAMES, parts, item.right, 2, item.vectors, item.gain))
    fitted = fit_weights(rows)
    assert fitted["lexical"] > 1.2
    assert fitted["taught"] < 0.8


def test_likelihood_is_the_loss_with_its_sign_turned() -> None:
    item, weights = row(), {"dense": 0.7, "lexical": 1.3}
    found = likelihood(item, item.scores(weights, item.query))
    assert found == pytest.approx(-in_float64(item, weights, item.query), abs=1e-5)


def test_an_example_asks_for_what_the_weights_leave_open() -> None:
    item = row()
    weights = {"dense": 0.5, "lexical": 2.0}
    example = example_of(item, weights)
    scores = example.offsets + example.gain * (example.candidates @ example.query)
    assert np.allclose(scores, item.scores(weights) / TEMPERATURE, atol=1e-4)


def test_ndcg_is_järvelins() -> None:
    item = row()
    scores = -np.arange(len(item.right), dtype=np.float32)  # the order given: right ones at ranks 2 and 4
    expected = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3) + 1 / np.log2(4))
    assert ndcg(item, scores) == pytest.approx(expected)


def test_agreement_looks_at_the_untrained_order_of_what_was_shown() -> None:
    asked, _ = searched()
    untrained = asked.candidates.parts[:5, 0] + asked.candidates.parts[:5, 1]
    best = int(untrained.argmax()) + 1
    assert agreement_of(asked, {best: 1.0}) == 1.0
    assert agreement_of(asked, {int(untrained.argmin()) + 1: 1.0}) == 0.0
    assert agreement_of(asked, {99: 1.0}) is None


def test_the_bootstrap_covers_a_known_difference() -> None:
    random = np.random.default_rng(3)
    before = random.random(200)
    verdict = paired_bootstrap(before.tolist(), (before + random.normal(0.05, 0.1, size=200)).tolist())
    half = 1.96 * 0.1 / np.sqrt(200)
    assert verdict.high - verdict.low == pytest.approx(2 * half, rel=0.2)
    assert verdict.low < verdict.gain < verdict.high
    assert verdict.worse < 0.01
    nothing = paired_bootstrap([], [])
    assert (nothing.questions, nothing.gain) == (0, 0.0)

from __future__ import annotations

import numpy as np
import pytest

from ruvllm_mcp.errors import DimensionError, InvalidInputError, NotFoundError
from ruvllm_mcp.learning.lora import LoraAdapter
from ruvllm_mcp.learning.manager import LoraManager, factor, merge_deltas


def adapter(seed: int, rank: int = 2, size: int = 6) -> LoraAdapter:
    made = LoraAdapter(size, rank=rank, seed=seed)
    made.b = np.random.default_rng(seed).normal(size=made.b.shape).astype(np.float32)
    return made


@pytest.fixture
def manager() -> LoraManager:
    made = LoraManager()
    made.register("one", adapter(1))
    made.register("two", adapter(2))
    return made


def test_the_active_adapter_is_the_one_that_acts(manager: LoraManager) -> None:
    x = np.ones(6)
    assert not manager.forward(x).any()
    manager.set_active("two")
    assert np.array_equal(manager.forward(x), manager.adapters["two"].forward(x))
    manager.remove("two")
    assert manager.active is None
    assert not manager.forward(np.ones((3, 6))).any()


def test_names_are_unique_and_must_be_known(manager: LoraManager) -> None:
    with pytest.raises(InvalidInputError):
        manager.register("one", adapter(3))
    with pytest.raises(DimensionError):
        manager.register("three", adapter(3, size=5))
    for use in (manager.set_active, manager.remove, lambda name: manager.merge({name: 1.0})):
        with pytest.raises(NotFoundError):
            use("nobody")


def test_a_linear_merge_of_full_rank_is_the_weighted_sum(manager: LoraManager) -> None:
    merged = manager.merge({"one": 0.25, "two": -1.5}, rank=4)
    expected = 0.25 * adapter(1).delta_weight() - 1.5 * adapter(2).delta_weight()
    assert np.allclose(merged.delta_weight(), expected, atol=1e-5)


def test_factoring_is_the_best_of_its_rank() -> None:
    matrix = np.random.default_rng(0).normal(size=(8, 5))
    singular = np.linalg.svd(matrix, compute_uv=False)
    for rank in (1, 3, 5, 9):
        error = np.linalg.norm(matrix - factor(matrix, rank).delta_weight())
        assert error == pytest.approx(np.sqrt((singular[rank:] ** 2).sum()), abs=1e-5)


def test_ties_trims_elects_and_averages() -> None:
    """The paper's steps, one entry at a time."""
    random = np.random.default_rng(4)
    deltas = [random.normal(size=(5, 4)).astype(np.float32) for _ in range(3)]
    weights = [1.0, 0.5, 2.0]
    merged = merge_deltas(deltas, weights, method="ties", density=0.4)
    trimmed = []
    for delta in deltas:
        least = np.sort(np.abs(delta).ravel())[-8]
        trimmed.append(np.where(np.abs(delta) >= least, delta, 0))
    for index in np.ndindex(5, 4):
        entries = [float(delta[index]) for delta in trimmed]
        sign = 1 if sum(entries) >= 0 else -1
        agreeing = [weight * entry for weight, entry in zip(weights, entries, strict=True) if entry * sign > 0]
        assert merged[index] == pytest.approx(sum(agreeing) / max(1, len(agreeing)), abs=1e-6)


def test_dare_keeps_the_expectation_and_its_seed_decides() -> None:
    delta = np.random.default_rng(4).normal(size=(20, 20)).astype(np.float32)
    once = merge_deltas([delta], [1.0], method="dare", density=0.25, seed=7)
    assert np.array_equal(once, merge_deltas([delta], [1.0], method="dare", density=0.25, seed=7))
    assert np.mean(once != 0) == pytest.approx(0.25, abs=0.08)
    assert np.allclose(once[once != 0], 4 * delta[once != 0])
    many = np.mean([merge_deltas([delta], [1.0], method="dare", density=0.5, seed=s) for s in range(600)], axis=0)
    assert np.abs(many - delta).max() < 0.25 * np.abs(delta).max()


def test_dare_of_everything_is_linear() -> None:
    deltas = [adapter(1).delta_weight(), adapter(2).delta_weight()]
    assert np.allclose(
        merge_deltas(deltas, [1, 2], method="dare", density=1.0), merge_deltas(deltas, [1, 2], method="linear")
    )


def test_impossible_merges_are_refused(manager: LoraManager) -> None:
    with pytest.raises(InvalidInputError):
        manager.merge({})
    with pytest.raises(InvalidInputError):
        manager.merge({"one": np.nan})
    with pytest.raises(InvalidInputError):
        manager.merge({"one": 1.0}, method="ties", density=0.0)
    with pytest.raises(InvalidInputError):
        manager.merge({"one": 1.0}, method="soup")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(DimensionError):
        merge_deltas([np.zeros((2, 2), np.float32), np.zeros((3, 2), np.float32)], [1, 1])
    with pytest.raises(InvalidInputError):
        factor(np.full((2, 2), np.inf), 1)

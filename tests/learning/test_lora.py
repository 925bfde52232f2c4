from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import DimensionError, InvalidInputError, ModelError
from ruvllm_mcp.formats import safetensors
from ruvllm_mcp.learning.lora import LoraAdapter, load_adapters, save_adapters


def trained(in_features: int = 12, out_features: int = 7, rank: int = 3, seed: int = 1) -> LoraAdapter:
    adapter = LoraAdapter(in_features, out_features, rank=rank, alpha=5.0, seed=seed)
    adapter.b = np.random.default_rng(seed).normal(size=adapter.b.shape).astype(np.float32)
    return adapter


def test_a_fresh_adapter_adds_nothing() -> None:
    adapter = LoraAdapter(16, seed=3)
    assert not adapter.forward(np.ones(16)).any()
    assert adapter.a.any()
    assert not adapter.delta_weight().any()


def test_forward_is_the_scaled_product_of_the_factors() -> None:
    adapter = trained()
    x = np.random.default_rng(0).normal(size=(9, 12))
    expected = x @ (5.0 / 3 * adapter.b.astype(np.float64) @ adapter.a.astype(np.float64)).T
    assert np.allclose(adapter.forward(x), expected, rtol=1e-5, atol=1e-5)
    assert np.allclose(adapter.forward(x[0]), expected[0], rtol=1e-5, atol=1e-5)


def test_backward_agrees_with_central_differences() -> None:
    """Of the loss sum(weights * forward(x)), taken in float64, to 1e-5 relative."""
    adapter = trained()
    random = np.random.default_rng(2)
    x, weights = random.normal(size=(5, 12)).astype(np.float32), random.normal(size=(5, 7)).astype(np.float32)
    grad_x = adapter.backward(x, weights)

    def loss(a: Any, b: Any, at: Any) -> float:
        return float((weights.astype(np.float64) * (at @ a.T @ b.T) * 5.0 / 3).sum())

    values = [adapter.a.astype(np.float64), adapter.b.astype(np.float64), x.astype(np.float64)]
    for place, gradient in enumerate((adapter.grad_a, adapter.grad_b, grad_x)):
        expected = np.empty(values[place].shape)
        for index in np.ndindex(expected.shape):
            sides = []
            for step in (1e-4, -1e-4):
                moved = [value.copy() for value in values]
                moved[place][index] += step
                sides.append(loss(*moved))
            expected[index] = (sides[0] - sides[1]) / 2e-4
        assert np.allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_gradients_gather_until_a_step_that_clears_them() -> None:
    adapter = trained()
    before_a, before_b = adapter.a.copy(), adapter.b.copy()
    x, upstream = np.ones(12), np.ones(7)
    adapter.backward(x, upstream)
    once = adapter.grad_a.copy(), adapter.grad_b.copy()
    adapter.backward(x, upstream)
    assert np.allclose(adapter.grad_a, 2 * once[0])
    adapter.step(0.1)
    assert np.allclose(adapter.a, before_a - 0.2 * once[0], atol=1e-6)
    assert np.allclose(adapter.b, before_b - 0.2 * once[1], atol=1e-6)
    assert not adapter.grad_a.any()
    assert not adapter.grad_b.any()


def test_merging_gives_a_map_that_needs_no_adapter() -> None:
    adapter = trained()
    random = np.random.default_rng(5)
    weight, x = random.normal(size=(7, 12)).astype(np.float32), random.normal(size=12).astype(np.float32)
    before = weight.copy()
    assert np.allclose(adapter.merge(weight) @ x, weight @ x + adapter.forward(x), atol=1e-4)
    assert np.array_equal(weight, before)


def test_a_frozen_adapter_only_computes() -> None:
    adapter = trained()
    adapter.freeze()
    adapter.forward(np.ones(12))
    for train in (lambda: adapter.backward(np.ones(12), np.ones(7)), lambda: adapter.step(0.1)):
        with pytest.raises(InvalidInputError, match="frozen"):
            train()
    adapter.unfreeze()
    adapter.backward(np.ones(12), np.ones(7))


def test_a_step_out_of_the_finite_numbers_changes_nothing() -> None:
    adapter = trained()
    before = adapter.a.copy()
    adapter.backward(np.ones(12), np.full(7, 1e30))
    with np.errstate(over="ignore"), pytest.raises(InvalidInputError):
        adapter.step(1e30)
    assert np.array_equal(adapter.a, before)


@pytest.mark.parametrize(
    "options",
    [
        {"in_features": 0},
        {"out_features": -1},
        {"rank": 0},
        {"rank": 2.0},
        {"rank": 2000},
        {"alpha": 0.0},
        {"alpha": np.nan},
    ],
)
def test_impossible_adapters_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        LoraAdapter(**{"in_features": 4, **options})


def test_vectors_of_another_length_are_refused() -> None:
    adapter = trained()
    with pytest.raises(DimensionError):
        adapter.forward(np.ones(11))
    with pytest.raises(DimensionError):
        adapter.forward(np.ones((2, 2, 12)))
    with pytest.raises(DimensionError):
        adapter.backward(np.ones((2, 12)), np.ones(7))
    with pytest.raises(DimensionError):
        adapter.merge(np.ones((12, 7)))
    with pytest.raises(DimensionError):
        LoraAdapter.from_factors(np.ones((3, 4)), np.ones((4, 4)))
    with pytest.raises(InvalidInputError):
        LoraAdapter.from_factors(np.full((1, 4), np.nan), np.ones((4, 1)))


def test_saved_adapters_come_back_to_the_bit(tmp_path: Path) -> None:
    adapters = {"query": trained(seed=1), "layers.0.value": trained(seed=2)}
    save_adapters(tmp_path / "made", adapters, "all-MiniLM-L6-v2")
    loaded = load_adapters(tmp_path / "made")
    assert loaded.keys() == adapters.keys()
    for name, adapter in adapters.items():
        assert np.array_equal(loaded[name].a, adapter.a)
        assert np.array_equal(loaded[name].b, adapter.b)
        assert loaded[name].scale == adapter.scale


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "adapter_config.json").unlink(),
        lambda folder: (folder / "adapter_config.json").write_text("[]"),
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        lambda folder: (folder / "adapter_model.safetensors").unlink(),
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\0" * 20),
        lambda folder: safetensors.save(folder / "adapter_model.safetensors", {}),
        lambda folder: safetensors.save(
            folder / "adapter_model.safetensors", {"base_model.model.q.lora_A.weight": np.ones((2, 2), np.float32)}
        ),
        lambda folder: safetensors.save(
            folder / "adapter_model.safetensors",
            {f"q.lora_{side}.weight": np.full((2, 2), np.nan, np.float32) for side in "AB"},
        ),
        lambda folder: safetensors.save(folder / "adapter_model.safetensors", {"q.bias": np.ones(2, np.float32)}),
    ],
)
def test_a_damaged_folder_is_a_model_error(tmp_path: Path, damage: Any) -> None:
    save_adapters(tmp_path, {"query": trained()})
    damage(tmp_path)
    with pytest.raises(ModelError):
        load_adapters(tmp_path)


def test_variants_of_lora_are_not_mistaken_for_plain_ones(tmp_path: Path) -> None:
    save_adapters(tmp_path, {"query": trained()})
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "use_rslora": True}))
    with pytest.raises(ModelError, match="plain"):
        load_adapters(tmp_path)


def test_adapters_saved_together_share_rank_and_alpha(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        save_adapters(tmp_path, {"a": trained(rank=2), "b": trained(rank=3)})
    with pytest.raises(InvalidInputError):
        save_adapters(tmp_path, {})

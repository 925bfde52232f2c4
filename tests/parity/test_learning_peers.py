"""The learning parts against the libraries they stand in for: PyTorch, peft, safetensors, scikit-learn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import safetensors.numpy
import torch
from peft.utils import merge_utils
from sklearn.cluster import KMeans

from ruvllm_mcp.formats import safetensors as ours
from ruvllm_mcp.learning.clusters import k_means
from ruvllm_mcp.learning.contrastive import Example, info_nce
from ruvllm_mcp.learning.lora import LoraAdapter, load_adapters, save_adapters
from ruvllm_mcp.learning.manager import merge_deltas
from ruvllm_mcp.learning.schedules import schedule
from ruvllm_mcp.learning.training import TrainingConfig, TrainingPipeline

pytestmark = pytest.mark.filterwarnings("ignore")

RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


def test_lora_gradients_are_autograds() -> None:
    adapter = LoraAdapter(48, 32, rank=4, alpha=8.0, seed=1)
    adapter.b = floats(32, 4)
    x, upstream = floats(10, 48), floats(10, 32)
    tensors = [torch.tensor(value, dtype=torch.float32, requires_grad=True) for value in (adapter.a, adapter.b, x)]
    a, b, inputs = tensors
    output = 2.0 * (inputs @ a.T) @ b.T
    (output * torch.tensor(upstream)).sum().backward()
    assert np.allclose(adapter.forward(x), output.detach().numpy(), rtol=1e-5, atol=1e-5)
    grad_x = adapter.backward(x, upstream)
    for mine, theirs in zip((adapter.grad_a, adapter.grad_b, grad_x), tensors, strict=True):
        expected = theirs.grad.numpy()
        assert np.allclose(mine, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_info_nce_gradients_are_autograds() -> None:
    factors = {"a": floats(4, 24), "b": floats(24, 4) * 0.3}
    targets = np.array([0.5, 0, 0.5, 0, 0, 0, 0], np.float32)
    examples = [Example(floats(24), floats(7, 24), targets, floats(7), 1.7) for _ in range(6)]
    loss, gradients = info_nce(factors, examples, 0.5, 1.3)
    a, b = (torch.tensor(factors[name], dtype=torch.float64, requires_grad=True) for name in "ab")
    total = torch.zeros((), dtype=torch.float64)
    for example in examples:
        query, table = torch.tensor(example.query).double(), torch.tensor(example.candidates).double()
        moved = query + 0.5 * b @ (a @ query)
        scores = (torch.tensor(example.offsets).double() + 1.7 * table @ moved) / 1.3
        total = total - (torch.tensor(targets).double() * torch.log_softmax(scores, 0)).sum()
    (total / len(examples)).backward()
    assert loss == pytest.approx(total.item() / len(examples), rel=1e-5)
    for name, tensor in (("a", a), ("b", b)):
        expected = tensor.grad.numpy()
        assert np.allclose(gradients[name], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_training_steps_are_torchs_adamw() -> None:
    start, goal = floats(6, 5), floats(6, 5)
    config = TrainingConfig(steps=40, learning_rate=0.03, weight_decay=0.1, clip_norm=0.7, kind="cosine", floor=0.1)
    pipeline = TrainingPipeline({"w": start}, lambda p, _: (0.0, {"w": 4 * (p["w"] - goal) ** 3}), config)
    weight = torch.nn.Parameter(torch.tensor(start.copy()))
    optimiser = torch.optim.AdamW([weight], lr=0.03, weight_decay=0.1)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 40, eta_min=0.003)
    for _ in range(40):
        pipeline.step([0])
        optimiser.zero_grad()
        ((weight - torch.tensor(goal)) ** 4).sum().backward()
        torch.nn.utils.clip_grad_norm_([weight], 0.7)
        optimiser.step()
        rates.step()
    assert np.allclose(pipeline.parameters["w"], weight.detach().numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("kind", "options", "make"),
    [
        ("linear", {"floor": 0.25}, lambda o, s: s.LinearLR(o, 1.0, 0.25, 50)),
        ("step", {"step_size": 7, "gamma": 0.6}, lambda o, s: s.StepLR(o, 7, 0.6)),
        ("cosine", {"floor": 0.1}, lambda o, s: s.CosineAnnealingLR(o, 50, 0.1)),
        (
            "one_cycle",
            {"rise": 0.3},
            lambda o, s: s.OneCycleLR(o, 1.0, total_steps=50, pct_start=0.3, final_div_factor=1e12),
        ),
    ],
)
def test_schedules_are_torchs(kind: Any, options: Any, make: Any) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = make(optimiser, torch.optim.lr_scheduler)
    mine = schedule(kind, 50, **options)
    for step in range(50):
        assert mine(step) == pytest.approx(theirs.get_last_lr()[0], abs=1e-6), step
        optimiser.step()
        if step < 49:
            theirs.step()


@pytest.mark.parametrize(("count", "dim", "k"), [(400, 16, 12), (1500, 128, 100), (3000, 64, 40)])
def test_k_means_is_as_tight_as_scikit_learns(count: int, dim: int, k: int) -> None:
    middle = floats(k // 2, dim) * 2
    points = middle[RANDOM.integers(len(middle), size=count)] + floats(count, dim)
    mine = np.mean([k_means(points, k, seed=seed).inertia for seed in range(3)])
    theirs = np.mean([KMeans(k, n_init=1, random_state=seed).fit(points).inertia_ for seed in range(3)])
    assert mine <= 1.02 * theirs


def test_safetensors_files_open_in_their_package_and_back(tmp_path: Path) -> None:
    tensors = {"a": floats(3, 4), "b": np.arange(5), "c": np.array([True, False]), "d": floats(2).astype(np.float16)}
    ours.save(tmp_path / "x", tensors, {"made": "here"})
    opened = safetensors.numpy.load_file(tmp_path / "x")
    assert all(np.array_equal(opened[name], tensors[name]) for name in tensors)
    safetensors.numpy.save_file(tensors, tmp_path / "y", {"made": "there"})
    loaded, metadata = ours.load(tmp_path / "y")
    assert metadata == {"made": "there"}
    assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)


class Net(torch.nn.Module):
    """One linear layer, as a model that peft can wrap."""

    def __init__(self) -> None:
        super().__init__()
        self.query = torch.nn.Linear(12, 8, bias=False)

    def forward(self, x: Any) -> Any:
        return self.query(x)


def test_our_adapters_act_the_same_in_peft(tmp_path: Path) -> None:
    adapter = LoraAdapter(12, 8, rank=3, alpha=6.0, seed=2)
    adapter.b = floats(8, 3)
    save_adapters(tmp_path, {"query": adapter})
    net, x = Net(), floats(4, 12)
    weight = net.query.weight.detach().numpy().copy()
    wrapped = peft.PeftModel.from_pretrained(net, tmp_path)
    expected = x @ weight.T + adapter.forward(x)
    assert np.allclose(wrapped(torch.tensor(x)).detach().numpy(), expected, atol=1e-5)


def test_pefts_adapters_act_the_same_here(tmp_path: Path) -> None:
    net, x = Net(), floats(4, 12)
    weight = net.query.weight.detach().numpy().copy()
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["query"], init_lora_weights=False)
    wrapped = peft.get_peft_model(net, config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped.save_pretrained(tmp_path)
    adapter = load_adapters(tmp_path)["query"]
    assert np.allclose(x @ weight.T + adapter.forward(x), wrapped.eval()(torch.tensor(x)).detach().numpy(), atol=1e-5)


def test_ties_is_pefts() -> None:
    deltas, weights = [floats(9, 7) for _ in range(4)], [1.0, 0.5, 2.0, 0.7]
    theirs = merge_utils.ties([torch.tensor(delta) for delta in deltas], torch.tensor(weights), 0.4)
    assert np.allclose(merge_deltas(deltas, weights, method="ties", density=0.4), theirs.numpy(), atol=1e-6)

"""How fast the learning parts are, beside PyTorch and scikit-learn (where installed) in the same run.

    python benchmarks/learning_speed.py

The last column is what the original documents for itself on its own machine: an orientation, not a comparison. At the
end: what one feedback takes until searches in this process lend its votes, until they follow all that was learned from
it, and until it returns, committed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.benchmark.texts import notes
from ruvllm_mcp.engine.parts import Parts
from ruvllm_mcp.learning.clusters import k_means
from ruvllm_mcp.learning.contrastive import Example, info_nce
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.instant import InstantLoop, InstantStep, step_of
from ruvllm_mcp.learning.lora import LoraAdapter
from ruvllm_mcp.learning.objective import Row
from ruvllm_mcp.learning.training import TrainingConfig, TrainingPipeline
from ruvllm_mcp.settings import Settings
from ruvllm_mcp.simd import contrast
from ruvllm_mcp.types import NewMemory

SECONDS = 0.5


def rate(work: Callable[[], object]) -> float:
    """Calls per second, the best of five rounds."""
    work()
    best, calls = 0.0, 1
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        spent = time.perf_counter() - started
        best = max(best, calls / spent)
        calls = max(1, int(SECONDS / 5 * best))
    return best


def show(name: str, ours: float, peer: float | None, documented: str) -> None:
    beside = f"{peer:>12,.0f} {ours / peer:>7.2f}x" if peer else f"{'':>21}"
    print(f"{name:44s} {ours:>12,.0f} {beside}   {documented}")


def peers() -> tuple[Any, Any]:
    try:
        import torch
        from sklearn.cluster import KMeans
    except ImportError:
        return None, None
    return torch, KMeans


def feedbacks(count: int = 400) -> None:
    """Each after a search of its own, as people give it; the first quarter is not counted."""
    names = ("a feedback until searches follow its votes", "until they follow all of it", "until it returns, committed")
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as home:
        parts = Parts(Settings(home=Path(home), namespace="benchmark", auto_consolidate_interval=0))
        parts.memory.add([NewMemory(text) for text in notes(count, 12, seed=0)])

        def noting(work: Callable[..., Any], name: str) -> Callable[..., Any]:
            def noted(*given: Any) -> Any:
                times[name].append(time.perf_counter() - began)
                return work(*given)

            return noted

        sona = parts.sona
        sona._tell = noting(sona._tell, names[0])  # type: ignore[method-assign]  # what comes when votes count
        sona._log.add = noting(sona._log.add, names[1])  # type: ignore[method-assign]  # and when all does
        for question in notes(count, 8, seed=1):
            found = parts.search(question, 10, namespaces=None, where=None, mode="hybrid", min_trust="untrusted")
            said = Feedback(relevant=(found.hits[1].id,), irrelevant=(found.hits[0].id,), client="user")
            began = time.perf_counter()
            parts.feedback(found.request_id, said, "trusted")
            times[names[2]].append(time.perf_counter() - began)
        parts.close()
    for name, taken in times.items():
        values = np.array(taken[count // 4 :]) * 1e6
        print(f"{name:44s} {np.median(values):>9,.0f} µs p50 {np.quantile(values, 0.99):>9,.0f} µs p99")


def main() -> None:
    torch, clusters = peers()
    random = np.random.default_rng(0)
    print(f"{'calls per second':44s} {'ours':>12} {'peer':>12} {'ratio':>8}   original documents")
    adapter = LoraAdapter(128, rank=8, seed=1)
    adapter.b = random.normal(size=(128, 8)).astype(np.float32)
    x, upstream, weight = (random.normal(size=shape).astype(np.float32) for shape in (128, 128, (128, 128)))
    a, b, tx, tw = (torch.tensor(value) for value in (adapter.a, adapter.b, x, weight)) if torch else (None,) * 4

    def torch_backward() -> None:
        left, right = a.clone().requires_grad_(), b.clone().requires_grad_()
        (2.0 * (right @ (left @ tx)) * torch.tensor(upstream)).sum().backward()

    forward = rate(lambda: 2.0 * (b @ (a @ tx))) if torch else None
    show("LoRA forward, rank 8, 128 dims", rate(lambda: adapter.forward(x)), forward, "233,000")
    backward = rate(torch_backward) if torch else None
    show("LoRA backward, rank 8, 128 dims", rate(lambda: adapter.backward(x, upstream)), backward, "9,100")
    merge = rate(lambda: tw + 2.0 * (b @ a)) if torch else None
    show("LoRA merge, rank 8, 128 dims", rate(lambda: adapter.merge(weight)), merge, "156,000")
    loop, query = InstantLoop(384), random.normal(size=384).astype(np.float32) / 20
    step = InstantStep(query[::-1].copy(), {"dense": 0.1, "lexical": -0.1})
    show("instant step, rank 2, 384 dims", rate(lambda: loop.apply(query, step)), None, "2,236")
    names, right = ("dense", "lexical", "late", "neighbours", "taught", "confirmed"), np.arange(24) == 3
    parts, vectors = (
        random.normal(size=(24, 6)).astype(np.float32),
        random.normal(size=(24, 384)).astype(np.float32) / 20,
    )
    row = Row("", query, names, parts, right, 1, vectors, 3.0)
    show(
        "the same with its gradient, 24 candidates", rate(lambda: loop.apply(query, step_of(row, {}, query))), None, ""
    )
    right_list = right.tolist()
    show("gradient of six weights alone", rate(lambda: contrast(parts, right_list, [1.0] * 6, 1.7)), None, "")
    points = random.normal(size=(1000, 128)).astype(np.float32)
    sklearn = rate(lambda: clusters(100, n_init=1, random_state=0).fit(points)) if clusters else None
    show("k-means++, 1,000 points, 100 clusters", rate(lambda: k_means(points, 100)), sklearn, "769 (points not said)")
    targets = np.zeros(32, np.float32)
    targets[0] = 1
    table = random.normal(size=(32, 128)).astype(np.float32)
    example = Example(x, table, targets, np.zeros(32, np.float32))
    config = TrainingConfig(steps=10**9)
    pipeline = TrainingPipeline({"a": adapter.a, "b": adapter.b}, info_nce, config)
    show("training step, rank 8, 128 dims, 32 candidates", rate(lambda: pipeline.step([example])), None, "2,100")
    feedbacks()


if __name__ == "__main__":
    main()

"""The deep loop: the instant loop's MicroLoRA is folded into the base, and what older feedback needs is held.

The new base starts from the old one's ΔW plus the micro's, brought back to the base's rank, and is trained on the newer
searches. Against forgetting, elastic weight consolidation (see `ewc`) holds each factor by its importance to older
searches; replay, the other known cure, trains on these beside the newer ones. Whether the older ones still fare well is
measured on their held-back part before anything is promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.learning.background import BASE_RANK, fit_adapter, parted, quality_of
from ruvllm_mcp.learning.contrastive import Example, info_nce
from ruvllm_mcp.learning.ewc import EwcPlusPlus
from ruvllm_mcp.learning.instant import InstantLoop
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.lora import FloatArray, LoraAdapter
from ruvllm_mcp.learning.manager import factor
from ruvllm_mcp.learning.objective import Row, example_of

Against = Literal["ewc", "replay", "nothing"]
EWC_STRENGTH = 20.0  # holds what was learned, and leaves room to learn (`benchmarks/forgetting.py`)
RETENTION = 0.95
_SAMPLES = 500


def consolidated(
    older: Sequence[Row],
    newer: Sequence[Row],
    active: Learned,
    instant: InstantLoop,
    trained_to: int,
    against: Against = "ewc",
    strength: float = EWC_STRENGTH,
) -> Learned:
    """A candidate version: micro folded into base and trained on `newer`, with forgetting of `older` held back."""
    weights = instant.weights(active.weights)
    start = _folded(active, instant)
    old_examples = [example_of(row, weights) for row in parted(older)[0] if row.gain]
    new_examples = [example_of(row, weights) for row in parted(newer)[0] if row.gain]
    ewc = EwcPlusPlus(strength)
    if old_examples:
        _observe(ewc, start, old_examples[-_SAMPLES:], active)
    if new_examples:
        examples = old_examples + new_examples if against == "replay" else new_examples
        penalty = _penalty(ewc) if against == "ewc" and ewc.anchor else None
        start = {name: np.asarray(value) for name, value in fit_adapter(start, examples, penalty).items()}
    return replace(
        active,
        base=LoraAdapter.from_factors(start["a"], start["b"]),
        weights=weights,
        importance=_floats(ewc.importance),
        anchor=_floats(ewc.anchor),
        trained_to=trained_to,
    )


def retention(older: Sequence[Row], before: Learned, after: Learned) -> float:
    """Mean nDCG@10 of the older held-back rows after, as a share of before; 1.0 where there is nothing to keep."""
    held = parted(older)[1]
    kept = float(np.mean(quality_of(held, before))) if held else 0.0
    return float(np.mean(quality_of(held, after))) / kept if kept > 0 else 1.0


def _folded(active: Learned, instant: InstantLoop) -> dict[str, FloatArray]:
    delta = instant.delta_weight()
    if active.base is None and not instant.moves_vectors:
        fresh = LoraAdapter(len(delta), rank=BASE_RANK, alpha=BASE_RANK)
        return {"a": fresh.a, "b": fresh.b}
    if active.base is not None:
        delta = delta + active.base.delta_weight()
    folded = factor(delta, BASE_RANK)
    return {"a": folded.a, "b": folded.b}


def _observe(ewc: EwcPlusPlus, factors: Mapping[str, FloatArray], examples: Sequence[Example], active: Learned) -> None:
    if active.importance:
        ewc.importance = {name: value.astype(np.float64) for name, value in active.importance.items()}
    for example in examples:
        ewc.observe(info_nce(factors, [example])[1])
    ewc.consolidate(factors)


def _penalty(ewc: EwcPlusPlus) -> Callable[[Mapping[str, FloatArray]], Mapping[str, FloatArray]]:
    return lambda parameters: {
        name: gradient.astype(np.float32) for name, gradient in ewc.penalty_gradients(parameters).items()
    }


def _floats(arrays: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, FloatArray]:
    return {name: array.astype(np.float32) for name, array in arrays.items()}

"""Rotary positions: how far each pair of a head's numbers turns from one position to the next.

A pair turns by base^(-2 i / dims) / factors[i] a position; sines and cosines are multiplied by `magnitude`. All the
ways of stretching a context come down to these factors: linear (one for all), llama3 (Llama 3.1: long waves are
stretched, short ones kept), YaRN (arXiv:2309.00071) and LongRoPE (arXiv:2402.13753: factors from the file).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ruvllm_mcp.errors import ModelError


@dataclass(frozen=True)
class Rope:
    """`dims` (even) is how many numbers of a head turn; pairs are (2 i, 2 i + 1), or (i, i + dims / 2) if `half_split`.
    `factors` is empty (all 1) or dims / 2 numbers."""

    base: float
    dims: int
    half_split: bool
    factors: tuple[float, ...] = ()
    magnitude: float = 1.0


def scaled(rope: Rope, scaling: Mapping[str, Any], context: int, most: int) -> Rope:
    """`rope` stretched as a config.json of Hugging Face says: `scaling` is its `rope_parameters`.

    Its kind may also be `given`, with `factors`. `context` is how many positions will be used and `most` how many the
    file says there are: LongRoPE has factors for contexts up to the original one and others beyond. Raises ModelError
    for a kind of scaling that is not known.
    """
    kind = scaling.get("rope_type", "default")
    pairs = rope.dims // 2
    if kind == "default":
        return rope
    if kind == "linear":
        return _with(rope, [_positive(scaling, "factor")] * pairs, 1.0)
    if kind == "given":
        return _with(rope, scaling.get("factors"), 1.0)
    original = _positive(scaling, "original_max_position_embeddings")
    if kind == "llama3":
        return _with(rope, _llama3(rope, scaling, original), 1.0)
    if kind == "yarn":
        factor = _positive(scaling, "factor", most / original)
        magnitude = _positive(scaling, "attention_factor", _yarn_magnitude(scaling, factor))
        fast, slow = _positive(scaling, "beta_fast", 32.0), _positive(scaling, "beta_slow", 1.0)
        if scaling.get("truncate", True) is not True:
            raise ModelError("YaRN without rounding of its range is not supported.", "Use another model.")
        return _with(rope, yarn_factors(rope, factor, original, fast, slow), magnitude)
    if kind == "longrope":
        name = "long_factor" if context > original else "short_factor"
        stretch = _positive(scaling, "factor", most / original)
        usual = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0
        return _with(rope, scaling.get(name), _positive(scaling, "attention_factor", usual))
    raise ModelError(f"Rotary scaling of the kind {kind!r} is not supported.", "Use another model.")


def yarn_factors(rope: Rope, factor: float, original: float, fast: float, slow: float) -> list[float]:
    """Pairs that turn more than `fast` times over the original context are kept, fewer than `slow` times are stretched
    by `factor`, and mixed between."""

    def pair_turning(times: float) -> float:
        return rope.dims * math.log(original / (times * 2 * math.pi)) / (2 * math.log(rope.base))

    low = max(math.floor(pair_turning(fast)), 0)
    high = min(math.ceil(pair_turning(slow)), rope.dims - 1)
    kept = [1 - min(1.0, max(0.0, (i - low) / max(0.001, high - low))) for i in range(rope.dims // 2)]
    return [1 / (keep + (1 - keep) / factor) for keep in kept]


def _llama3(rope: Rope, scaling: Mapping[str, Any], original: float) -> list[float]:
    factor = _positive(scaling, "factor")
    low, high = _positive(scaling, "low_freq_factor"), _positive(scaling, "high_freq_factor")
    if high <= low:
        raise ModelError("A llama3 rotary scaling has no range between its frequencies.", "Use another model.")
    found = []
    for i in range(rope.dims // 2):
        turns = original * rope.base ** (-2 * i / rope.dims) / (2 * math.pi)  # over the original context
        keep = min(1.0, max(0.0, (turns - low) / (high - low)))
        found.append(1 / (keep + (1 - keep) / factor))
    return found


def _yarn_magnitude(scaling: Mapping[str, Any], factor: float) -> float:
    def magnitude(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    over, under = scaling.get("mscale"), scaling.get("mscale_all_dim")
    if over and under:
        return magnitude(_positive(scaling, "mscale")) / magnitude(_positive(scaling, "mscale_all_dim"))
    return magnitude(1.0)


def _with(rope: Rope, factors: Any, magnitude: float) -> Rope:
    """`rope` with checked factors."""
    numbers = (int, float, np.floating)
    listed = factors if isinstance(factors, (Sequence, np.ndarray)) and not isinstance(factors, str) else ()
    if len(listed) != rope.dims // 2 or not all(
        isinstance(factor, numbers) and 1e-6 < factor < 1e6 for factor in listed
    ):
        raise ModelError(f"A rotary scaling is not {rope.dims // 2} numbers, one for each pair.", "Use another model.")
    return Rope(rope.base, rope.dims, rope.half_split, tuple(map(float, listed)), magnitude)


def _positive(scaling: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = scaling.get(key)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise ModelError(f"The rotary scaling's {key!r} is {value!r}, wanted a number above 0.", "Use another model.")
    return float(value)

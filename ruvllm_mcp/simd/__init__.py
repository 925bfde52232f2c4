"""Vector arithmetic on the kernels: the only door to them for the rest of the package.

The plain functions are float32: `dot_product`, `cosine_similarity`, `softmax` and the like take anything NumPy can read
as numbers. `float16`, `bfloat16`, `int8` and `bits` have the same pair operations for other kinds of number. A `Vector`
or a `Matrix` is checked once and called often. Long operations release the GIL; the others are over in less time than
that takes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ruvllm_mcp.native.lib import available, in_use, kernels
from ruvllm_mcp.simd.batches import (
    MAX_SIGN_DIMENSIONS,
    Cancel,
    assign,
    cross_dot,
    cross_topk,
    matmul,
    matvec,
    maxsim_bits,
    pq_distances,
    topk,
    topk_dot,
)
from ruvllm_mcp.simd.handles import Matrix, Vector
from ruvllm_mcp.simd.layers import attention, fastgrnn_step, lora_backward, lora_forward, lora_update, pool
from ruvllm_mcp.simd.maps import (
    add,
    axpy,
    gelu,
    layer_norm,
    log_softmax,
    mul,
    normalize,
    relu,
    rms_norm,
    scale,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from ruvllm_mcp.simd.pairs import Bits, Kind
from ruvllm_mcp.simd.rated import Move, Spoken, agreement, contrast, foreseen, lora_descend

__all__ = [
    "MAX_SIGN_DIMENSIONS",
    "Cancel",
    "Matrix",
    "Move",
    "SimdOps",
    "Spoken",
    "Vector",
    "add",
    "agreement",
    "assign",
    "attention",
    "axpy",
    "bfloat16",
    "bits",
    "contrast",
    "cosine_similarity",
    "cross_dot",
    "cross_topk",
    "dot_int8",
    "dot_product",
    "euclidean_distance",
    "fastgrnn_step",
    "float16",
    "float32",
    "foreseen",
    "gelu",
    "int8",
    "layer_norm",
    "log_softmax",
    "lora_backward",
    "lora_descend",
    "lora_forward",
    "lora_update",
    "matmul",
    "matvec",
    "maxsim_bits",
    "mul",
    "normalize",
    "pool",
    "pq_distances",
    "relu",
    "rms_norm",
    "scale",
    "sigmoid",
    "silu",
    "simd_info",
    "softmax",
    "squared_distance",
    "tanh",
    "topk",
    "topk_dot",
]

float32, float16, bfloat16, int8 = Kind("f32"), Kind("f16"), Kind("bf16"), Kind("i8")
bits = Bits()

_plain_dot, _plain_cosine = float32.dot.plain, float32.cosine.plain
_plain_squared_distance, _plain_distance = float32.squared_distance.plain, float32.distance.plain


def simd_info() -> Mapping[str, Any]:
    """The instruction set in use, those this CPU could use, worst first, and which layer of it serves each kernel."""
    return {"instruction_set": in_use(), "available": available(), "kernels": kernels()}


def dot_product(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Sum of products of two float32 vectors of one shape (d,), d >= 1. Raises DimensionError."""
    answer: float | None = _plain_dot(a, b)
    return float32.dot(a, b) if answer is None else answer


def cosine_similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Cosine of the angle between `a` and `b`, in [-1, 1].

    Both are float32 of one shape (d,), d >= 1. A zero vector has cosine 0.0 with everything. Raises DimensionError.
    """
    answer: float | None = _plain_cosine(a, b)
    return float32.cosine(a, b) if answer is None else answer


def squared_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Sum of squared differences of two float32 vectors of one shape (d,), d >= 1. Raises DimensionError."""
    answer: float | None = _plain_squared_distance(a, b)
    return float32.squared_distance(a, b) if answer is None else answer


def euclidean_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Distance of two float32 points of one shape (d,), d >= 1. Raises DimensionError."""
    answer: float | None = _plain_distance(a, b)
    return float32.distance(a, b) if answer is None else answer


def dot_int8(a: npt.ArrayLike, b: npt.ArrayLike) -> int:
    """Exact sum of products of two int8 vectors of one shape (d,), 1 <= d <= 131,072. Raises DimensionError."""
    return int(int8.dot(a, b))


SimdOps = sys.modules[__name__]
"""This module under the name that programs import from the package: `SimdOps.dot_product(a, b)`."""

"""A decoder in NumPy, float64 throughout, from the same checkpoint: the plainest statement of what kernels compute."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.formats.quants import dequantize
from ruvllm_mcp.llm.architectures import Architecture
from ruvllm_mcp.llm.files import Checkpoint

Array = npt.NDArray[np.float64]


def logits(checkpoint: Checkpoint, tokens: list[int]) -> Array:
    """Logits after each token, float64 (tokens, vocabulary)."""
    of = checkpoint.architecture

    def weight(name: str) -> Array:
        found = checkpoint.weights[name]
        return dequantize(found.kind, found.data, found.shape).astype(np.float64)

    def projected(x: Array, name: str) -> Array:
        y = x @ weight(f"{name}.weight").T
        return y + weight(f"{name}.bias") if f"{name}.bias" in checkpoint.weights else y

    def norm(x: Array, name: str) -> Array:
        if f"{name}.weight" not in checkpoint.weights:
            return x
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + of.epsilon) * weight(f"{name}.weight")

    n = len(tokens)
    apart = np.arange(n)[:, None] - np.arange(n)
    seen = (apart >= 0) & ((apart < of.window) if of.window else True)
    x = weight("token_embd.weight")[tokens]
    for layer in (f"blk.{i}" for i in range(of.layers)):
        inside = norm(x, f"{layer}.attn_norm")
        query, key, value = (projected(inside, f"{layer}.attn_{part}").reshape(n, -1, of.head_dim) for part in "qkv")
        query, key = rotated(norm(query, f"{layer}.attn_q_norm"), of), rotated(norm(key, f"{layer}.attn_k_norm"), of)
        key, value = (np.repeat(part, of.heads // of.kv_heads, axis=1) for part in (key, value))
        scores = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(of.head_dim)
        scores = np.exp(np.where(seen, scores, -np.inf) - np.where(seen, scores, -np.inf).max(axis=-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", scores / scores.sum(axis=-1, keepdims=True), value)
        x = x + projected(mixed.reshape(n, -1), f"{layer}.attn_output")
        inside = norm(x, f"{layer}.ffn_norm")
        gate, up = projected(inside, f"{layer}.ffn_gate"), projected(inside, f"{layer}.ffn_up")
        x = x + projected(gate / (1 + np.exp(-gate)) * up, f"{layer}.ffn_down")
    return projected(norm(x, "output_norm"), "output" if "output.weight" in checkpoint.weights else "token_embd")


def rotated(x: Array, of: Architecture) -> Array:
    """`x` (positions, heads, head_dim) with each pair turned by its position."""
    rope, half = of.rope, of.rope.dims // 2
    speed = rope.base ** (-np.arange(half) / half) / (np.array(rope.factors) if rope.factors else 1)
    angle = (np.arange(len(x))[:, None] * speed)[:, None]
    cos, sin = rope.magnitude * np.cos(angle), rope.magnitude * np.sin(angle)
    first = slice(half) if rope.half_split else slice(0, rope.dims, 2)
    second = slice(half, rope.dims) if rope.half_split else slice(1, rope.dims, 2)
    out = x.copy()
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., second] * cos + x[..., first] * sin
    return out

"""The encoder in plain NumPy and float32: what the C is tested against, and what the token mean is measured with.

Weights are dequantised when the file is opened; erf is exact to 1.5e-7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.embed.wordpiece import Ids
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.formats.quants import dequantize


class ReferenceBert:
    """The encoder's layers in float32; weights are dequantised when made."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file
        pieces = len(file.value("tokenizer.ggml.tokens", Strings))
        self.layers = int(file.value("bert.block_count", int))
        self.heads = int(file.value("bert.attention.head_count", int))
        self.epsilon = np.float32(file.value("bert.attention.layer_norm_epsilon", float))
        d, inner = int(file.value("bert.embedding_length", int)), int(file.value("bert.feed_forward_length", int))
        positions = int(file.value("bert.context_length", int))
        shapes = {"attn_q": (d, d), "attn_k": (d, d), "attn_v": (d, d), "attn_output": (d, d)}
        shapes |= {"ffn_up": (inner, d), "ffn_down": (d, inner)}
        self.weights = {"token_embd.weight": self._matrix("token_embd.weight", (pieces, d))}
        where = file.tensor("position_embd.weight", "F16", (positions, d)).view("<f2").reshape(positions, d)
        self.positions = where + self._floats("token_types.weight", (2, d))[0]
        for name in ("token_embd_norm", *_norms(self.layers)):
            for part in ("weight", "bias"):
                self.weights[f"{name}.{part}"] = self._floats(f"{name}.{part}", (d,))
        for layer in range(self.layers):
            for name, shape in shapes.items():
                full = f"blk.{layer}.{name}"
                self.weights[f"{full}.weight"] = self._matrix(f"{full}.weight", shape)
                self.weights[f"{full}.bias"] = self._floats(f"{full}.bias", shape[:1])

    def _matrix(self, name: str, shape: tuple[int, int]) -> FloatArray:
        return dequantize("Q8_0", self._file.tensor(name, "Q8_0", shape), shape)

    def _floats(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        return self._file.tensor(name, "F32", shape).view("<f4").reshape(shape)

    def hidden(self, rows: Sequence[Ids]) -> list[FloatArray]:
        """The last hidden states of each row of ids, float32 (t, d) each."""
        ends = np.cumsum([len(row) for row in rows])
        places = np.concatenate([np.arange(len(row)) for row in rows])
        x = self._norm(
            self.weights["token_embd.weight"][np.concatenate(rows)] + self.positions[places], "token_embd_norm"
        )
        for layer in range(self.layers):
            block = f"blk.{layer}"
            query, key, value = (self._linear(x, f"{block}.attn_{part}") for part in "qkv")
            bounds = zip([0, *ends[:-1]], ends, strict=True)
            seen = np.concatenate([self._attend(query[a:b], key[a:b], value[a:b]) for a, b in bounds])
            x = self._norm(x + self._linear(seen, f"{block}.attn_output"), f"{block}.attn_output_norm")
            inner = _gelu(self._linear(x, f"{block}.ffn_up"))
            x = self._norm(x + self._linear(inner, f"{block}.ffn_down"), f"{block}.layer_output_norm")
        return np.split(x, ends[:-1])

    def _linear(self, x: FloatArray, name: str) -> FloatArray:
        product: FloatArray = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return product

    def _norm(self, x: FloatArray, name: str) -> FloatArray:
        centred = x - x.mean(axis=1, keepdims=True)
        variance = np.square(centred).mean(axis=1, keepdims=True)
        scaled: FloatArray = centred / np.sqrt(variance + self.epsilon)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _attend(self, query: FloatArray, key: FloatArray, value: FloatArray) -> FloatArray:
        split = (len(query), self.heads, -1)
        scores = np.einsum("ihd,jhd->hij", query.reshape(split), key.reshape(split), optimize=True)
        scores *= np.float32(1 / math.sqrt(query.shape[1] // self.heads))
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        seen: FloatArray = np.einsum("hij,jhd->ihd", weights, value.reshape(split), optimize=True)
        return seen.reshape(query.shape)


def _norms(layers: int) -> Iterator[str]:
    for layer in range(layers):
        yield f"blk.{layer}.attn_output_norm"
        yield f"blk.{layer}.layer_output_norm"


def _gelu(x: FloatArray) -> FloatArray:
    """x Φ(x), with erf to 1.5e-7 by Abramowitz and Stegun, 7.1.26."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.copysign(1 - series * np.exp(-z * z), x)
    result: FloatArray = (0.5 * x * (1 + erf)).astype(np.float32)
    return result

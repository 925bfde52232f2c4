"""`minilm`: all-MiniLM-L6-v2 from the shipped GGUF file, one pass for sentence and token vectors.

A sentence vector is the mean of the last hidden states of [CLS], the word pieces and [SEP], at unit length, as the
model was trained; a longer text is the mean of its windows' sentence vectors, weighted by their tokens. Texts of unlike
length are encoded side by side without padding: the linear layers see one long row of tokens, attention one text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ruvllm_mcp.embed.base import Encoded, FloatArray, TokenVectors
from ruvllm_mcp.embed.windows import Window, windows_of
from ruvllm_mcp.embed.wordpiece import Ids, WordPiece
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.formats.quants import dequantize_q8_0

WEIGHTS = Path(__file__).parent / "weights" / "minilm-q8_0.gguf"
WINDOW, OVERLAP = 254, 64
"""Word pieces of a window beside [CLS] and [SEP] (the model was trained on 256 in all), and shared by neighbours."""
PASS_TOKENS = 2048
"""Tokens encoded side by side: enough to keep the matrix products busy, few enough to stay in the cache."""


class MiniLM:
    """The Embedder of a `bert` GGUF file made by weights/make_minilm.py. Raises ModelError where it is not one."""

    name = "minilm"
    has_tokens = True

    def __init__(self, path: Path = WEIGHTS) -> None:
        file = GgufFile(path)
        if file.value("general.architecture", str) != "bert":
            raise ModelError(f"{path} holds no `bert` encoder.", "Use a file made by make_minilm.py.")
        self.dim = int(file.value("bert.embedding_length", int))
        self.fingerprint = f"minilm/1:{file.value('ruvllm.digest', str)}"
        self._tokenizer = WordPiece(file.value("tokenizer.ggml.tokens", Strings))
        self._network = _Network(file, self._tokenizer.size)
        mean = file.value("ruvllm.token_mean", np.ndarray)
        if mean.shape != (self.dim,):
            raise ModelError(f"{path}: the token mean has shape {mean.shape}, wanted ({self.dim},).", "Make it anew.")
        self._mean = mean.astype(np.float32)

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode([text])[0])

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:
        ids = self._tokenizer.encode(texts)
        sums = np.zeros((len(texts), self.dim), np.float32)
        parts: list[list[tuple[Window, FloatArray]]] = [[] for _ in texts]
        for group in _passes(ids):
            rows = [self._framed(ids[text][window.start : window.end]) for text, window in group]
            for (text, window), hidden in zip(group, self._network.hidden(rows), strict=True):
                sums[text] += _unit(hidden.mean(axis=0)) * np.float32(window.end - window.start + 2)
                if tokens:
                    kept = hidden[1 + window.keep_from - window.start : 1 + window.keep_to - window.start]
                    parts[text].append((window, _unit(kept - self._mean)))
        if not tokens:
            return Encoded(_unit(sums), None)
        joined = [np.concatenate([part for _, part in sorted(found, key=lambda item: item[0])]) for found in parts]
        return Encoded(_unit(sums), tuple(TokenVectors(*pair) for pair in zip(ids, joined, strict=True)))

    def hidden_states(self, texts: Sequence[str]) -> list[FloatArray]:
        """The last hidden states of each text's first window, float32 (t, d): word pieces alone, not centred."""
        rows = [self._framed(ids[:WINDOW]) for ids in self._tokenizer.encode(texts)]
        return [hidden[1:-1] for hidden in self._network.hidden(rows)]

    def _framed(self, ids: Ids) -> Ids:
        return np.concatenate([[self._tokenizer.start], ids, [self._tokenizer.end]]).astype(np.int32)


def _passes(ids: Sequence[Ids]) -> Iterator[list[tuple[int, Window]]]:
    """The windows of all texts, in groups of about PASS_TOKENS tokens."""
    group: list[tuple[int, Window]] = []
    size = 0
    for text, found in enumerate(ids):
        for window in windows_of(len(found), WINDOW, OVERLAP):
            group.append((text, window))
            size += window.end - window.start + 2
            if size >= PASS_TOKENS:
                yield group
                group, size = [], 0
    if group:
        yield group


class _Network:
    """The encoder's layers in float32; weights are dequantised when made."""

    def __init__(self, file: GgufFile, pieces: int) -> None:
        self._file = file
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
        return dequantize_q8_0(self._file.tensor(name, "Q8_0", shape), shape)

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


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    unit: FloatArray = vectors / np.maximum(length, np.float32(1e-12))
    return unit

"""A `bert` encoder from a GGUF file, run by `csrc/encoder`: windows of ids to sentence and token vectors.

Matrices are repacked once, when the file is opened; the vocabulary's rows stay in the mapped file. Attention's scale
1 / sqrt(d) goes into the query weights.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.embed.wordpiece import Ids, WordPiece
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.native.lib import nogil, nogil_ffi

HEAD, BLOCK = 32, 32
"""Width of an attention head and of a quantised block: what the kernels are made for."""
NORMS = {"attention": "attn_output_norm", "output": "layer_output_norm"}


class Bert:
    """The encoder of `file`. Thread-safe. Raises ModelError where the file is no `bert` that the kernels can run."""

    def __init__(self, file: GgufFile) -> None:
        if file.value("general.architecture", str) != "bert":
            raise ModelError(f"{file.path} holds no `bert` encoder.", "Use a file made by make_minilm.py.")
        self._file = file
        self._kept: list[Any] = []
        self._scratch = threading.local()
        self.tokenizer = WordPiece(file.value("tokenizer.ggml.tokens", Strings))
        self.width = int(file.value("bert.embedding_length", int))
        self.inner = int(file.value("bert.feed_forward_length", int))
        self.positions = int(file.value("bert.context_length", int))
        layers = int(file.value("bert.block_count", int))
        if self.width != HEAD * file.value("bert.attention.head_count", int) or self.inner % BLOCK or not layers:
            raise ModelError(f"{file.path}: heads are not {HEAD} wide.", "Use a file made by make_minilm.py.")
        mean = file.value("ruvllm.token_mean", np.ndarray).astype(np.float32)
        if mean.shape != (self.width,):
            raise ModelError(f"{file.path}: the token mean has shape {mean.shape}.", f"It takes ({self.width},).")
        self._encoder = nogil_ffi.new("rv_encoder *", self._fields(layers, mean))

    def encode(self, windows: Sequence[Ids], *, tokens: bool, threads: int = 1) -> tuple[FloatArray, FloatArray | None]:
        """Unit sentence vectors, float32 (n, d), and, if asked for, unit token vectors of all windows, (t, d). At most
        `threads` are at work, the same bits come of any number.

        Each window is int32 (t,), at most `positions` - 2 ids of the vocabulary, without [CLS] and [SEP]. Raises
        ModelError for a longer one.
        """
        if any(len(ids) > self.positions - 2 for ids in windows):
            raise ModelError(f"{self._file.path} has {self.positions} positions only.", "Use another file.")
        ends = np.cumsum([len(ids) for ids in windows], dtype=np.int64)
        ids = np.concatenate(windows) if windows else np.empty(0, np.int32)
        sentences = np.empty((len(windows), self.width), np.float32)
        vectors = np.empty((len(ids), self.width), np.float32) if tokens else None
        nogil.rv_encoder_run(
            self._encoder,
            nogil_ffi.from_buffer("int32_t[]", ids),
            nogil_ffi.from_buffer("int64_t[]", ends),
            len(windows),
            threads,
            self._room(int(nogil.rv_encoder_scratch(self._encoder, len(windows), len(ids), threads))),
            nogil_ffi.from_buffer("float[]", sentences, require_writable=True),
            nogil_ffi.NULL if vectors is None else nogil_ffi.from_buffer("float[]", vectors, require_writable=True),
        )
        return sentences, vectors

    def _room(self, size: int) -> Any:
        """This thread's scratch memory, at least `size` bytes, 64-aligned."""
        buffer = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < size + 64:
            self._scratch.buffer = buffer = np.empty(size + 64, np.uint8)
        return nogil_ffi.from_buffer("uint8_t[]", buffer)[-buffer.ctypes.data % 64 : size + 64]

    def _fields(self, layers: int, mean: FloatArray) -> dict[str, Any]:
        d = self.width
        places = self._file.tensor("position_embd.weight", "F16", (self.positions, d)).view("<f2").reshape(-1, d)
        types = self._file.tensor("token_types.weight", "F32", (2, d)).view("<f4")[:d]
        return {
            "width": d,
            "inner": self.inner,
            "layers": layers,
            "vocabulary": self.tokenizer.size,
            "max_tokens": self.positions,
            "epsilon": self._file.value("bert.attention.layer_norm_epsilon", float),
            "start": self.tokenizer.start,
            "end": self.tokenizer.end,
            "pieces": self._pointer(self._file.tensor("token_embd.weight", "Q8_0", (self.tokenizer.size, d))),
            "positions": self._pointer(places.astype(np.float32) + types),
            "gain": self._floats("token_embd_norm.weight", d),
            "shift": self._floats("token_embd_norm.bias", d),
            "token_mean": self._pointer(mean),
            "layer": self._keep(nogil_ffi.new("rv_encoder_layer[]", [self._layer(f"blk.{i}") for i in range(layers)])),
        }

    def _layer(self, block: str) -> dict[str, Any]:
        d, inner = self.width, self.inner
        scale = 1 / math.sqrt(HEAD)
        query, key, value = (f"{block}.attn_{part}" for part in "qkv")
        parts = [(query, scale), (key, 1.0), (value, 1.0)]
        biases = [self._file.tensor(f"{name}.bias", "F32", (d,)).view("<f4") * np.float32(by) for name, by in parts]
        fields = {
            "qkv": self._pointer(np.concatenate([self._packed(name, (d, d), by) for name, by in parts])),
            "qkv_bias": self._pointer(np.concatenate(biases)),
        }
        for ours, theirs, shape in (("output", "attn_output", (d, d)), ("up", "ffn_up", (inner, d))):
            fields[ours] = self._pointer(self._packed(f"{block}.{theirs}", shape))
            fields[f"{ours}_bias"] = self._floats(f"{block}.{theirs}.bias", shape[0])
        fields["down"] = self._pointer(self._packed(f"{block}.ffn_down", (d, inner)))
        fields["down_bias"] = self._floats(f"{block}.ffn_down.bias", d)
        for ours, theirs in NORMS.items():
            fields[f"{ours}_gain"] = self._floats(f"{block}.{theirs}.weight", d)
            fields[f"{ours}_shift"] = self._floats(f"{block}.{theirs}.bias", d)
        return fields

    def _packed(self, name: str, shape: tuple[int, int], factor: float = 1.0) -> np.ndarray[Any, np.dtype[np.uint8]]:
        rows, cols = shape
        source = self._file.tensor(f"{name}.weight", "Q8_0", shape)
        packed = np.empty(rows * cols // BLOCK * (BLOCK + 4), np.uint8)
        target = nogil_ffi.from_buffer("uint8_t[]", packed, require_writable=True)
        nogil.rv_encoder_pack(nogil_ffi.from_buffer("uint8_t[]", source), rows, cols, factor, target)
        return packed

    def _floats(self, name: str, length: int) -> Any:
        return self._pointer(self._file.tensor(name, "F32", (length,)).view("<f4"))

    def _pointer(self, array: np.ndarray[Any, Any]) -> Any:
        kind = "uint8_t[]" if array.dtype == np.uint8 else "float[]"
        return self._keep(nogil_ffi.from_buffer(kind, np.ascontiguousarray(array)))

    def _keep(self, pointer: Any) -> Any:
        self._kept.append(pointer)
        return pointer

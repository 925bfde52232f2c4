"""A decoder in memory: token ids to logits, by `csrc/llm`.

Weights are read where the checkpoint's files are mapped; nothing is copied. A `Model` and its caches may be used from
several threads: calls run one after the other. Memory is given back when the last reference goes, caches first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import BackendError, InvalidInputError, ModelError
from ruvllm_mcp.formats.gguf import TENSOR_TYPES
from ruvllm_mcp.llm.architectures import LIMITS
from ruvllm_mcp.llm.files import Checkpoint, Weight, open_checkpoint
from ruvllm_mcp.native.lib import nogil, nogil_ffi

Ids = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32]
LAYER = {
    "attn_norm": "attn_norm.weight",
    "q": "attn_q.weight",
    "k": "attn_k.weight",
    "v": "attn_v.weight",
    "q_bias": "attn_q.bias",
    "k_bias": "attn_k.bias",
    "v_bias": "attn_v.bias",
    "q_norm": "attn_q_norm.weight",
    "k_norm": "attn_k_norm.weight",
    "attn_output": "attn_output.weight",
    "attn_output_bias": "attn_output.bias",
    "ffn_norm": "ffn_norm.weight",
    "gate": "ffn_gate.weight",
    "up": "ffn_up.weight",
    "down": "ffn_down.weight",
}
"""The kernels' names of a layer's tensors, and the files'."""


class CancelledError(BackendError):
    """A forward pass was cancelled; all caches are as they were."""


class Cache:
    """Keys and values of one sequence, for up to `capacity` positions."""

    def __init__(self, model: Model, capacity: int) -> None:
        if not 1 <= capacity <= model.architecture.context:
            raise InvalidInputError(
                f"A cache of {capacity} positions is not to be had.", f"It takes 1 to {model.architecture.context}."
            )
        self.capacity = capacity
        found = nogil.rv_llm_cache_new(model.handle, capacity)
        if found == nogil_ffi.NULL:
            raise BackendError(f"There is no memory for {capacity} positions.", "Ask for a smaller context.")
        self.handle = nogil_ffi.gc(found, partial(_freed, nogil.rv_llm_cache_free, model.handle))

    def __len__(self) -> int:
        return int(nogil.rv_llm_cache_length(self.handle))

    @property
    def bytes(self) -> int:
        """What the filled positions take."""
        return int(nogil.rv_llm_cache_bytes(self.handle, len(self)))

    def truncate(self, length: int) -> None:
        """Forgets all positions from `length` on."""
        nogil.rv_llm_cache_truncate(self.handle, max(length, 0))

    def copy_from(self, other: Cache, length: int) -> None:
        """Makes the first `length` positions those of `other`, a cache of the same model that has as many."""
        if nogil.rv_llm_cache_copy(other.handle, self.handle, length) != nogil.RV_LLM_OK:
            raise InvalidInputError(f"{length} positions cannot be copied between these caches.", "Compute them anew.")


class Part(NamedTuple):
    """The next tokens of one sequence, int32 (n,), n >= 1; logits are wanted for the last `logits` of them."""

    cache: Cache
    tokens: Ids
    logits: int = 1


class Model:
    """The decoder of a checkpoint. Raises ModelError where the kernels refuse it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.architecture = checkpoint.architecture
        kept: list[Any] = []
        config, weights = self._config(kept), self._weights(kept)
        reason = nogil_ffi.new("char[]", 256)
        found = nogil.rv_llm_new(config, weights, reason, len(reason))
        if found == nogil_ffi.NULL:
            why = nogil_ffi.string(reason).decode(errors="replace")
            raise ModelError(f"{checkpoint.path} cannot be run: {why}.", "Use another model.")
        self.handle = nogil_ffi.gc(found, partial(_freed, nogil.rv_llm_free, kept))

    def forward(self, parts: Sequence[Part], cancel: Any = None) -> Logits:
        """Appends each part's tokens to its cache and gives the logits wanted, float32 (sum of `logits`, vocabulary).

        No two parts share a cache. `cancel` is a `native` int flag that another thread may set. Raises
        InvalidInputError for tokens out of range, shared caches and full ones, CancelledError; the caches are then as
        they were.
        """
        wanted = sum(part.logits for part in parts)
        out = np.empty((wanted, self.architecture.vocabulary), np.float32)
        given = nogil_ffi.new("rv_llm_part[]", len(parts))
        kept = []
        for slot, part in zip(given, parts, strict=True):
            tokens = np.ascontiguousarray(part.tokens, np.int32)
            if tokens.ndim != 1 or not 0 <= part.logits <= tokens.size or not tokens.size:
                raise InvalidInputError(
                    f"{tokens.shape} tokens with logits for {part.logits} make no part.", "Give at least one token."
                )
            kept.append(nogil_ffi.from_buffer("int32_t[]", tokens))
            slot.cache, slot.tokens = part.cache.handle, kept[-1]
            slot.count, slot.logits = tokens.size, part.logits
        rows = nogil_ffi.from_buffer("float[]", out, require_writable=True) if wanted else nogil_ffi.NULL
        _raise_for(nogil.rv_llm_forward(self.handle, given, len(parts), rows, cancel or nogil_ffi.NULL))
        return out

    def _config(self, kept: list[Any]) -> Any:
        of = self.architecture
        factors = nogil_ffi.new("float[]", of.rope.factors) if of.rope.factors else nogil_ffi.NULL
        kept.append(factors)
        numbers = {name: getattr(of, name) for name in (*LIMITS, "window", "epsilon")}
        rope = {
            "rope_dims": of.rope.dims,
            "rope_half_split": of.rope.half_split,
            "cache_type": TENSOR_TYPES[self.checkpoint.cache_kind].number,
            "rope_base": of.rope.base,
            "rope_scale": 1.0,
            "rope_magnitude": of.rope.magnitude,
            "rope_factors": factors,
        }
        return nogil_ffi.new("rv_llm_config *", {**numbers, **rope})

    def _weights(self, kept: list[Any]) -> Any:
        weights = self.checkpoint.weights

        def tensor(name: str) -> dict[str, Any]:
            weight = weights.get(name)
            return _tensor(weight, kept) if weight else {"data": nogil_ffi.NULL}

        layers = [
            {ours: tensor(f"blk.{i}.{theirs}") for ours, theirs in LAYER.items()}
            for i in range(self.architecture.layers)
        ]
        blocks = nogil_ffi.new("rv_llm_layer[]", layers)
        kept.append(blocks)
        top = {"token_embedding": "token_embd.weight", "output_norm": "output_norm.weight", "output": "output.weight"}
        fields = {ours: tensor(theirs) for ours, theirs in top.items()}
        return nogil_ffi.new("rv_llm_weights *", {**fields, "layer": blocks})


def load_model(path: str | os.PathLike[str], context: int | None = None) -> Model:
    """The model in a GGUF file or a Hugging Face folder, for up to `context` positions (None: as many as it has).
    Raises ModelError."""
    return Model(open_checkpoint(path, context))


def _tensor(weight: Weight, kept: list[Any]) -> dict[str, Any]:
    kept.append(nogil_ffi.from_buffer("uint8_t[]", weight.data))
    rows = weight.shape[0] if len(weight.shape) > 1 else 1
    return {
        "data": kept[-1],
        "bytes": weight.data.size,
        "rows": rows,
        "cols": weight.shape[-1],
        "type": TENSOR_TYPES[weight.kind].number,
    }


def _freed(free: Any, _kept: Any, handle: Any) -> None:
    """What a handle's end calls: until then `_kept`, memory that the C side points to, stays."""
    free(handle)


def _raise_for(code: int) -> None:
    if code == nogil.RV_LLM_CANCELLED:
        raise CancelledError("The forward pass was cancelled.", "Ask again.")
    if code == nogil.RV_LLM_OUT_OF_MEMORY:
        raise BackendError("There is no memory for the forward pass.", "Give fewer tokens at a time, or free memory.")
    if code == nogil.RV_LLM_BAD_TOKEN:
        raise InvalidInputError("A token is not in the model's vocabulary.", "Use the model's own tokenizer.")
    if code == nogil.RV_LLM_CONTEXT_FULL:
        raise InvalidInputError("The tokens do not fit into what is left of the context.", "Give fewer tokens.")
    if code == nogil.RV_LLM_BAD_CACHE:
        raise InvalidInputError("A cache belongs to another model, or to two parts.", "Give each part its own cache.")

"""Model files: a GGUF file or a Hugging Face folder (`config.json` and SafeTensors) as one kind of thing.

A `Checkpoint` is an architecture and its weights under their GGUF names, fused ones split into views of their rows.
Weights stay in the mapped files. Every tensor that the architecture needs is there, of the shape it needs, and none is
left over: a tensor nobody asked for means that the file holds another model than it seems.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.files import Bytes, TensorFile
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.formats.safetensors import SafeTensorsFile
from ruvllm_mcp.llm.architectures import Architecture, from_config, from_gguf

READABLE = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_0", "Q4_K", "Q5_K", "Q6_K")
VECTORS = {"F32": 4, "F16": 2, "BF16": 2}
"""Types of matrices; those that norms and biases may have too, with the bytes of a number, by which it has to align."""
MAX_CONFIG, MAX_INDEX = 1_000_000, 64_000_000
ROPE_TENSORS = ("rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight")
HF_TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
HF_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@dataclass(frozen=True)
class Weight:
    """A tensor: `shape` row-major, `data` its bytes (uint8, one axis) as `kind` lays them out."""

    kind: str
    shape: tuple[int, ...]
    data: Bytes

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.data.size

    def rows(self, start: int, stop: int) -> Weight:
        """The rows from `start` up to `stop`, not copied."""
        size = len(self.data) // self.shape[0]
        return Weight(self.kind, (stop - start, *self.shape[1:]), self.data[start * size : stop * size])


@dataclass(frozen=True)
class Checkpoint:
    """A model as its files hold it. `source` is the open GGUF file, or the folder with `config.json` and the like;
    `weights` are by their GGUF names, without `output.weight` where it is the token embedding; `stored` are the same
    with fused ones whole, as in the file."""

    path: Path
    source: GgufFile | Path
    architecture: Architecture
    weights: Mapping[str, Weight]
    stored: Mapping[str, Weight]

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(int(np.prod(weight.shape, dtype=np.int64)) for weight in self.weights.values())

    @property
    def cache_kind(self) -> str:
        """The type that keys and values are kept in: F32 where they are made by F32 weights, else F16."""
        return "F32" if self.weights["blk.0.attn_k.weight"].kind == "F32" else "F16"

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one position."""
        of = self.architecture
        return 2 * (4 if self.cache_kind == "F32" else 2) * of.layers * of.kv_heads * of.head_dim

    @property
    def weight_bytes(self) -> int:
        """What the weights take, in the files and in memory."""
        return sum(weight.size for weight in self.weights.values())


def open_checkpoint(path: str | os.PathLike[str], context: int | None = None) -> Checkpoint:
    """The model in a GGUF file or a Hugging Face folder, for up to `context` positions (None: as many as it has).

    Opened in well under a second whatever the size. Raises ModelError where there is no model, or none that is whole,
    sound and of a kind that can be run.
    """
    place = Path(path)
    source: GgufFile | Path
    try:
        if place.is_dir():
            source, architecture, stored = place, *_folder(place, context)
        else:
            source = GgufFile(place)
            architecture = from_gguf(source, context)
            stored = {name: _weight(source, name) for name in source.tensors if name not in ROPE_TENSORS}
        weights = dict(_split(stored, architecture))
        _check(weights, architecture)
    except ModelError as error:
        told = error.message if str(place) in error.message else f"{place}: {error.message}"
        raise ModelError(told, error.hint) from None
    except OSError as error:
        raise ModelError(f"{place} cannot be read: {error.strerror}.", "Check the path.") from None
    return Checkpoint(place, source, architecture, weights, stored)


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """The JSON object in a file of at most `limit` bytes. Raises ModelError."""
    try:
        raw = b""
        if not path.exists() or path.is_file():  # opening a pipe would wait for its writer
            with path.open("rb") as file:
                raw = file.read(limit + 1)
        found = json.loads(raw) if len(raw) <= limit else None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the folder.") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"{path} is no JSON object of at most {limit:,} bytes.", "Fetch the folder again.")
    return found


def folder_template(folder: Path) -> str | None:
    """The chat template of a folder: a file of its own, or an entry of tokenizer_config.json, maybe one of several.
    None if there is none. Raises ModelError."""
    own, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        if own.is_file():
            with own.open(encoding="utf-8") as file:
                return file.read(MAX_CONFIG)
    except (OSError, UnicodeDecodeError):
        raise ModelError(f"{own} cannot be read.", "Fetch the folder again.") from None
    found = read_json(config, MAX_INDEX).get("chat_template") if config.exists() else None
    if isinstance(found, list):
        named = [entry.get("template") for entry in found if isinstance(entry, dict) and entry.get("name") == "default"]
        found = named[0] if named else None
    return found if isinstance(found, str) else None


def _folder(folder: Path, context: int | None) -> tuple[Architecture, dict[str, Weight]]:
    config = read_json(folder / "config.json", MAX_CONFIG)
    architecture = from_config(config, context)
    weights: dict[str, Weight] = {}
    for shard in _shards(folder):
        for name in shard.tensors:
            if name.endswith("rotary_emb.inv_freq"):  # old files hold what follows from config.json
                continue
            ours = _gguf_name(name)
            if ours in weights:
                raise ModelError(f"Tensor {name!r} is there twice.", "Fetch the folder again.")
            weights[ours] = _weight(shard, name)
    if config.get("tie_word_embeddings") is True:
        weights.pop("output.weight", None)
    return architecture, weights


def _shards(folder: Path) -> list[SafeTensorsFile]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        single = folder / "model.safetensors"
        if not single.exists():
            raise ModelError(
                f"{folder} has no model.safetensors.", "Fetch or save the model as SafeTensors, or as GGUF."
            )
        return [SafeTensorsFile(single)]
    placed = read_json(index, MAX_INDEX).get("weight_map")
    if not isinstance(placed, dict) or not all(isinstance(name, str) for name in placed.values()):
        raise ModelError(f"{index} does not say where the tensors are.", "Fetch the folder again.")
    names = sorted(set(placed.values()))
    if any(Path(name).name != name for name in names):
        raise ModelError(f"{index} names files outside the folder.", "Fetch the folder again.")
    shards = {name: SafeTensorsFile(folder / name) for name in names}
    for tensor, name in placed.items():
        if tensor not in shards[name].tensors:
            raise ModelError(f"Tensor {tensor!r} is not in {name}, where the index has it.", "Fetch the folder again.")
    return list(shards.values())


def _gguf_name(name: str) -> str:
    """The GGUF name of a Hugging Face tensor; its own name if it has none, which no architecture asks for."""
    if name in HF_TOP:
        return HF_TOP[name]
    parts = name.split(".")
    part = HF_LAYER.get(".".join(parts[3:-1]))
    return f"blk.{parts[2]}.{part}.{parts[-1]}" if part and name.startswith("model.layers.") else name


def _weight(file: TensorFile, name: str) -> Weight:
    tensor = file.tensors[name]
    if tensor.kind not in READABLE:
        raise ModelError(
            f"Tensor {name!r} is of type {tensor.kind}.",
            f"Use a file of {', '.join(READABLE)} (`ruvllm models quantize`).",
        )
    data = file.view(tensor)
    if tensor.offset % VECTORS.get(tensor.kind, 1):
        data = data.copy()
    return Weight(tensor.kind, tensor.shape, data)


def _split(weights: Mapping[str, Weight], of: Architecture) -> Iterator[tuple[str, Weight]]:
    """Fused tensors as the parts that their rows are: queries, keys and values; gate and up."""
    keys = of.kv_heads * of.head_dim
    queries = of.heads * of.head_dim
    for name, weight in weights.items():
        stem, _, end = name.rpartition(".")
        rows = weight.shape[0] if weight.shape else 0
        if stem.endswith(".attn_qkv") and rows == queries + 2 * keys:
            yield f"{stem[:-3]}q.{end}", weight.rows(0, queries)
            yield f"{stem[:-3]}k.{end}", weight.rows(queries, queries + keys)
            yield f"{stem[:-3]}v.{end}", weight.rows(queries + keys, rows)
        elif stem.endswith(".ffn_up") and rows == 2 * of.inner:
            yield f"{stem[:-2]}gate.{end}", weight.rows(0, of.inner)
            yield name, weight.rows(of.inner, rows)
        else:
            yield name, weight


def shapes(of: Architecture) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """Each tensor of the architecture, its shape, and whether it has to be there."""
    queries, keys = of.heads * of.head_dim, of.kv_heads * of.head_dim
    yield "token_embd.weight", (of.vocabulary, of.width), True
    yield "output_norm.weight", (of.width,), True
    yield "output.weight", (of.vocabulary, of.width), False
    for i in range(of.layers):
        layer = f"blk.{i}"
        yield f"{layer}.attn_norm.weight", (of.width,), True
        yield f"{layer}.ffn_norm.weight", (of.width,), True
        for part, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield f"{layer}.attn_{part}.weight", (rows, of.width), True
            yield f"{layer}.attn_{part}.bias", (rows,), of.name == "qwen2"
        for part in "qk":
            yield f"{layer}.attn_{part}_norm.weight", (of.head_dim,), of.name == "qwen3"
        yield f"{layer}.attn_output.weight", (of.width, queries), True
        yield f"{layer}.attn_output.bias", (of.width,), False
        yield f"{layer}.ffn_gate.weight", (of.inner, of.width), True
        yield f"{layer}.ffn_up.weight", (of.inner, of.width), True
        yield f"{layer}.ffn_down.weight", (of.width, of.inner), True


def _check(weights: Mapping[str, Weight], of: Architecture) -> None:
    known = set()
    for name, shape, needed in shapes(of):
        known.add(name)
        weight = weights.get(name)
        if weight is None:
            if needed:
                raise ModelError(f"Tensor {name!r} is missing.", "Fetch the model again.")
        elif weight.shape != shape:
            raise ModelError(f"Tensor {name!r} has shape {weight.shape}, wanted {shape}.", "Fetch the model again.")
        elif len(shape) == 1 and weight.kind not in VECTORS:
            raise ModelError(
                f"Tensor {name!r} is of type {weight.kind}.", f"Norms and biases take {', '.join(VECTORS)}."
            )
    unknown = sorted(weights.keys() - known)
    if unknown:
        raise ModelError(
            f"Tensor {unknown[0]!r} belongs to no {of.name} model.", "This kind of model is not supported."
        )

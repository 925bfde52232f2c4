"""Any model file to a GGUF file of fewer bits, which llama.cpp reads too.

Matrices become the type asked for, norms and biases F32. As in llama.cpp, the matrix that makes the logits is kept
finer than the rest, and Q4_K_M and Q5_K_M give half of the values and of the down projections 6 bits. Rows that are no
whole blocks of 256 or 32 fall back to a finer type. Queries and keys of a `llama` folder are permuted on the way, since
its GGUF files pair neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.formats.gguf import TENSOR_TYPES, GgufFile
from ruvllm_mcp.formats.gguf_write import write_gguf
from ruvllm_mcp.formats.quants import dequantize, quantize
from ruvllm_mcp.llm.architectures import Architecture, config_scaling
from ruvllm_mcp.llm.files import MAX_CONFIG, ROPE_TENSORS, VECTORS, Checkpoint, Weight, read_json
from ruvllm_mcp.llm.gguf_tokenizer import gguf_tokenizer
from ruvllm_mcp.llm.rope import scaled

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


class Recipe(NamedTuple):
    """Types of the matrices: most of them, those that matter more, the one that makes the logits. `file_type` is
    GGUF's number for the mix."""

    usual: str
    finer: str
    output: str
    file_type: int


RECIPES = {
    "f32": Recipe("F32", "F32", "F32", 0),
    "f16": Recipe("F16", "F16", "F16", 1),
    "bf16": Recipe("BF16", "BF16", "BF16", 32),
    "q8_0": Recipe("Q8_0", "Q8_0", "Q8_0", 7),
    "q4_0": Recipe("Q4_0", "Q4_0", "Q6_K", 2),
    "q5_k_m": Recipe("Q5_K", "Q6_K", "Q6_K", 17),
    "q4_k_m": Recipe("Q4_K", "Q6_K", "Q6_K", 15),
}
COARSER = {"Q6_K": "Q8_0", "Q5_K": "Q8_0", "Q4_K": "Q5_0", "Q8_0": "F16", "Q5_0": "F16", "Q4_0": "F16"}
"""What a matrix becomes whose rows are no whole blocks of its type."""


def convert(source: Checkpoint, destination: Path, recipe: str, progress: Progress | None = None) -> None:
    """Writes `source`, whose weights are F32, F16 or BF16, to the GGUF file `destination` by that recipe.

    `progress` hears how many of how many numbers are done. Raises InvalidInputError for an unknown recipe, ModelError
    where the source is quantised already or cannot be said in GGUF, or the file cannot be written.
    """
    if recipe not in RECIPES:
        raise InvalidInputError(f"There is no type {recipe!r}.", f"It takes one of {', '.join(RECIPES)}.")
    for name, weight in source.stored.items():
        if weight.kind not in VECTORS:
            raise ModelError(
                f"{source.path}: {name!r} is {weight.kind} already.", "Quantise from a file of F32, F16 or BF16."
            )
    total, done = source.parameters, 0

    def encoded(name: str, kind: str, weight: Weight) -> npt.NDArray[np.uint8]:
        nonlocal done
        values = _gguf_rows(name, dequantize(weight.kind, weight.data, weight.shape), source)
        data = quantize(kind, values)
        done += values.size
        if progress is not None:
            progress(done, total)
        return data

    extra, metadata = _described(source, RECIPES[recipe])
    tensors: dict[str, Any] = {name: ("F32", values.shape, values) for name, values in extra.items()}
    for name, weight in source.stored.items():
        kind = _kind(name, weight, source, RECIPES[recipe])
        tensors[name] = kind, weight.shape, partial(encoded, name, kind, weight)
    try:
        write_gguf(destination, metadata, tensors)
    except OSError as error:
        raise ModelError(f"{destination} cannot be written: {error.strerror}.", "Look at the folder.") from None


def _kind(name: str, weight: Weight, source: Checkpoint, recipe: Recipe) -> str:
    """The type that a tensor gets."""
    if len(weight.shape) == 1:
        return "F32"
    makes_logits = "output.weight" if "output.weight" in source.stored else "token_embd.weight"
    kind = recipe.output if name == makes_logits else recipe.usual
    part = name.split(".")[-2]
    if part in ("attn_v", "attn_qkv", "ffn_down") and _matters(int(name.split(".")[1]), source.architecture.layers):
        kind = recipe.finer
    while weight.shape[-1] % TENSOR_TYPES[kind].block:
        kind = COARSER[kind]
    return kind


def _matters(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _gguf_rows(name: str, values: Floats, source: Checkpoint) -> Floats:
    """Queries' and keys' rows as GGUF has them: where the source pairs a head's halves and the file is to pair
    neighbours, row i of the second half comes after row i of the first."""
    of = source.architecture
    part = name.split(".")[-2]
    if of.name != "llama" or not of.rope.half_split or part not in ("attn_q", "attn_k"):
        return values
    heads = of.heads if part == "attn_q" else of.kv_heads
    return values.reshape(heads, 2, of.head_dim // 2, -1).swapaxes(1, 2).reshape(values.shape)


def _described(source: Checkpoint, recipe: Recipe) -> tuple[Mapping[str, Floats], dict[str, Any]]:
    """The rotary tensors and the metadata of the file to be written."""
    own = {"general.quantization_version": np.uint32(2), "general.file_type": np.uint32(recipe.file_type)}
    if isinstance(source.source, GgufFile):
        file = source.source
        rope = {name: file.view(file.tensors[name]).view("<f4") for name in ROPE_TENSORS if name in file.tensors}
        return rope, {key: value for key, value in {**file.metadata, **own}.items() if key != "general.alignment"}
    rope, scaling = _rope(source)
    name, tokenizer = source.path.resolve().name, gguf_tokenizer(source.source, source.architecture.vocabulary)
    if (
        source.architecture.name == "phi3"
        and tokenizer["tokenizer.ggml.model"] == "llama"
        and "phi" not in name.lower()
    ):
        name = f"Phi-3 {name}"  # readers know by it that blanks after control tokens go
    return rope, {
        "general.architecture": source.architecture.name,
        "general.name": name,
        **own,
        **{f"{source.architecture.name}.{key}": value for key, value in _numbers(source.architecture, scaling).items()},
        **tokenizer,
    }


def _numbers(of: Architecture, scaling: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "context_length": np.uint32(of.most),
        "embedding_length": np.uint32(of.width),
        "block_count": np.uint32(of.layers),
        "feed_forward_length": np.uint32(of.inner),
        "attention.head_count": np.uint32(of.heads),
        "attention.head_count_kv": np.uint32(of.kv_heads),
        "attention.key_length": np.uint32(of.head_dim),
        "attention.value_length": np.uint32(of.head_dim),
        "attention.layer_norm_rms_epsilon": np.float32(of.epsilon),
        "rope.dimension_count": np.uint32(of.rope.dims),
        "rope.freq_base": np.float32(of.rope.base),
        "vocab_size": np.uint32(of.vocabulary),
        **{f"rope.scaling.{key}": value for key, value in scaling.items()},
    }
    return {**found, "attention.sliding_window": np.uint32(of.window)} if of.window else found


def _rope(source: Checkpoint) -> tuple[dict[str, Floats], dict[str, Any]]:
    """How the rotary positions of a folder are scaled: tensors, and values of `rope.scaling`."""
    of, scaling = source.architecture, config_scaling(read_json(source.path / "config.json", MAX_CONFIG))
    kind = scaling["rope_type"]
    if of.name == "llama" and of.rope.dims != of.head_dim:
        raise ModelError(f"{source.path}: GGUF cannot turn a part of a `llama` head.", "Use the folder as it is.")
    if kind == "default":
        return {}, {}
    if kind == "llama3":
        return {"rope_freqs.weight": np.array(of.rope.factors, np.float32)}, {}
    if kind == "linear":
        return {}, {"type": "linear", "factor": np.float32(scaling["factor"])}
    original = {"original_context_length": np.uint32(scaling["original_max_position_embeddings"])}
    if kind == "longrope":
        at = {"short": 1, "long": of.most}
        lists = {length: scaled(of.rope, scaling, context, of.most).factors for length, context in at.items()}
        tensors = {f"rope_factors_{length}.weight": np.array(values, np.float32) for length, values in lists.items()}
        return tensors, {**original, "attn_factor": np.float32(of.rope.magnitude)}
    plain = {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "beta_fast", "beta_slow"}
    if any(value is not None for key, value in scaling.items() if key not in plain):
        raise ModelError(f"{source.path}: GGUF cannot say this YaRN scaling.", "Use the folder as it is.")
    factor = scaling.get("factor") or of.most / scaling["original_max_position_embeddings"]
    betas = {f"yarn_{key}": np.float32(scaling[key]) for key in ("beta_fast", "beta_slow") if scaling.get(key)}
    return {}, {"type": "yarn", "factor": np.float32(factor), **original, **betas}

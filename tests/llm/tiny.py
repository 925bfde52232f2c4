"""Random models of a few thousand parameters, as files: every architecture, in GGUF and as a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.formats import safetensors
from ruvllm_mcp.formats.gguf_write import write_gguf

WIDTH, HEADS, KV_HEADS, INNER, VOCABULARY, LAYERS, CONTEXT = 64, 4, 2, 96, 48, 2, 128
HEAD = WIDTH // HEADS
CONFIG: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "intermediate_size": INNER,
    "vocab_size": VOCABULARY,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
}
HYPERPARAMETERS: dict[str, Any] = {
    "embedding_length": np.uint32(WIDTH),
    "attention.head_count": np.uint32(HEADS),
    "attention.head_count_kv": np.uint32(KV_HEADS),
    "feed_forward_length": np.uint32(INNER),
    "block_count": np.uint32(LAYERS),
    "context_length": np.uint32(CONTEXT),
    "attention.layer_norm_rms_epsilon": np.float32(1e-5),
    "rope.freq_base": np.float32(10000),
    "rope.dimension_count": np.uint32(HEAD),
}
KEYS = KV_HEADS * HEAD


def gguf_shapes(name: str, vocabulary: int = VOCABULARY) -> dict[str, tuple[int, ...]]:
    """The tensors of a GGUF file of that architecture."""
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        layer: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (WIDTH,),
            "ffn_norm.weight": (WIDTH,),
            "attn_output.weight": (WIDTH, WIDTH),
            "ffn_down.weight": (WIDTH, INNER),
        }
        if name == "phi3":
            layer |= {"attn_qkv.weight": (WIDTH + 2 * KEYS, WIDTH), "ffn_up.weight": (2 * INNER, WIDTH)}
        else:
            layer |= {"attn_q.weight": (WIDTH, WIDTH), "attn_k.weight": (KEYS, WIDTH), "attn_v.weight": (KEYS, WIDTH)}
            layer |= {"ffn_gate.weight": (INNER, WIDTH), "ffn_up.weight": (INNER, WIDTH)}
        if name == "qwen2":
            layer |= {"attn_q.bias": (WIDTH,), "attn_k.bias": (KEYS,), "attn_v.bias": (KEYS,)}
        if name == "qwen3":
            layer |= {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
        shapes |= {f"blk.{i}.{part}": shape for part, shape in layer.items()}
    return shapes


HF_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hf_name(name: str, *, fused: bool) -> str:
    """What Hugging Face calls a tensor of GGUF."""
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, end = name.split(".")
    own = "mlp.gate_up_proj" if fused and part == "ffn_up" else HF_LAYER[part]
    return f"model.layers.{layer}.{own}.{end}"


def values(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    chance = np.random.default_rng(seed)
    return {
        name: (chance.standard_normal(shape) / 4 + (1 if "norm" in name else 0)).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_gguf_model(path: Path, name: str = "llama", *, drop: str = "", more: Any = None, **changes: Any) -> Path:
    """A GGUF file of F32 weights; `changes` are hyperparameters (dots as `__`), `more` further tensors."""
    parameters = {**HYPERPARAMETERS, **{key.replace("__", "."): value for key, value in changes.items()}}
    metadata = {"general.architecture": name, **{f"{name}.{key}": value for key, value in parameters.items()}}
    arrays = {**values(gguf_shapes(name)), **(more or {})}
    arrays.pop(drop, None)
    write_gguf(path, metadata, {key: ("F32", array.shape, array) for key, array in arrays.items()})
    return path


def write_folder(folder: Path, kind: str = "llama", *, drop: str = "", more: Any = None, **changes: Any) -> Path:
    """A Hugging Face folder of F32 weights; `changes` go into config.json (None takes a key away)."""
    folder.mkdir(exist_ok=True)
    config = {"model_type": kind, **CONFIG, **changes}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    arrays = values(gguf_shapes("llama" if kind == "mistral" else kind, config["vocab_size"]))
    named = {hf_name(name, fused=kind == "phi3"): array for name, array in arrays.items()} | (more or {})
    named.pop(drop, None)
    safetensors.save(folder / "model.safetensors", named)
    return folder

"""The architectures that are run, read from a GGUF file's metadata or from a `config.json`.

All are Llama's decoder with small differences, which are given as numbers, so that nothing further down asks for a
name: Llama, Mistral, Qwen2, Qwen3, Phi-3. GGUF files of `llama` have the rows of queries and keys permuted so that
rotary pairs are neighbours; all others pair a head's halves. What is not understood is refused, never passed over:
a model that is run a little wrong still writes fluent text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.llm.rope import Rope, scaled

GGUF_NAMES = ("llama", "qwen2", "qwen3", "phi3")
HF_NAMES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "phi3": "phi3"}
"""`model_type` of config.json, and the name that the same architecture has in GGUF."""
LIMITS = {
    "layers": 1024,
    "width": 1 << 17,
    "heads": 1024,
    "kv_heads": 1024,
    "head_dim": 1024,
    "inner": 1 << 20,
    "vocabulary": 1 << 22,
    "context": 1 << 24,
}


@dataclass(frozen=True)
class Architecture:
    """The numbers of a decoder. `window` is how many positions a token sees, its own included; 0: all. `context` is the
    greatest number of positions that it is run for, `most` that it was made for. Raises ModelError for numbers that no
    model has."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocabulary: int
    context: int
    most: int
    window: int
    epsilon: float
    rope: Rope

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            if not 1 <= getattr(self, name) <= most:
                raise _wrong(name, getattr(self, name), f"1 to {most}")
        if self.heads % self.kv_heads:
            raise _wrong("kv_heads", self.kv_heads, f"a divisor of {self.heads}")
        if not 0 <= self.window <= LIMITS["context"]:
            raise _wrong("window", self.window, "a number of positions")
        if not 0 <= self.epsilon < 1:
            raise _wrong("epsilon", self.epsilon, "0 to 1")
        if not 1 < self.rope.base < 1e12 or self.rope.dims % 2 or not 2 <= self.rope.dims <= self.head_dim:
            raise _wrong("rope", self.rope, "an even number of a head's dimensions and a base above 1")


def from_gguf(file: GgufFile, context: int | None = None) -> Architecture:
    """The architecture of a GGUF file, for up to `context` positions. Raises ModelError for one that cannot be run."""
    name = file.value("general.architecture", str)
    if name not in GGUF_NAMES:
        raise ModelError(f"Architecture {name!r} is not supported.", f"Supported are {', '.join(GGUF_NAMES)}.")
    if file.metadata.get("split.count", 1) != 1:
        raise ModelError("This is one part of a GGUF file that was split.", "Join the parts with `gguf-split --merge`.")

    def number(key: str, kind: type, default: Any = None) -> Any:
        full = f"{name}.{key}"
        return default if default is not None and full not in file.metadata else file.value(full, kind)

    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelError("Tensor 'token_embd.weight' is missing.", "Use another file.")
    width, heads = number("embedding_length", int), number("attention.head_count", int)
    head_dim = number("attention.key_length", int, width // max(heads, 1))
    if number("attention.value_length", int, head_dim) != head_dim:
        raise ModelError("Keys and values of unlike length are not supported.", "Use another model.")
    most = number("context_length", int)
    rope = Rope(
        base=number("rope.freq_base", float, 10000.0),
        dims=number("rope.dimension_count", int, head_dim),
        half_split=name != "llama",
    )
    return _built(
        name,
        {
            "layers": number("block_count", int),
            "width": width,
            "heads": heads,
            "kv_heads": number("attention.head_count_kv", int, heads),
            "head_dim": head_dim,
            "inner": number("feed_forward_length", int),
            "vocabulary": embedding.shape[0],
            "window": number("attention.sliding_window", int, 0),
            "epsilon": number("attention.layer_norm_rms_epsilon", float),
        },
        rope,
        _gguf_scaling(file, name, rope, most),
        most,
        context,
    )


def from_config(config: Mapping[str, Any], context: int | None = None) -> Architecture:
    """The architecture of a `config.json`, written by transformers 4 or 5. Raises ModelError as `from_gguf` does."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in HF_NAMES:
        raise ModelError(f"Model type {kind!r} is not supported.", f"Supported are {', '.join(HF_NAMES)}.")
    if config.get("quantization_config") is not None:
        raise ModelError("The weights are quantised in a way of their own.", "Use the folder of the unquantised model.")
    if config.get("hidden_act", "silu") != "silu":
        raise ModelError(f"Activation {config['hidden_act']!r} is not supported.", "Use another model.")

    def whole(key: str, default: int | None = None) -> int:
        value = config.get(key)
        value = default if value is None else value
        if type(value) is not int:
            raise ModelError(f"{key!r} is {value!r} in config.json, wanted a whole number.", "Use another folder.")
        return value

    width, heads = whole("hidden_size"), whole("num_attention_heads")
    head_dim = whole("head_dim", width // max(heads, 1))
    most = whole("max_position_embeddings", 2048)
    scaling = config_scaling(config)
    share = _number(scaling.get("partial_rotary_factor", config.get("partial_rotary_factor")), 1.0)
    return _built(
        HF_NAMES[kind],
        {
            "layers": whole("num_hidden_layers"),
            "width": width,
            "heads": heads,
            "kv_heads": whole("num_key_value_heads", heads),
            "head_dim": head_dim,
            "inner": whole("intermediate_size"),
            "vocabulary": whole("vocab_size"),
            "window": _window(config),
            "epsilon": _number(config.get("rms_norm_eps"), 1e-5 if kind == "phi3" else 1e-6),
        },
        Rope(_number(scaling.get("rope_theta", config.get("rope_theta")), 1e4), int(head_dim * share), True),
        scaling,
        most,
        context,
    )


def config_scaling(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary positions of a `config.json` as `rope.scaled` takes them, written by transformers 4 or 5."""
    scaling: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        found = config.get(key) or {}
        if not isinstance(found, dict):
            raise _wrong(key, found, "a table")
        scaling |= found
    most = config.get("max_position_embeddings")
    scaling.setdefault("original_max_position_embeddings", config.get("original_max_position_embeddings") or most)
    scaling["rope_type"] = scaling.get("rope_type") or scaling.get("type") or "default"
    if config["model_type"] == "phi3" and scaling["rope_type"] in ("su", "yarn"):
        scaling["rope_type"] = "longrope"  # what early files of Phi-3 call it
    return scaling


def _built(
    name: str, numbers: Mapping[str, Any], rope: Rope, scaling: Mapping[str, Any], most: int, context: int | None
) -> Architecture:
    """All numbers checked, then the rotary positions scaled for as many positions as are asked for: LongRoPE takes its
    short factors, and the positions these are for, unless more are asked for."""
    is_long = scaling.get("rope_type") == "longrope"
    usual = min(most, int(_number(scaling.get("original_max_position_embeddings"), most))) if is_long else most
    wanted = usual if context is None else context
    if not 1 <= wanted <= most:
        raise ModelError(f"A context of {wanted} is not to be had.", f"The model has 1 to {most} positions.")
    plain = Architecture(name=name, context=wanted, most=most, rope=rope, **numbers)
    return Architecture(name=name, context=wanted, most=most, rope=scaled(plain.rope, scaling, wanted, most), **numbers)


def _window(config: Mapping[str, Any]) -> int:
    """The sliding window that all layers have, 0 for none. Raises ModelError where layers differ."""
    kind = config["model_type"]
    window = config.get("sliding_window", 4096 if kind == "mistral" else None)
    chosen_by_layer = kind in ("qwen2", "qwen3")
    if kind == "llama" or window is None or (chosen_by_layer and config.get("use_sliding_window") is not True):
        return 0
    if type(window) is not int or window < 1:
        raise _wrong("sliding_window", window, "a number of positions")
    if not chosen_by_layer:
        return window
    first, types = config.get("max_window_layers", 28), config.get("layer_types")
    if types is None and type(first) is int and not 0 < first < config["num_hidden_layers"]:
        return window if first <= 0 else 0
    if not isinstance(types, list) or not types or types != types[:1] * len(types):
        raise ModelError("A sliding window in some layers only is not supported.", "Use another model.")
    return window if types[0] == "sliding_attention" else 0


def _gguf_scaling(file: GgufFile, name: str, rope: Rope, most: int) -> dict[str, Any]:
    """A GGUF file's rotary scaling in the words of config.json. Llama 3's factors lie in a tensor, ready made."""
    prefix = f"{name}.rope.scaling."
    found = {key.removeprefix(prefix): value for key, value in file.metadata.items() if key.startswith(prefix)}
    scaling: dict[str, Any] = {"original_max_position_embeddings": found.get("original_context_length", most)}

    def factors(kind: str) -> Any:
        return file.tensor(f"rope_{kind}.weight", "F32", (rope.dims // 2,)).view("<f4")

    if "rope_freqs.weight" in file.tensors:
        return {**scaling, "rope_type": "given", "factors": factors("freqs")}
    if "rope_factors_short.weight" in file.tensors:
        lists = {f"{length}_factor": factors(f"factors_{length}") for length in ("short", "long")}
        return {**scaling, **lists, "rope_type": "longrope", "attention_factor": found.get("attn_factor", 1.0)}
    if found.get("type", "none") == "none":
        return scaling
    if found.get("attn_factor", 1.0) != 1.0:
        raise ModelError("A rotary scaling with an attention factor of its own is not supported.", "Use another model.")
    betas = {f"beta_{speed}": found.get(f"yarn_beta_{speed}") for speed in ("fast", "slow")}
    return {**scaling, **betas, "rope_type": found["type"], "factor": found.get("factor")}


def _number(value: Any, default: float) -> float:
    """A positive number of config.json, `default` where it has none."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
        raise ModelError(f"{value!r} stands in config.json for a number above 0.", "Use another folder.")
    return float(value)


def _wrong(name: str, value: Any, wanted: str) -> ModelError:
    return ModelError(f"The model's {name} is {value!r}, wanted {wanted}.", "Use another model.")

"""Decoders beside `transformers` on PyTorch and beside llama.cpp: random small models of every architecture.

Pairing the wrong rotary halves would be off by 0.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
import torch
import transformers

from ruvllm_mcp.formats.quants import dequantize
from ruvllm_mcp.llm.convert import convert
from ruvllm_mcp.llm.files import open_checkpoint
from ruvllm_mcp.llm.model import Cache, Model, Part, load_model
from ruvllm_mcp.native import lib
from tests.llm.vocabularies import byte_level

LAYERS, VOCABULARY, LENGTH = 2, 320, 48
BASE: dict[str, Any] = {
    "hidden_size": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 512,
    "vocab_size": VOCABULARY,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": 256,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1 + i / 30 for i in range(16)],
    "long_factor": [1 + i / 2 for i in range(16)],
}
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, {}),
    "llama with biases": (transformers.LlamaConfig, {"attention_bias": True, "tie_word_embeddings": True}),
    "llama 3": (transformers.LlamaConfig, {"rope_parameters": LLAMA3}),
    "llama linear": (
        transformers.LlamaConfig,
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    ),
    "mistral": (transformers.MistralConfig, {"sliding_window": 9, "head_dim": 64}),
    "qwen2": (transformers.Qwen2Config, {"tie_word_embeddings": True}),
    "qwen2 yarn": (transformers.Qwen2Config, {"rope_parameters": YARN}),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 64}),
    "phi3": (
        transformers.Phi3Config,
        {"sliding_window": 20, "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.75}},
    ),
    "phi3 long": (transformers.Phi3Config, {"rope_parameters": LONG, "original_max_position_embeddings": 32}),
}
IDS = np.random.default_rng(3).integers(0, VOCABULARY, LENGTH).astype(np.int32)


@dataclass(frozen=True)
class Case:
    """A model of `transformers`, in memory and as a folder, and its logits after each of `IDS`."""

    name: str
    model: Any
    folder: Path
    logits: np.ndarray


def logits_of(model: Any) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = model(torch.tensor(IDS[None].astype(np.int64))).logits[0].numpy()
    return found


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    kind, changes = CASES[request.param]
    torch.manual_seed(0)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    model = transformers.AutoModelForCausalLM.from_config(kind(**BASE, **special, **changes)).float().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.01 * torch.randn_like(weights)  # as they come, attention hardly tells one token from another
    folder = tmp_path_factory.mktemp("parity") / "model"
    model.save_pretrained(folder)
    byte_level("qwen2", 300).judge.save(str(folder / "tokenizer.json"))
    return Case(request.param, model, folder, logits_of(model))


@pytest.fixture(params=lib.available())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    before, threads = lib.in_use(), lib.nogil.rv_llm_threads()
    lib.nogil.rv_llm_set_threads(1)
    yield lib.use(request.param)
    lib.nogil.rv_llm_set_threads(threads)
    lib.use(before)


def both_ways(model: Model) -> Iterator[np.ndarray]:
    """Our logits: all tokens at once, and one by one."""
    yield model.forward([Part(Cache(model, LENGTH), IDS, LENGTH)])
    cache = Cache(model, LENGTH)
    yield np.concatenate([model.forward([Part(cache, IDS[i : i + 1])]) for i in range(LENGTH)])


def written(case: Case, tmp_path: Path, recipe: str) -> Path:
    convert(open_checkpoint(case.folder), tmp_path / "model.gguf", recipe)
    return tmp_path / "model.gguf"


def test_float32_logits_are_those_of_transformers(case: Case, instruction_set: str, tmp_path: Path) -> None:
    assert lib.in_use() == instruction_set
    for path in (case.folder, written(case, tmp_path, "f32")):
        for found in both_ways(load_model(path, 256)):
            assert np.abs(found - case.logits).max() < 1e-4


def test_half_precision_logits_are_near(case: Case, instruction_set: str, tmp_path: Path) -> None:
    assert lib.in_use() == instruction_set
    for found in both_ways(load_model(written(case, tmp_path, "f16"), 256)):
        assert np.abs(found - case.logits).max() < 3e-2


@pytest.mark.parametrize("recipe", ["bf16", "q8_0", "q4_0", "q4_k_m", "q5_k_m"])
def test_quantised_logits_are_those_of_the_dequantised_weights(
    case: Case, instruction_set: str, tmp_path: Path, recipe: str
) -> None:
    assert lib.in_use() == instruction_set
    path = written(case, tmp_path, recipe)
    judge = logits_of(transformers.AutoModelForCausalLM.from_pretrained(dequantised(case, path, tmp_path / "judge")))
    for found in both_ways(load_model(path, 256)):
        assert cosines(found, judge).min() >= 0.995


@pytest.mark.parametrize("recipe", ["f32", "q8_0", "q4_0", "q4_k_m", "q5_k_m"])
def test_llama_cpp_reads_our_files(case: Case, tmp_path: Path, recipe: str) -> None:
    if case.name == "mistral":
        pytest.skip("llama.cpp runs Mistral without its window")
    length = 20 if case.name == "phi3" else LENGTH  # what it has of Phi-3's window is off, too
    path = written(case, tmp_path, recipe)
    theirs = llama_cpp.Llama(str(path), n_ctx=64, logits_all=True, verbose=False, n_threads=2)
    theirs.eval(IDS[:length].tolist())
    model = load_model(path, 64)  # as many as llama.cpp was told, which LongRoPE goes by
    ours = model.forward([Part(Cache(model, length), IDS[:length], length)])
    assert cosines(ours, np.array(theirs.scores[:length])).min() > (0.99999 if recipe == "f32" else 0.995)


@pytest.mark.parametrize("recipe", ["f32", "f16"])
def test_greedy_tokens_are_those_of_llama_cpp(case: Case, tmp_path: Path, recipe: str) -> None:
    if case.name in ("mistral", "phi3"):
        pytest.skip("llama.cpp has no window for Mistral, and one for Phi-3 that is off")
    path, room, clear = written(case, tmp_path, recipe), 128, 0
    theirs = llama_cpp.Llama(str(path), n_ctx=room, logits_all=True, verbose=False, n_threads=2)
    model = load_model(path, room)
    cache, tokens = Cache(model, room), IDS[:8]
    for _ in range(64):
        ours = model.forward([Part(cache, tokens)])[0]
        theirs.eval(tokens.tolist())
        second, first = np.partition(ours, -2)[-2:]
        if first - second > 0.01:
            clear += 1
            assert theirs.scores[theirs.n_tokens - 1].argmax() == ours.argmax()
        tokens = ours.argmax(keepdims=True).astype(np.int32)
    assert clear > 32


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Between the rows of two matrices."""
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    found: np.ndarray = (ours.astype(np.float64) * theirs).sum(axis=1) / lengths
    return found


def dequantised(case: Case, path: Path, folder: Path) -> Path:
    """The model with its weights as they are in the GGUF file, as a folder for transformers."""
    state = {name: weights.numpy() for name, weights in case.model.state_dict().items()}
    stored = open_checkpoint(path).stored
    exact = open_checkpoint(case.folder).stored
    of = open_checkpoint(path).architecture
    by_bytes = {weight.data.tobytes(): name for name, weight in exact.items()}
    for name, weights in state.items():
        ours = by_bytes[np.ascontiguousarray(weights).tobytes()]
        values = dequantize(stored[ours].kind, stored[ours].data, stored[ours].shape)
        if of.name == "llama" and ours.split(".")[-2] in ("attn_q", "attn_k"):
            values = values.reshape(-1, of.head_dim // 2, 2, values.size // len(values)).swapaxes(1, 2)
        state[name] = torch.tensor(values.reshape(weights.shape).copy())
    case.model.save_pretrained(folder, state_dict=state)
    return folder

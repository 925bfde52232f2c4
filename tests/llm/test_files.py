"""Model files of every architecture: what is read from them, and that nothing wrong in them gets past."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import ModelError, RuvLLMError
from ruvllm_mcp.formats import safetensors
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.llm.files import folder_template, open_checkpoint
from ruvllm_mcp.llm.model import Cache, Part, load_model
from tests.llm.tiny import CONTEXT, HEAD, INNER, KEYS, LAYERS, VOCABULARY, WIDTH, write_folder, write_gguf_model

KINDS = ("llama", "mistral", "qwen2", "qwen3", "phi3")


def floats(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return data.view("<f4")


@pytest.mark.parametrize("kind", KINDS)
def test_gguf_and_folder_of_one_model_are_the_same_but_for_rotary_pairs(tmp_path: Path, kind: str) -> None:
    name = "llama" if kind == "mistral" else kind
    gguf = open_checkpoint(write_gguf_model(tmp_path / "m.gguf", name))
    folder = open_checkpoint(write_folder(tmp_path / "m", kind, sliding_window=32))
    assert gguf.weights.keys() == folder.weights.keys()
    for key, weight in gguf.weights.items():
        assert weight.shape == folder.weights[key].shape
        assert np.array_equal(weight.data, folder.weights[key].data)
    ours = folder.architecture
    assert (ours.width, ours.layers, ours.inner, ours.vocabulary) == (WIDTH, LAYERS, INNER, VOCABULARY)
    assert (ours.heads * ours.head_dim, ours.kv_heads * ours.head_dim, ours.context) == (WIDTH, KEYS, CONTEXT)
    assert ours.epsilon == pytest.approx(gguf.architecture.epsilon)
    assert ours.window == (32 if kind in ("mistral", "phi3") else 0)
    assert ours.rope.half_split
    assert gguf.architecture.rope.half_split == (name != "llama")


def test_fused_rows_are_split_in_order(tmp_path: Path) -> None:
    found = open_checkpoint(write_gguf_model(tmp_path / "m.gguf", "phi3"))
    assert isinstance(found.source, GgufFile)
    fused = floats(found.source.view(found.source.tensors["blk.0.attn_qkv.weight"])).reshape(-1, WIDTH)
    up = floats(found.source.view(found.source.tensors["blk.0.ffn_up.weight"])).reshape(-1, WIDTH)
    parts = {"attn_q": fused[:WIDTH], "attn_k": fused[WIDTH : WIDTH + KEYS], "attn_v": fused[WIDTH + KEYS :]}
    parts |= {"ffn_gate": up[:INNER], "ffn_up": up[INNER:]}
    for part, rows in parts.items():
        weight = found.weights[f"blk.0.{part}.weight"]
        assert weight.shape == rows.shape
        assert np.array_equal(floats(weight.data), rows.ravel())


def test_parameters_and_bytes_are_counted_once(tmp_path: Path) -> None:
    found = open_checkpoint(write_gguf_model(tmp_path / "m.gguf"))
    layer = 2 * WIDTH * WIDTH + 2 * KEYS * WIDTH + 3 * INNER * WIDTH + 2 * WIDTH
    assert found.parameters == VOCABULARY * WIDTH + LAYERS * layer + WIDTH
    assert found.weight_bytes == 4 * found.parameters
    assert found.kv_bytes_per_token == 4 * 2 * LAYERS * KEYS


def test_a_sharded_folder_is_read_by_its_index(tmp_path: Path) -> None:
    whole = open_checkpoint(write_folder(tmp_path / "whole"))
    folder = write_folder(tmp_path / "sharded")
    tensors, _ = safetensors.load(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    placed = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(tensors)}
    for shard in set(placed.values()):
        safetensors.save(folder / shard, {name: tensors[name] for name in tensors if placed[name] == shard})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": placed}))
    found = open_checkpoint(folder)
    for name, weight in whole.weights.items():
        assert np.array_equal(weight.data, found.weights[name].data)
    for wrong, message in (
        ({**placed, "model.norm.weight": "../model-0.safetensors"}, "outside"),
        ({**placed, "more": "model-0.safetensors"}, "index"),
        (dict.fromkeys(placed, "model-0.safetensors"), "index"),
        (dict.fromkeys(placed, "none.safetensors"), "cannot be read"),
        (["x"], "does not say"),
    ):
        index.write_text(json.dumps({"weight_map": wrong}))
        with pytest.raises(ModelError, match=message):
            open_checkpoint(folder)


def test_an_output_matrix_is_taken_unless_it_is_tied(tmp_path: Path) -> None:
    output = {"lm_head.weight": np.ones((VOCABULARY, WIDTH), np.float32)}
    assert "output.weight" in open_checkpoint(write_folder(tmp_path / "a", more=output)).weights
    tied = write_folder(tmp_path / "b", more=output, tie_word_embeddings=True)
    assert "output.weight" not in open_checkpoint(tied).weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop": "blk.1.attn_k.weight"}, "'blk.1.attn_k.weight' is missing"),
        ({"drop": "token_embd.weight"}, "'token_embd.weight' is missing"),
        ({"more": {"blk.0.ffn_gate_inp.weight": np.zeros((2, WIDTH), np.float32)}}, "belongs to no llama"),
        ({"more": {"blk.2.attn_norm.weight": np.zeros(WIDTH, np.float32)}}, "belongs to no llama"),
        ({"more": {"output_norm.weight": np.zeros(WIDTH + 1, np.float32)}}, "has shape"),
        ({"attention__head_count": np.uint32(0)}, "heads is 0"),
        ({"attention__head_count": np.uint32(5)}, "kv_heads is 2"),
        ({"attention__head_count_kv": np.array([2, 2], np.uint32)}, "wanted int"),
        ({"block_count": np.uint32(2**31)}, "layers is"),
        ({"embedding_length": np.uint64(2**63)}, "width is"),
        ({"context_length": np.uint32(0)}, "context"),
        ({"rope__dimension_count": np.uint32(HEAD + 2)}, "rope is"),
        ({"rope__dimension_count": np.uint32(7)}, "rope is"),
        ({"rope__freq_base": np.float32(np.nan)}, "rope is"),
        ({"attention__layer_norm_rms_epsilon": np.float32(np.nan)}, "epsilon is"),
        ({"attention__value_length": np.uint32(8)}, "unlike length"),
        ({"rope__scaling__type": "other"}, "'other' is not supported"),
        ({"rope__scaling__type": "linear"}, "'factor' is None"),
        ({"rope__scaling__type": "yarn", "rope__scaling__factor": np.float32(-1)}, "'factor' is -1"),
        ({"more": {"rope_freqs.weight": np.ones(HEAD, np.float32)}}, "rope_freqs"),
        ({"more": {"rope_freqs.weight": np.zeros(HEAD // 2, np.float32)}}, "rotary scaling"),
    ],
)
def test_a_gguf_file_that_is_not_what_it_says_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_checkpoint(write_gguf_model(tmp_path / "m.gguf", **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "'gpt2' is not supported"),
        ({"model_type": ["llama"]}, "not supported"),
        ({"hidden_act": "gelu"}, "'gelu' is not supported"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"hidden_size": "64"}, "'hidden_size' is '64'"),
        ({"hidden_size": True}, "'hidden_size' is True"),
        ({"hidden_size": None}, "'hidden_size' is None"),
        ({"num_key_value_heads": 4}, "has shape"),
        ({"num_hidden_layers": 10**30}, "layers is"),
        ({"rope_parameters": [1]}, "wanted a table"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "'dynamic' is not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": float("inf")}}, "'factor' is inf"),
        ({"rope_parameters": {"partial_rotary_factor": 1e11}}, "rope is"),
        ({"rope_theta": -1}, "-1"),
        ({"kind": "phi3", "rope_scaling": {"type": "longrope", "short_factor": [1, 2]}}, "numbers"),
        ({"kind": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "some layers"),
        ({"kind": "qwen2", "use_sliding_window": True, "sliding_window": 8, "layer_types": [{}, 1]}, "some layers"),
        ({"kind": "mistral", "sliding_window": "8"}, "sliding_window"),
    ],
)
def test_a_config_that_cannot_be_run_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_checkpoint(write_folder(tmp_path / "m", **changes))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none"):
        open_checkpoint(tmp_path / "none")
    with pytest.raises(ModelError, match=r"config\.json"):
        open_checkpoint(tmp_path)
    folder = write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        open_checkpoint(folder)
    for text in ("[1]", "{", "[" * 100_000, " " * 1_000_001):
        (folder / "config.json").write_text(text)
        with pytest.raises(ModelError, match="JSON object"):
            open_checkpoint(folder)


def test_a_context_is_within_what_the_model_has(tmp_path: Path) -> None:
    path = write_gguf_model(tmp_path / "m.gguf")
    assert open_checkpoint(path, 10).architecture.context == 10
    for context in (0, CONTEXT + 1):
        with pytest.raises(ModelError, match="context"):
            open_checkpoint(path, context)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(ModelError, match=r"no file|no JSON"):
            open_checkpoint(folder)
    with pytest.raises(ModelError, match="no file"):
        open_checkpoint(folder / "model.safetensors")


def test_a_folder_s_chat_template_is_found_wherever_it_is(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    assert folder_template(tmp_path) is None
    config.write_text(json.dumps({"chat_template": "one"}))
    assert folder_template(tmp_path) == "one"
    config.write_text(json.dumps({"chat_template": [3, {"name": "rag"}, {"name": "default", "template": "two"}]}))
    assert folder_template(tmp_path) == "two"
    config.write_text(json.dumps({"chat_template": 7}))
    assert folder_template(tmp_path) is None
    (tmp_path / "chat_template.jinja").write_text("three")
    assert folder_template(tmp_path) == "three"
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="jinja"):
        folder_template(tmp_path)


def test_no_changed_byte_of_a_header_does_harm(tmp_path: Path) -> None:
    """A file is refused, or it runs: what its numbers say never leads the kernels out of its tensors."""
    raw = write_gguf_model(tmp_path / "m.gguf", "phi3").read_bytes()
    head = raw.index(b"blk.1.ffn_up.weight") + 60
    chance = random.Random(3)
    ran = 0
    for _ in range(300):
        changed = bytearray(raw)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(head)] = chance.choice((0, 1, 2, 8, 30, 127, 255, chance.randrange(256)))
        (tmp_path / "changed.gguf").write_bytes(changed)
        try:
            model = load_model(tmp_path / "changed.gguf")
            cache = Cache(model, min(model.architecture.context, 8))
        except RuvLLMError:
            continue
        logits = model.forward([Part(cache, np.zeros(1, np.int32))])
        assert logits.shape == (1, model.architecture.vocabulary)
        ran += 1
    assert 10 < ran < 290

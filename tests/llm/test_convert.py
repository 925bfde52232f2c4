"""Folders made into GGUF files: the same numbers by another layout, in the types of the recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.llm.convert import RECIPES, convert
from ruvllm_mcp.llm.files import open_checkpoint
from ruvllm_mcp.llm.tokenizer import Tokenizer
from tests.llm.reference import logits
from tests.llm.tiny import HEAD, write_folder, write_gguf_model
from tests.llm.vocabularies import SAMPLE, byte_level, sentence_piece

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONG = {
    "type": "longrope",
    "short_factor": [1 + i / 10 for i in range(HEAD // 2)],
    "long_factor": [1.0 + i for i in range(HEAD // 2)],
}
CASES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama scaled": {"rope_parameters": LLAMA3},
    "llama linear": {"rope_scaling": {"type": "linear", "factor": 3.0}},
    "mistral": {"kind": "mistral", "sliding_window": 4},
    "qwen2": {"kind": "qwen2"},
    "qwen2 yarn": {"kind": "qwen2", "rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 16}},
    "qwen3": {"kind": "qwen3"},
    "phi3": {"kind": "phi3", "partial_rotary_factor": 0.75},
    "phi3 long": {"kind": "phi3", "rope_scaling": LONG, "original_max_position_embeddings": 8},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a model folder with a tokenizer."""
    made = byte_level("qwen2", 300)
    size = made.judge.get_vocab_size()

    def folder(**changes: Any) -> Path:
        path = tmp_path_factory.mktemp("model") / "tiny"
        write_folder(path, **{"vocab_size": size + 3, **changes})
        made.judge.save(str(path / "tokenizer.json"))
        return path

    return folder


@pytest.mark.parametrize("name", CASES)
def test_the_file_gives_the_folder_s_logits(name: str, folder: Callable[..., Path], tmp_path: Path) -> None:
    path, file = folder(**CASES[name]), tmp_path / "m.gguf"
    convert(open_checkpoint(path), file, "f32")
    for context in (None, 100):
        ours, theirs = open_checkpoint(file, context), open_checkpoint(path, context)
        assert ours.architecture.context == theirs.architecture.context
        assert ours.architecture.most == theirs.architecture.most
        np.testing.assert_allclose(logits(ours, TOKENS), logits(theirs, TOKENS), atol=1e-5)


def test_a_file_made_of_a_file_keeps_its_metadata(folder: Callable[..., Path], tmp_path: Path) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    convert(open_checkpoint(folder(**CASES["llama scaled"])), first, "f16")
    convert(open_checkpoint(first), second, "q8_0")
    one, two = GgufFile(first), GgufFile(second)
    assert list(one.metadata) == list(two.metadata)
    for key, value in one.metadata.items():
        again = two.metadata[key]
        if key != "general.file_type":
            plain = isinstance(value, (Strings, np.ndarray))
            assert (list(value) if plain else value) == (list(again) if plain else again), key
    assert two.metadata["general.file_type"] == 7
    close, exact = (logits(open_checkpoint(path), TOKENS) for path in (second, first))
    assert np.linalg.norm(close - exact) < 0.05 * np.linalg.norm(exact)
    with pytest.raises(ModelError, match="Q8_0 already"):
        convert(open_checkpoint(second), tmp_path / "third.gguf", "q4_0")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_types_are_those_of_the_recipe(recipe: str, folder: Callable[..., Path], tmp_path: Path) -> None:
    """At 64 columns nothing has blocks of 256: what is meant for them falls back."""
    file = tmp_path / "m.gguf"
    heard: list[tuple[int, int]] = []
    source = open_checkpoint(folder())
    convert(source, file, recipe, lambda *told: heard.append(told))
    assert heard[-1] == (source.parameters, source.parameters)
    assert heard == sorted(heard)
    kinds = {name: tensor.kind for name, tensor in GgufFile(file).tensors.items()}
    assert {kind for name, kind in kinds.items() if "norm" in name} == {"F32"}
    expected = {
        "f32": ("F32", "F32", "F32"),
        "f16": ("F16", "F16", "F16"),
        "bf16": ("BF16", "BF16", "BF16"),
        "q8_0": ("Q8_0", "Q8_0", "Q8_0"),
        "q4_0": ("Q4_0", "Q4_0", "Q8_0"),
        "q5_k_m": ("Q8_0", "Q8_0", "Q8_0"),
        "q4_k_m": ("Q5_0", "Q8_0", "Q8_0"),
    }
    found = kinds["blk.0.attn_q.weight"], kinds["blk.1.ffn_down.weight"], kinds["token_embd.weight"]
    assert found == expected[recipe]


def test_wide_rows_get_large_blocks(tmp_path: Path) -> None:
    from ruvllm_mcp.llm.convert import _kind
    from ruvllm_mcp.llm.files import Weight

    source = open_checkpoint(write_gguf_model(tmp_path / "m.gguf"))
    wide = Weight("F32", (8, 512), np.empty(0, np.uint8))
    recipe = RECIPES["q4_k_m"]
    assert _kind("token_embd.weight", wide, source, recipe) == "Q6_K"
    assert _kind("blk.0.ffn_up.weight", wide, source, recipe) == "Q4_K"
    assert _kind("blk.1.attn_v.weight", wide, source, recipe) == "Q6_K"


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o"])
def test_byte_level_tokenizers_keep_their_ids(pre: str, folder: Callable[..., Path], tmp_path: Path) -> None:
    path, file, made = folder(vocab_size=500), tmp_path / "m.gguf", byte_level(pre, 400)
    made.judge.save(str(path / "tokenizer.json"))
    (path / "chat_template.jinja").write_text("{{ messages }}")
    (path / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>", "pad_token": {"content": "[PAD]"}}')
    convert(open_checkpoint(path), file, "f16")
    metadata = GgufFile(file).metadata
    assert metadata["tokenizer.chat_template"] == "{{ messages }}"
    assert metadata["tokenizer.ggml.eos_token_id"] == made.judge.token_to_id("<|im_end|>")
    ours = Tokenizer.from_gguf(metadata)
    assert ours.encode(SAMPLE) == made.judge.encode(SAMPLE).ids


@pytest.mark.parametrize("prefix", [True, False])
def test_sentence_piece_tokenizers_keep_their_ids(folder: Callable[..., Path], tmp_path: Path, prefix: bool) -> None:
    made, file = sentence_piece(600, prefix=prefix), tmp_path / "m.gguf"
    path = folder(vocab_size=made.judge.get_vocab_size())
    made.judge.save(str(path / "tokenizer.json"))
    convert(open_checkpoint(path), file, "f16")
    ours = Tokenizer.from_gguf(GgufFile(file).metadata)
    assert ours.encode(SAMPLE) == made.judge.encode(SAMPLE).ids
    assert GgufFile(file).metadata["tokenizer.ggml.token_type"][:4].tolist() == [2, 3, 3, 6]


def test_what_gguf_cannot_say_is_refused(folder: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    with pytest.raises(InvalidInputError, match="no type 'q2'"):
        convert(open_checkpoint(folder()), file, "q2")
    odd = folder()
    text = (odd / "tokenizer.json").read_text()
    (odd / "tokenizer.json").write_text(text.replace(r"\\p{N}", r"\\p{N}{1,2}"))
    with pytest.raises(ModelError, match="cuts words"):
        convert(open_checkpoint(odd), file, "f16")
    with pytest.raises(ModelError, match="another model"):
        convert(open_checkpoint(folder(vocab_size=100)), file, "f16")
    with pytest.raises(ModelError, match="a part of a `llama` head"):
        convert(open_checkpoint(folder(partial_rotary_factor=0.5)), file, "f16")
    with pytest.raises(ModelError, match="cannot be written"):
        convert(open_checkpoint(folder()), tmp_path / "none" / "m.gguf", "f16")
    (odd / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        convert(open_checkpoint(odd), file, "f16")
    assert list(tmp_path.iterdir()) == []

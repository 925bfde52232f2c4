"""`ruvllm models` and `ruvllm info MODEL` on random tiny models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.formats.gguf_write import write_gguf
from tests.cli.conftest import Outcome
from tests.llm.tiny import CONTEXT, LAYERS, WIDTH, write_folder, write_gguf_model
from tests.llm.vocabularies import byte_level

Shell = Callable[..., Outcome]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_gguf_model(tmp_path / "tiny.gguf", "qwen2")


def test_a_model_is_added_listed_told_about_and_removed(shell: Shell, model: Path) -> None:
    assert "models add" in shell("models", "list").out
    added = shell("models", "add", str(model), "--name", "small", "--json").json
    assert added == {"name": "small", "path": str(model), "is_copy": False, "is_there": True}
    assert shell("models", "list", "--json").json == {"models": [added]}
    assert shell("models", "list").out.split() == ["small", str(model)]
    told = shell("info", "small", "--json").json
    assert told == shell("models", "info", str(model), "--json").json
    assert (told["architecture"], told["layers"], told["width"], told["context"]) == ("qwen2", LAYERS, WIDTH, CONTEXT)
    assert (told["format"], told["types"], told["problem"]) == ("GGUF", {"F32": told["parameters"]}, None)
    text = shell("info", "small").out
    assert all(part in text for part in ("qwen2", f"{CONTEXT} tokens", "F32 100 %", "shared between processes"))
    assert str(model) in shell("models", "remove", "small").out
    assert model.exists()
    missing = shell("models", "remove", "small")
    assert missing.code == 3
    assert "models add" in missing.err


def test_a_folder_becomes_a_smaller_file(shell: Shell, tmp_path: Path) -> None:
    made = byte_level("qwen2", 300)
    folder = write_folder(tmp_path / "tiny", "qwen2", vocab_size=made.judge.get_vocab_size())
    made.judge.save(str(folder / "tokenizer.json"))
    file = tmp_path / "tiny-q4.gguf"
    told = shell("models", "quantize", str(folder), str(file), "--type", "q4_0", "--json").json
    assert set(told["types"]) == {"Q4_0", "Q8_0", "F32"}
    assert told["tokenizer"].startswith("gpt2 (qwen2)")
    again = shell("models", "quantize", str(folder), str(file))
    assert (again.code, "already" in again.err) == (2, True)
    assert shell("models", "quantize", str(folder), str(file), "--force").code == 0
    assert set(shell("info", str(file), "--json").json["types"]) == {"Q8_0", "F32"}
    assert shell("info", str(folder), "--json").json["format"] == "SafeTensors"
    twice = shell("models", "quantize", str(file), str(tmp_path / "twice.gguf"))
    assert (twice.code, "already" in twice.err) == (5, True)


def test_a_file_that_cannot_be_run_is_told_about_all_the_same(shell: Shell, tmp_path: Path, model: Path) -> None:
    other = tmp_path / "other.gguf"
    write_gguf(other, {**GgufFile(model).metadata, "general.architecture": "mamba"}, {})
    told = shell("info", str(other), "--json").json
    assert (told["architecture"], told["layers"]) == ("mamba", None)
    assert "'mamba' is not supported" in told["problem"]
    refused = shell("models", "add", str(other))
    assert (refused.code, "mamba" in refused.err) == (5, True)
    (tmp_path / "text.gguf").write_text("Dear reader, this is no model file at all.")
    assert shell("info", str(tmp_path / "text.gguf")).code == 5
    assert shell("info", str(tmp_path / "none.gguf")).code == 5


def test_reading_and_writing_are_timed(shell: Shell, model: Path) -> None:
    timed = shell("models", "bench", str(model), "--prompt", "20", "--tokens", "3", "--threads", "1", "--json").json
    assert timed["threads"] == 1
    assert timed["prompt_tokens_per_second"] > 0
    assert timed["written_tokens_per_second"] > 0
    assert "a second" in shell("models", "bench", str(model), "--prompt", "20", "--tokens", "3").out
    assert "reading" in shell("models", "bench", str(model), "--tokens", "3").out  # as much as there is room for
    too_long = shell("models", "bench", str(model), "--prompt", str(CONTEXT), "--tokens", "3")
    assert (too_long.code, "context" in too_long.err) == (2, True)

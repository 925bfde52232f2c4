"""A real model tells the same story from its folder and from the files made of it, few as their bits are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.llm.convert import convert
from ruvllm_mcp.llm.files import open_checkpoint
from ruvllm_mcp.llm.loaded import load
from ruvllm_mcp.llm.model import Cache, Part
from tests.llm.reference import logits
from tests.llm.story import BEGINNING, OPENING


def told(path: Path, tokens: int) -> str:
    """The likeliest continuation of the opening."""
    loaded = load(path)
    written = loaded.tokenizer.encode(OPENING)
    cache = Cache(loaded.model, 256)
    scores = loaded.model.forward([Part(cache, np.array(written, np.int32))])
    for _ in range(tokens):
        written.append(int(scores[0].argmax()))
        scores = loaded.model.forward([Part(cache, np.array(written[-1:], np.int32))])
    return loaded.tokenizer.decode(written)


@pytest.mark.parametrize("recipe", ["folder", "f32", "f16", "bf16", "q8_0"])
def test_the_story_begins_as_llama2_c_has_it(story: Path, tmp_path: Path, recipe: str) -> None:
    path = story.with_suffix("")
    if recipe != "folder":
        convert(open_checkpoint(path), path := tmp_path / "story.gguf", recipe)
    assert told(path, 30).startswith(f"{OPENING}, {BEGINNING}")


def test_four_bits_still_tell_a_story(story: Path, tmp_path: Path) -> None:
    convert(open_checkpoint(story), tmp_path / "story.gguf", "q4_0")
    assert told(tmp_path / "story.gguf", 30).startswith(f"{OPENING}, there was a little")


def test_logits_are_the_reference_s(story: Path) -> None:
    loaded = load(story.with_suffix(""))
    ids = loaded.tokenizer.encode(f"{OPENING}, {BEGINNING}")
    ours = loaded.model.forward([Part(Cache(loaded.model, len(ids)), np.array(ids, np.int32), len(ids))])
    assert np.abs(ours - logits(loaded.model.checkpoint, ids)).max() < 0.02

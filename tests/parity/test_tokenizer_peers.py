"""Tokenizers of GGUF files beside llama.cpp, where it cuts words as the models' own files say."""

from __future__ import annotations

from pathlib import Path

import pytest
from llama_cpp import Llama

from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.llm.tokenizer import Tokenizer
from tests.llm.talker import write_talker
from tests.llm.test_tokenizer import corpus


@pytest.mark.parametrize("make", ["gpt-2", "smollm", "llama-bpe", "spm"])
def test_ids_are_those_of_llama_cpp(make: str, tmp_path: Path) -> None:
    """Not for qwen2, whose texts it does not compose, nor tekken and gpt-4o, whose cuts it only approaches."""
    path = write_talker(tmp_path / "talker.gguf", make)
    tokenizer = Tokenizer.from_gguf(GgufFile(path).metadata)
    judge = Llama(str(path), vocab_only=True, verbose=False)
    for text in filter(None, corpus()):
        ids = judge.tokenize(text.encode(), add_bos=False, special=False)
        assert tokenizer.encode(tokenizer.plain(text), begins=False) == ids, text

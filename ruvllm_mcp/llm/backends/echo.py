"""Gives the last message back, word by word, cut to `max_tokens`: for trying out what stands around a model."""

from __future__ import annotations

from collections.abc import Callable

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.llm.backends.base import Answer, Output, Prompt
from ruvllm_mcp.types import GenerationConfig, Usage


class Echo:
    name = "echo"
    model = "echo"
    writes = True

    def __init__(self, embedder: Callable[[], Embedder]) -> None:
        self._embedder = embedder

    def answer(self, prompt: Prompt, config: GenerationConfig, output: Output) -> Answer:
        count = self._embedder().count_tokens
        given = count(prompt.text)
        words = prompt.text.split(" ")
        while len(words) > 1 and count(" ".join(words)) > config.max_tokens:
            words.pop()
        text = " ".join(words)
        for i, word in enumerate(words):
            output.write(word if i == 0 else " " + word)
        return Answer(text, prompt.memories, 1.0, Usage(given, count(text)))

    def close(self) -> None:
        """Nothing is held."""

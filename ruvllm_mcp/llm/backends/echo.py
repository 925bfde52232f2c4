"""Gives the prompt back, cut to `max_tokens`: for tests and for seeing what a model would be given."""

from __future__ import annotations

from collections.abc import Callable

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.llm.backends.base import Answer, Prompt
from ruvllm_mcp.types import GenerationConfig, Usage


class Echo:
    name = "echo"
    model = "echo"

    def __init__(self, embedder: Callable[[], Embedder]) -> None:
        self._embedder = embedder

    def answer(self, prompt: Prompt, config: GenerationConfig) -> Answer:
        count = self._embedder().count_tokens
        given = count(prompt.text)
        words = prompt.text.split(" ")
        while len(words) > 1 and count(" ".join(words)) > config.max_tokens:
            words.pop()
        text = " ".join(words)
        return Answer(text, prompt.memories, 1.0, Usage(given, count(text)))

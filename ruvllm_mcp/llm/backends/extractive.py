"""Answers with no language model: quotes the passages of the recalled memories that lie closest to the question.

Memories are cut into passages (sentences of prose; blocks of code between blank lines), every passage is embedded and
compared with the question, and the best ones are quoted word for word under their memory's id. The text says that it
quotes. Confidence is the cosine between the question and the best quoted passage, clipped to [0, 1]: a measure of
closeness, not a probability of being right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.llm.backends.base import Answer, Output, Prompt
from ruvllm_mcp.types import GenerationConfig, MemoryResult, Usage

MEMORIES_READ = 6
PASSAGES_READ = 48
PASSAGE_CHARACTERS = 600
QUOTED_PASSAGES = 4
# A passage this far (in cosine) below the best one answers something else.
QUOTE_MARGIN = 0.15
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(`])")
HEADING = "Quoted from memory (no language model):"
NOTHING = "No memory answers this."


@dataclass(frozen=True)
class Passage:
    memory: MemoryResult
    text: str


class Extractive:
    name = "extractive"
    model = "extractive"
    writes = False

    def __init__(self, embedder: Callable[[], Embedder]) -> None:
        self._embedder = embedder

    def answer(self, prompt: Prompt, config: GenerationConfig, output: Output) -> Answer:
        answer = self._quoted(prompt, config)
        output.write(answer.text)
        return answer

    def close(self) -> None:
        """Nothing is held."""

    def _quoted(self, prompt: Prompt, config: GenerationConfig) -> Answer:
        embedder = self._embedder()
        asked = embedder.count_tokens(prompt.text)
        passages = [passage for memory in prompt.memories[:MEMORIES_READ] for passage in passages_of(memory)]
        if not passages:
            return Answer(NOTHING, (), 0.0, Usage(asked, embedder.count_tokens(NOTHING)))
        vectors = embedder.encode([prompt.text, *(passage.text for passage in passages[:PASSAGES_READ])]).vectors
        closeness = vectors[1:] @ vectors[0]
        order = np.argsort(-closeness, kind="stable")
        best = float(closeness[order[0]])
        quoted: dict[str, Passage] = {}
        for i in order[closeness[order] >= best - QUOTE_MARGIN]:
            quoted.setdefault(passages[i].text, passages[i])
        text, sources = _written(list(quoted.values())[:QUOTED_PASSAGES], embedder, config.max_tokens)
        return Answer(text, sources, min(1.0, max(0.0, best)), Usage(asked, embedder.count_tokens(text)))


def passages_of(memory: MemoryResult) -> Iterator[Passage]:
    """Sentences of prose, blocks of code; nothing longer than 600 characters."""
    for block in re.split(r"\n\s*\n", memory.content):
        is_code = "\n" in block.strip() and re.search(
            r"^\s*(def|class|import|from|return|[{}]|//|#include)", block, re.M
        )
        for piece in [block] if is_code else SENTENCE_END.split(" ".join(block.split())):
            text = piece.strip("\n") if is_code else piece.strip()
            for start in range(0, len(text), PASSAGE_CHARACTERS):
                yield Passage(memory, text[start : start + PASSAGE_CHARACTERS])


def _written(quoted: list[Passage], embedder: Embedder, max_tokens: int) -> tuple[str, tuple[MemoryResult, ...]]:
    """The quotes under their memories, as many as fit; when not even one does, the best one, cut."""

    def fits(text: str) -> bool:
        return embedder.count_tokens(text) <= max_tokens

    text = HEADING
    sources: dict[int, MemoryResult] = {}
    for passage in quoted:
        longer = f"{text}\n{_quote(passage, passage.text)}"
        if fits(longer):
            text, sources[passage.memory.id] = longer, passage.memory
    if sources:
        return text, tuple(sources.values())
    best = quoted[0]
    for heading in (HEADING + "\n", ""):
        for length in range(len(best.text) - 1, 0, -max(1, len(best.text) // 32)):
            text = heading + _quote(best, best.text[:length].rstrip() + "…")
            if fits(text):
                return text, (best.memory,)
    return "", ()


def _quote(passage: Passage, text: str) -> str:
    return f'[{passage.memory.id}] "{text}"'

"""The joint between a prompt and whatever answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ruvllm_mcp.types import GenerationConfig, MemoryResult, Record, Usage


@dataclass(frozen=True)
class Prompt:
    """A question and the memories, best first, that may answer it."""

    text: str
    memories: tuple[MemoryResult, ...]


@dataclass(frozen=True)
class Answer(Record):
    """What a backend makes of a prompt. `sources` are the memories the text rests on, in the order it cites them;
    `confidence` in [0, 1]."""

    text: str
    sources: tuple[MemoryResult, ...]
    confidence: float
    usage: Usage


class Backend(Protocol):
    """Answers prompts. Plain and thread-safe: the engine calls it on a worker thread."""

    name: str
    model: str

    def answer(self, prompt: Prompt, config: GenerationConfig) -> Answer: ...

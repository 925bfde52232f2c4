"""The joint between a prompt and whatever answers it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ruvllm_mcp.types import FinishReason, GenerationConfig, MemoryResult, Record, TokenScore, Usage

Message = Mapping[str, str]


@dataclass(frozen=True)
class Prompt:
    """What is asked: messages, each with `role` and `content`, the last one to be answered, and the memories, best
    first, that may help. `form`: a chat; one text; or one text that is to be continued just as it stands."""

    messages: tuple[Message, ...]
    memories: tuple[MemoryResult, ...] = ()
    form: Literal["chat", "text", "raw"] = "chat"

    @property
    def text(self) -> str:
        """The last message's content."""
        return self.messages[-1]["content"]


def one_text(text: str, memories: tuple[MemoryResult, ...] = (), *, is_raw: bool = False) -> Prompt:
    """A prompt of one text from the user."""
    return Prompt(({"role": "user", "content": text},), memories, "raw" if is_raw else "text")


@dataclass(frozen=True)
class Answer(Record):
    """What a backend makes of a prompt. `sources` are the memories the text rests on, in the order it cites them;
    `confidence` in [0, 1]; `scores`: of each token, when asked for."""

    text: str
    sources: tuple[MemoryResult, ...]
    confidence: float
    usage: Usage
    finish_reason: FinishReason = "stop"
    scores: tuple[TokenScore, ...] = ()


class Output:
    """Where an answer's text goes while it is written, and by which it is stopped. Thread-safe.

    `written` is called with each piece of text, in the thread of the backend's `answer`; what it raises ends the
    answer. `stop()` ends it within a token, with what is written so far.
    """

    def __init__(self, written: Callable[[str], None] | None = None) -> None:
        self.write = written or (lambda _piece: None)
        self._lock = threading.Lock()
        self._is_stopped = False
        self._then: Callable[[], None] | None = None

    def stop(self) -> None:
        with self._lock:
            self._is_stopped, then = True, self._then
        if then is not None:
            then()

    def on_stop(self, then: Callable[[], None]) -> None:
        """Have `then` called at a stop, now if there was one."""
        with self._lock:
            self._then, is_stopped = then, self._is_stopped
        if is_stopped:
            then()


class Backend(Protocol):
    """Answers prompts. Plain and thread-safe: the engine calls it on a worker thread.

    `writes`: it can answer without memories. `answer` writes all of its text to `output` before it returns it.
    """

    name: str
    model: str
    writes: bool

    def answer(self, prompt: Prompt, config: GenerationConfig, output: Output) -> Answer: ...

    def close(self) -> None: ...

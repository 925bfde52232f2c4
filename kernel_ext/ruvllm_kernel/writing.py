"""`%ruvllm query|generate|chat`: text grows in the cell while it is written, Stop ends it, then comes the whole result.

The engine writes on its own thread; only the cell's thread may put something out, so it looks for new text while it
waits, at most every 50 ms. A terminal, where what was put out cannot be changed, shows the result alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.getipython import get_ipython
from IPython.display import display

from ruvllm_kernel.options import Given, Option, number, whole
from ruvllm_kernel.session import Session
from ruvllm_mcp.types import GenerationConfig, GenerationResponse, QueryResponse, Record

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM

T = TypeVar("T")
SHOWN_SECONDS = 0.05
SAMPLING = (
    Option("--max-tokens", "max_tokens", "N", "longest answer, 512 unless given", whole),
    Option("--temperature", "temperature", "X", "0 always takes the likeliest word; 0.7 unless given", number),
    Option("--top-k", "top_k", "N", "choose among so many tokens, 0 for all; 40 unless given", whole),
    Option("--top-p", "top_p", "X", "choose among the likeliest with this share; 0.95 unless given", number),
    Option("--min-p", "min_p", "X", "leave out what is less likely than this share of the best", number),
    Option("--repetition-penalty", "repetition_penalty", "X", "above 1: repeat less", number),
    Option("--stop", "stop", "TEXT", "end before this text, repeatable", str, repeated=True),
    Option("--seed", "seed", "N", "the same seed writes the same text", whole),
    Option("--json-mode", "json_mode", "", "write one JSON object (language models only)", flag=True),
)
MODEL = Option("--model", "model", "NAME", "what writes; the settings' model unless given", str)
RAW = Option("--raw", "raw", "", "continue the text as it stands instead of answering it", flag=True)
NEW = Option("--new", "new", "", "begin another chat", flag=True)
SYSTEM = Option("--system", "system", "TEXT", "begin another chat, in which the model is told this first", str)


@dataclasses.dataclass(frozen=True)
class Partial(Record):
    """An answer as far as it is written."""

    text: str


class Growing:
    """The text of one answer in the cell's output."""

    def __init__(self) -> None:
        self._text = ""
        self._shown = ""
        self._next = 0.0
        self._handle: Any = None  # IPython does not type its displays
        self._can_change = hasattr(get_ipython(), "kernel")

    def written(self, piece: str) -> None:
        """Takes a piece of text, on any thread."""
        self._text += piece

    def show(self) -> None:
        """Puts out what is new, on the cell's thread."""
        text = self._text
        if not self._can_change or text == self._shown or time.monotonic() < self._next:
            return
        self._shown, self._next = text, time.monotonic() + SHOWN_SECONDS
        if self._handle is None:
            self._handle = display(Partial(text), display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(Partial(text))

    def end(self) -> None:
        """Takes the text away: the whole result comes in its place."""
        if self._handle is not None:
            self._handle.update({}, raw=True)


def query(session: Session, given: Given) -> QueryResponse:
    options = given_config(given)
    growing = Growing()
    response = _run(session, growing, lambda llm: llm.query(given.text, written=growing.written, **options))
    session.last_request = response.request_id
    return response


def generate(session: Session, given: Given) -> GenerationResponse:
    options = given_config(given)
    growing = Growing()
    return _run(session, growing, lambda llm: llm.generate(given.text, written=growing.written, **options))


def chat(session: Session, given: Given) -> GenerationResponse:
    """The next turn of the session's chat; a turn that fails or is stopped was never there."""
    options = given_config(given)
    is_new, system = options.pop("new", False), options.pop("system", None)
    before = [] if is_new or system else session.chat
    messages = [*([{"role": "system", "content": system}] if system else before), _message("user", given.text)]
    growing = Growing()
    response = _run(session, growing, lambda llm: llm.chat(messages, written=growing.written, **options))
    session.chat = [*messages, _message("assistant", response.text)]
    return response


def given_config(given: Given) -> dict[str, Any]:
    """The options with those about writing gathered in `config`, and one namespace as a name."""
    known = {option.key for option in SAMPLING}
    config = {name: value for name, value in given.options.items() if name in known}
    options = {name: value for name, value in given.options.items() if name not in known}
    return {**options, "config": GenerationConfig(**config)} if config else options


def _run(session: Session, growing: Growing, call: Callable[[RuvLLM], Awaitable[T]]) -> T:
    result = session.run(call, growing.show)
    growing.end()
    return result


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}

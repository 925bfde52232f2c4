"""`ruvllm generate|chat`, and how `query` writes: text on the terminal as it is made, Ctrl-C ends it cleanly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.errors import tell
from ruvllm_mcp.cli.session import Command, Session, current, text_from
from ruvllm_mcp.errors import RuvLLMError

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.types import GenerationConfig, GenerationResponse

F = TypeVar("F", bound=Callable[..., Any])
INCOMPLETE = "The answer is incomplete."
ENDINGS = {
    "length": "cut at --max-tokens",
    "context": "cut: the model can read no more",
    "cancelled": "cancelled",
    "stop": "",
}


def writing_options(command: F) -> F:
    """The options of every command that writes; they arrive as keywords that `config_from` takes, and `model`."""
    for option in reversed(
        (
            click.option("--model", metavar="NAME", help="A model's name or path, extractive or echo."),
            click.option("--max-tokens", type=int, default=512, show_default=True, help="How long it may get."),
            click.option("--temperature", type=float, help="0 always takes the likeliest word; 0.7 unless given."),
            click.option("--top-k", type=int, help="Choose among so many tokens; 0: all. 40 unless given."),
            click.option("--top-p", type=float, help="Choose among the likeliest with this share; 0.95 unless given."),
            click.option("--min-p", type=float, help="Leave out what is less likely than this share of the best."),
            click.option("--repetition-penalty", type=float, help="Above 1: repeat less."),
            click.option("--stop", multiple=True, metavar="TEXT", help="End before this text; repeatable."),
            click.option("--seed", type=int, help="The same seed writes the same text."),
            click.option("--json-mode", is_flag=True, help="Write one JSON object (language models only)."),
        )
    ):
        command = option(command)
    return command


def config_from(options: dict[str, Any]) -> GenerationConfig:
    """The configuration that the options say. Raises InvalidInputError naming the one that is out of range."""
    from ruvllm_mcp.types import GenerationConfig

    return GenerationConfig(**{name: value for name, value in options.items() if value is not None})


class Terminal:
    """Writes an answer as it comes, control characters made visible; nothing at all with `--json`."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._is_open = False

    def write(self, piece: str) -> None:
        if not self._silent:
            click.echo(output.shown(piece), nl=False)
            sys.stdout.flush()
            self._is_open = not piece.endswith("\n")

    def end(self) -> None:
        """Ends the last line."""
        if self._is_open:
            click.echo()
        self._is_open = False


@click.command(cls=Command)
@click.argument("prompt")
@writing_options
@click.option("--raw", is_flag=True, help="Continue the text as it stands instead of answering it.")
@current
def generate(session: Session, /, prompt: str, model: str | None, raw: bool, **options: Any) -> None:
    """Write with a local language model. PROMPT `-` reads stdin; memory is left aside."""
    text, config = text_from(prompt), config_from(options)
    terminal = Terminal(silent=session.as_json)
    session.note = INCOMPLETE

    async def work(llm: RuvLLM) -> Any:
        return await llm.generate(text, config, model=model, raw=raw, written=terminal.write)

    try:
        written = session.run(work)
    finally:
        terminal.end()
    if session.as_json:
        output.emit_json(written.to_dict())
    else:
        click.echo(output.dim(about(written)), err=True)


@click.command(cls=Command)
@writing_options
@click.option("--system", metavar="TEXT", help="What the model is told before the chat begins.")
@current
def chat(session: Session, /, model: str | None, system: str | None, **options: Any) -> None:
    """Talk with a local language model, a line a turn, until Ctrl-D. Ctrl-C stops an answer.

    From a pipe each line is one turn; with --json each answer is one line.
    """
    from ruvllm_mcp.engine.bridge import Bridge
    from ruvllm_mcp.engine.engine import RuvLLM

    config, is_terminal = config_from(options), sys.stdin.isatty()
    messages = [{"role": "system", "content": system}] if system else []
    bridge, llm = Bridge(), RuvLLM(session.settings())
    try:
        while (line := _line(is_terminal)) is not None:
            messages.append({"role": "user", "content": line})
            try:
                messages.append(_turn(bridge, llm, messages, config, model, session))
            except RuvLLMError as error:
                if not is_terminal:
                    raise
                tell(error, as_json=session.as_json)
                messages.pop()
    finally:
        bridge.run(llm.close())
        bridge.close()


def _line(is_terminal: bool) -> str | None:
    """The next turn, None at the end; blank lines say nothing."""
    while True:
        try:
            line = input("> " if is_terminal else "")
        except EOFError:
            if is_terminal:
                click.echo()
            return None
        except UnicodeDecodeError:
            raise click.UsageError("Standard input is not UTF-8 text.") from None
        if line.strip():
            return line


def _turn(
    bridge: Any,
    llm: RuvLLM,
    messages: list[dict[str, str]],
    config: GenerationConfig,
    model: str | None,
    session: Session,
) -> dict[str, str]:
    """One answer, written as it comes; a Ctrl-C keeps what was written of it."""
    terminal = Terminal(silent=session.as_json)
    pieces: list[str] = []

    def written(piece: str) -> None:
        pieces.append(piece)
        terminal.write(piece)

    try:
        answer = bridge.run(llm.chat(messages, config, model=model, written=written))
        if session.as_json:
            output.emit_json(answer.to_dict())
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            session.note = INCOMPLETE
            raise
    finally:
        terminal.end()
    return {"role": "assistant", "content": "".join(pieces)}


def about(written: GenerationResponse) -> str:
    """What wrote it, how fast, and why it ended if it was cut."""
    count = written.usage.completion_tokens
    said = [f"{written.model}: {count} tokens"]
    if written.first_token_ms is not None and count > 1:
        seconds = max(written.latency_ms - written.first_token_ms, 1e-3) / 1000
        said += [f"first after {written.first_token_ms:.0f} ms", f"{(count - 1) / seconds:.0f} a second"]
    return ", ".join([*said, *filter(None, [ENDINGS[written.finish_reason]])])

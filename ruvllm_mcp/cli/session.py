"""What every command shares: the options that may stand anywhere on the line, and an engine opened for one call."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ruvllm_mcp.errors import InvalidInputError

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.settings import Settings

T = TypeVar("T")
MAX_STDIN_BYTES = 8_000_000


@dataclass
class Session:
    """The shared options. `note` is what to tell the user should the command be interrupted."""

    home: str | None = None
    namespaces: tuple[str, ...] = ()
    embedder: str | None = None
    as_json: bool = False
    note: str = ""

    def settings(self) -> Settings:
        """The settings in force. Raises SettingsError."""
        from ruvllm_mcp.settings import Settings

        return Settings.load(home=self.home, embedder=self.embedder)

    def run(self, work: Callable[[RuvLLM], Awaitable[T]]) -> T:
        """The result of `work` on an engine that is open for just this long."""
        import asyncio

        from ruvllm_mcp.engine.engine import RuvLLM

        async def opened() -> T:
            async with RuvLLM(self.settings()) as llm:
                return await work(llm)

        return asyncio.run(opened())

    def searched(self) -> str | list[str] | None:
        """The `namespace` argument of a call that reads."""
        if "*" in self.namespaces:
            return "*"
        return list(self.namespaces) or None

    def written(self) -> str | None:
        """The `namespace` argument of a call that writes: one name, or None for the project's own."""
        if len(self.namespaces) > 1 or "*" in self.namespaces:
            raise click.UsageError("A memory is written to one namespace: give --namespace once, with a name.")
        return self.namespaces[0] if self.namespaces else None


current = click.make_pass_decorator(Session, ensure=True)


def _keep(field: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value:  # what stands further right on the line wins
            setattr(context.ensure_object(Session), field, value)

    return keep


class SharedOption(click.Option):
    """An option of every command, to be given before or after its name; its value goes into the `Session`."""


def _shared_options() -> list[click.Parameter]:
    return [
        SharedOption(
            ["--json"], is_flag=True, expose_value=False, callback=_keep("as_json"), help="Print one JSON document."
        ),
        SharedOption(
            ["--namespace", "-n"],
            multiple=True,
            metavar="NAME",
            expose_value=False,
            callback=_keep("namespaces"),
            help="Namespace; '*' reads all. Default: this project's (and 'global' for reading).",
        ),
        SharedOption(
            ["--home"], metavar="FOLDER", expose_value=False, callback=_keep("home"), help="Folder of the store."
        ),
        SharedOption(
            ["--embedder"],
            metavar="NAME",
            expose_value=False,
            callback=_keep("embedder"),
            help="What turns text into vectors.",
        ),
    ]


def _write_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    """The command's own options, then the shared ones."""
    options = [item for item in command.get_params(context) if isinstance(item, click.Option)]
    for title, is_shared in (("Options", False), ("Shared options", True)):
        records = [
            record
            for option in options
            if isinstance(option, SharedOption) is is_shared and (record := option.get_help_record(context)) is not None
        ]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


class Command(click.Command):
    """A command that takes the shared options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _shared_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)


class ReaderGoneError(Exception):
    """Nobody reads the output any more. (click would end with code 1, as if something were wrong.)"""


class Group(click.Group):
    """A group whose commands, and itself, take the shared options. Lists commands in the order they were added."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _shared_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGoneError from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


def text_from(argument: str) -> str:
    """The argument itself, or what stands on stdin when it is `-`. Raises InvalidInputError for no UTF-8 text."""
    if argument != "-":
        return argument
    try:
        text = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
        if len(text) > MAX_STDIN_BYTES:
            raise InvalidInputError(f"Standard input is longer than {MAX_STDIN_BYTES:,} bytes.", "Split it.")
        return text.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError:
        raise InvalidInputError("Standard input is not UTF-8 text.", "Convert it first, e.g. with iconv.") from None

"""What `%ruvllm` can do: one entry a command, from which parsing, completion and help are all made.

A command's options carry the names of the engine's own arguments and are passed on only when given, so the engine's
defaults and its checks hold here too.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruvllm_kernel import learning, writing
from ruvllm_kernel.options import Given, Option, ids, json_object, number, whole
from ruvllm_kernel.session import Session
from ruvllm_mcp import __version__
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.reports import FeedbackReceipt, Stats
from ruvllm_mcp.types import Context, MemoryHits, MemoryId, MemoryRecord, Page, QueryResponse, Record

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM

CLIENT = "jupyter"
LISTED = 20
TEXT = "TEXT"


@dataclass(frozen=True)
class Command:
    """One subcommand. `argument` is what follows the options, "" for nothing; what takes TEXT also exists as a cell.

    `writes` if it changes the store, which a stop may come too late for.
    """

    name: str
    argument: str
    help: str
    run: Callable[[Session, Given], Any]
    options: tuple[Option, ...] = ()
    writes: bool = False

    @property
    def usage(self) -> str:
        return " ".join(["%ruvllm", self.name, *(option.usage for option in self.options), self.argument]).rstrip()


@dataclass(frozen=True)
class Info(Record):
    """Which engine a notebook talks to, and the settings in force."""

    version: str
    instruction_set: str
    python: str
    settings: dict[str, Any]


def _add(session: Session, given: Given) -> MemoryId:
    return session.run(lambda llm: llm.add_memory(given.text, client=CLIENT, **given.options))


def _search(session: Session, given: Given) -> MemoryHits:
    hits = session.run(lambda llm: llm.search_memory(given.text, **_scoped(given)))
    session.last_request = hits.request_id
    return hits


def _query(session: Session, given: Given) -> QueryResponse:
    return writing.query(session, dataclasses.replace(given, options=_scoped(given)))


def _context(session: Session, given: Given) -> Context:
    context = session.run(lambda llm: llm.context(given.text, **_scoped(given)))
    session.last_request = context.request_id
    return context


def _get(session: Session, given: Given) -> MemoryRecord:
    wanted = _ids_of(given, "get")
    if len(wanted) > 1:
        raise InvalidInputError(f"%ruvllm get takes one memory id, not {len(wanted)}.", "Get them one by one.")
    return session.run(lambda llm: llm.get_memory(wanted[0]))


def _list(session: Session, given: Given) -> Page:
    _nothing_more(given, "list")
    return session.run(lambda llm: llm.list_memories(**{"limit": LISTED, **_scoped(given)}))


def _delete(session: Session, given: Given) -> None:
    """Delete every id or, if one is unknown, none."""
    unwanted = list(dict.fromkeys(_ids_of(given, "delete")))
    session.run(lambda llm: _deleted(llm, unwanted))
    named = ", ".join(map(str, unwanted))
    print(f"Deleted memory {named}." if len(unwanted) == 1 else f"Deleted {len(unwanted)} memories: {named}.")


async def _deleted(llm: RuvLLM, unwanted: Sequence[int]) -> None:
    for memory in unwanted:
        await llm.get_memory(memory)
    for memory in unwanted:
        await llm.delete_memory(memory)


def _feedback(session: Session, given: Given) -> FeedbackReceipt:
    options = dict(given.options)
    if given.text:
        options["rating"] = _rating(given.text)
    if not options.keys() - {"request_id"}:
        raise InvalidInputError("%ruvllm feedback says nothing.", f"Usage: {COMMANDS['feedback'].usage}.")
    request_id = options.pop("request_id", session.last_request)
    if request_id is None:
        raise InvalidInputError(
            "There is nothing to rate yet.", "Search or ask first, or name a request: --request REQUEST_ID."
        )
    return session.run(lambda llm: llm.feedback(request_id, client=CLIENT, **options))


def _stats(session: Session, given: Given) -> Stats:
    _nothing_more(given, "stats")
    return session.run(lambda llm: llm.stats())


def _info(session: Session, given: Given) -> Info:
    from ruvllm_mcp.simd import simd_info

    _nothing_more(given, "info")
    instruction_set = str(simd_info()["instruction_set"])
    return Info(__version__, instruction_set, platform.python_version(), session.settings.shown())


def _stop(session: Session, given: Given) -> None:
    _nothing_more(given, "stop")
    stopped = session.stop()
    print(f"Stopped {stopped} running command{'s' * (stopped != 1)}." if stopped else "Nothing is running.")


def _help(_: Session, given: Given) -> None:
    print(help_text(given.text))


def _scoped(given: Given) -> dict[str, Any]:
    """The options, with one namespace as a name and several as a list; `*` alone or among others means all."""
    options = dict(given.options)
    names = options.get("namespace")
    if isinstance(names, list):
        options["namespace"] = "*" if "*" in names else names[0] if len(names) == 1 else names
    return options


def _rating(text: str) -> int:
    try:
        return whole(text)
    except ValueError as error:
        raise InvalidInputError(f"The rating is {text[:40]!r}.", f"It takes {error}.") from None


def _ids_of(given: Given, name: str) -> list[int]:
    try:
        return ids(given.text)
    except ValueError as error:
        raise InvalidInputError(f"%ruvllm {name} got {given.text[:40]!r}.", f"It takes {error}.") from None


def _nothing_more(given: Given, name: str) -> None:
    if given.text:
        raise InvalidInputError(f"%ruvllm {name} takes no {given.text[:40]!r}.", f"Usage: {COMMANDS[name].usage}.")


NAMESPACE = Option("--namespace", "namespace", "NAME", "where it belongs; the project's own unless named", str)
NAMESPACES = Option(
    "--namespace", "namespace", "NAME", "where to look, repeatable; * for everywhere", str, repeated=True
)
EXPAND = Option("--expand", "expand", "", "replace {expressions} in the cell's body too", flag=True)
WHERE = Option("--where", "where", "JSON", 'metadata filter such as {"priority": {"$in": ["high"]}}', json_object)
MODES = ("hybrid", "vector", "lexical")

COMMANDS = {
    command.name: command
    for command in (
        Command(
            "add",
            TEXT,
            "remember a text; gives its id",
            _add,
            (
                NAMESPACE,
                Option("--kind", "kind", "KIND", "what it is: note, decision, convention, failure, …", str),
                Option("--importance", "importance", "X", "0 to 1, 0.5 unless given", number),
                Option("--metadata", "metadata", "JSON", 'fields to filter by: {"priority": "high"}', json_object),
                Option("--ttl", "ttl", "SECONDS", "forget it after so long", number),
                Option("--source", "source", "TEXT", "where it comes from", str),
            ),
            writes=True,
        ),
        Command(
            "search",
            TEXT,
            "the memories nearest to a text",
            _search,
            (
                Option("-k", "k", "N", "how many, 10 unless given", whole),
                NAMESPACES,
                WHERE,
                Option("--mode", "mode", "MODE", ", ".join(MODES), str, choices=MODES),
            ),
        ),
        Command(
            "query",
            TEXT,
            "an answer from memory, with its sources",
            _query,
            (NAMESPACES, WHERE, writing.MODEL, *writing.SAMPLING),
        ),
        Command(
            "generate",
            TEXT,
            "what the language model writes to a text",
            writing.generate,
            (writing.MODEL, writing.RAW, *writing.SAMPLING),
        ),
        Command(
            "chat",
            TEXT,
            "the next turn of a chat with the language model",
            writing.chat,
            (writing.MODEL, writing.NEW, writing.SYSTEM, *writing.SAMPLING),
        ),
        Command(
            "context",
            TEXT,
            "the best memories packed for a prompt",
            _context,
            (
                Option("--max-tokens", "max_tokens", "N", "tokens to fill, 1,000 unless given", whole),
                NAMESPACES,
                WHERE,
            ),
        ),
        Command("get", "ID", "one memory, whole", _get),
        Command(
            "list",
            "",
            "memories, oldest first, page by page",
            _list,
            (
                Option("--limit", "limit", "N", f"how many, {LISTED} unless given", whole),
                Option("--cursor", "cursor", "CURSOR", "the next_cursor of the page before", str),
                NAMESPACES,
                WHERE,
            ),
        ),
        Command("delete", "ID…", "forget memories", _delete, writes=True),
        Command(
            "feedback",
            "[RATING]",
            "say what the last result was worth, 1 (useless) to 5",
            _feedback,
            (
                Option("--relevant", "relevant", "IDS", "memories that helped: 3 or 3,7", ids),
                Option("--irrelevant", "irrelevant", "IDS", "memories that did not", ids),
                Option("--correction", "correction", "TEXT", "the right answer, in quotes; it is remembered", str),
                Option("--success", "task_success", "", "what you did with it worked", flag=True),
                Option("--failure", "task_success", "", "what you did with it failed", flag=False),
                Option("--request", "request_id", "REQUEST_ID", "which result; the last one unless given", str),
            ),
            writes=True,
        ),
        Command(
            "learn", learning.ARGUMENT, "train on feedback; versions and learning curve", learning.learn, writes=True
        ),
        Command("stats", "", "what is stored and learned, how long calls took", _stats),
        Command("info", "", "version, instruction set, settings in force", _info),
        Command("stop", "", "stop commands that run in other threads", _stop),
        Command("help", "[COMMAND]", "this page, or one command's options", _help),
    )
}
CELL_COMMANDS = tuple(name for name, command in COMMANDS.items() if command.argument == TEXT)


def command_named(name: str, among: Sequence[str] = tuple(COMMANDS)) -> Command:
    """The command of that name. Raises InvalidInputError listing what there is."""
    if name not in among:
        kind = "%%ruvllm" if len(among) < len(COMMANDS) else "%ruvllm"
        raise InvalidInputError(f"{kind} has no command {name[:40]!r}.", f"It takes {', '.join(among)}.")
    return COMMANDS[name]


def help_text(name: str = "") -> str:
    """The whole help, or one command's when named. Raises InvalidInputError for an unknown command."""
    if name:
        command = command_named(name)
        rows = [(f"{option.name} {option.value}".rstrip(), option.help) for option in command.options]
        return "\n".join([command.usage, f"    {command.help}", *_aligned(rows)])
    rows = [(f"{command.name} {command.argument}".rstrip(), command.help) for command in COMMANDS.values()]
    return "\n".join(
        [
            "%ruvllm COMMAND [options] …          hits = %ruvllm search …  keeps the result",
            f"%%ruvllm {'|'.join(CELL_COMMANDS)}   the cell's body is the text",
            *_aligned(rows),
            "Options stand before or after the text. {name} and {expression} become their values,",
            "in a cell's body only with --expand; {{name}} means the braces themselves.",
            "%ruvllm help COMMAND tells a command's options.",
        ]
    )


def _aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max((len(left) for left, _ in rows), default=0)
    return [f"  {left:<{width}}  {right}" for left, right in rows]

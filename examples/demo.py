"""The product doing its main job on real input, offline: `make demo`.

It imports the sources of Python's own standard library into a fresh memory, asks questions about them the way an agent
would (an MCP client talking to `ruvllm-mcp` over stdio), says once which answer helped, and shows what that changed for
a question in other words. Every number it prints was measured while it ran. Nothing outside its home folder is written.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from mcp import Client, StdioServerParameters

from ruvllm_mcp import RuvLLM, Settings
from ruvllm_mcp.cli.output import ProgressLine, accent, bold, clipped, dim, terminal_width
from ruvllm_mcp.ingest import import_path
from ruvllm_mcp.ingest.files import Selection
from ruvllm_mcp.ingest.importer import Progress

LIBRARY = Path(sysconfig.get_path("stdlib"))
# The parts of the library that most programs meet; few enough to be read in half a minute on two slow cores.
MODULES = (
    *("bisect", "contextlib", "copy", "csv", "difflib", "fnmatch", "functools", "getpass", "glob", "graphlib", "heapq"),
    *("json", "queue", "random", "sched", "secrets", "shelve", "shutil", "string", "subprocess", "tempfile"),
    *("textwrap", "timeit"),
)

QUESTIONS = (
    "how do I copy a whole folder with everything in it?",
    "make a temporary file that is deleted by itself",
    "run a command and get what it printed",
    "which words look most like this misspelled one?",
    "cache the results of a function so that it is not computed twice",
)


@dataclass(frozen=True)
class Lesson:
    """A question, another one that means the same, and the definition that a person would call the right answer."""

    asked: str
    alike: str
    right: str


# The first of these whose right answer is found, but not first, shows what feedback does.
LESSONS = (
    Lesson("keep a sorted list sorted while adding to it", "add to a list that must stay sorted", "insort_right"),
    Lesson("which word did the user mean by this typo?", "guess the right word for this typo", "get_close_matches"),
    Lesson("how long does this piece of code take?", "measure how long my code takes", "Timer"),
    Lesson(
        "which words look most like this misspelled one?",
        "which of these words did the user mean when the spelling is wrong?",
        "get_close_matches",
    ),
)
SHOWN = 3
LOOKED_AT = 10


@dataclass(frozen=True)
class Asked:
    """A search through the MCP server: its hits, the id feedback takes, and the milliseconds until it was here."""

    hits: Sequence[dict[str, Any]]
    request_id: str
    milliseconds: float

    def rank(self, definition: str) -> int | None:
        """The place, from 1, of the first hit that defines `definition`."""
        return next((place for place, hit in enumerate(self.hits, 1) if defines(hit, definition)), None)


def defines(hit: dict[str, Any], definition: str) -> bool:
    names = hit["metadata"].get("title", "").replace(",", " ").replace(".", " ").split()
    return definition in names


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise SystemExit(f"{tool}: {result.content[0].text}")
    return dict(result.structured_content)


async def ask(client: Client, question: str, k: int) -> Asked:
    started = time.perf_counter()
    found = await call(client, "memory_search", query=question, k=k)
    return Asked(found["memories"], found["request_id"], (time.perf_counter() - started) * 1e3)


def say(text: str = "") -> None:
    click.echo(text)


def show(hits: Sequence[dict[str, Any]], marked: str = "") -> None:
    for hit in hits:
        metadata = hit["metadata"]
        place = f"{metadata['path']}:{metadata['lines'].partition('-')[0]}"
        mark = "  ← the right one" if marked and defines(hit, marked) else ""
        title = bold(metadata["title"]) if "title" in metadata else ""
        say(f"   {accent(place)}  {title}{mark}".rstrip())
        say(dim(f"      {clipped(summary_of(hit['content']), terminal_width() - 6)}"))


def summary_of(passage: str) -> str:
    """The first words of a passage's docstring, else its first line; the line that says where it is from left out."""
    _, _, body = passage.partition("\n")
    docstring = re.search(r"(?:\"{3}|'{3})\s*(\w[^\n]*)", body)
    return docstring[1].rstrip("\"'") if docstring else body.strip().partition("\n")[0]


def chosen() -> Selection:
    """The modules above, told by what is left out."""
    kept = {*MODULES, *(f"{name}.py" for name in MODULES)}
    return Selection(exclude=tuple(sorted(entry.name for entry in LIBRARY.iterdir() if entry.name not in kept)))


async def remember(llm: RuvLLM) -> None:
    line = ProgressLine()

    def on_progress(progress: Progress) -> None:
        line.show(progress.bytes_done / progress.bytes_total, f"{progress.added:,} passages  {progress.current}")

    started = time.perf_counter()
    report = await import_path(llm, LIBRARY, selection=chosen(), on_progress=on_progress)
    seconds = time.perf_counter() - started
    line.clear()
    say(f"   {report.files} files, {bold(f'{report.added:,} passages')} in {seconds:.1f} s")
    say(dim(f"   {report.added / seconds:,.0f} a second with the embedder {llm.settings.embedder}, all safely on disk"))


async def answer_questions(client: Client) -> None:
    for question in QUESTIONS:
        asked = await ask(client, question, SHOWN)
        say(f"\n {bold('?')} {question}  {dim(f'{asked.milliseconds:.0f} ms')}")
        show(asked.hits)


async def learn_once(client: Client) -> None:
    """Feedback on one question, and the place of the right answer to another one before and after."""
    for lesson in LESSONS:
        before, asked = [await ask(client, question, LOOKED_AT) for question in (lesson.alike, lesson.asked)]
        place, was = asked.rank(lesson.right), before.rank(lesson.right)
        if place is not None and was is not None and was > 1:
            break
    else:
        say(f"   Each right answer was first already, or not among the first {LOOKED_AT}: nothing to show.")
        return
    say(f"\n {bold('?')} {lesson.alike}")
    say(f"   The right answer is {bold(lesson.right)}, and it is number {bold(str(was))}:")
    show(before.hits[:SHOWN], lesson.right)
    started = time.perf_counter()
    ids = [hit["id"] for hit in asked.hits[:place]]
    learned = await call(
        client, "feedback", request_id=asked.request_id, relevant=ids[-1:], irrelevant=ids[: min(SHOWN, place - 1)]
    )
    took = (time.perf_counter() - started) * 1e3
    say(f"\n   Feedback on a question in other words: {bold(lesson.asked)}")
    changed = f"{learned['strengthened']} association stronger, {learned['weakened']} weaker, in {took:.0f} ms"
    say(f"   {lesson.right} helped, what stood above it did not. {changed}.")
    after = await ask(client, lesson.alike, LOOKED_AT)
    say(f"\n {bold('?')} {lesson.alike}  {dim('the first one again; nobody rated it')}")
    say(f"   {lesson.right} went from number {bold(str(was))} to number {bold(str(after.rank(lesson.right)))}:")
    show(after.hits[:SHOWN], lesson.right)


def tell_how_to_add(command: str) -> None:
    stdio = json.dumps({"name": "ruvllm", "command": command})
    servers = json.dumps({"mcpServers": {"ruvllm": {"command": command}}})
    say(f"   {bold('Claude Code')}  claude mcp add --scope user ruvllm -- {command}")
    say(f"   {bold('VS Code')}      code --add-mcp '{stdio}'")
    say(f"   {bold('Cursor')}       put into ~/.cursor/mcp.json: {servers}")


async def main(home: Path, embedder: str) -> None:
    started = time.perf_counter()
    say(f"{bold('1. Remember')}  the standard library in {LIBRARY}, into {home}")
    async with RuvLLM(Settings(home=home, namespace="python", embedder=embedder)) as llm:
        await remember(llm)

    command = str(Path(sys.executable).parent / "ruvllm-mcp")
    options = ["--home", str(home), "--namespace", "python", "--embedder", embedder]
    say(f"\n{bold('2. Ask')}  an MCP client over stdio: {command}")
    connecting = time.perf_counter()
    async with Client(StdioServerParameters(command=command, args=options)) as client:
        tools = (await client.list_tools()).tools
        took = (time.perf_counter() - connecting) * 1e3
        say(dim(f"   server started and {len(tools)} tools listed in {took:.0f} ms"))
        first = await ask(client, "warm up", 1)
        say(dim(f"   first search, which reads weights and index: {first.milliseconds:.0f} ms; then:"))
        await answer_questions(client)
        say(f"\n{bold('3. Learn')}  from one feedback")
        await learn_once(client)

    say(f"\n{bold('4. Use it')}  in your own agent; one line adds the server:")
    tell_how_to_add(command)
    say(dim(f"\n{time.perf_counter() - started:.0f} s in all. Go on by yourself:"))
    say(f'   {Path(command).parent / "ruvllm"} memory search "…" --home {home} -n python')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--embedder", default="minilm", help="what turns text into vectors (default: %(default)s)")
    fresh = Path(__file__).resolve().parent.parent / ".build" / "demo"
    shutil.rmtree(fresh, ignore_errors=True)
    embedder = parser.parse_args().embedder
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(fresh, embedder))

"""Writers and readers in processes of their own on one store: what each saw, and what must be true of it.

A writer adds, and tells in shared memory how far it was acknowledged. A reader looks there first and then searches, by
words and by meaning in turn: what was acknowledged before its search began must be found by it.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from ruvllm_mcp.errors import RuvLLMError
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder

FORK = multiprocessing.get_context("fork")
PATIENCE_SECONDS = 60.0  # for the first write and search, on a machine that is busy


@dataclass
class Seen:
    """`written` and `searches` altogether, `stale` searches that missed what was acknowledged before, `errors` of any
    process, `lost` and `doubled` memories."""

    written: int
    searches: int
    stale: int
    errors: list[str]
    lost: int
    doubled: int


def opened(folder: Path) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here")


def begin(all_open: Barrier) -> float:
    """The time at which every process has opened the store; none waits for one that could not."""
    with suppress(BrokenBarrierError):
        all_open.wait(10)
    return time.monotonic()


def is_time_left(until: float, done: int) -> bool:
    return time.monotonic() < until + (0 if done else PATIENCE_SECONDS)


def content(writer: int, number: int) -> str:
    return f"writer{writer} said marker{writer}x{number}"


def write(folder: Path, writer: int, acknowledged: Any, all_open: Barrier, seconds: float) -> tuple[int, int]:
    """Adds one after another; (how many, 0)."""
    memory, number = opened(folder), 0
    until = begin(all_open) + seconds
    while is_time_left(until, number):
        memory.add([NewMemory(content(writer, number))])
        acknowledged[writer] = number = number + 1
    memory.close()
    return number, 0


def read(folder: Path, reader: int, acknowledged: Any, all_open: Barrier, seconds: float) -> tuple[int, int]:
    """Searches for the latest of each writer in turn; (how many searches, how many of them missed it)."""
    memory, searches, stale = opened(folder), 0, 0
    until = begin(all_open) + seconds
    while is_time_left(until, searches):
        writer, reader = reader % len(acknowledged), reader + 1
        if not (last := acknowledged[writer]):
            time.sleep(0.01)
            continue
        wanted = content(writer, last - 1)
        hits = memory.search(wanted, 3, mode="lexical" if searches % 2 else "vector").hits
        stale += wanted not in {hit.content for hit in hits}
        searches += 1
    memory.close()
    return searches, stale


def _run(work: Any, out: Connection, *arguments: Any) -> None:
    try:
        out.send(work(*arguments))
    except RuvLLMError as error:
        out.send(f"{type(error).__name__}: {error}")


def together(folder: Path, writers: int, readers: int, seconds: float) -> Seen:
    """Runs them side by side and compares what they saw with what is stored."""
    acknowledged = FORK.Array("q", writers, lock=False)
    all_open = FORK.Barrier(writers + readers)
    jobs = []
    for work, number in [*((write, n) for n in range(writers)), *((read, n) for n in range(readers))]:
        answer, out = FORK.Pipe(duplex=False)
        process = FORK.Process(
            target=_run, args=(work, out, folder, number, acknowledged, all_open, seconds), daemon=True
        )
        process.start()
        out.close()
        jobs.append((process, answer))
    answers: list[Any] = []
    for process, answer in jobs:
        try:
            answers.append(answer.recv())
        except EOFError:
            answers.append("a process died")
        process.join()
    done = [item if isinstance(item, tuple) else (0, 0) for item in answers]
    memory = opened(folder)
    stored = [record.content for record in memory.records()]
    memory.close()
    expected = {content(writer, number) for writer in range(writers) for number in range(acknowledged[writer])}
    return Seen(
        written=sum(acknowledged),
        searches=sum(count for count, _ in done[writers:]),
        stale=sum(count for _, count in done[writers:]),
        errors=[item for item in answers if isinstance(item, str)],
        lost=len(expected.difference(stored)),
        doubled=len(stored) - len(set(stored)) + len(set(stored) - expected),
    )

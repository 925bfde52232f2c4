"""How fast adding and searching are on this machine, in a store of its own that is gone afterwards."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ruvllm_mcp.benchmark.texts import notes
from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory, SearchMode

T = TypeVar("T")

SIZE = 2000
WORDS, QUESTION_WORDS = 30, 6
CHUNK = 100
SECONDS_OF_ADDING = 10.0
MODES: tuple[SearchMode, ...] = ("hybrid", "vector", "lexical")


@dataclass(frozen=True)
class Timed:
    """Milliseconds of one operation in a store of so many memories: median, 95th percentile, of how many calls."""

    name: str
    memories: int
    p50_ms: float
    p95_ms: float
    calls: int


def run(embedder: Embedder, progress: Callable[[int, int], None] | None = None) -> list[Timed]:
    """Fills a store with up to 2,000 notes of 30 words, as many as 10 seconds allow, then adds and searches one by one.

    Takes well under 30 seconds. `progress` is told how much is done, of how much.
    """
    whole = SIZE + 50 * (2 + len(MODES))
    tell = progress or (lambda _done, _whole: None)
    texts, questions = notes(SIZE + 50, WORDS, seed=1), notes(50, QUESTION_WORDS, seed=2)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(Path(folder), lambda: embedder, namespace="benchmark")
        try:
            start, size, chunks = time.perf_counter(), 0, []
            while size < SIZE and time.perf_counter() - start < SECONDS_OF_ADDING:
                chunk = [NewMemory(text) for text in texts[size : size + CHUNK]]
                chunks.append(_milliseconds(memory.add, chunk) / len(chunk))
                size += len(chunk)
                tell(size, whole)
            measured.append(_timed("add, a hundred at a time, each", size, chunks))
            single = [_milliseconds(memory.add, [NewMemory(text)]) for text in texts[SIZE:]]
            measured.append(_timed("add one", size, single))
            tell(SIZE + 100, whole)
            memory.search(questions[0])
            for done, mode in enumerate(MODES):
                taken = [_milliseconds(partial(memory.search, mode=mode), asked) for asked in questions]
                measured.append(_timed(f"search, {mode}", size + 50, taken))
                tell(SIZE + 50 * (3 + done), whole)
        finally:
            memory.close()
    tell(whole, whole)
    return measured


def table(measured: Sequence[Timed]) -> str:
    """The figures as text."""
    lines = [f"{'operation':32} {'memories':>9} {'p50':>11} {'p95':>11}"]
    for row in measured:
        lines.append(f"{row.name:32} {row.memories:>9,} {row.p50_ms:>8.2f} ms {row.p95_ms:>8.2f} ms")
    return "\n".join(lines)


def _milliseconds(call: Callable[[T], object], argument: T) -> float:
    start = time.perf_counter()
    call(argument)
    return 1e3 * (time.perf_counter() - start)


def _timed(name: str, memories: int, taken: Sequence[float]) -> Timed:
    middle, high = np.percentile(taken, (50, 95))
    return Timed(name, memories, float(middle), float(high), len(taken))

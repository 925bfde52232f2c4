"""Does a process that works for long keep its size? Mixed operations on one engine, its resident memory on the way.

    python benchmarks/soak.py [OPERATIONS]

Searches, contexts, adds, updates, deletes, feedback and reads, in a random order of fixed shares, on a store kept at
about 3,000 memories. The first fifth is warm-up; after it the process should stay within 5 % of its mean size. Resident
is what the process has of its own (anonymous) and what it has mapped of files, which the system takes back at need.
"""

from __future__ import annotations

import asyncio
import collections
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from ruvllm_mcp import RuvLLM  # noqa: E402  beside this folder

KEPT = 3_000
STARTS, ENDS = ("ba", "ce", "di", "fo", "gu", "ha", "ki", "lo", "mu", "ne"), ("rt", "lm", "sk", "nd", "pp")
WORDS = [start + end for start in STARTS for end in ENDS]
SHARES = {"search": 40, "add": 20, "delete": 19, "update": 8, "context": 5, "feedback": 5, "get": 3}
TOLD = 20


class Soak:
    """The operations, on an open engine."""

    def __init__(self, llm: RuvLLM, chosen: random.Random) -> None:
        self.llm, self.chosen = llm, chosen
        self.ids: list[int] = []
        self.last_request: tuple[str, int] | None = None

    def text(self, words: int = 12) -> str:
        return " ".join(self.chosen.choices(WORDS, k=words)) + f" {self.chosen.getrandbits(40):x}"

    def some(self) -> int:
        return self.chosen.choice(self.ids)

    async def add(self) -> None:
        self.ids.append(int(await self.llm.add_memory(self.text(), {"n": self.chosen.randrange(9)})))

    async def delete(self) -> None:
        while len(self.ids) > KEPT:
            place = self.chosen.randrange(len(self.ids))
            self.ids[place], self.ids[-1] = self.ids[-1], self.ids[place]
            await self.llm.delete_memory(self.ids.pop())

    async def update(self) -> None:
        await self.llm.update_memory(self.some(), content=self.text())

    async def search(self) -> None:
        mode: Any = self.chosen.choice(["hybrid", "hybrid", "vector", "lexical"])
        where = {"n": {"$gt": 4}} if self.chosen.random() < 0.2 else None
        hits = await self.llm.search_memory(self.text(4), 10, mode=mode, where=where)
        if hits:
            self.last_request = (hits.request_id, hits[-1].id)

    async def context(self) -> None:
        await self.llm.context(self.text(4), 200)

    async def feedback(self) -> None:
        if self.last_request:
            await self.llm.feedback(self.last_request[0], relevant=[self.last_request[1]])

    async def get(self) -> None:
        await self.llm.get_memory(self.some())


def resident_bytes() -> tuple[int, int]:
    """All that is resident, and the anonymous part of it."""
    lines = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(lines[name].split()[0]) * 1024 for name in ("Rss", "Anonymous"))  # type: ignore[return-value]  # two


async def run(operations: int, home: str) -> None:
    chosen, sizes = random.Random(4), []
    done: collections.Counter[str] = collections.Counter()
    async with RuvLLM(home=home, embedder="static", namespace="soak") as llm:
        soak = Soak(llm, chosen)
        calls: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {name: getattr(soak, name) for name in SHARES}
        soak.ids += map(int, await llm.add_memories([soak.text() for _ in range(KEPT)]))
        started, step = time.monotonic(), max(1, operations // 200)
        for number in range(operations):
            name = chosen.choices(list(SHARES), weights=list(SHARES.values()))[0]
            await calls[name]()
            done[name] += 1
            if (number + 1) % step == 0:
                sizes.append(resident_bytes())
            if (number + 1) % (operations // TOLD) == 0:
                seconds = time.monotonic() - started
                whole, own = (size / 1e6 for size in sizes[-1])
                print(f"{number + 1:,} operations, {seconds:.0f} s: {whole:.1f} MB, {own:.1f} anonymous", flush=True)
    print(", ".join(f"{count:,} {name}" for name, count in done.items()))
    for what, taken in zip(("resident", "anonymous"), zip(*sizes, strict=True), strict=True):
        kept = taken[len(taken) // 5 :]
        mean = sum(kept) / len(kept)
        low, high = min(kept) / mean - 1, max(kept) / mean - 1
        print(f"{what} after warm-up: {mean / 1e6:.1f} MB, {low:+.1%} to {high:+.1%}; last {kept[-1] / mean - 1:+.1%}")


def main(operations: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(run(operations, home))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)

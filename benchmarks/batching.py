"""Many answers at once on one model: what sharing passes gains, and a long run of requests with random cancels.

    python benchmarks/batching.py MODEL [--seconds 600] [--clients 8]

First the tokens a second of 1, 2, 4 and 8 answers written together. Then `--clients` threads ask for --seconds, a third
of the answers cancelled at a random token: every token must be the one that the same request gives alone (greedy), and
the process must not grow: resident memory is told each tenth of the time, the last figure against the first.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import Counter
from pathlib import Path

from ruvllm_mcp.llm.loaded import Loaded, load
from ruvllm_mcp.llm.writing import Writing
from ruvllm_mcp.types import GenerationConfig

LENGTH = 96
OPENINGS = (
    "Once upon a time",
    "One day, a little boy named Tim went to the park with his mom and saw a big dog.",
    "The sun was hot and Lily wanted",
    "def total(items):",
)
TEXTS = tuple(f"{opening} {n * 'and then ' if n % 3 else ''}{n}" for n in range(8) for opening in OPENINGS)


def writing(loaded: Loaded, text: str) -> Writing:
    config = GenerationConfig(max_tokens=LENGTH, temperature=0)
    return Writing(loaded.tokenizer, loaded.tokenizer.encode(text), config, loaded.context, is_reply=False)


def speeds(loaded: Loaded) -> None:
    for together in (1, 2, 4, 8):
        made = [writing(loaded, text) for text in TEXTS[:together]]
        started = time.perf_counter()
        requests = [loaded.batcher.start(one) for one in made]
        for request in requests:
            request.wait(lambda _: None)
        count = sum(one.usage.completion_tokens for one in made)
        print(f"{together} together: {count / (time.perf_counter() - started):7.0f} tokens/s")


def resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


class Soak:
    """Clients that ask, cancel and compare. `counts`: answers whole, cancelled and wrong."""

    def __init__(self, loaded: Loaded) -> None:
        self.counts: Counter[str] = Counter()
        self._loaded = loaded
        self._lock = threading.Lock()
        self._alone = {text: self._written(text, None) for text in TEXTS}

    def _written(self, text: str, limit: int | None) -> list[int]:
        """The answer's tokens; cancelled after `limit` pieces of text."""
        made = writing(self._loaded, text)
        request = self._loaded.batcher.start(made)
        pieces: list[str] = []

        def note(piece: str) -> None:
            pieces.append(piece)
            if len(pieces) == limit:
                request.cancel()

        request.wait(note)
        return made.tokens[made.usage.prompt_tokens :]

    def client(self, seed: int, until: float) -> None:
        chance = random.Random(seed)
        while time.monotonic() < until:
            text, limit = chance.choice(TEXTS), chance.choice([None, None, chance.randrange(1, LENGTH)])
            tokens, alone = self._written(text, limit), self._alone[text]
            is_right = tokens == alone[: len(tokens)] and (limit is not None or len(tokens) == len(alone))
            with self._lock:
                self.counts["wrong" if not is_right else "cancelled" if len(tokens) < len(alone) else "whole"] += 1

    def run(self, clients: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self.client, args=(seed, until)) for seed in range(clients)]
        for thread in threads:
            thread.start()
        first = 0
        for tenth in range(1, 11):
            time.sleep(max(0.0, until - seconds * (1 - tenth / 10) - time.monotonic()))
            now = resident_bytes()
            first = first or now
            print(f"{tenth * seconds / 10:6.0f} s  {now / 1e6:8.1f} MB  {now / first - 1:+.1%}  {dict(self.counts)}")
        for thread in threads:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    loaded = load(given.model)
    speeds(loaded)
    Soak(loaded).run(given.clients, given.seconds)
    loaded.close()


if __name__ == "__main__":
    main()

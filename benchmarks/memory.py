"""Speed of the whole memory: adds and searches at several sizes. The dense index beside its peers: `vectors.py`.

    python benchmarks/memory.py [--sizes 1000,10000,100000] [--embedder free|static|minilm|repeated]

Texts are made of English-like words in Zipf's proportions, 40 a memory, so that common words are as common as in
prose. `free` costs nothing, to measure the memory alone. `repeated` is `minilm` for questions; memories are docstrings
of Python's standard library, 1,000 of them again and again with a number after each, and of each only the first is
encoded: the others get its token vectors and its vector moved by part of the difference of two others.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from vectors import SPREAD, docstrings

from ruvllm_mcp.embed import load
from ruvllm_mcp.embed.base import Embedder, Encoded
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory, SearchMode

VOCABULARY = 30_000
FUNCTION_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "his",
    "but",
    "at",
    "are",
    "this",
    "have",
    "from",
]


def vocabulary() -> list[str]:
    syllables = [c + v for c in "bcdfghjklmnprstvw" for v in ("a", "e", "i", "o", "u", "ai", "ou", "er", "an")]
    chosen = random.Random(1)
    made = {"".join(chosen.choices(syllables, k=chosen.randint(1, 4))) for _ in range(VOCABULARY * 2)}
    return FUNCTION_WORDS + sorted(made)[:VOCABULARY]


def texts(count: int, words: int, seed: int) -> list[str]:
    known = vocabulary()
    weights = [1 / (rank + 2) for rank in range(len(known))]
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(known, weights, k=words)) for _ in range(count)]


class FreeEmbedder:
    """A unit vector of 384 dimensions drawn from each text: no meaning, no cost."""

    name, dim, fingerprint, has_tokens = "free", 384, "free", False

    def encode(self, given: Sequence[str], *, tokens: bool = False) -> Encoded:  # noqa: ARG002  it has none
        rows = np.array([np.random.default_rng(zlib.crc32(text.encode())).standard_normal(384) for text in given])
        return Encoded((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), None)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


class RepeatedEmbedder:
    """`minilm`, but a text that ends in a line with a number is not encoded: it has what was made of the rest once."""

    def __init__(self) -> None:
        self._real = load("minilm")
        self.name, self.dim, self.has_tokens = "repeated", self._real.dim, self._real.has_tokens
        self.fingerprint = f"repeated {self._real.fingerprint}"
        self.texts = docstrings()[500:1_500]
        parts = [self._real.encode(self.texts[at : at + 50], tokens=True) for at in range(0, len(self.texts), 50)]
        self._vectors = np.concatenate([part.vectors for part in parts])
        self._tokens = [tokens for part in parts for tokens in part.tokens or ()]

    def encode(self, given: Sequence[str], *, tokens: bool = False) -> Encoded:
        numbers = [text.rpartition("\n")[2] for text in given]
        if not all(number.isdigit() for number in numbers):
            return self._real.encode(given, tokens=tokens)
        chosen = np.array([int(number) for number in numbers])
        one, other = np.random.default_rng(chosen[0]).integers(0, len(self.texts), (2, len(chosen)))
        rows = self._vectors[chosen % len(self.texts)] + np.float32(SPREAD) * (
            self._vectors[one] - self._vectors[other]
        )
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return Encoded(rows, tuple(self._tokens[number % len(self.texts)] for number in chosen) if tokens else None)

    def count_tokens(self, text: str) -> int:
        return self._real.count_tokens(text)


def synced_write() -> float:
    """Median milliseconds to append 64 KB to a file and have it on the disk: what a durable add costs at least."""
    with tempfile.NamedTemporaryFile() as file:

        def write(_: str) -> None:
            file.write(bytes(65_536))
            file.flush()
            os.fsync(file.fileno())

        return milliseconds(write, [""] * 40)[0]


def milliseconds(call: Callable[[str], object], arguments: list[str]) -> tuple[float, float, float]:
    """Median and 95th percentile of the time over the arguments, and the median of processor time alone."""
    taken, busy = [], []
    for argument in arguments:
        start, cpu = time.perf_counter(), time.process_time()
        call(argument)
        taken.append((time.perf_counter() - start) * 1e3)
        busy.append((time.process_time() - cpu) * 1e3)
    return statistics.median(taken), float(np.percentile(taken, 95)), statistics.median(busy)


def report(size: int, what: str, times: tuple[float, float, float]) -> None:
    print(
        f"{size:>9,}  {what:<12} {times[0]:>9.2f} ms p50 {times[1]:>9.2f} ms p95 {times[2]:>9.2f} ms of processor time"
    )


def whole_memory(size: int, embedder_name: str) -> None:
    made, questions = texts(size, 40, seed=1), texts(100, 6, seed=2)
    embedder: Embedder
    if embedder_name == "repeated":
        embedder = RepeatedEmbedder()
        made = [f"{embedder.texts[n % len(embedder.texts)]}\n{n}" for n in range(size)]
        questions = [text.splitlines()[0][:100] for text in docstrings()[:100]]
    else:
        embedder = FreeEmbedder() if embedder_name == "free" else load(embedder_name)
    embedder.encode(["warm up"])
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(Path(folder), lambda: embedder, namespace="bench")
        items = [NewMemory(text, {"number": n % 100, "kind": f"k{n % 10}"}) for n, text in enumerate(made)]
        start, cpu = time.perf_counter(), time.process_time()
        for first in range(0, size, 2_000):
            memory.add(items[first : first + 2_000])
        bulk, bulk_cpu = size / (time.perf_counter() - start), size / (time.process_time() - cpu)
        memory.search("first")
        while (builder := memory._live._builder) is not None and builder.is_alive():
            builder.join()
            memory.search("and starts another for what came meanwhile")
        print(f"{size:>9,}  bulk add     {bulk:>9,.0f} /s   ({bulk_cpu:,.0f} /s of processor time)")
        modes: tuple[SearchMode, ...] = ("hybrid", "vector", "lexical")
        for mode in modes:
            report(size, mode, milliseconds(partial(memory.search, mode=mode), questions))
        report(size, "filtered", milliseconds(partial(memory.search, where={"kind": "k3"}), questions[:20]))
        report(size, "single add", milliseconds(lambda text: memory.add([NewMemory(text)]), texts(50, 40, seed=3)))
        stored = memory.stats()["bytes"]
        memory.close()
        start = time.perf_counter()
        again = Memory(Path(folder), lambda: embedder, namespace="bench")
        again.search(questions[0])
        print(f"{size:>9,}  open, search {(time.perf_counter() - start) * 1e3:>9.2f} ms")
        again.close()
        index = sum(path.stat().st_size for path in Path(folder).glob("index-*"))
        print(f"{size:>9,}  bytes/memory {stored / size:>9,.0f} store, {index / size:,.0f} index files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--embedder", default="free")
    given = parser.parse_args()
    print(f"a synced write of 64 KB takes {synced_write():.2f} ms here")
    for size in map(int, given.sizes.split(",")):
        whole_memory(size, given.embedder)
    print(f"greatest resident size {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()

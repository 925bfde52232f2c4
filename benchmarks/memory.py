"""Speed of the memory: adds and searches at several sizes, and the dense index beside its peers, in one run.

    python benchmarks/memory.py [--sizes 1000,10000,100000] [--embedder free] [--peers]

Texts are made of English-like words in Zipf's proportions, 40 a memory, so that common words are as common as in
prose. Peers (`hnswlib`, `faiss`, `usearch`, where installed) search the same vectors; each line gives recall@10
against exact search.
"""

from __future__ import annotations

import argparse
import importlib.util
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

from ruvllm_mcp.embed import load
from ruvllm_mcp.embed.base import Embedder, Encoded
from ruvllm_mcp.memory import codes, hnsw
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
    embedder: Embedder = FreeEmbedder() if embedder_name == "free" else load(embedder_name)
    embedder.encode(["warm up"])
    questions = texts(100, 6, seed=2)
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(Path(folder), lambda: embedder, namespace="bench")
        items = [
            NewMemory(text, {"number": n % 100, "kind": f"k{n % 10}"}) for n, text in enumerate(texts(size, 40, seed=1))
        ]
        start, cpu = time.perf_counter(), time.process_time()
        for first in range(0, size, 2_000):
            memory.add(items[first : first + 2_000])
        bulk, bulk_cpu = size / (time.perf_counter() - start), size / (time.process_time() - cpu)
        memory.search("first")
        builder = memory._live._builder
        if builder is not None:
            builder.join()
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
        index = sum(path.stat().st_size for path in Path(folder).glob("*.snap"))
        print(f"{size:>9,}  bytes/memory {stored / size:>9,.0f} store, {index / size:,.0f} index file")


def unit_rows(count: int, dim: int, seed: int) -> np.ndarray:
    """Rows in clusters of a 40-dimensional subspace with noise around, as text embeddings lie."""
    generator = np.random.default_rng(seed)
    basis = np.random.default_rng(0).standard_normal((40, dim), np.float32)
    centres = np.random.default_rng(1).standard_normal((2_000, 40), np.float32)
    rows = (
        centres[generator.integers(0, 2_000, count)] + 0.7 * generator.standard_normal((count, 40), np.float32)
    ) @ basis
    rows += generator.standard_normal((count, dim), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def dense_peers(size: int, dim: int = 384, queries: int = 200) -> None:
    rows, asked = unit_rows(size, dim, seed=5), unit_rows(queries, dim, seed=6)
    exact = np.argsort(-(asked @ rows.T), axis=1)[:, :10]

    def line(name: str, search: Callable[[np.ndarray], np.ndarray], built: float, bytes_each: float) -> None:
        taken, found = [], []
        for query in asked:
            start = time.perf_counter()
            found.append(search(query))
            taken.append((time.perf_counter() - start) * 1e3)
        recall = np.mean([len(set(a[:10].tolist()) & set(b.tolist())) / 10 for a, b in zip(found, exact, strict=True)])
        print(
            f"{size:>9,}  {name:<22} {statistics.median(taken):>8.3f} ms p50  recall@10 {recall:.4f}  "
            f"built in {built:>6.1f} s of processor time  {bytes_each:>6.0f} bytes/vector"
        )

    start = time.process_time()
    coded, scales = codes.quantised(rows)
    graph = hnsw.extended(hnsw.empty(), coded, scales)
    assert graph is not None
    built = time.process_time() - start
    walker, keep = hnsw.Walker(graph, coded, scales), np.ones(size, np.uint8)
    bytes_each = (coded.nbytes + scales.nbytes + graph.bytes) / size

    def ours(query: np.ndarray, ef: int) -> np.ndarray:
        near = walker.search(codes.Query(query), keep, ef)[0][:30]
        return near[np.argsort(-(rows[near] @ query))]

    for ef in (32, 64, 128):
        line(f"ours, ef {ef}", lambda query, ef=ef: ours(query, ef), built, bytes_each)
    if importlib.util.find_spec("hnswlib"):
        import hnswlib

        index = hnswlib.Index("ip", dim)
        index.init_index(size, M=16, ef_construction=100)
        start = time.process_time()
        index.add_items(rows, num_threads=1)
        built = time.process_time() - start
        for ef in (32, 64, 128):
            index.set_ef(ef)
            line(
                f"hnswlib, ef {ef}",
                lambda query: index.knn_query(query, 10, num_threads=1)[0][0],
                built,
                index.index_file_size() / size,
            )
    if importlib.util.find_spec("usearch"):
        from usearch.index import Index

        for kind in ("f32", "i8"):
            peer = Index(ndim=dim, metric="ip", dtype=kind, connectivity=16, expansion_add=100)
            start = time.process_time()
            peer.add(np.arange(size), rows, threads=1)
            built = time.process_time() - start
            for ef in (32, 64, 128):
                peer.expansion_search = ef
                line(
                    f"usearch {kind}, ef {ef}",
                    lambda query, peer=peer: peer.search(query, 10, threads=1).keys,
                    built,
                    peer.memory_usage / size,
                )
    if importlib.util.find_spec("faiss"):
        import faiss

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexHNSWFlat(dim, 16, faiss.METRIC_INNER_PRODUCT)
        flat.hnsw.efConstruction = 100
        start = time.process_time()
        flat.add(rows)
        built = time.process_time() - start
        for ef in (32, 64, 128):
            flat.hnsw.efSearch = ef
            line(f"faiss HNSW, ef {ef}", lambda query: flat.search(query[None], 10)[1][0], built, 4 * dim + 8 * 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--embedder", default="free")
    parser.add_argument(
        "--peers", action="store_true", help="the dense index beside hnswlib, usearch and faiss instead"
    )
    given = parser.parse_args()
    print(f"a synced write of 64 KB takes {synced_write():.2f} ms here")
    for size in map(int, given.sizes.split(",")):
        if given.peers:
            dense_peers(size)
        else:
            whole_memory(size, given.embedder)
    print(f"greatest resident size {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()

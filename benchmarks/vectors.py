"""The dense index beside its peers: recall@10 and time a query, each tuned to the same recall, in one run.

    python benchmarks/vectors.py build --size 100000 [--only ours,faiss]      builds each index once, into --folder
    python benchmarks/vectors.py compare --size 100000 [--recall 0.98]        asks them all the same questions
    python benchmarks/vectors.py memory --size 100000     what each holds in memory after them, in a process of its own
    python benchmarks/vectors.py tiers --size 100000      bytes, recall and time of the small index, by use

The vectors are the `minilm` embedder's for docstrings of Python's standard library; to have more than there are, each
is taken again with part of the difference of two others added, which keeps the shape of the cloud (cosine to the
original about 0.9). Questions are docstrings that are not among them. The engines take turns, 25 questions at a time on
one thread, so that whatever else the machine does meets all of them. Each is asked at rising effort (`ef` and the like)
until it reaches the recall.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import random
import shutil
import sysconfig
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from vector_peers import Ask, Rows, installed

from ruvllm_mcp.embed import load
from ruvllm_mcp.memory.codes import Query
from ruvllm_mcp.memory.tiers import TieredIndex, levels

TEXTS, QUESTIONS, SPREAD = 5_000, 500, 0.4
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
BLOCK = 25
EFFORTS = (10, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024, 1_536, 2_048)


def docstrings() -> list[str]:
    """The distinct docstrings of Python's standard library, shuffled."""
    found: set[str] = set()
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        try:
            nodes = list(ast.walk(ast.parse(path.read_bytes())))
        except (SyntaxError, ValueError):
            continue
        texts = (ast.get_docstring(node) for node in nodes if isinstance(node, DOCUMENTED))
        found |= {text[:400] for text in texts if text and len(text) > 40}
    chosen = sorted(found)
    random.Random(1).shuffle(chosen)
    return chosen[: TEXTS + QUESTIONS]


def embedded(folder: Path) -> Rows:
    """Their `minilm` vectors, made once."""
    cached = folder / "docstrings.npy"
    if not cached.exists():
        folder.mkdir(parents=True, exist_ok=True)
        texts, embed = docstrings(), load("minilm").encode
        np.save(cached, np.concatenate([embed(texts[at : at + 64]).vectors for at in range(0, len(texts), 64)]))
    rows: Rows = np.load(cached)
    return rows


def vectors(count: int, folder: Path) -> Rows:
    """The vectors, made once, mapped from a file."""
    path = folder / f"{count}.npy"
    if not path.exists():
        partial = path.with_name(f"{count}.{os.getpid()}.npy")
        np.save(partial, _varied(embedded(folder)[QUESTIONS:], count))
        partial.replace(path)
    rows: Rows = np.load(path, mmap_mode="r").view(np.ndarray)
    return rows


def _varied(base: Rows, count: int) -> Rows:
    rows = np.empty((count, base.shape[1]), np.float32)
    generator = np.random.default_rng(2)
    for at in range(0, count, len(base)):
        part = base[: count - at].copy()
        if at:
            one, other = generator.integers(0, len(base), (2, len(part)))
            part += np.float32(SPREAD) * (base[one] - base[other])
        rows[at : at + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def answers(size: int, rows: Rows, asked: Rows, folder: Path) -> npt.NDArray[np.int64]:
    """What is right, worked out once."""
    path = folder / f"{size}" / f"true-{len(asked)}.npy"
    if not path.exists():
        np.save(path, exact(rows, asked))
    true: npt.NDArray[np.int64] = np.load(path)
    return true


def exact(rows: Rows, asked: Rows, k: int = 10) -> npt.NDArray[np.int64]:
    best_scores, best_rows = np.full((len(asked), k), -2, np.float32), np.zeros((len(asked), k), np.int64)
    for at in range(0, len(rows), 50_000):
        scores = np.concatenate([best_scores, asked @ rows[at : at + 50_000].T], axis=1)
        numbers = np.broadcast_to(np.arange(at, at + scores.shape[1] - k), (len(asked), scores.shape[1] - k))
        numbers = np.concatenate([best_rows, numbers], axis=1)
        order = np.argpartition(-scores, k, axis=1)[:, :k]
        best_scores, best_rows = np.take_along_axis(scores, order, 1), np.take_along_axis(numbers, order, 1)
    return best_rows


def build(size: int, folder: Path, only: set[str]) -> None:
    rows = vectors(size, folder)
    for name, engine in installed().items():
        if only and name not in only:
            continue
        place = folder / f"{size}" / name.replace(" ", "-")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        start, busy = time.perf_counter(), time.process_time()
        engine.build(rows, place)
        busy, wall = time.process_time() - busy, time.perf_counter() - start
        stored = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        (place / "built.json").write_text(json.dumps({"seconds": busy, "bytes": stored / size}))
        print(
            f"{size:>9,}  {name:<18} built in {busy:>7.1f} s of processor time ({wall:.0f} s), "
            f"{stored / size:>6,.0f} bytes a vector",
            flush=True,
        )


def recall(found: list[object], true: npt.NDArray[np.int64]) -> float:
    return float(np.mean([len(set(map(int, a)) & set(b.tolist())) / 10 for a, b in zip(found, true, strict=True)]))


def effort_for(ask: Ask, asked: Rows, true: npt.NDArray[np.int64], wanted: float, place: Path) -> int:
    """The least effort that reaches the recall, else the greatest; remembered beside the index."""
    remembered = place / f"effort-{wanted}-{len(asked)}"
    if remembered.exists():
        return int(remembered.read_text())
    for effort in EFFORTS:
        if recall([ask(query, effort) for query in asked], true) >= wanted:
            break
    remembered.write_text(str(effort))
    return effort


def built(size: int, folder: Path, only: set[str]) -> dict[str, Path]:
    """Where the indexes lie that can be asked."""
    places = {name: folder / f"{size}" / name.replace(" ", "-") for name in installed() if not only or name in only}
    return {name: place for name, place in places.items() if (place / "built.json").exists()}


def compare(size: int, folder: Path, only: set[str], wanted: float, count: int) -> None:
    rows, asked = vectors(size, folder), embedded(folder)[:count]
    true = answers(size, rows, asked, folder)
    asking: dict[str, tuple[Ask, int]] = {}
    for name, place in built(size, folder, only).items():
        ask = installed()[name].open(rows, place)
        asking[name] = (ask, effort_for(ask, asked, true, wanted, place))
        for query in asked[:50]:
            ask(query, asking[name][1])
    taken: dict[str, list[float]] = {name: [] for name in asking}
    found: dict[str, list[object]] = {name: [] for name in asking}
    for block in np.array_split(asked, max(len(asked) // BLOCK, 1)):
        for name, (ask, effort) in asking.items():
            for query in block:
                start = time.perf_counter()
                found[name].append(ask(query, effort))
                taken[name].append((time.perf_counter() - start) * 1e3)
    ours = float(np.median(taken.get("ours", [np.nan])))
    for name, (_, effort) in asking.items():
        p50, p95 = np.percentile(taken[name], [50, 95])
        print(
            f"{size:>9,}  {name:<18} effort {effort:>4}  recall@10 {recall(found[name], true):.4f}  "
            f"{p50:>8.3f} ms p50 {p95:>8.3f} ms p95  {p50 / ours:>7.2f} times ours"
        )


def resident() -> int:
    """Bytes of this process that lie in memory, mapped files with them."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held(name: str, size: int, folder: Path, effort: int, count: int) -> int:
    """What opening an index and asking it adds to a process."""
    rows, asked, engine = vectors(size, folder), np.array(embedded(folder)[:count]), installed()[name]
    before = resident()
    ask = engine.open(rows, folder / f"{size}" / name.replace(" ", "-"))
    for query in asked:
        ask(query, effort)
    return resident() - before


def in_memory(size: int, folder: Path, only: set[str], wanted: float, count: int) -> None:
    for name, place in built(size, folder, only).items():
        effort = int((place / f"effort-{wanted}-{count}").read_text())
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            taken = fresh.apply(held, (name, size, folder, effort, count))
        print(f"{size:>9,}  {name:<18} {taken / 1e6:>8,.0f} MB in memory", flush=True)


def by_use(size: int, folder: Path, count: int) -> None:
    """The small index where memories are found in Zipf's proportions, asked about what is found and about anything."""
    rows, generator = vectors(size, folder), np.random.default_rng(3)
    popular = generator.permutation(size)
    shares = 1 / np.arange(1, size + 1)
    shares /= shares.sum()
    counts = np.bincount(popular[generator.choice(size, 2 * size, p=shares)], minlength=size)
    level = levels(counts, np.zeros(size), 0.0, size)
    index = TieredIndex(rows.shape[1], lambda wanted: rows[wanted])
    start = time.process_time()
    for at in range(0, size, 5_000):
        index.append(rows[at : at + 5_000])
        index.settle(level[at : at + 5_000])
    each, whole = index.bytes / size, 4 * rows.shape[1]
    print(f"{size:>9,}  {index.sizes}, settled in {time.process_time() - start:.1f} s of processor time")
    print(f"{size:>9,}  {each:.0f} bytes a vector, {whole / each:.1f} times less than float32")
    about = rows[popular[generator.choice(size, count, p=shares)]]
    one, other = generator.integers(0, size, (2, count))
    about = about + np.float32(SPREAD) * (rows[one] - rows[other])
    keep = np.ones(size, np.uint8)
    for what, asked in (("what is found", about), ("anything", embedded(folder)[:count])):
        questions = asked / np.linalg.norm(asked, axis=1, keepdims=True)
        taken, found = [], []
        for query in questions:
            start = time.perf_counter()
            found.append(index.best(Query(query), keep, size, 10)[0])
            taken.append((time.perf_counter() - start) * 1e3)
        reached = recall(found, exact(rows, questions))
        print(f"{size:>9,}  asked about {what:<13} recall@10 {reached:.4f}  {np.median(taken):>8.3f} ms p50")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("build", "compare", "memory", "tiers"))
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--only", default="", help="names of engines, with commas between")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/ruvllm-vectors"))
    given = parser.parse_args()
    only = {name.strip() for name in given.only.split(",") if name.strip()}
    if given.step == "build":
        build(given.size, given.folder, only)
    elif given.step == "memory":
        in_memory(given.size, given.folder, only, given.recall, given.questions)
    elif given.step == "tiers":
        by_use(given.size, given.folder, given.questions)
    else:
        compare(given.size, given.folder, only, given.recall, given.questions)


if __name__ == "__main__":
    main()

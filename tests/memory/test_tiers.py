"""Vectors kept by use: what each tier answers, what is read whole, and what a store with such an index finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.memory import live, tiers
from ruvllm_mcp.memory.codes import Query
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.tiers import COLD, COOL, HOT, WARM, TieredIndex
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder
from tests.memory.test_index import DIM, recall, unit_rows
from tests.memory.test_live import answers, sentences

ZIPF_SEED = 3


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return unit_rows(4_000, seed=7)


def zipf(count: int) -> np.ndarray:
    shares = 1 / np.arange(1, count + 1)
    chosen = np.random.default_rng(ZIPF_SEED).choice(count, 5 * count, p=shares / shares.sum())
    return np.random.default_rng(4).permutation(np.bincount(chosen, minlength=count))


@pytest.fixture(scope="module")
def index(rows: np.ndarray) -> TieredIndex:
    made = TieredIndex(DIM, lambda wanted: rows[wanted])
    level = tiers.levels(zipf(len(rows)), np.zeros(len(rows)), 0.0, len(rows))
    for first in range(0, 3_900, 1_300):
        made.append(rows[first : first + 1_300])
        made.settle(level[first : first + 1_300])
    made.append(rows[3_900:])
    return made


def test_what_is_found_most_is_kept_best() -> None:
    counts, now = zipf(1_000), 1e9
    level = tiers.levels(counts, np.full(1_000, now), now, 1_000)
    assert np.bincount(level, minlength=4)[:3].tolist() == [10, 40, 150]
    assert all(counts[level == better].min() >= counts[level == worse].max() for better, worse in ((0, 1), (1, 2)))
    assert (level[counts == 0] == COLD).all()
    long_ago = np.where(np.arange(1_000) == counts.argmax(), now - 20 * tiers.HALF_LIFE, now)
    assert tiers.levels(counts, long_ago, now, 1_000)[counts.argmax()] > COOL - 1
    assert (tiers.levels(counts[:3], np.full(3, now), now, 10**6) == HOT).sum() == (counts[:3] > 0).sum()


def test_answers_are_those_of_exact_search_in_a_fraction_of_the_memory(rows: np.ndarray, index: TieredIndex) -> None:
    queries = unit_rows(100, seed=8)
    keep = np.ones(len(rows), np.uint8)
    found = [index.best(Query(query), keep, len(rows), 10) for query in queries]
    assert recall([each for each, _ in found], rows, queries, keep) >= 0.97
    assert sum(index.sizes.values()) == len(rows)
    codes = sum(tier.bytes for tier in index.tiers)
    assert codes * 4 < rows[: index.settled].nbytes
    for (each, scores), query in zip(found, queries, strict=True):
        assert scores == pytest.approx(rows[each] @ query, abs=2e-3), "float16 at worst: the doubtful are read whole"


@pytest.mark.parametrize("share", [0.3, 0.02])
def test_a_filter_loses_nothing(rows: np.ndarray, index: TieredIndex, share: float) -> None:
    keep = (np.random.default_rng(5).random(len(rows)) < share).astype(np.uint8)
    queries = unit_rows(40, seed=9)
    found = [index.best(Query(query), keep, int(keep.sum()), 10)[0] for query in queries]
    assert all(len(each) == 10 and (keep[each] > 0).all() for each in found)
    assert recall(found, rows, queries, keep) >= 0.97
    everything = index.best(Query(queries[0]), keep, int(keep.sum()), len(rows))[0]
    assert np.array_equal(np.sort(everything), np.flatnonzero(keep)), "a great k finds all there is"


def test_scores_of_any_rows(rows: np.ndarray, index: TieredIndex) -> None:
    query = unit_rows(1, seed=10)[0]
    wanted = np.random.default_rng(6).permutation(len(rows))[:500]
    level = np.concatenate([index.level, np.full(100, HOT)])[wanted]
    error = np.abs(index.score(Query(query), wanted) - rows[wanted].astype(np.float64) @ query)
    assert index.score(Query(query), wanted) == pytest.approx(index.rows(wanted) @ query, abs=1e-5)
    for tier, allowed in ((HOT, 1e-6), (WARM, 1e-3), (COOL, 0.06), (COLD, 1e-6)):
        assert (level == tier).any()
        assert error[level == tier].max() < allowed


@pytest.mark.parametrize("dim", [3, 9, 64])
def test_codes_of_pairs_are_the_nearest_points(dim: int) -> None:
    rows = np.random.default_rng(1).standard_normal((600, dim), np.float32)
    book = tiers.Codebook.trained(rows)
    pairs = np.pad(rows, ((0, 0), (0, dim % 2))).reshape(600, -1, 2)
    distance = ((pairs[:50, :, None, :] - book.points[None]) ** 2).sum(axis=-1)
    assert np.array_equal(book.encode(rows[:50]), distance.argmin(axis=2))
    kept = np.take_along_axis(book.points[None], book.encode(rows)[:, :, None, None].astype(int), 2)[:, :, 0]
    assert np.mean((kept - pairs) ** 2) < 0.03 * np.mean(pairs**2)
    decoded = kept.reshape(600, -1)[:, :dim]
    assert book.cosines(rows[0], book.encode(rows)) == pytest.approx(decoded @ rows[0], abs=1e-3)


def opened(folder: Path) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here", index="small")


def settle(memory: Memory) -> None:
    memory.search("word1")
    builder = memory._live._builder
    assert builder is not None
    builder.join()


def test_a_small_index_finds_what_a_fast_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WORTH_A_GRAPH", 300)
    memory = opened(tmp_path)
    ids = [int(item) for item in memory.add([NewMemory(text) for text in sentences(700, seed=1)])]
    memory._store.touch(dict.fromkeys(ids[:200], (5, 1000000000.0)))
    settle(memory)
    with memory._live.lock:
        index = memory._live.current().vectors
    assert isinstance(index, TieredIndex)
    assert index.sizes == {"hot": 7, "warm": 28, "cool": 105, "cold": 560}
    found = answers(memory)
    (described,) = memory.stats()["indexes"]
    assert described["tiers"] == index.sizes
    embedder = WordEmbedder()
    fast = Memory(tmp_path, lambda: embedder, namespace="here")
    pairs = list(zip(found, answers(fast), strict=True))
    assert np.mean([len({*small} & {*exact}) / 10 for small, exact in pairs]) >= 0.97
    memory.update(ids[600], content="word7 word8 rewritten")
    memory.delete(ids[601])
    added = memory.add([NewMemory("word1 word2 word3 thereafter")])[0]
    fast.close()
    assert memory.search("word1 word2 word3 thereafter", mode="vector").hits[0].id == added
    assert memory.search("word7 word8 rewritten", mode="vector").hits[0].id == ids[600]
    everything = {hit.id for hit in memory.search("word1", 10_000, mode="vector").hits}
    assert everything == {*ids, added} - {ids[601]}
    before = answers(memory)
    memory.close()
    reopened = opened(tmp_path)
    assert answers(reopened) == before
    reopened.close()


def test_tiers_follow_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WORTH_A_GRAPH", 300)
    memory = opened(tmp_path)
    ids = memory.add([NewMemory(text) for text in sentences(400, seed=2)])
    settle(memory)
    memory._store.touch({int(number): (9, 1e9) for number in ids[-4:]})
    now = live.time.time()
    monkeypatch.setattr("time.time", lambda: now + live.RESETTLE_SECONDS + 1)
    settle(memory)
    with memory._live.lock:
        replica = memory._live.current()
    assert isinstance(replica.vectors, TieredIndex)
    hot = replica.rows("ids")[: replica.vectors.settled][replica.vectors.level == HOT]
    assert set(hot.tolist()) == {int(number) for number in ids[-4:]}
    memory.close()


def test_the_store_tells_what_was_found(memory: Memory) -> None:
    ids = [int(number) for number in memory.add([NewMemory(f"number {n}") for n in range(4)])]
    assert [len(part) for part in memory._store.accesses()] == [0, 0, 0]
    memory._store.touch({ids[2]: (3, 20.0), ids[0]: (1, 10.0)})
    memory._store.touch({ids[2]: (2, 15.0)})
    found, counts, last = memory._store.accesses()
    assert (found.tolist(), counts.tolist(), last.tolist()) == ([ids[0], ids[2]], [1, 5], [10.0, 20.0])

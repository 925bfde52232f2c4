"""The dense index against brute force in float64, by scan and by graph, whole and filtered, sound and damaged."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.memory import codes, hnsw
from ruvllm_mcp.memory.codes import Query
from ruvllm_mcp.memory.index import VectorIndex

DIM = 64


def unit_rows(count: int, seed: int, clusters: int = 50) -> np.ndarray:
    """Rows in clusters of a 20-dimensional subspace, as text embeddings lie, with noise all around."""
    generator = np.random.default_rng(seed)
    basis = np.random.default_rng(0).standard_normal((20, DIM))
    centres = np.random.default_rng(1).standard_normal((clusters, 20))
    within = centres[generator.integers(0, clusters, count)] + 0.7 * generator.standard_normal((count, 20))
    rows = within @ basis + 0.5 * generator.standard_normal((count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def recall(found: list[np.ndarray], rows: np.ndarray, queries: np.ndarray, keep: np.ndarray, k: int = 10) -> float:
    cosines = queries.astype(np.float64) @ rows.astype(np.float64).T
    cosines[:, keep == 0] = -2
    true = np.argsort(-cosines, axis=1)[:, :k]
    return float(np.mean([len(set(a[:k].tolist()) & set(b.tolist())) / k for a, b in zip(found, true, strict=True)]))


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return unit_rows(5_000, seed=7)


@pytest.fixture(scope="module")
def graph(rows: np.ndarray) -> hnsw.Graph:
    made = hnsw.extended(hnsw.empty(), *codes.quantised(rows))
    assert made is not None
    return made


def test_scores_are_cosines_to_three_digits(rows: np.ndarray) -> None:
    coded, scales = codes.quantised(rows)
    query = unit_rows(1, seed=8)[0]
    true = rows.astype(np.float64) @ query
    scored = codes.score(coded, scales, Query(query), np.arange(len(rows)))
    assert np.abs(scored - true).max() < codes.blur(DIM)
    assert codes.quantised(np.zeros((1, DIM), np.float32))[1][0] == 0


def test_a_scan_is_exact_but_for_near_ties(rows: np.ndarray) -> None:
    index = VectorIndex(*codes.quantised(rows[:3_000]))
    index.append(rows[3_000:])
    queries = unit_rows(50, seed=9)
    for share in (1.0, 0.4, 0.01):
        keep = (np.random.default_rng(1).random(len(rows)) < share).astype(np.uint8)
        found = [index.best(Query(query), keep, int(keep.sum()), 30) for query in queries]
        assert all((keep[found_rows] > 0).all() for found_rows, _ in found)
        assert all((np.diff(scores) <= 0).all() for _, scores in found)
        true = np.sort(queries @ rows[keep > 0].T, axis=1)[:, ::-1][:, :10]
        reached = [
            np.sort(rows[found_rows] @ query)[::-1][:10] for (found_rows, _), query in zip(found, queries, strict=True)
        ]
        assert np.array(reached) == pytest.approx(true, abs=1e-6), "the best 10 are among the 30 found"


def test_a_graph_finds_what_a_scan_finds(rows: np.ndarray, graph: hnsw.Graph) -> None:
    walker = hnsw.Walker(graph, *codes.quantised(rows))
    queries, keep = unit_rows(100, seed=10), np.ones(len(rows), np.uint8)
    found = [walker.search(Query(query), keep, 64)[0] for query in queries]
    assert recall(found, rows, queries, keep) >= 0.98
    assert len(walker.search(Query(queries[0]), keep, 10**6)[0]) == len(rows), "every row can be reached"


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_filtered_walk_gives_only_what_is_kept_and_misses_little(
    rows: np.ndarray, graph: hnsw.Graph, share: float
) -> None:
    walker = hnsw.Walker(graph, *codes.quantised(rows))
    keep = (np.random.default_rng(3).random(len(rows)) < share).astype(np.uint8)
    queries = unit_rows(50, seed=11)
    found = [walker.search(Query(query), keep, 64)[0] for query in queries]
    assert all(len(each) == 64 and (keep[each] > 0).all() for each in found)
    assert recall(found, rows, queries, keep) >= 0.98


def test_the_beam_widens_as_the_index_grows(
    rows: np.ndarray, graph: hnsw.Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, keep = VectorIndex(*codes.quantised(rows), graph), np.ones(len(rows), np.uint8)
    monkeypatch.setattr("ruvllm_mcp.memory.index.ROWS_PER_EF", 0)  # always walks
    monkeypatch.setattr(hnsw, "EF_SEARCH", 3)
    queries, reached = unit_rows(100, seed=16), []
    for rows_per_ef in (10**6, 20):
        monkeypatch.setattr(hnsw, "ROWS_PER_EF", rows_per_ef)
        found = [index.best(Query(query), keep, len(rows), 3)[0] for query in queries]
        reached.append(recall(found, rows, queries, keep, k=3))
    assert reached[0] < 0.95
    assert reached[1] > 0.97


def is_same(one: hnsw.Graph, other: hnsw.Graph) -> bool:
    arrays = ("near", "far", "far_at", "levels")
    return one.entry == other.entry and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_does_not_change_the_graph(rows: np.ndarray, graph: hnsw.Graph, threads: int) -> None:
    made = hnsw.extended(hnsw.empty(), *codes.quantised(rows), threads=threads)
    assert made is not None
    assert is_same(made, graph)


@pytest.mark.parametrize("cut", [8 * hnsw.BATCH, 2_000])
def test_a_graph_extended_in_parts_is_as_good_as_one_made_at_once(
    rows: np.ndarray, graph: hnsw.Graph, cut: int
) -> None:
    coded, scales = codes.quantised(rows)
    part = hnsw.extended(hnsw.empty(), coded[:cut], scales[:cut])
    assert part is not None
    whole = hnsw.extended(part, coded, scales)
    assert whole is not None
    assert is_same(whole, graph) == (cut % hnsw.BATCH == 0), "the very same at the end of a batch"
    walker, queries, keep = hnsw.Walker(whole, coded, scales), unit_rows(100, seed=10), np.ones(len(rows), np.uint8)
    assert recall([walker.search(Query(query), keep, 64)[0] for query in queries], rows, queries, keep) >= 0.98
    assert len(walker.search(Query(queries[0]), keep, 10**6)[0]) == len(rows), "every row can be reached"


def test_rows_beyond_the_graph_are_found_too(rows: np.ndarray, graph: hnsw.Graph) -> None:
    index = VectorIndex(*codes.quantised(rows), graph)
    late = unit_rows(100, seed=12)
    index.append(late)
    keep = np.ones(len(index), np.uint8)
    for offset, query in enumerate(late):
        assert index.best(Query(query), keep, len(index), 5)[0][0] == len(rows) + offset


def test_building_stops_when_told(rows: np.ndarray) -> None:
    from ruvllm_mcp.native.lib import nogil_ffi

    cancel = nogil_ffi.new("int *", 1)
    assert hnsw.extended(hnsw.empty(), *codes.quantised(rows), cancel=cancel) is None


def test_many_equal_rows_stay_reachable() -> None:
    same = np.repeat(unit_rows(1, seed=13), 500, axis=0)
    rows = np.concatenate([same, unit_rows(500, seed=14)])
    graph = hnsw.extended(hnsw.empty(), *codes.quantised(rows))
    assert graph is not None
    walker = hnsw.Walker(graph, *codes.quantised(rows))
    found = walker.search(Query(rows[700]), np.ones(1_000, np.uint8), 32)[0]
    assert found[0] == 700


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_graph_never_leads_out_of_bounds(rows: np.ndarray, graph: hnsw.Graph, seed: int) -> None:
    generator = np.random.default_rng(seed)
    near, far, far_at = graph.near.copy(), graph.far.copy(), graph.far_at.copy()
    for links in (near, far, far_at):
        flat = links.reshape(-1)
        hit = generator.integers(0, len(flat), len(flat) // 20)
        flat[hit] = generator.integers(-(2**31), 2**31, len(hit), dtype=np.int64).astype(np.int32)
    levels = graph.levels.copy()
    levels[generator.integers(0, len(levels), 50)] = 255
    damaged = hnsw.Graph(near, far, far_at, levels, int(generator.integers(-10, len(rows) + 10)))
    walker = hnsw.Walker(damaged, *codes.quantised(rows))
    for query in unit_rows(20, seed=15):
        found, scores = walker.search(Query(query), np.ones(len(rows), np.uint8), 50)
        assert ((found >= 0) & (found < len(rows))).all()
        assert np.isfinite(scores).all()
    coded, scales = codes.quantised(np.concatenate([rows, rows[:50]]))
    hnsw.extended(damaged, coded, scales)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities for threads")
def test_building_a_graph_gives_way_to_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    insert = hnsw._insert

    def watched(pool: ThreadPoolExecutor, *arguments: Any) -> None:
        seen.add(pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result())
        insert(pool, *arguments)

    monkeypatch.setattr(hnsw, "_insert", watched)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert hnsw.extended(hnsw.empty(), *codes.quantised(unit_rows(300, seed=4))) is not None
    assert min(seen) >= 10
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before

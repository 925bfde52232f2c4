"""Both indexes with rows, filters and counts of any kind: nothing kept is lost, nothing else is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ruvllm_mcp.memory import codes, hnsw, index, tiers
from ruvllm_mcp.memory.codes import Query
from ruvllm_mcp.memory.index import Index, VectorIndex
from ruvllm_mcp.memory.tiers import TieredIndex
from tests.memory.test_index import DIM, unit_rows

ROWS = 300
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", params=["scan", "graph", "tiers"])
def made(request: pytest.FixtureRequest) -> tuple[Index, np.ndarray]:
    rows = unit_rows(ROWS, seed=21)
    rows[40:60] = rows[40]  # the same text twenty times
    if request.param == "tiers":
        small = TieredIndex(DIM, lambda wanted: rows[wanted])
        small.append(rows[:250])
        small.settle(np.random.default_rng(2).integers(0, 4, 250).astype(np.uint8))
        small.append(rows[250:])
        return small, rows
    coded, scales = codes.quantised(rows[:250])
    graph = hnsw.extended(hnsw.empty(), coded, scales) if request.param == "graph" else None
    fast = VectorIndex(coded, scales, graph)
    fast.append(rows[250:])
    return fast, rows


@pytest.fixture(autouse=True)
def graphs_are_always_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ROWS_PER_EF", 0)


@QUICK
@given(
    share=st.sampled_from([0.0, 0.003, 0.05, 0.5, 1.0]),
    count=st.one_of(st.integers(1, 40), st.sampled_from([hnsw.EF_SEARCH + 1, ROWS, 10 * ROWS])),
    seed=st.integers(0, 1_000),
)
def test_every_kept_row_and_no_other_can_be_found(
    made: tuple[Index, np.ndarray], share: float, count: int, seed: int
) -> None:
    searched, rows = made
    keep = (np.random.default_rng(seed).random(ROWS) < share).astype(np.uint8)
    kept = int(keep.sum())
    query = unit_rows(1, seed=seed)[0]
    found, scores = searched.best(Query(query), keep, kept, count)
    assert len(found) == len(set(found.tolist())) == min(count, kept), "k may exceed the beam and all there is"
    assert (keep[found] > 0).all()
    assert (np.diff(scores) <= 0).all()
    if len(found):
        best = (rows[keep > 0] @ query).max()
        assert (rows[found] @ query).max() == pytest.approx(best, abs=0.005), (
            "int8 codes tell no finer at 64 dimensions"
        )


@QUICK
@given(rows=st.lists(st.integers(0, ROWS - 1), max_size=50))
def test_any_rows_are_scored_as_they_are_kept(made: tuple[Index, np.ndarray], rows: list[int]) -> None:
    searched, vectors = made
    wanted, query = np.array(rows, np.int64), unit_rows(1, seed=3)[0]
    true = vectors[wanted] @ query
    assert searched.score(Query(query), wanted) == pytest.approx(true, abs=0.06)
    assert searched.rows(wanted) == pytest.approx(vectors[wanted], abs=0.2)


@QUICK
@given(
    counts=st.lists(st.integers(0, 10**6), min_size=1, max_size=60),
    age=st.floats(0, 1e9),
    more=st.integers(0, 1_000),
)
def test_a_tier_is_never_fuller_than_its_share(counts: list[int], age: float, more: int) -> None:
    total = len(counts) + more
    level = tiers.levels(np.array(counts), np.full(len(counts), -age), 0.0, total)
    for tier, share in enumerate(tiers.SHARES):
        assert (level <= tier).sum() <= np.ceil(share * total)

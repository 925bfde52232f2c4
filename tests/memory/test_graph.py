"""The graph's heads against their formulas, one edge at a time, and what a link does to a search."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ruvllm_mcp.memory import graph
from ruvllm_mcp.memory.fusion import fuse
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.memory.test_fusion import Shelf, asked

IDS = np.arange(1, 31)


def scores(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(IDS)).astype(np.float32)


def test_a_linked_memory_gets_attention_from_better_ones() -> None:
    shelf, total = Shelf(30), scores()
    by_score = [int(row) + 1 for row in np.argsort(-total)]
    shelf.linked = [
        (by_score[0], by_score[20], 1.0),
        (by_score[1], by_score[20], 0.5),
        (by_score[2], by_score[21], -0.8),
        (by_score[29], by_score[22], 1.0),
    ]
    given = graph.linked(total, IDS, shelf)
    normed = (total - total.mean()) / total.std()
    expected = np.zeros(len(IDS))
    for taker in IDS.tolist():
        edges = [(a + b - taker, weight) for a, b, weight in shelf.linked if taker in (a, b)]
        shares = [math.exp(2 * abs(weight)) for _, weight in edges]
        values = [math.copysign(max(normed[giver - 1], 0.0), weight) for giver, weight in edges]
        expected[taker - 1] = sum(a * b for a, b in zip(shares, values, strict=True)) / (1 + sum(shares))
    np.testing.assert_allclose(given, expected, atol=1e-5)
    assert given[by_score[20] - 1] > 0 > given[by_score[21] - 1]
    assert given[by_score[22] - 1] == 0  # the worst has nothing to give


def test_without_links_nothing_is_given() -> None:
    assert not graph.linked(scores(), IDS, Shelf(30)).any()


def test_what_says_the_same_as_a_good_one_is_lifted_and_strangers_are_not() -> None:
    shelf, total = Shelf(30), scores()
    best, worst = int(total.argmax()), int(total.argmin())
    shelf.units[worst + 1] = shelf.units[best + 1]
    given = graph.near(total, IDS, shelf)
    assert given[worst] == given.max() > 1
    far = [row for row in range(30) if row not in (best, worst)]
    cosines = shelf.units[1:] @ shelf.units[1:].T - np.eye(30)
    strangers = [row for row in far if cosines[row].max() < 0.3]
    assert strangers
    assert np.abs(given[strangers]).max() < 0.25


def test_a_memory_without_a_vector_neither_gives_nor_gets() -> None:
    shelf, total = Shelf(30), scores()
    shelf.units[1:] = shelf.units[1]
    shelf.units[7] = 0
    given = graph.near(total, IDS, shelf)
    assert given[6] == 0
    assert np.isfinite(given).all()


def test_what_is_linked_to_the_best_joins_the_candidates() -> None:
    shelf = Shelf(40)
    first = range(1, 31)
    best = int(fuse(asked(12), shelf.table(first), shelf).scores.argmax()) + 1
    shelf.linked = [(best, 35, 1.0), (best, 36, -1.0)]
    fused = fuse(asked(12), shelf.table(first), shelf)
    assert fused.candidates.ids.tolist() == [*first, 35]
    assert fused.parts["linked"][-1] > 0


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_a_link_lifts_or_lowers_its_other_end_in_a_search(memory: Memory, weight: float) -> None:
    texts = ["deploy with the blue script", "ask Ina for the key", *(f"note {n} on topic {n * 7}" for n in range(40))]
    ids = memory.add([NewMemory(text) for text in texts])
    question = "how do I deploy with the script"

    def rank() -> int:
        return [hit.id for hit in memory.search(question, k=42).hits].index(ids[1])

    before = rank()
    memory.link(ids[0], ids[1], "needs", weight)
    after = memory.search(question, k=42).hits
    if weight > 0:
        assert rank() < before
    else:
        assert rank() >= before
    assert next(hit for hit in after if hit.id == ids[1]).explain["linked"] * weight > 0

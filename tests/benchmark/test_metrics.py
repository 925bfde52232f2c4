"""The figures against their formulas on examples worked by hand, and against every possible order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ruvllm_mcp.benchmark.metrics import ndcg, quality, recall, reciprocal_rank
from ruvllm_mcp.errors import InvalidInputError


def test_ndcg_worked_by_hand() -> None:
    # Gains 3 and 1 at places 2 and 4; at best at places 1 and 2.
    found = ndcg([9, 1, 8, 2], {1: 3, 2: 1})
    expected = (3 / math.log2(3) + 1 / math.log2(5)) / (3 / math.log2(2) + 1 / math.log2(3))
    assert found == pytest.approx(expected)


def test_no_order_beats_the_ideal_one() -> None:
    grades = {1: 2, 2: 1, 3: 3}
    values = {order: ndcg(order, grades) for order in itertools.permutations(range(1, 6))}
    best = max(values, key=lambda order: values[order])
    assert best[:3] == (3, 1, 2)
    assert values[best] == pytest.approx(1.0)


def test_more_right_ones_than_places_can_still_be_perfect() -> None:
    assert ndcg(range(10), dict.fromkeys(range(15), 1)) == pytest.approx(1.0)
    assert recall(range(10), dict.fromkeys(range(15), 1), 10) == pytest.approx(10 / 15)


def test_random_rankings_agree_with_arrays() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        ranked = random.permutation(40)[:12]
        grades = {int(n): int(g) for n, g in zip(random.permutation(40)[:6], random.integers(1, 4, 6), strict=True)}
        gains = np.array([grades.get(int(n), 0) for n in ranked[:10]])
        discount = 1 / np.log2(np.arange(2, 12))
        ideal = np.sort(list(grades.values()))[::-1] @ discount[:6]
        assert ndcg(ranked.tolist(), grades) == pytest.approx(gains @ discount / ideal)
        assert recall(ranked.tolist(), grades, 5) == pytest.approx((gains[:5] > 0).sum() / 6)
        places = np.flatnonzero(gains)
        assert reciprocal_rank(ranked.tolist(), grades) == pytest.approx(1 / (places[0] + 1) if len(places) else 0)


def test_quality_is_the_mean_over_judged_questions_only() -> None:
    found = quality([[1, 2], [5, 4], [7]], [{2: 1}, {4: 1, 6: 1}, {}])
    assert (found.questions, found.mrr, found.recall_at_5) == (2, 0.5, 0.75)


def test_what_cannot_be_averaged_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="judgement"):
        quality([[1]], [{}])
    with pytest.raises(InvalidInputError, match="rankings"):
        quality([[1]], [])

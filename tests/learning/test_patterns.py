from __future__ import annotations

import numpy as np
import pytest

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.learning.patterns import HALF_LIFE_SECONDS, RatedQuestion, ReasoningBank

from .conftest import DIM, unit


def axis(index: int) -> np.ndarray:
    vector = np.zeros(DIM, np.float32)
    vector[index] = 1
    return vector


def near(index: int, seed: int, spread: float = 0.1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=DIM)
    vector = axis(index) + spread * noise / np.linalg.norm(noise)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def bank(now: float = 0.0) -> ReasoningBank:
    """Three kinds of questions: ten about 0 (good, memory 7 right), four about 1 (bad), two about 2."""
    questions = [RatedQuestion(near(0, seed), 0.9, {7: 1.0, 8: -1.0, 100 + seed: 1.0}) for seed in range(10)]
    questions += [RatedQuestion(near(1, seed), 0.05, {9: -1.0}) for seed in range(4)]
    questions += [RatedQuestion(near(2, seed), 0.6, {7: 0.5}) for seed in range(2)]
    return ReasoningBank().learn(questions, 3, now)


def test_like_questions_make_one_pattern() -> None:
    patterns = bank().patterns
    assert sorted(round(pattern.uses) for pattern in patterns) == [2, 4, 10]
    largest = max(patterns, key=lambda pattern: pattern.uses)
    assert largest.quality == pytest.approx(0.9)
    assert float(largest.centroid @ axis(0)) > 0.99
    assert np.linalg.norm(largest.centroid) == pytest.approx(1, abs=1e-5)
    assert largest.support[7] == 10
    assert 8 not in largest.support


def test_matching_gives_the_nearest_first() -> None:
    made = bank()
    (first, cosine), (_, further) = made.match(axis(1), 2)
    assert float(made.patterns[first].centroid @ axis(1)) == pytest.approx(cosine, abs=1e-5)
    assert cosine > further
    assert not ReasoningBank().match(axis(1), 2)


def test_learning_again_joins_like_to_like() -> None:
    made = bank()
    more = [RatedQuestion(near(0, seed), 0.5, {7: 1.0}) for seed in range(20, 30)]
    later = made.learn(more, 1, 50.0)
    assert len(later.patterns) == 3
    largest = max(later.patterns, key=lambda pattern: pattern.uses)
    assert largest.uses == 20
    assert largest.quality == pytest.approx(0.7)
    assert largest.support[7] == 20
    assert (largest.created_at, largest.used_at) == (0.0, 50.0)


def test_a_met_question_strengthens_its_pattern_only() -> None:
    made = bank()
    after = made.met(RatedQuestion(near(1, 77), 1.0, {5: 1.0}), 9.0)
    changed = [
        (old.uses, new.uses) for old, new in zip(made.patterns, after.patterns, strict=True) if old.uses != new.uses
    ]
    assert changed == [(4.0, 5.0)]
    assert made.met(RatedQuestion(axis(20), 1.0, {}), 9.0) == made


def test_patterns_age() -> None:
    aged = bank().aged(HALF_LIFE_SECONDS)
    largest = max(aged.patterns, key=lambda pattern: pattern.uses)
    assert largest.uses == pytest.approx(5)
    assert largest.quality == pytest.approx(0.7)
    assert largest.support[7] == pytest.approx(5)
    with pytest.raises(InvalidInputError):
        bank().aged(-1.0)


def test_near_equal_patterns_merge_however_many() -> None:
    singles = [
        ReasoningBank().learn([RatedQuestion(near(0, seed, 0.02), 0.5, {})], 1, float(seed)) for seed in range(9)
    ]
    everything = ReasoningBank(tuple(pattern for one in singles for pattern in one.patterns))
    assert len(everything.merged().patterns) == 1
    assert everything.merged().patterns[0].uses == 9


def test_pruning_drops_the_bad_the_unused_and_the_surplus() -> None:
    made = bank()
    assert sorted(round(one.uses) for one in made.pruned().patterns) == [2, 10]
    assert [round(one.uses) for one in made.pruned(least_uses=3).patterns] == [10]
    assert [round(one.uses) for one in made.pruned(limit=1).patterns] == [10]


def test_a_bank_comes_back_from_its_arrays() -> None:
    made = bank()
    again = ReasoningBank.from_tensors(made.to_tensors())
    assert len(again.patterns) == len(made.patterns)
    for old, new in zip(made.patterns, again.patterns, strict=True):
        assert np.array_equal(old.centroid, new.centroid)
        assert (old.quality, old.uses, dict(old.support)) == (new.quality, new.uses, dict(new.support))
    assert ReasoningBank.from_tensors(ReasoningBank().to_tensors()) == ReasoningBank()


def test_another_embedders_questions_are_refused() -> None:
    with pytest.raises(DimensionError):
        bank().learn([RatedQuestion(unit(1, dim=8), 0.5, {})], 1, 0.0)

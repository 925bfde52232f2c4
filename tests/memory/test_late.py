"""Late interaction against MaxSim written out in float64, and what happens where tokens are missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from ruvllm_mcp.embed.base import TokenVectors
from ruvllm_mcp.memory import late
from ruvllm_mcp.memory.candidates import TokenRows

DIM = 48


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def laid_out(memories: Sequence[np.ndarray], places: Sequence[int]) -> TokenRows:
    """The memories' signs, the last one first."""
    bits = [np.packbits(tokens > 0, axis=1, bitorder="little") for tokens in reversed(memories)]
    counts = np.array([len(tokens) for tokens in memories])
    starts = np.cumsum(counts[::-1])[::-1] - counts
    return TokenRows(np.array(places), np.concatenate(bits), starts, counts)


def maxsim(question: np.ndarray, weights: np.ndarray, tokens: np.ndarray) -> float:
    signs = np.where(tokens > 0, 1.0, -1.0)
    best = [max(float(q @ s) / math.sqrt(DIM) for s in signs) for q in question.astype(np.float64)]
    return float(np.dot(weights, best) / weights.sum())


def test_scores_are_the_weighted_mean_of_the_best_matches() -> None:
    random = np.random.default_rng(1)
    question = unit(random.standard_normal((5, DIM)))
    weights = random.random(5).astype(np.float32) + 0.1
    memories = [random.standard_normal((length, DIM)) for length in (1, 20, 4)]
    asked = TokenVectors(np.arange(5, dtype=np.int32), question)
    parts = [laid_out(memories[:2], [2, 0]), laid_out(memories[2:], [1])]
    scores, lengths = late.scores(asked, weights, 3, parts)
    assert lengths.tolist() == [len(memories[number]) for number in (1, 2, 0)]
    expected = [maxsim(question, weights.astype(np.float64), memories[number]) for number in (1, 2, 0)]
    np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_memories_without_tokens_are_marked_and_do_not_shift_the_others() -> None:
    random = np.random.default_rng(2)
    question = TokenVectors(np.zeros(2, np.int32), unit(random.standard_normal((2, DIM))))
    one, none = random.standard_normal((6, DIM)), np.empty((0, DIM))
    scores, lengths = late.scores(question, np.ones(2, np.float32), 4, [laid_out([none, one, none], [0, 1, 3])])
    assert lengths.tolist() == [0, 6, 0, 0]
    alone, _ = late.scores(question, np.ones(2, np.float32), 1, [laid_out([one], [0])])
    assert scores[1] == alone[0]
    assert scores[[0, 2, 3]].tolist() == [0, 0, 0]


def test_a_question_without_tokens_scores_nothing() -> None:
    empty = TokenVectors(np.empty(0, np.int32), np.empty((0, DIM), np.float32))
    scores, lengths = late.scores(empty, np.empty(0, np.float32), 1, [laid_out([np.ones((3, DIM))], [0])])
    assert not lengths.any()
    assert scores.tolist() == [0.0]


def test_rarity_is_lucenes_idf_and_never_negative() -> None:
    frequency = np.array([0, 1, 50, 100, 130])
    found = late.rarity(frequency, 100)
    expected = [math.log(1 + (100 - min(df, 100) + 0.5) / (min(df, 100) + 0.5)) for df in frequency]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert (found >= 0).all()


def test_likeness_of_questions_is_maxsim_between_their_signs() -> None:
    rng = np.random.default_rng(5)
    texts = [unit(rng.standard_normal((count, DIM))) for count in (6, 3, 9)]
    weights = rng.uniform(0.1, 3, 6).astype(np.float32)
    kept = [
        late.TokenSigns.of(TokenVectors(np.arange(len(text), dtype=np.int32), text), weights[:1].repeat(len(text)))
        for text in texts
    ]
    asked = late.TokenSigns.of(TokenVectors(np.arange(6, dtype=np.int32), texts[0]), weights)
    assert asked is not None
    signs = np.where(texts[0] > 0, 1, -1) / math.sqrt(DIM)
    expected = [maxsim(signs, weights, text) for text in texts]
    found = asked.likeness([item for item in kept if item is not None])
    assert found == pytest.approx(expected, abs=0.01)
    assert found[0] == pytest.approx(1, abs=0.01)


def test_of_a_long_question_the_tokens_that_count_most_are_kept() -> None:
    rng = np.random.default_rng(6)
    text = unit(rng.standard_normal((200, DIM)))
    weights = rng.uniform(0.1, 3, 200).astype(np.float32)
    kept = late.TokenSigns.of(TokenVectors(np.arange(200, dtype=np.int32), text), weights)
    assert kept is not None
    assert len(kept.bits) == late.MOST_KEPT
    assert kept.weights.min() >= np.sort(weights)[-late.MOST_KEPT]
    assert late.TokenSigns.of(TokenVectors(np.empty(0, np.int32), text[:0]), weights[:0]) is None


def test_damaged_signs_are_an_error() -> None:
    whole = late.TokenSigns(np.ones((3, 6), np.uint8), np.ones(3, np.float32)).to_bytes()
    for damaged in (whole[:-1], whole[:6], b"\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match="damaged"):
            late.TokenSigns.from_bytes(damaged)

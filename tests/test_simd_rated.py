"""What one feedback teaches, against NumPy in float64 and plain loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ruvllm_mcp import simd
from ruvllm_mcp.errors import DimensionError
from ruvllm_mcp.simd import Move, Spoken


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20260103)


def test_agreement_is_the_area_under_the_curve(random: np.random.Generator) -> None:
    parts = random.integers(4, size=(40, 3)).astype(np.float32)
    right = (random.random(40) < 0.3).tolist()
    scores = parts[:, 0] + parts[:, 2]
    pairs = [(scores[i], scores[j]) for i in range(40) for j in range(40) if right[i] and not right[j]]
    expected = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert simd.agreement(parts, [True, False, True], right) == pytest.approx(expected)
    assert simd.agreement(parts, [True, False, True], [True] * 40) is None
    assert simd.agreement(parts[:0], [True, False, True], []) is None


def loss(parts: np.ndarray, right: np.ndarray, factors: np.ndarray, vectors: np.ndarray, shift: np.ndarray) -> float:
    scores = (parts @ factors + 0.7 * (vectors @ shift)) / 1.5
    return float(-(scores - np.log(np.exp(scores).sum()))[right].mean())


def test_contrast_is_the_slope_of_the_loss(random: np.random.Generator) -> None:
    parts, vectors, shift = (
        random.normal(size=(24, 5)),
        random.normal(size=(24, 384)) / 20,
        random.normal(size=384) / 20,
    )
    factors, right = random.normal(size=5), random.random(24) < 0.2
    right[3] = True
    move = Move(vectors.astype(np.float32), shift.astype(np.float32), 0.7)
    slopes, pull = simd.contrast(parts.astype(np.float32), right.tolist(), factors.tolist(), 1.5, move)
    for place in range(5):
        step = np.eye(5)[place] * 1e-5
        there = [loss(parts, right, factors + sign * step, vectors, shift) for sign in (1, -1)]
        assert slopes[place] == pytest.approx((there[0] - there[1]) / 2e-5, abs=2e-6)
    for place in (0, 100, 383):
        step = np.eye(384)[place] * 1e-5
        there = [loss(parts, right, factors, vectors, shift + sign * step) for sign in (1, -1)]
        assert pull[place] == pytest.approx((there[0] - there[1]) / 2e-5, abs=2e-6)
    still = simd.contrast(parts.astype(np.float32), right.tolist(), factors.tolist(), 1.5)
    there = [loss(parts, right, factors + sign * np.eye(5)[2] * 1e-5, vectors, 0 * shift) for sign in (1, -1)]
    assert still[0][2] == pytest.approx((there[0] - there[1]) / 2e-5, abs=2e-6)
    assert not len(still[1])


@pytest.mark.parametrize("most", [0.05, 100.0])
def test_lora_descend_is_a_step_of_gradient_descent(random: np.random.Generator, most: float) -> None:
    a, b = random.normal(size=(2, 384)).astype(np.float32) / 20, random.normal(size=(384, 2)).astype(np.float32) / 20
    x, grad = random.normal(size=(2, 384)).astype(np.float32)
    want_a, want_b = a - 0.05 * np.outer(grad @ b, x), b - 0.05 * np.outer(grad, a @ x)
    size = np.linalg.norm(want_a) * np.linalg.norm(want_b)
    simd.lora_descend(a, b, x, grad, 0.05, most)
    np.testing.assert_allclose(a, want_a, atol=1e-5)
    np.testing.assert_allclose(b, want_b * min(1.0, most / size), atol=1e-5)


def test_foreseen_counts_what_was_said_of_what_is_now_right() -> None:
    said = Spoken(
        np.array([7, 8, 7, 9, 5]), np.array([1.0, -0.5, 0.5, 0.25, -1.0]), [2, 0, 3], [0, 1, 2], [0.5, 0.0, 1.0]
    )
    counts, lent = simd.foreseen(said, {7, 5}, {9, 8, 7}, {7, 5}, 4)
    np.testing.assert_allclose(counts[0], [0.5, 0.5, 0, 0.75])  # all that was said for
    np.testing.assert_allclose(counts[1], [0.5, 0.5, 0, 0.5])  # of that, of 7
    np.testing.assert_allclose(counts[2], [0, 0, 0, 1.0])  # against 5; nothing is asked of 8
    np.testing.assert_allclose(counts[3], [0, 0, 0, 1.0])
    assert lent == [0, 2, 3]


@pytest.mark.parametrize(
    "call",
    [
        lambda ones: simd.agreement(ones, [True], [True] * 3),
        lambda ones: simd.agreement(ones, [True] * 2, [True] * 4),
        lambda ones: simd.contrast(ones, [True] * 3, [1.0], 1.0),
        lambda ones: simd.contrast(ones, [False] * 3, [1.0] * 2, 1.0),
        lambda ones: simd.contrast(ones, [True] * 3, [1.0] * 2, 1.0, Move(ones, ones[0, :1], 1.0)),
        lambda ones: simd.lora_descend(ones, ones, ones[0], ones[0], 1.0, 1.0),
        lambda ones: simd.lora_descend(ones, ones.T, ones[0], ones[0], 1.0, 1.0),
        lambda ones: simd.lora_descend(ones, ones.T.copy(), ones[0], ones[:, 0], 1.0, 1.0),
        lambda _: simd.foreseen(Spoken(np.ones(2, np.int64), np.ones(2), [3], [0], [0.0]), [], [], [], 3),
        lambda _: simd.foreseen(Spoken(np.ones(2, np.int64), np.ones(2), [2], [2], [0.0]), [], [], [], 3),
        lambda _: simd.foreseen(Spoken(np.ones(2, np.int64), np.ones(2), [3, -1], [0, 0], [0.0] * 2), [], [], [], 3),
        lambda _: simd.foreseen(Spoken(np.ones(2, np.int64), np.ones(1), [2], [0], [0.0]), [], [], [], 3),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[np.ndarray], object]) -> None:
    with pytest.raises(DimensionError):
        call(np.ones((3, 2), np.float32))

"""Scans and layers over the kernels, on every instruction set, against NumPy in float64 and brute force."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest

from ruvllm_mcp import simd
from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native import lib


@pytest.fixture(params=lib.available(), autouse=True)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    lib.use(request.param)
    yield request.param
    lib.use(None)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20260103)


def normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


def test_products_agree_with_numpy(random: np.random.Generator) -> None:
    a, b = normal(random, 31, 45), normal(random, 45, 70)
    np.testing.assert_allclose(simd.matmul(a, b), a.astype(np.float64) @ b, atol=3e-5)
    np.testing.assert_allclose(simd.cross_dot(a, b.T), a.astype(np.float64) @ b, atol=3e-5)


@pytest.mark.parametrize("metric", ["dot", "cosine", "sqdist"])
@pytest.mark.parametrize("kind", ["f32", "f16", "i8"])
def test_topk_ranks_as_sorting_all_scores_does(random: np.random.Generator, metric: str, kind: str) -> None:
    m = random.integers(-3, 4, (333, 20))  # small whole numbers: exact in every kind, with ties
    m[m.any(axis=1) == 0] = 1
    stored = m.astype({"f32": np.float32, "f16": np.float16, "i8": np.int8}[kind])
    scores = {
        "dot": m @ m[7],
        "cosine": (m @ m[7] / (np.linalg.norm(m, axis=1) * np.linalg.norm(m[7]))).round(6),
        "sqdist": ((m - m[7]) ** 2).sum(axis=1),
    }[metric]
    keep = random.random(333) < 0.6
    order = np.argsort(scores if metric == "sqdist" else -scores, kind="stable")
    order = order[keep[order]]
    rows, found = simd.topk(stored, stored[7], 25, keep, metric=metric, kind=kind)
    np.testing.assert_allclose(found, scores[order[:25]], atol=2e-6)
    np.testing.assert_allclose(scores[rows], scores[order[:25]], atol=2e-6)
    assert keep[rows].all()
    if metric != "cosine":
        np.testing.assert_array_equal(rows, order[:25])


def test_topk_of_bits(random: np.random.Generator) -> None:
    m = random.integers(0, 256, (200, 6)).astype(np.uint8)
    differing = (np.unpackbits(m, axis=1) != np.unpackbits(m[0])).sum(axis=1)
    rows, found = simd.topk(m, m[0], 10, metric="hamming", kind="b1")
    np.testing.assert_array_equal(rows, np.argsort(differing, kind="stable")[:10])
    np.testing.assert_array_equal(found, differing[rows])
    rows, found = simd.topk(m, m[0], 1, metric="jaccard", kind="b1")
    assert (rows.tolist(), found.tolist()) == ([0], [1.0])


def test_many_queries_rank_as_each_alone(random: np.random.Generator) -> None:
    queries, m = normal(random, 53, 33), normal(random, 301, 33)
    m[5] = np.nan
    keep = random.random(301) < 0.5
    scores = np.where(keep & (np.arange(301) != 5), queries.astype(np.float64) @ np.nan_to_num(m).T, -np.inf)
    for (rows, found), expected in zip(simd.cross_topk(queries, m, 9, keep), scores, strict=True):
        np.testing.assert_array_equal(rows, np.argsort(-expected)[:9])
        np.testing.assert_allclose(found, expected[rows], atol=2e-5)
    assert [len(rows) for rows, _ in simd.cross_topk(queries[:2], m, 999, keep)] == [np.isfinite(scores[0]).sum()] * 2


def test_points_go_to_their_nearest_centroid(random: np.random.Generator) -> None:
    points, centroids = normal(random, 137, 19), normal(random, 70, 19)
    squares = ((points[:, None].astype(np.float64) - centroids) ** 2).sum(axis=2)
    nearest, distances = simd.assign(points, centroids)
    np.testing.assert_array_equal(nearest, squares.argmin(axis=1))
    np.testing.assert_allclose(distances, squares.min(axis=1), rtol=1e-5)


def test_product_quantised_distances(random: np.random.Generator) -> None:
    table, codes = normal(random, 12, 256), random.integers(0, 256, (101, 12)).astype(np.uint8)
    expected = table.astype(np.float64)[np.arange(12), codes].sum(axis=1)
    np.testing.assert_allclose(simd.pq_distances(table, codes), expected, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 5, 16])
def test_lora_and_its_gradients(random: np.random.Generator, rank: int) -> None:
    x, a, b = normal(random, 7, 40), normal(random, rank, 40), normal(random, 23, rank)
    outer, scale = normal(random, 7, 23), 0.5
    wide = [v.astype(np.float64) for v in (x, a, b, outer)]
    np.testing.assert_allclose(simd.lora_forward(x, a, b, scale), scale * wide[0] @ wide[1].T @ wide[2].T, atol=3e-5)
    grad_a, grad_b = np.ones_like(a), np.ones_like(b)
    grad_x = simd.lora_backward(x, outer, a, b, scale, grad_a, grad_b)
    np.testing.assert_allclose(grad_x, scale * wide[3] @ wide[2] @ wide[1], atol=1e-4)
    np.testing.assert_allclose(grad_a, 1 + scale * (wide[3] @ wide[2]).T @ wide[0], atol=1e-4)
    np.testing.assert_allclose(grad_b, 1 + scale * wide[3].T @ (wide[0] @ wide[1].T), atol=1e-4)
    moved = a - 0.1 * grad_a.astype(np.float64)
    simd.lora_update(a, grad_a, 0.1)
    np.testing.assert_allclose(a, moved, atol=1e-5)
    assert not grad_a.any()


def test_pooling_sums_the_chosen_rows(random: np.random.Generator) -> None:
    table, ids, weights = normal(random, 30, 21), [3, 29, 0, 3], normal(random, 4)
    np.testing.assert_allclose(simd.pool(table, ids), table[ids].astype(np.float64).sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(simd.pool(table, ids, weights), weights.astype(np.float64) @ table[ids], atol=1e-5)
    for wrong in (-1, 30):
        with pytest.raises(InvalidInputError):
            simd.pool(table, [0, wrong])


def test_a_fastgrnn_step_follows_its_equations(random: np.random.Generator) -> None:
    w, u, gate, candidate, state = normal(random, 5, 37)
    z = 1 / (1 + np.exp(-(w.astype(np.float64) + u + gate)))
    expected = (0.7 * (1 - z) + 0.1) * np.tanh(w.astype(np.float64) + u + candidate) + z * state
    simd.fastgrnn_step(w, u, gate, candidate, 0.7, 0.1, state)
    np.testing.assert_allclose(state, expected, atol=2e-6)


def test_attention_agrees_with_numpy(random: np.random.Generator) -> None:
    q, k, v = normal(random, 4, 24), normal(random, 50, 24), normal(random, 50, 17)
    e = np.exp(q.astype(np.float64) @ k.T / np.sqrt(24))
    np.testing.assert_allclose(simd.attention(q, k, v), e / e.sum(axis=1, keepdims=True) @ v, atol=1e-5)


LONG = 12_000
WIDE = np.ones((LONG, 512), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda cancel: simd.cross_topk(WIDE, WIDE, 5, cancel=cancel),
        lambda cancel: simd.attention(WIDE, WIDE, WIDE, cancel=cancel),
        lambda cancel: simd.matmul(WIDE.reshape(3000, 2048), WIDE.reshape(2048, 3000), cancel=cancel),
        lambda cancel: simd.cross_dot(WIDE, WIDE[:5000], cancel=cancel),
    ],
)
def test_a_set_flag_ends_a_call_that_would_run_for_seconds(call: Callable[[simd.Cancel], object]) -> None:
    cancel = simd.Cancel()
    timer = threading.Timer(0.02, cancel.set)
    timer.start()
    with pytest.raises(CancelledError):
        call(cancel)
    timer.join()


def test_every_long_call_takes_a_flag() -> None:
    cancel, m, x = simd.Cancel(), np.ones((3, 8), np.float32), np.ones(8, np.float32)
    matrix, square = simd.Matrix(m), np.ones((8, 8), np.float32)
    calls: list[Callable[..., object]] = [
        lambda **flag: simd.matvec(m, x, **flag),
        lambda **flag: simd.matmul(m, square, **flag),
        lambda **flag: simd.cross_dot(m, m, **flag),
        lambda **flag: simd.topk(m, x, 1, **flag),
        lambda **flag: simd.topk_dot(m, x, 1, **flag),
        lambda **flag: simd.cross_topk(m, m, 1, **flag),
        lambda **flag: simd.assign(m, m, **flag),
        lambda **flag: simd.pq_distances(np.ones((3, 256)), np.zeros((2, 3), np.uint8), **flag),
        lambda **flag: simd.maxsim_bits(m, [1, 1, 1], np.zeros((1, 1), np.uint8), np.array([0]), np.array([1]), **flag),
        lambda **flag: simd.float16.cosine.many(m, x, **flag),
        lambda **flag: simd.float32.distance.many(m, x, **flag),
        lambda **flag: matrix.dot(x, **flag),
        lambda **flag: matrix.squared_distance(simd.Vector(x), **flag),
        lambda **flag: matrix.topk(x, 1, **flag),
        lambda **flag: simd.lora_forward(m, m, np.ones((4, 3)), 1.0, **flag),
        lambda **flag: simd.lora_backward(
            m, np.ones((3, 4)), m, np.ones((4, 3)), 1.0, m.copy(), np.ones((4, 3), np.float32), **flag
        ),
        lambda **flag: simd.attention(m, m, m, **flag),
    ]
    for call in calls:
        plain, flagged = call(), call(cancel=cancel)
        np.testing.assert_array_equal(np.hstack(np.atleast_1d(plain)), np.hstack(np.atleast_1d(flagged)))  # type: ignore[call-overload]
    cancel.set()
    assert cancel.is_set
    for call in calls:
        with pytest.raises(CancelledError):
            call(cancel=cancel)
    for wrong in (lambda: matrix.dot(), lambda: matrix.dot(x, x, x), lambda: matrix.dot(x, other=1)):  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: simd.topk([[1.0]], [1.0], 1, metric="dott"), InvalidInputError),
        (lambda: simd.topk([[1.0]], [1.0], 1, metric="dot", kind="b1"), InvalidInputError),
        (lambda: simd.topk([[1.0]], [1.0], 0), InvalidInputError),
        (lambda: simd.topk([[1.0]], [1.0], 1, np.ones(2, bool)), DimensionError),
        (lambda: simd.cross_topk([[1.0]], [[1.0, 2.0]], 1), DimensionError),
        (lambda: simd.matmul([[1.0]], [[1.0], [2.0]]), DimensionError),
        (lambda: simd.assign([[1.0]], np.ones((0, 1))), DimensionError),
        (lambda: simd.pq_distances(np.ones((2, 255)), np.ones((1, 2), np.uint8)), DimensionError),
        (lambda: simd.lora_forward([[1.0]], [[1.0, 2.0]], [[1.0]], 1.0), DimensionError),
        (lambda: simd.lora_update(np.ones(3, np.float32), np.ones(4, np.float32), 1.0), DimensionError),
        (lambda: simd.lora_update(np.ones(3, np.float32), np.ones(6, np.float32)[::2], 1.0), DimensionError),
        (lambda: simd.attention([[1.0]], np.ones((0, 1)), np.ones((0, 1))), DimensionError),
        (lambda: simd.fastgrnn_step([1], [1], [1], [1, 2], 1.0, 1.0, np.ones(1, np.float32)), DimensionError),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call()

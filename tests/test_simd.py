"""Every kernel on every instruction set of this CPU, through Python, against NumPy in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ruvllm_mcp import simd
from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native import lib

LENGTHS = [*range(1, 131), 1023, 4099]


@pytest.fixture(params=lib.available(), autouse=True)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    lib.use(request.param)
    yield request.param
    lib.use(None)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20260101)


def test_the_forced_set_is_the_one_that_runs(instruction_set: str) -> None:
    info = simd.simd_info()
    assert info["instruction_set"] == instruction_set
    assert info["kernels"]["dot_f32"] == instruction_set
    assert {layer.split("+")[0] for layer in info["kernels"].values()} <= set(simd.simd_info()["available"])


def test_pairwise_kernels_agree_with_float64(random: np.random.Generator) -> None:
    for n in LENGTHS:
        a, b = random.standard_normal((2, n)).astype(np.float32)
        x, y = a.astype(np.float64), b.astype(np.float64)
        scale = np.abs(x) @ np.abs(y)
        assert simd.dot_product(a, b) == pytest.approx(x @ y, abs=2e-6 * scale)
        assert simd.squared_distance(a, b) == pytest.approx(((x - y) ** 2).sum(), rel=4e-6)
        assert simd.euclidean_distance(a, b) == pytest.approx(np.linalg.norm(x - y), rel=4e-6)
        cosine = x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
        assert simd.cosine_similarity(a, b) == pytest.approx(cosine, abs=4e-6)


def test_vector_kernels_agree_with_float64(random: np.random.Generator) -> None:
    for n in LENGTHS:
        a = (random.standard_normal(n) * 8).astype(np.float32)
        x = a.astype(np.float64)
        np.testing.assert_allclose(simd.normalize(a), x / np.linalg.norm(x), rtol=4e-6)
        e = np.exp(x - x.max())
        np.testing.assert_allclose(simd.softmax(a), e / e.sum(), rtol=4e-6, atol=1e-37)


def test_matvec_and_topk_agree_with_brute_force(random: np.random.Generator) -> None:
    m = random.standard_normal((517, 37)).astype(np.float32)
    x = random.standard_normal(37).astype(np.float32)
    scores = m.astype(np.float64) @ x
    np.testing.assert_allclose(simd.matvec(m, x), scores, atol=2e-5)
    keep = random.random(517) < 0.3
    for k in (1, 10, 517, 9999):
        rows, found = simd.topk_dot(m, x, k)
        np.testing.assert_array_equal(rows, np.argsort(-simd.matvec(m, x), kind="stable")[:k])
        np.testing.assert_array_equal(found, simd.matvec(m, x)[rows])
        rows, _ = simd.topk_dot(m, x, k, keep)
        expected = np.argsort(-np.where(keep, simd.matvec(m, x), -np.inf), kind="stable")
        np.testing.assert_array_equal(rows, expected[: min(k, keep.sum())])


def test_int8_is_exact(random: np.random.Generator) -> None:
    for n in LENGTHS:
        a, b = random.integers(-128, 128, (2, n)).astype(np.int8)
        assert simd.dot_int8(a, b) == int(a.astype(np.int64) @ b.astype(np.int64))
    low = np.full(131_072, -128, np.int8)
    with pytest.raises(DimensionError):
        simd.dot_int8(np.append(low, low), np.append(low, low))


def maxsim_in_float64(
    query: np.ndarray, weights: np.ndarray, signs: np.ndarray, starts: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    pairs = query.astype(np.float64) @ np.where(signs, 1.0, -1.0).T / np.sqrt(query.shape[1])
    docs = [pairs[:, start : start + count] for start, count in zip(starts, counts, strict=True)]
    return np.array([weights @ doc.max(axis=1) / weights.sum() if doc.size else 0.0 for doc in docs])


@pytest.mark.parametrize("dims", [8, 24, 64, 72, 128, 384, 1000, 2048])
def test_maxsim_agrees_with_float64(random: np.random.Generator, dims: int) -> None:
    for count, lengths in ((1, [1]), (3, [0, 5, 2, 0]), (17, [4, 33, 1, 0, 7])):
        counts = np.array(lengths)
        starts = random.permutation(np.cumsum(counts) - counts)  # in any order, and they may overlap
        starts = np.minimum(starts, counts.sum() - counts)
        query = random.standard_normal((count, dims)).astype(np.float32)
        weights = random.random(count).astype(np.float32)
        signs = random.random((counts.sum(), dims)) < 0.5
        scores = simd.maxsim_bits(query, weights, np.packbits(signs, axis=1, bitorder="little"), starts, counts)
        bound = np.sqrt(dims) / 32638 * np.abs(query).max() + 1e-6
        np.testing.assert_allclose(scores, maxsim_in_float64(query, weights, signs, starts, counts), atol=bound, rtol=0)


def test_maxsim_is_the_same_on_any_number_of_threads(random: np.random.Generator) -> None:
    counts = random.integers(0, 60, 200)
    starts = np.cumsum(counts) - counts
    bits = random.integers(0, 256, (counts.sum(), 48)).astype(np.uint8)
    query, weights = random.standard_normal((12, 384)).astype(np.float32), random.random(12).astype(np.float32)
    alone = [  # too little work to share
        simd.maxsim_bits(query, weights, bits, starts[[doc]], counts[[doc]])[0] for doc in range(200)
    ]
    with ThreadPoolExecutor(4) as pool:  # of which one has the pool at a time
        for scores in pool.map(lambda _: simd.maxsim_bits(query, weights, bits, starts, counts), range(50)):
            np.testing.assert_array_equal(scores, alone)


def test_maxsim_holds_at_the_extremes() -> None:
    bits = np.full((5, 256), 255, np.uint8)
    runs = np.array([0, 2, 2]), np.array([2, 0, 3])
    ones = np.ones((2, 2048), np.float32)
    for size in (1e-40, 1.0, 1e30):
        expected = np.array([1.0, 0.0, 1.0]) * np.float32(size) * np.sqrt(2048)
        np.testing.assert_allclose(simd.maxsim_bits(size * ones, [1, 3], bits, *runs), expected, rtol=1e-4)
        np.testing.assert_allclose(simd.maxsim_bits(-size * ones, [1, 3], bits, *runs), -expected, rtol=1e-4)
    np.testing.assert_array_equal(simd.maxsim_bits(0 * ones, [1, 3], bits, *runs), 0.0)
    np.testing.assert_array_equal(simd.maxsim_bits(ones, [0, 0], bits, *runs), 0.0)
    assert np.isnan(simd.maxsim_bits(np.where(np.arange(2048) == 7, np.nan, ones), [1, 3], bits, *runs)[[0, 2]]).all()


@pytest.mark.parametrize(
    ("query", "weights", "bits", "starts", "counts", "error"),
    [
        (np.ones((1, 12)), [1], np.zeros((1, 1), np.uint8), [0], [1], DimensionError),
        (np.ones((1, 2056)), [1], np.zeros((1, 257), np.uint8), [0], [1], DimensionError),
        (np.ones((1, 16)), [1, 1], np.zeros((1, 2), np.uint8), [0], [1], DimensionError),
        (np.ones((1, 16)), [1], np.zeros((1, 3), np.uint8), [0], [1], DimensionError),
        (np.ones((1, 16)), [1], np.zeros((1, 2), np.int8), [0], [1], DimensionError),
        (np.ones((1, 16)), [1], np.zeros((1, 2), np.uint8), [0.0], [1.0], DimensionError),
        (np.ones((1, 16)), [1], np.zeros((1, 2), np.uint8), [0], [1, 1], DimensionError),
        (np.ones((1, 16)), [1], np.zeros((1, 2), np.uint8), [0], [2], InvalidInputError),
        (np.ones((1, 16)), [1], np.zeros((1, 2), np.uint8), [-1], [1], InvalidInputError),
        (np.ones((1, 16)), [1], np.zeros((1, 2), np.uint8), [2**62], [2**62], InvalidInputError),
    ],
)
def test_maxsim_refuses_what_does_not_fit(
    query: np.ndarray,
    weights: list[float],
    bits: np.ndarray,
    starts: list[float],
    counts: list[float],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        simd.maxsim_bits(query, weights, bits, np.array(starts), np.array(counts))


def test_extremes_neither_overflow_nor_vanish() -> None:
    for size in (1e-25, 1.0, 1e25):
        a = np.full(33, size, np.float32)
        assert simd.cosine_similarity(a, a) == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(simd.normalize(a), 33**-0.5, rtol=1e-6)
    assert simd.cosine_similarity(np.zeros(5), np.ones(5)) == 0.0
    np.testing.assert_array_equal(simd.normalize(np.zeros(5)), np.zeros(5))
    np.testing.assert_allclose(simd.softmax([1e38, 1e38, -1e38]), [0.5, 0.5, 0.0], atol=1e-37)
    assert np.isnan(simd.dot_product([np.nan, 1.0], [1.0, 1.0]))
    rows, _ = simd.topk_dot([[np.nan], [1.0]], [1.0], 2)
    np.testing.assert_array_equal(rows, [1])


def test_other_layouts_are_read_right() -> None:
    grid = np.arange(24, dtype=np.float64).reshape(4, 6)
    assert simd.dot_product(grid[:, 1], grid[:, 2]) == grid[:, 1] @ grid[:, 2]
    assert simd.dot_product([1, 2, 3], (4, 5, 6)) == 32
    frozen = np.ones(3, np.float32)
    frozen.flags.writeable = False
    assert simd.dot_product(frozen, frozen) == 3


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        ([1.0], [1.0, 2.0], DimensionError),
        ([], [], DimensionError),
        ([[1.0]], [[1.0]], DimensionError),
        ("ab", [1.0], InvalidInputError),
        (["x"], [1.0], InvalidInputError),
    ],
)
def test_vectors_that_do_not_fit_are_refused(a: object, b: object, error: type[Exception]) -> None:
    for operation in (simd.dot_product, simd.cosine_similarity, simd.squared_distance, simd.euclidean_distance):
        with pytest.raises(error):
            operation(a, b)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, None])
def test_k_must_be_a_positive_whole_number(k: object) -> None:
    with pytest.raises(InvalidInputError, match="k is"):
        simd.topk_dot([[1.0]], [1.0], k)


@pytest.mark.parametrize("name", ["avx1024", "neon" if "neon" not in lib.available() else "avx2"])
def test_an_unknown_or_unsupported_set_in_the_environment_is_an_error(name: str) -> None:
    environment = {**os.environ, "RUVLLM_SIMD": name}
    run = subprocess.run(
        [sys.executable, "-c", "import ruvllm_mcp.simd"], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "InstructionSetError" in run.stderr
    assert "avx2" in run.stderr or "neon" in run.stderr

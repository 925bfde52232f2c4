"""The Python door to the kernels: what it takes, what it refuses, and that every operation reaches the right kernel.

The kernels themselves are judged at every length and on every instruction set by the C tests.
"""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import CancelledError

import numpy as np
import pytest

from ruvllm_mcp import simd
from ruvllm_mcp.errors import DimensionError, InvalidInputError

N = 77
RANDOM = np.random.default_rng(20260102)
A, B = RANDOM.standard_normal((2, N)).astype(np.float32)
X, Y = A.astype(np.float64), B.astype(np.float64)
GAIN, BIAS = RANDOM.standard_normal((2, N)).astype(np.float32)
CENTRED = X - X.mean()
EXPONENTIALS = np.exp(X - X.max())

MAPS: list[tuple[Callable[[], np.ndarray], np.ndarray]] = [
    (lambda: simd.normalize(A), X / np.linalg.norm(X)),
    (lambda: simd.relu(A), np.maximum(X, 0)),
    (lambda: simd.gelu(A), X * np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in X])),
    (lambda: simd.silu(A), X / (1 + np.exp(-X))),
    (lambda: simd.sigmoid(A), 1 / (1 + np.exp(-X))),
    (lambda: simd.tanh(A), np.tanh(X)),
    (lambda: simd.add(A, B), X + Y),
    (lambda: simd.mul(A, B), X * Y),
    (lambda: simd.scale(A, -2.5), -2.5 * X),
    (lambda: simd.axpy(-2.5, A, B), Y - 2.5 * X),
    (lambda: simd.softmax(A), EXPONENTIALS / EXPONENTIALS.sum()),
    (lambda: simd.softmax(A, 0.5), EXPONENTIALS**2 / (EXPONENTIALS**2).sum()),
    (lambda: simd.log_softmax(A), np.log(EXPONENTIALS / EXPONENTIALS.sum())),
    (lambda: simd.layer_norm(A), CENTRED / np.sqrt(X.var() + 1e-5)),
    (lambda: simd.layer_norm(A, GAIN, BIAS, 0.1), CENTRED / np.sqrt(X.var() + 0.1) * GAIN + BIAS),
    (lambda: simd.rms_norm(A), X / np.sqrt((X**2).mean() + 1e-5)),
    (lambda: simd.rms_norm(A, GAIN, 0.1), X / np.sqrt((X**2).mean() + 0.1) * GAIN),
]


@pytest.mark.parametrize(("call", "expected"), MAPS)
def test_maps_agree_with_numpy(call: Callable[[], np.ndarray], expected: np.ndarray) -> None:
    before = A.copy(), B.copy()
    got = call()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=5e-6, atol=1e-6)
    np.testing.assert_array_equal(A, before[0])
    np.testing.assert_array_equal(B, before[1])


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def as_float64(stored: np.ndarray) -> np.ndarray:
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return stored.astype(np.float64)


ROWS = RANDOM.standard_normal((9, N))
STORED = [
    pytest.param(simd.float32, ROWS.astype(np.float32), id="float32"),
    pytest.param(simd.float16, ROWS.astype(np.float16), id="float16"),
    pytest.param(simd.bfloat16, bfloat16(ROWS), id="bfloat16"),
    pytest.param(simd.int8, (40 * ROWS).astype(np.int8), id="int8"),
]


@pytest.mark.parametrize(("kind", "stored"), STORED)
def test_pairs_and_rows_of_every_kind_agree_with_numpy(kind: simd.Kind, stored: np.ndarray) -> None:
    m, x = as_float64(stored), as_float64(stored[0])
    expected = {
        kind.dot: m @ x,
        kind.cosine: m @ x / (np.linalg.norm(m, axis=1) * np.linalg.norm(x)),
        kind.squared_distance: ((m - x) ** 2).sum(axis=1),
        kind.distance: np.linalg.norm(m - x, axis=1),
    }
    for operation, values in expected.items():
        np.testing.assert_allclose(operation.many(stored, stored[0]), values, rtol=1e-5, atol=1e-5)
        for row, value in zip(stored, values, strict=True):
            assert operation(row, stored[0]) == pytest.approx(value, rel=1e-5, abs=1e-5)
            assert operation(np.repeat(row, 2)[::2], stored[0]) == operation(row, stored[0])


def test_bits_agree_with_numpy() -> None:
    rows = RANDOM.integers(0, 256, (7, 13)).astype(np.uint8)
    set_bits = np.unpackbits(rows, axis=1).astype(bool)
    differing = (set_bits != set_bits[0]).sum(axis=1)
    jaccard = (set_bits & set_bits[0]).sum(axis=1) / (set_bits | set_bits[0]).sum(axis=1)
    np.testing.assert_array_equal(simd.bits.hamming.many(rows, rows[0]), differing)
    np.testing.assert_allclose(simd.bits.jaccard.many(rows, rows[0]), jaccard, rtol=1e-6)
    assert simd.bits.hamming(rows[3], rows[0]) == differing[3]
    assert simd.bits.jaccard(rows[3], rows[0]) == pytest.approx(jaccard[3])
    assert simd.bits.jaccard(np.zeros(3, np.uint8), np.zeros(3, np.uint8)) == 1.0


def test_a_vector_does_what_the_plain_functions_do() -> None:
    values = A.copy()
    a, b = simd.Vector(values), simd.Vector(list(B))
    values[:] = 0  # the handle has numbers of its own
    assert a.dot(b) == simd.dot_product(A, B)
    assert a.cosine(b) == simd.cosine_similarity(A, B)
    assert a.squared_distance(b) == simd.squared_distance(A, B)
    assert a.distance(b) == simd.euclidean_distance(A, B)
    assert len(a) == N
    assert math.isnan(simd.Vector([math.nan]).dot(simd.Vector([1.0])))
    for operation in (a.dot, a.cosine, a.squared_distance, a.distance):
        with pytest.raises(DimensionError):
            operation(simd.Vector([1.0]))
    for refused in ([], [[1.0]]):
        with pytest.raises(DimensionError):
            simd.Vector(refused)


@pytest.mark.parametrize(("kind", "stored"), STORED)
def test_a_matrix_does_what_the_plain_functions_do(kind: simd.Kind, stored: np.ndarray) -> None:
    values = stored.copy()
    name = kind.dot.kind
    matrix, x = simd.Matrix(values, name), stored[4]
    values[:] = 0  # the handle has numbers of its own
    assert (len(matrix), matrix.kind, matrix.array.shape) == (len(ROWS), name, ROWS.shape)
    assert not matrix.array.flags.writeable
    operations = {"dot": matrix.dot, "cosine": matrix.cosine, "sqdist": matrix.squared_distance}
    for plain in (kind.dot, kind.cosine, kind.squared_distance):
        expected = plain.many(stored, x)
        operation = operations[plain.operation]
        for given in (x, np.repeat(x, 2)[::2]):
            got = operation(given)
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected)
        for k, keep in ((3, None), (99, np.arange(len(ROWS)) % 2 == 0)):
            best = matrix.topk(x, k, keep, metric=plain.operation)
            for got, want in zip(best, simd.topk(stored, x, k, keep, metric=plain.operation, kind=name), strict=True):
                assert got.dtype == want.dtype
                np.testing.assert_array_equal(got, want)
        for refused in (x[1:], stored, [], None):
            with pytest.raises((DimensionError, InvalidInputError)):
                operation(refused)
            with pytest.raises((DimensionError, InvalidInputError)):
                matrix.topk(refused, 1)
    with pytest.raises(InvalidInputError):
        matrix.hamming(x)
    for k, keep in ((0, None), (True, None), (1, np.ones(2, bool))):
        with pytest.raises((DimensionError, InvalidInputError)):
            matrix.topk(x, k, keep)


def test_a_matrix_takes_vectors_lists_and_bits() -> None:
    rows = ROWS.astype(np.float32)
    matrix, x = simd.Matrix(ROWS.tolist()), simd.Vector(rows[2])
    np.testing.assert_array_equal(matrix.dot(x), matrix.dot(rows[2]))
    np.testing.assert_array_equal(matrix.dot(list(rows[2])), matrix.dot(rows[2]))
    assert matrix.topk(x, 1)[0].tolist() == matrix.topk(list(rows[2]), 1)[0].tolist()
    packed = np.packbits(ROWS > 0, axis=1)
    bits = simd.Matrix(packed, "b1")
    np.testing.assert_array_equal(bits.hamming(packed[1]), simd.bits.hamming.many(packed, packed[1]))
    np.testing.assert_array_equal(bits.jaccard(packed[1]), simd.bits.jaccard.many(packed, packed[1]))
    with pytest.raises(DimensionError):
        matrix.dot(simd.Vector([1.0]))
    with pytest.raises(InvalidInputError):
        x.dot(rows[2])  # type: ignore[arg-type]
    for refused, kind in (([], "f32"), ([[]], "f32"), ([1.0], "f32"), (np.ones((1, 33_026), np.int8), "i8")):
        with pytest.raises(DimensionError):
            simd.Matrix(refused, kind)
    with pytest.raises(InvalidInputError):
        simd.Matrix([[1.0]], "f64")
    cancel = simd.Cancel()
    assert matrix.topk(x, 2, cancel=cancel)[0].size == 2
    cancel.set()
    with pytest.raises(CancelledError):
        matrix.topk(x, 2, cancel=cancel)


def test_handles_and_maps_leak_nothing() -> None:
    vector, matrix, x = simd.Vector(A), simd.Matrix(ROWS), ROWS[0].astype(np.float32)

    def every_call() -> None:
        vector.dot(vector), matrix.dot(x), matrix.topk(x, 3), matrix.topk(list(x), 3), simd.softmax(A), simd.add(A, B)
        simd.layer_norm(A, GAIN, None), simd.Vector(A), simd.Matrix(ROWS, "f32"), simd.softmax(A, 2)
        with contextlib.suppress(DimensionError):
            vector.dot(simd.Vector([1.0]))

    every_call()
    before = sys.getrefcount(A), sys.getrefcount(x), sys.getrefcount(matrix.array)
    tracemalloc.start()
    every_call()
    size, _ = tracemalloc.get_traced_memory()
    for _ in range(1000):
        every_call()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - size
    tracemalloc.stop()
    assert grown < 60_000  # one array of 67 numbers a round would be four times as much
    assert (sys.getrefcount(A), sys.getrefcount(x), sys.getrefcount(matrix.array)) == before


def test_misaligned_and_read_only_memory_is_taken() -> None:
    shifted = np.frombuffer(b"\0" + A.tobytes(), np.uint8)[1:].view(np.float32)
    assert not shifted.flags.aligned
    assert not shifted.flags.writeable
    assert simd.dot_product(shifted, B) == simd.dot_product(A, B)
    np.testing.assert_array_equal(simd.relu(shifted), simd.relu(A))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: simd.int8.dot([1, 200], [1, 1]), InvalidInputError),
        (lambda: simd.int8.dot([1.5], [1]), InvalidInputError),
        (lambda: simd.bfloat16.dot([1.0], [1.0]), InvalidInputError),
        (lambda: simd.bits.hamming([1], [1]), InvalidInputError),
        (lambda: simd.bits.hamming(np.zeros(2, np.uint8), np.zeros(3, np.uint8)), DimensionError),
        (lambda: simd.int8.squared_distance(np.ones(33_026, np.int8), np.ones(33_026, np.int8)), DimensionError),
        (lambda: simd.int8.dot.many(np.ones((1, 131_073), np.int8), np.ones(131_073, np.int8)), DimensionError),
        (lambda: simd.float16.dot.many(np.ones((2, 3)), np.ones(4)), DimensionError),
        (lambda: simd.float32.dot.many(np.ones((2, 0)), np.ones(0)), DimensionError),
        (lambda: simd.float32.dot.many(np.ones(3), np.ones(3)), DimensionError),
        (lambda: simd.add([1.0], [1.0, 2.0]), DimensionError),
        (lambda: simd.relu([[1.0]]), DimensionError),
        (lambda: simd.relu(["a"]), InvalidInputError),
        (lambda: simd.relu(["1"]), InvalidInputError),
        (lambda: simd.relu([None]), InvalidInputError),
        (lambda: simd.relu([1 + 2j]), InvalidInputError),
        (lambda: simd.layer_norm([1.0, 2.0], gain=[1.0]), DimensionError),
        (lambda: simd.softmax([1.0], 0.0), InvalidInputError),
        (lambda: simd.softmax([1.0], math.nan), InvalidInputError),
        (lambda: simd.log_softmax([1.0], -1.0), InvalidInputError),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call()


def test_empty_vectors_map_to_empty_ones() -> None:
    for operation in (simd.normalize, simd.relu, simd.gelu, simd.softmax, simd.log_softmax, simd.layer_norm):
        assert operation([]).shape == (0,)

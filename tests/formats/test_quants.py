"""Block-quantised weights against their definitions, value by value in float64."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.formats.gguf import TENSOR_TYPES
from ruvllm_mcp.formats.quants import KINDS, dequantize, quantize


def half(raw: bytes) -> float:
    value: float = struct.unpack("<e", raw)[0]
    return value


def q8_0(raw: bytes) -> list[float]:
    return [half(raw[:2]) * q for q in struct.unpack("<32b", raw[2:])]


def q4_0(raw: bytes) -> list[float]:
    return [half(raw[:2]) * ((raw[2 + i % 16] >> 4 * (i // 16) & 15) - 8) for i in range(32)]


def q5_0(raw: bytes) -> list[float]:
    (high,) = struct.unpack("<I", raw[2:6])
    low = [raw[6 + i % 16] >> 4 * (i // 16) & 15 for i in range(32)]
    return [half(raw[:2]) * (low[i] + 16 * (high >> i & 1) - 16) for i in range(32)]


def q4_k(raw: bytes, high: bytes = bytes(32)) -> list[float]:
    d, m, packed, q = half(raw[:2]), half(raw[2:4]), raw[4:16], raw[16:]
    found = []
    for i in range(256):
        run = i // 32
        if run < 4:
            s, t = packed[run] & 63, packed[run + 4] & 63
        else:
            s = packed[run + 4] & 15 | packed[run - 4] >> 6 << 4
            t = packed[run + 4] >> 4 | packed[run] >> 6 << 4
        code = (q[32 * (i // 64) + i % 32] >> 4 * (i // 32 % 2) & 15) + 16 * (high[i % 32] >> run & 1)
        found.append(d * s * code - m * t)
    return found


def q5_k(raw: bytes) -> list[float]:
    return q4_k(raw[:16] + raw[48:], raw[16:48])


def q6_k(raw: bytes) -> list[float]:
    low, high, scales, d = raw[:128], raw[128:192], struct.unpack("<16b", raw[192:208]), half(raw[208:])
    found = []
    for i in range(256):
        part, place, quarter = i // 128, i % 32, i % 128 // 32
        q = low[64 * part + 32 * (quarter % 2) + place] >> 4 * (quarter // 2) & 15
        q |= (high[32 * part + place] >> 2 * quarter & 3) << 4
        found.append(d * scales[i // 16] * (q - 32))
    return found


def bf16(raw: bytes) -> list[float]:
    return [struct.unpack("<f", bytes(2) + raw)[0]]


DEFINITIONS: dict[str, Callable[[bytes], list[float]]] = {
    "F32": lambda raw: list(struct.unpack("<f", raw)),
    "F16": lambda raw: [half(raw)],
    "BF16": bf16,
    "Q8_0": q8_0,
    "Q5_0": q5_0,
    "Q4_0": q4_0,
    "Q4_K": q4_k,
    "Q5_K": q5_k,
    "Q6_K": q6_k,
}
STEPS = {
    "F16": 0.0003,
    "BF16": 0.003,
    "Q8_0": 0.006,
    "Q6_K": 0.018,
    "Q5_0": 0.042,
    "Q5_K": 0.037,
    "Q4_K": 0.073,
    "Q4_0": 0.083,
}
"""The error of normally distributed weights, as a share of their size, that each type may make."""


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_mean_what_the_format_says(kind: str) -> None:
    layout = TENSOR_TYPES[kind]
    assert (KINDS[kind].length, KINDS[kind].dtype.itemsize) == (layout.block, layout.size)
    chance = np.random.default_rng(3)
    raw = chance.integers(0, 256, (50, layout.size), np.uint8)
    for place in {"Q4_K": (1, 3), "Q5_K": (1, 3), "Q6_K": (209,), "F32": (3,)}.get(kind, (1,)):
        raw[:, place] &= 0xBB  # neither infinite nor NaN
    by_definition = [value for block in raw for value in DEFINITIONS[kind](block.tobytes())]
    found = dequantize(kind, raw.reshape(-1), (50, layout.block))
    largest = np.abs(found).reshape(50, -1).max(axis=1, keepdims=True)
    assert (np.abs(found - np.reshape(by_definition, found.shape)) <= 1e-6 * largest).all()


@pytest.mark.parametrize("kind", STEPS)
def test_weights_come_back_nearly(kind: str) -> None:
    values = np.random.default_rng(5).standard_normal((300, 512)).astype(np.float32) / 50
    back = dequantize(kind, quantize(kind, values), values.shape)
    error = np.linalg.norm(back - values) / np.linalg.norm(values)
    assert STEPS[kind] / 3 < error < STEPS[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "block",
    [
        np.zeros(256),
        np.full(256, 0.25),
        np.full(256, -3.0),
        np.eye(1, 256, 37)[0] * 60000,
        -np.eye(1, 256, 5)[0] * 60000,
        np.full(256, 1e-30),
        np.linspace(0, 1, 256),
        np.linspace(-1, 0, 256),
        np.repeat([1e-6, 1e4], 128),
    ],
)
def test_odd_blocks_come_back_within_a_step(kind: str, block: np.ndarray) -> None:
    values = block.astype(np.float32)
    back = dequantize(kind, quantize(kind, values), values.shape)
    run = min(KINDS[kind].length, 32)
    step = {"Q8_0": 127, "Q6_K": 31, "Q5_0": 15, "Q5_K": 15, "F16": 1024, "BF16": 128, "F32": 1e9}.get(kind, 7)
    allowed = np.abs(values).reshape(-1, run).max(axis=1, keepdims=True) / step + 1e-4 * np.abs(values).max() / 60000
    assert (np.abs(back - values).reshape(-1, run) <= allowed + 6e-8).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].length > 1])
@pytest.mark.parametrize("size", [1e-7, 1e-20, 1e-37, 1e-39, 1e-44])
def test_numbers_too_small_for_scales_come_back_as_nothing_much(kind: str, size: float) -> None:
    values = (np.random.default_rng(6).uniform(-1, 1, (20, 256)) * size).astype(np.float32)
    back = dequantize(kind, quantize(kind, values), values.shape)
    assert np.abs(back).max() <= (3e-6 if size > 1e-10 else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(kind: str, bad: float) -> None:
    values = np.zeros((3, 256), np.float32)
    values[1, 77] = bad
    with pytest.raises(InvalidInputError, match="not finite"):
        quantize(kind, values)


def test_zeros_stay_zeros() -> None:
    for kind, known in KINDS.items():
        assert not dequantize(kind, quantize(kind, np.zeros((2, known.length))), (2, known.length)).any()


def test_pieces_join_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(9).standard_normal((40, 256)).astype(np.float32)
    whole = quantize("Q4_K", values)
    monkeypatch.setattr("ruvllm_mcp.formats.quants.PIECE", 512)
    assert np.array_equal(quantize("Q4_K", values), whole)
    assert np.array_equal(whole, np.concatenate([quantize("Q4_K", row) for row in values]))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("Q4_0", np.zeros(31)),
        ("Q4_K", np.zeros((4, 128))),
        ("Q3_K", np.zeros(256)),
        ("F16", np.array([7e4])),
    ],
)
def test_what_cannot_be_stored_is_refused(kind: str, values: np.ndarray) -> None:
    with pytest.raises(InvalidInputError):
        quantize(kind, values)


def test_bytes_that_do_not_fit_their_shape_are_refused() -> None:
    for size, shape in ((34, (33,)), (33, (32,)), (68, (32,))):
        with pytest.raises(InvalidInputError):
            dequantize("Q8_0", np.zeros(size, np.uint8), shape)

"""Q8_0 in NumPy against its definition, value by value in float64."""

from __future__ import annotations

import struct

import numpy as np

from ruvllm_mcp.formats.quants import dequantize_q8_0, quantize_q8_0


def test_a_block_is_a_half_scale_and_32_bytes() -> None:
    values = np.linspace(-1, 1, 64, dtype=np.float32)
    raw = quantize_q8_0(values).tobytes()
    assert len(raw) == 68
    by_definition = []
    for block in (raw[:34], raw[34:]):
        (scale,) = struct.unpack("<e", block[:2])
        by_definition += [scale * q for q in struct.unpack("<32b", block[2:])]
    assert dequantize_q8_0(np.frombuffer(raw, np.uint8), (64,)).tolist() == np.float32(by_definition).tolist()


def test_the_error_is_at_most_half_a_step() -> None:
    values = np.random.default_rng(3).standard_normal((40, 96)).astype(np.float32)
    back = dequantize_q8_0(quantize_q8_0(values), (40, 96))
    step = np.abs(values.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
    assert (np.abs(back - values).reshape(-1, 32) <= 0.52 * step).all()  # the scale itself is rounded to float16


def test_zeros_stay_zeros() -> None:
    assert not dequantize_q8_0(quantize_q8_0(np.zeros(32, np.float32)), (32,)).any()

"""Quantised weights beside the `gguf` package: the same numbers from the same bytes, and no greater error than its."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize as dequantize_theirs
from gguf.quants import quantize as quantize_theirs

from ruvllm_mcp.formats.quants import KINDS, dequantize, quantize

BLOCKS = [kind for kind in KINDS if KINDS[kind].length > 1]


@pytest.mark.parametrize("kind", BLOCKS)
def test_any_bytes_mean_the_same(kind: str) -> None:
    raw = np.random.default_rng(1).integers(0, 256, (400, 8 * KINDS[kind].dtype.itemsize), np.uint8)
    shape = (400, 8 * KINDS[kind].length)
    with np.errstate(all="ignore"):  # random scales may be infinite or NaN
        ours = dequantize(kind, raw.reshape(-1), shape)
        theirs = dequantize_theirs(raw, GGMLQuantizationType[kind])
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q4_0"])
@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_the_error_is_no_greater(kind: str, spread: float) -> None:
    chance = np.random.default_rng(2)
    values = (chance.standard_normal((256, 1024)) * chance.lognormal(0, spread, (256, 1024))).astype(np.float32) / 50
    raw = quantize(kind, values)
    ours = dequantize(kind, raw, values.shape)
    packed = quantize_theirs(values, GGMLQuantizationType[kind])
    theirs = packed.astype(np.float32) if kind == "F16" else dequantize_theirs(packed, GGMLQuantizationType[kind])
    assert np.linalg.norm(ours - values) <= np.linalg.norm(theirs - values)

"""Block-quantised weights as GGUF lays them out, in NumPy: for making files and for checking kernels against.

Q8_0: 32 consecutive values of a row share one float16 scale d; a block is d and 32 int8 q, value = d * q.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

Q8_0 = np.dtype([("d", "<f2"), ("q", "i1", 32)])


def quantize_q8_0(values: FloatArray) -> Bytes:
    """`values` float32, last axis a multiple of 32, as Q8_0 bytes, uint8 (n,). Rounds by the scale that is stored."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, 32)
    blocks = np.zeros(len(rows), Q8_0)
    blocks["d"] = np.abs(rows).max(axis=1) / np.float32(127)
    scale = blocks["d"].astype(np.float32)[:, None]
    quotient = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    blocks["q"] = np.clip(np.rint(quotient), -127, 127)
    return blocks.view(np.uint8)


def dequantize_q8_0(data: Bytes, shape: tuple[int, ...]) -> FloatArray:
    """The float32 values of Q8_0 bytes, in `shape`."""
    blocks = data.view(Q8_0)
    values: FloatArray = (blocks["q"].astype(np.float32) * blocks["d"].astype(np.float32)[:, None]).reshape(shape)
    return values

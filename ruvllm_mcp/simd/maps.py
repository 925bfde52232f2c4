"""Float32 vectors in, one of the same length out: arithmetic, activations, normalisations, softmax.

Every function takes anything NumPy can read as numbers and returns a new array. NaN and infinity follow IEEE 754. All
raise InvalidInputError for what are no numbers and DimensionError for other axes than they take.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.arrays import FloatArray, floats, pointer, same_length
from ruvllm_mcp.native.lib import gil, gil_ffi

SMALLEST_TEMPERATURE = float(np.finfo(np.float32).tiny)


def _mapped(kernel: Any, x: npt.ArrayLike) -> FloatArray:
    array = floats(x, 1, "x")
    out = np.empty_like(array)
    kernel(pointer(array), pointer(out), array.size)
    return out


def _zipped(kernel: Any, a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    x, y = floats(a, 1, "a"), floats(b, 1, "b")
    out = np.empty_like(x)
    kernel(pointer(x), pointer(y), pointer(out), same_length(x, y))
    return out


def normalize(x: npt.ArrayLike) -> FloatArray:
    """`x` scaled to unit length, float32 (d,); a zero vector stays zero."""
    return _mapped(gil.rv_normalize_f32, x)


def relu(x: npt.ArrayLike) -> FloatArray:
    """max(x, 0), element by element, float32 (d,)."""
    return _mapped(gil.rv_relu_f32, x)


def gelu(x: npt.ArrayLike) -> FloatArray:
    """x times the normal distribution's share below x (the exact form, not the tanh one), float32 (d,)."""
    return _mapped(gil.rv_gelu_f32, x)


def silu(x: npt.ArrayLike) -> FloatArray:
    """x * sigmoid(x), float32 (d,)."""
    return _mapped(gil.rv_silu_f32, x)


def sigmoid(x: npt.ArrayLike) -> FloatArray:
    """1 / (1 + exp(-x)), float32 (d,)."""
    return _mapped(gil.rv_sigmoid_f32, x)


def tanh(x: npt.ArrayLike) -> FloatArray:
    """Hyperbolic tangent, float32 (d,), within 3e-7."""
    return _mapped(gil.rv_tanh_f32, x)


def add(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """a + b, both float32 of one shape (d,), d >= 1."""
    return _zipped(gil.rv_add_f32, a, b)


def mul(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """a * b element by element, both float32 of one shape (d,), d >= 1."""
    return _zipped(gil.rv_mul_f32, a, b)


def scale(x: npt.ArrayLike, factor: float) -> FloatArray:
    """factor * x, float32 (d,)."""
    array = floats(x, 1, "x")
    out = np.empty_like(array)
    gil.rv_scale_f32(pointer(array), factor, pointer(out), array.size)
    return out


def axpy(factor: float, x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """factor * x + y, both float32 of one shape (d,), d >= 1."""
    array, out = floats(x, 1, "x"), floats(y, 1, "y").copy()
    gil.rv_axpy_f32(factor, pointer(array), pointer(out), same_length(array, out))
    return out


def softmax(x: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """exp(x / temperature) / its sum, float32 (d,), without overflow.

    What lies 87 temperatures below the greatest is 0. Raises InvalidInputError unless temperature is a positive number.
    """
    return _tempered(gil.rv_softmax_f32, x, temperature)


def log_softmax(x: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """The logarithm of `softmax`, without its underflow."""
    return _tempered(gil.rv_log_softmax_f32, x, temperature)


def _tempered(kernel: Any, x: npt.ArrayLike, temperature: float) -> FloatArray:
    if not (math.isfinite(temperature) and temperature >= SMALLEST_TEMPERATURE):
        raise InvalidInputError(f"temperature is {temperature!r}.", "It takes a positive number.")
    array = floats(x, 1, "x")
    out = np.empty_like(array)
    kernel(pointer(array), temperature, pointer(out), array.size)
    return out


def layer_norm(
    x: npt.ArrayLike, gain: npt.ArrayLike | None = None, bias: npt.ArrayLike | None = None, epsilon: float = 1e-5
) -> FloatArray:
    """(x - mean) / sqrt(variance + epsilon) * gain + bias; all float32 (d,), gain and bias 1 and 0 if not given."""
    array = floats(x, 1, "x")
    out = np.empty_like(array)
    by, plus = _fitting(gain, array, "gain"), _fitting(bias, array, "bias")
    gil.rv_layer_norm_f32(pointer(array), by, plus, epsilon, pointer(out), array.size)
    return out


def rms_norm(x: npt.ArrayLike, gain: npt.ArrayLike | None = None, epsilon: float = 1e-5) -> FloatArray:
    """x / sqrt(mean square + epsilon) * gain; both float32 (d,), gain 1 if not given."""
    array = floats(x, 1, "x")
    out = np.empty_like(array)
    gil.rv_rms_norm_f32(pointer(array), _fitting(gain, array, "gain"), epsilon, pointer(out), array.size)
    return out


def _fitting(factors: npt.ArrayLike | None, x: FloatArray, name: str) -> Any:
    if factors is None:
        return gil_ffi.NULL
    array = floats(factors, 1, name)
    if array.shape != x.shape:
        raise DimensionError(f"{name} has shape {array.shape}, x {x.shape}.", "They take one length.")
    return pointer(array)

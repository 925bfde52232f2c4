"""Float32 vectors in, one of the same length out: arithmetic, activations, normalisations, softmax.

Every function takes anything NumPy can read as numbers and returns a new array. NaN and infinity follow IEEE 754. All
raise InvalidInputError for what are no numbers and DimensionError for other axes than they take.

Plain arrays take the short way, one C function (`csrc/rv_python_maps.h`); whatever it answers None to is converted,
given to it again, or refused here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.arrays import FloatArray, floats
from ruvllm_mcp.native.lib import python_function

SMALLEST_TEMPERATURE = float(np.finfo(np.float32).tiny)


class _Map:
    """A kernel from vectors to one of the same length. It takes arrays, then numbers; None where it may be left out."""

    __slots__ = ("names", "plain")

    def __init__(self, kernel: str, *names: str) -> None:
        self.plain, self.names = python_function(kernel), names

    def general(self, *given: Any) -> FloatArray:
        """The same of whatever can be converted. Raises what stands in the way."""
        count = len(self.names)
        arrays = [None if v is None else floats(v, 1, n) for v, n in zip(given[:count], self.names, strict=True)]
        first = arrays[0]
        assert first is not None
        for array, name in zip(arrays, self.names, strict=True):
            if array is not None and array.shape != first.shape:
                raise DimensionError(
                    f"{name} has shape {array.shape}, {self.names[0]} {first.shape}.", "They take one length."
                )
        if not first.size:
            return np.empty_like(first)
        answer: FloatArray = self.plain(*arrays, *map(float, given[count:]))
        return answer


_normalize, _relu, _gelu = _Map("normalize_f32", "x"), _Map("relu_f32", "x"), _Map("gelu_f32", "x")
_silu, _sigmoid, _tanh = _Map("silu_f32", "x"), _Map("sigmoid_f32", "x"), _Map("tanh_f32", "x")
_add, _mul, _axpy = _Map("add_f32", "a", "b"), _Map("mul_f32", "a", "b"), _Map("axpy_f32", "x", "y")
_scale, _softmax, _log_softmax = _Map("scale_f32", "x"), _Map("softmax_f32", "x"), _Map("log_softmax_f32", "x")
_layer_norm, _rms_norm = _Map("layer_norm_f32", "x", "gain", "bias"), _Map("rms_norm_f32", "x", "gain")


def normalize(x: npt.ArrayLike) -> FloatArray:
    """`x` scaled to unit length, float32 (d,); a zero vector stays zero."""
    answer: FloatArray | None = _normalize.plain(x)
    return _normalize.general(x) if answer is None else answer


def relu(x: npt.ArrayLike) -> FloatArray:
    """max(x, 0), element by element, float32 (d,)."""
    answer: FloatArray | None = _relu.plain(x)
    return _relu.general(x) if answer is None else answer


def gelu(x: npt.ArrayLike) -> FloatArray:
    """x times the normal distribution's share below x (the exact form, not the tanh one), float32 (d,)."""
    answer: FloatArray | None = _gelu.plain(x)
    return _gelu.general(x) if answer is None else answer


def silu(x: npt.ArrayLike) -> FloatArray:
    """x * sigmoid(x), float32 (d,)."""
    answer: FloatArray | None = _silu.plain(x)
    return _silu.general(x) if answer is None else answer


def sigmoid(x: npt.ArrayLike) -> FloatArray:
    """1 / (1 + exp(-x)), float32 (d,)."""
    answer: FloatArray | None = _sigmoid.plain(x)
    return _sigmoid.general(x) if answer is None else answer


def tanh(x: npt.ArrayLike) -> FloatArray:
    """Hyperbolic tangent, float32 (d,), within 3e-7."""
    answer: FloatArray | None = _tanh.plain(x)
    return _tanh.general(x) if answer is None else answer


def add(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """a + b, both float32 of one shape (d,)."""
    answer: FloatArray | None = _add.plain(a, b)
    return _add.general(a, b) if answer is None else answer


def mul(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """a * b element by element, both float32 of one shape (d,)."""
    answer: FloatArray | None = _mul.plain(a, b)
    return _mul.general(a, b) if answer is None else answer


def scale(x: npt.ArrayLike, factor: float) -> FloatArray:
    """factor * x, float32 (d,)."""
    answer: FloatArray | None = _scale.plain(x, factor)
    return _scale.general(x, factor) if answer is None else answer


def axpy(factor: float, x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """factor * x + y, both float32 of one shape (d,)."""
    answer: FloatArray | None = _axpy.plain(x, y, factor)
    return _axpy.general(x, y, factor) if answer is None else answer


def softmax(x: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """exp(x / temperature) / its sum, float32 (d,), without overflow.

    What lies 87 temperatures below the greatest is 0. Raises InvalidInputError unless temperature is a positive number.
    """
    _check_temperature(temperature)
    answer: FloatArray | None = _softmax.plain(x, temperature)
    return _softmax.general(x, temperature) if answer is None else answer


def log_softmax(x: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """The logarithm of `softmax`, without its underflow."""
    _check_temperature(temperature)
    answer: FloatArray | None = _log_softmax.plain(x, temperature)
    return _log_softmax.general(x, temperature) if answer is None else answer


def _check_temperature(temperature: float) -> None:
    if not SMALLEST_TEMPERATURE <= temperature < math.inf:
        raise InvalidInputError(f"temperature is {temperature!r}.", "It takes a positive number.")


def layer_norm(
    x: npt.ArrayLike, gain: npt.ArrayLike | None = None, bias: npt.ArrayLike | None = None, epsilon: float = 1e-5
) -> FloatArray:
    """(x - mean) / sqrt(variance + epsilon) * gain + bias; all float32 (d,), gain and bias 1 and 0 if not given."""
    answer: FloatArray | None = _layer_norm.plain(x, gain, bias, epsilon)
    return _layer_norm.general(x, gain, bias, epsilon) if answer is None else answer


def rms_norm(x: npt.ArrayLike, gain: npt.ArrayLike | None = None, epsilon: float = 1e-5) -> FloatArray:
    """x / sqrt(mean square + epsilon) * gain; both float32 (d,), gain 1 if not given."""
    answer: FloatArray | None = _rms_norm.plain(x, gain, epsilon)
    return _rms_norm.general(x, gain, epsilon) if answer is None else answer

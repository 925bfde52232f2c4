"""Small layers of networks in one call each: low-rank adapters, pooled table rows, a FastGRNN cell, attention.

All arrays are float32 but ids. What a layer writes to (gradients, state) must be a writeable C-contiguous float32
array: it is written in place. Calls release the GIL; what may take long takes a `Cancel`. All raise DimensionError if
shapes do not fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.native.arrays import AnyArray, FloatArray, floats, long_pointer
from ruvllm_mcp.native.lib import nogil, nogil_ffi
from ruvllm_mcp.simd.batches import Cancel, flag, raise_if_cancelled


def lora_forward(
    x: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, scale: float, *, cancel: Cancel | None = None
) -> FloatArray:
    """What a low-rank adapter adds: scale * (x A^T) B^T, (n, out), for x (n, in), A (rank, in), B (out, rank)."""
    inputs, left, right = floats(x, 2, "x"), floats(a, 2, "a"), floats(b, 2, "b")
    _fit(inputs.shape[1] == left.shape[1] and left.shape[0] == right.shape[1], inputs, left, right)
    out, inner = np.empty((len(inputs), len(right)), np.float32), np.empty((len(inputs), len(left)), np.float32)
    nogil.rv_lora_forward(
        _lora(left, right, scale),
        long_pointer(inputs),
        long_pointer(out),
        len(inputs),
        long_pointer(inner),
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    return out


def lora_backward(
    x: npt.ArrayLike,
    grad_out: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    scale: float,
    grad_a: FloatArray,
    grad_b: FloatArray,
    *,
    cancel: Cancel | None = None,
) -> FloatArray:
    """The gradient in x, (n, in), of a loss whose gradient in `lora_forward` is `grad_out`, (n, out).

    Those in A and B are added to `grad_a` and `grad_b`, of some samples only if the call is cancelled.
    """
    inputs, outer = floats(x, 2, "x"), floats(grad_out, 2, "grad_out")
    left, right = floats(a, 2, "a"), floats(b, 2, "b")
    _fit(inputs.shape[1] == left.shape[1] and left.shape[0] == right.shape[1], inputs, left, right)
    _fit(outer.shape == (len(inputs), len(right)), inputs, outer, right)
    grad_x, scratch = np.empty_like(inputs), np.empty(2 * len(left), np.float32)
    nogil.rv_lora_backward(
        _lora(left, right, scale),
        long_pointer(inputs),
        long_pointer(outer),
        len(inputs),
        _written(grad_a, left.shape, "grad_a"),
        _written(grad_b, right.shape, "grad_b"),
        long_pointer(grad_x),
        long_pointer(scratch),
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    return grad_x


def lora_update(parameters: FloatArray, gradients: FloatArray, rate: float) -> None:
    """parameters -= rate * gradients, which become 0. Both of one shape, both written in place."""
    nogil.rv_lora_update(
        _written(parameters, parameters.shape, "parameters"),
        _written(gradients, parameters.shape, "gradients"),
        rate,
        parameters.size,
    )


def pool(table: npt.ArrayLike, ids: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """The sum of `weights[i]` (1 if not given) times row `ids[i]` of `table`, (rows, d): (d,).

    Raises InvalidInputError for an id that is none of the rows.
    """
    rows, chosen = floats(table, 2, "table"), np.ascontiguousarray(ids, np.int32)
    factors = None if weights is None else floats(weights, 1, "weights")
    if chosen.ndim != 1 or (factors is not None and factors.shape != chosen.shape):
        raise DimensionError(f"ids has shape {chosen.shape}.", "It takes (n,), and weights the same.")
    out = np.empty(rows.shape[1], np.float32)
    if not nogil.rv_pool(
        long_pointer(rows),
        long_pointer(chosen),
        nogil_ffi.NULL if factors is None else long_pointer(factors),
        long_pointer(out),
        len(rows),
        chosen.size,
        rows.shape[1],
    ):
        raise InvalidInputError("An id is outside the table.", f"They go from 0 to {len(rows) - 1}.")
    return out


def fastgrnn_step(
    inputs: npt.ArrayLike,
    recurrent: npt.ArrayLike,
    gate_bias: npt.ArrayLike,
    candidate_bias: npt.ArrayLike,
    zeta: float,
    nu: float,
    state: FloatArray,
) -> None:
    """One FastGRNN step (arXiv:1901.02358) on `state`, (n,), in place; `inputs` is W x and `recurrent` U h, both (n,).

    With s = W x + U h, z = sigmoid(s + gate_bias) and c = tanh(s + candidate_bias): h = (zeta (1 - z) + nu) c + z h.
    """
    terms = [floats(v, 1, "term") for v in (inputs, recurrent, gate_bias, candidate_bias)]
    _fit(all(term.shape == state.shape for term in terms), *terms)
    scratch = np.empty(2 * state.size, np.float32)
    pointers = [long_pointer(term) for term in terms]
    nogil.rv_fastgrnn_step(
        *pointers, zeta, nu, _written(state, state.shape, "state"), state.size, long_pointer(scratch)
    )


def attention(
    queries: npt.ArrayLike, keys: npt.ArrayLike, values: npt.ArrayLike, *, cancel: Cancel | None = None
) -> FloatArray:
    """softmax(Q K^T / sqrt(d)) V, (m, v), for queries (m, d), keys (n, d) and values (n, v), n >= 1."""
    asked, offered, held = floats(queries, 2, "queries"), floats(keys, 2, "keys"), floats(values, 2, "values")
    fits = asked.shape[1] == offered.shape[1] > 0 and len(offered) == len(held) > 0
    _fit(fits, asked, offered, held)
    out = np.empty((len(asked), held.shape[1]), np.float32)
    scratch = np.empty(len(offered) + held.shape[1], np.float32)
    nogil.rv_attention(
        long_pointer(asked),
        long_pointer(offered),
        long_pointer(held),
        long_pointer(out),
        len(asked),
        *offered.shape,
        held.shape[1],
        long_pointer(scratch),
        flag(cancel),
    )
    raise_if_cancelled(cancel)
    return out


def _lora(a: FloatArray, b: FloatArray, scale: float) -> Any:
    return nogil_ffi.new("rv_lora *", (long_pointer(a), long_pointer(b), scale, len(a), a.shape[1], len(b)))


def _fit(fits: bool, *arrays: AnyArray) -> None:
    if not fits:
        raise DimensionError(f"Shapes {[array.shape for array in arrays]} do not fit.", "See the function's shapes.")


def _written(array: FloatArray, shape: tuple[int, ...], name: str) -> Any:
    """Where to write, refusing what NumPy would have to copy."""
    if array.dtype != np.float32 or array.shape != shape or not array.flags.carray:
        raise DimensionError(
            f"{name} is {array.dtype} {array.shape}.", f"It takes a writeable, contiguous float32 array {shape}."
        )
    return long_pointer(array)

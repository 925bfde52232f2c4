"""Loads the compiled kernels and settles, once per process, which instruction set they run on.

`RUVLLM_SIMD` forces one; otherwise the best the CPU has is taken. `gil` and `nogil` are the two CFFI libraries (see
`build.py`), `gil_ffi` and `nogil_ffi` their makers of pointers.
"""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable
from typing import Any

from ruvllm_mcp.errors import InstructionSetError, ModelError

INSTRUCTION_SETS = ("scalar", "sse41", "avx2", "avx512", "neon")

try:
    from ruvllm_mcp.native import _gil, _nogil  # type: ignore[attr-defined]  # compiled: mypy cannot see them
except ImportError as error:
    raise ModelError(
        f"The compiled kernels cannot be loaded: {error}.", "Install the package again with a C compiler at hand."
    ) from None

gil: Any = _gil.lib
gil_ffi: Any = _gil.ffi
nogil: Any = _nogil.lib
nogil_ffi: Any = _nogil.ffi


def python_function(kernel: str) -> Callable[..., Any]:
    """A kernel ("dot_f32") as a function of arrays; it answers None where they are not plain enough for it."""
    function: Callable[..., Any] = ctypes.cast(gil.rv_python_function(kernel.encode()), ctypes.py_object).value
    return function


def python_type(name: str) -> Any:
    """The C part of the handle "Vector" or "Matrix"."""
    return ctypes.cast(gil.rv_python_type(name.encode()), ctypes.py_object).value


def available() -> tuple[str, ...]:
    """The instruction sets that this build and this CPU have, worst first."""
    table = gil_ffi.new("rv_table *")
    return tuple(name for name in INSTRUCTION_SETS if gil.rv_resolve(name.encode(), table))


def use(name: str | None) -> str:
    """Switches every kernel to one instruction set, None for the best; returns its name. Not for while others run."""
    chosen = available()[-1] if name is None else name
    if chosen not in available():
        raise InstructionSetError(
            f"Instruction set {chosen!r} is not available.", f"RUVLLM_SIMD takes one of {', '.join(available())}."
        )
    gil.rv_use(chosen.encode())
    nogil.rv_use(chosen.encode())
    return chosen


def in_use() -> str:
    """The name of the instruction set in use."""
    name: str = gil_ffi.string(gil.rv_in_use()).decode()
    return name


def kernels() -> dict[str, str]:
    """Each kernel's name and the layer of the instruction set in use that serves it."""
    table = gil_ffi.new("rv_table *")
    gil.rv_resolve(gil.rv_in_use(), table)
    names = itertools.takewhile(lambda name: name != gil_ffi.NULL, map(gil.rv_kernel_name, itertools.count()))
    return {
        gil_ffi.string(name).decode(): gil_ffi.string(gil.rv_kernel_layer(i, table)).decode()
        for i, name in enumerate(names)
    }


use(os.environ.get("RUVLLM_SIMD") or None)

"""Loads the compiled kernels and settles, once per process, which instruction set they run on.

`RUVLLM_SIMD` forces one; otherwise the best the CPU has is taken. `gil` and `nogil` are the two CFFI libraries (see
`build.py`), `gil_ffi` and `nogil_ffi` their makers of pointers.
"""

from __future__ import annotations

import os
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


def available() -> tuple[str, ...]:
    """The instruction sets that this build and this CPU have, worst first."""
    return tuple(name for name in INSTRUCTION_SETS if gil.rv_has(name.encode()))


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


use(os.environ.get("RUVLLM_SIMD") or None)

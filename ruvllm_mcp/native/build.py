"""Makes the two CFFI modules from the C in `csrc/`.

Both hold the same functions, linked from one static library. `_nogil` is ordinary CFFI: every call releases the GIL,
right for batches and long work. `_gil` keeps it: releasing costs nothing while no other thread wants it, but tens of
microseconds when one does, far more than a dot product takes. CFFI has no switch for that, so `_gil` redefines the two
macros that its generated wrappers are built from.

CFFI's declarations are the headers themselves as the C preprocessor leaves them with `RV_CDEF` defined, which hides
what CFFI cannot parse (`#include <...>`). A new area of C joins by a file in `csrc/` and, if it has public functions of
its own, a header in `HEADERS`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent.parent
CSRC = ROOT / "csrc"
HEADERS = ("rv.h", "rv_index.h", "encoder/rv_encoder.h", "llm/rv_llm.h")
# Shared with the C tests. a * b + c is contracted only where a kernel says so, and then on every compiler.
FLAGS = (CSRC / "cflags").read_text().split()
KEEP_THE_GIL = """
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }
"""


def declarations() -> str:
    """What CFFI is told: every header, preprocessed."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, "-E", "-P", "-DRV_CDEF", f"-I{CSRC}", "-x", "c", "-"]
    includes = "".join(f'#include "{header}"\n' for header in HEADERS)
    return subprocess.run(command, input=includes, capture_output=True, text=True, check=True).stdout


def sources(*patterns: str) -> list[str]:
    """The files below `csrc/` of those patterns, relative to the project as setuptools wants them."""
    return sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in CSRC.rglob(pattern))


def library() -> dict[str, Any]:
    """The static library as setuptools takes it: every object is built again when any header changes."""
    return {
        "sources": sources("*.c"),
        "obj_deps": {"": sources("*.h", "*.def", "cflags")},
        "include_dirs": ["csrc"],
        "cflags": FLAGS,
    }


def module(name: str, preamble: str = "", more_declarations: str = "", more_code: str = "", **options: Any) -> FFI:
    ffi = FFI()
    ffi.cdef(declarations() + more_declarations)
    ffi.set_source(
        f"ruvllm_mcp.native.{name}",
        preamble + "".join(f'#include "{header}"\n' for header in HEADERS) + more_code,
        depends=[*sources("*.c", "*.h", "*.def", "cflags"), "ruvllm_mcp/native/build.py"],
        include_dirs=["csrc"],
        extra_compile_args=FLAGS,
        libraries=["rv", "m", "pthread"],
        **options,
    )
    return ffi


def gil() -> FFI:
    """The module whose calls keep the GIL.

    It also has kernels as Python functions and types (`rv_python.h`), which need the buffer protocol. That is not in
    Python's stable interface before 3.11, so this module is built for one version.
    """
    return module(
        "_gil",
        KEEP_THE_GIL,
        "uintptr_t rv_python_function(const char *kernel); uintptr_t rv_python_type(const char *name);",
        '#include "rv_python.h"\n',
        py_limited_api=False,
    )


def nogil() -> FFI:
    """The module whose calls release it."""
    return module("_nogil")

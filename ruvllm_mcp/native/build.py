"""Makes the two CFFI modules from the C in `csrc/`.

Both hold the same functions. `_nogil` is ordinary CFFI: every call releases the GIL, right for batches and long work.
`_gil` keeps it: releasing costs nothing while no other thread wants it, but tens of microseconds when one does, far
more than a dot product takes. CFFI has no switch for that, so `_gil` redefines the two macros that its generated
wrappers are built from.

Declarations are read from the C headers: each line between `/* cdef */` marks, and one function a kernel line of
`rv_kernels.def`.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent.parent
CSRC = ROOT / "csrc"
HEADERS = ("rv.h",)
FLAGS = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-Werror"]
KEEP_THE_GIL = """
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }
"""


def declarations() -> str:
    """What CFFI is told: the marked parts of the headers and one prototype a kernel."""
    found = []
    for header in HEADERS:
        marked = re.findall(r"/\* cdef \*/\n(.*?)/\* end cdef \*/", (CSRC / header).read_text(), re.DOTALL)
        found += [re.sub(r"/\*.*?\*/", "", part, flags=re.DOTALL) for part in marked]
    lines = re.findall(r"^RV_KERNEL\((\w+), (\w+), (\(.*?\)), \(.*?\)\)$", (CSRC / "rv_kernels.def").read_text(), re.M)
    found += [f"{result} rv_{name}{parameters};" for result, name, parameters in lines]
    return "\n".join(found)


def module(name: str, preamble: str = "") -> FFI:
    ffi = FFI()
    ffi.cdef(declarations())
    includes = "".join(f'#include "{header}"\n' for header in HEADERS)
    sources = sorted(str(path.relative_to(ROOT)) for path in CSRC.rglob("*.c"))
    libraries = ["m"] if platform.system() != "Windows" else []
    ffi.set_source(
        f"ruvllm_mcp.native.{name}",
        preamble + includes,
        sources=sources,
        depends=sorted(str(path.relative_to(ROOT)) for path in (*CSRC.rglob("*.h"), *CSRC.rglob("*.def"))),
        include_dirs=["csrc"],
        extra_compile_args=FLAGS,
        libraries=libraries,
    )
    return ffi


def gil() -> FFI:
    """The module whose calls keep the GIL."""
    return module("_gil", KEEP_THE_GIL)


def nogil() -> FFI:
    """The module whose calls release it."""
    return module("_nogil")

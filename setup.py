"""Builds the C kernels, once as a static library that both CFFI modules link; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "ruvllm_mcp" / "native"))

import build  # noqa: E402  # the path above comes first: the package itself is not built yet


class BuildExtensions(build_ext):
    """Builds the library first also when asked for the modules alone."""

    def run(self) -> None:
        self.run_command("build_clib")
        super().run()


setup(
    cmdclass={"build_ext": BuildExtensions},
    libraries=[("rv", build.library())],
    cffi_modules=["ruvllm_mcp/native/build.py:gil", "ruvllm_mcp/native/build.py:nogil"],
)

"""Builds the C kernels; everything else is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["ruvllm_mcp/native/build.py:gil", "ruvllm_mcp/native/build.py:nogil"])

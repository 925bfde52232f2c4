"""The C kernels as Python sees them. Only `simd.py` and the embedders go through this door."""

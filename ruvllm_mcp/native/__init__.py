"""The C kernels as Python sees them. Only `simd` and the embedders go through this door."""

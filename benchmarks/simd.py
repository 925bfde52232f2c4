"""The kernels beside NumPy, SimSIMD, NumKong and PyTorch, as far as they are installed, in one run.

    pip install 'ruvllm-mcp[bench]' && python benchmarks/simd.py

`ruvllm_mcp.benchmark.simd` has the cases and the method; this adds the peers. Each figure is the peer's time over ours.
Everything runs on one core unless OPENBLAS_NUM_THREADS gives NumPy more.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded, which is when OpenBLAS reads it

import numpy as np

from ruvllm_mcp import simd
from ruvllm_mcp.benchmark.simd import Call, Inputs, run, table


def installed(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out", file=sys.stderr)
        return None


def distances(module: ModuleType, inputs: Inputs) -> dict[str, Call]:
    """SimSIMD's and NumKong's interfaces agree but for the names of the cosine and of packed bits."""
    x, y, one = inputs.vector, inputs.other, inputs.vector[None]
    cosine = module.cosine if hasattr(module, "cosine") else module.angular
    halves = inputs.rows.astype(np.float16)
    packed = "bin8" if hasattr(module, "cosine") else "uint1"
    return {
        "dot, prepared": lambda: module.dot(x, y),
        "dot, plain arrays": lambda: module.dot(x, y),
        "cosine, prepared": lambda: cosine(x, y),
        "cosine, plain arrays": lambda: cosine(x, y),
        "1 x 100 dot, prepared": lambda: module.cdist(one, inputs.rows[:100], "dot"),
        "1 x 1000 dot, prepared": lambda: module.cdist(one, inputs.rows, "dot"),
        "1 x 1000 dot, plain arrays": lambda: module.cdist(one, inputs.rows, "dot"),
        "1 x 1000 cosine, prepared": lambda: module.cdist(
            one, inputs.rows, "cosine" if packed == "bin8" else "angular"
        ),
        "1 x 1000 dot float16": lambda: module.cdist(halves[:1], halves, "dot"),
        "1 x 40000 dot, prepared": lambda: module.cdist(one, inputs.large, "dot"),
        "1 x 1000 dot int8": lambda: module.cdist(inputs.bytes[:1], inputs.bytes, "dot"),
        "1 x 1000 hamming": lambda: module.cdist(inputs.bits[:1], inputs.bits, "hamming", dtype=packed),
        "100 x 1000 dot": lambda: module.cdist(inputs.queries, inputs.rows, "dot"),
    }


def torch_calls(torch: ModuleType, inputs: Inputs) -> dict[str, Call]:
    torch.set_num_threads(1)
    x, y = torch.from_numpy(inputs.vector), torch.from_numpy(inputs.other)
    rows, large, queries = map(torch.from_numpy, (inputs.rows, inputs.large, inputs.queries))
    halves, brains = rows.to(torch.float16), rows.to(torch.bfloat16)
    gain, bias = torch.ones_like(x), torch.zeros_like(x)
    functional = torch.nn.functional
    return {
        "dot, prepared": lambda: torch.dot(x, y),
        "dot, plain arrays": lambda: torch.dot(x, y),
        "softmax": lambda: torch.softmax(x, 0),
        "layer_norm": lambda: functional.layer_norm(x, (x.numel(),), gain, bias),
        "gelu": lambda: functional.gelu(x),
        "1 x 100 dot, prepared": lambda: torch.mv(rows[:100], x),
        "1 x 1000 dot, prepared": lambda: torch.mv(rows, x),
        "1 x 1000 dot, plain arrays": lambda: torch.mv(rows, x),
        "1 x 1000 dot float16": lambda: torch.mv(halves, halves[0]),
        "1 x 1000 dot bfloat16": lambda: torch.mv(brains, brains[0]),
        "1 x 1000 top-10": lambda: torch.topk(torch.mv(rows, x), 10),
        "1 x 40000 dot, prepared": lambda: torch.mv(large, x),
        "100 x 1000 dot": lambda: queries @ rows.T,
        "100 x 1000 top-10": lambda: torch.topk(queries @ rows.T, 10),
        "100 x 10000 top-10": lambda: torch.topk(queries @ large[:10_000].T, 10),
    }


def peers(inputs: Inputs) -> Mapping[str, Mapping[str, Call]]:
    by_peer = {name: distances(module, inputs) for name in ("simsimd", "numkong") if (module := installed(name))}
    if torch := installed("torch"):
        by_peer["torch, one thread"] = torch_calls(torch, inputs)
    names = {case for calls in by_peer.values() for case in calls}
    return {case: {peer: calls[case] for peer, calls in by_peer.items() if case in calls} for case in names}


if __name__ == "__main__":
    info = simd.simd_info()
    print(f"instruction set {info['instruction_set']} of {', '.join(info['available'])}")
    print(table(run(peers)))

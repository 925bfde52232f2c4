"""Our decoder beside llama.cpp on the same files.

    pip install 'ruvllm-mcp[bench-llm]' && python benchmarks/llm.py [--models smollm-q8_0,...] [--threads 1,2]

`prefill` and `decode` are tokens a second: of prompts of 512, and of 128 decoded one by one. `first-N` is how many
milliseconds after a prompt of N tokens the answer's first one is there, from a loaded model; `cold-N` the same from
none, the opening of the file (in the page cache) included.

The files have random weights in the exact shapes of SmolLM-135M, Qwen2.5-0.5B and TinyLlama-1.1B; they are made once,
in --folder. llama.cpp runs with and without its repacking of weights and the better figure counts. Each figure is the
best of several runs in a process of its own (`cold`: of three processes). `limit` is what decoding could reach at most:
the memory bandwidth that `memchr` has just been seen to draw, over the bytes of the weights. `memory` is what our
process grew by, imports included, when it had decoded, as a share of the file and the keys and values.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

PROMPT, DECODED = 512, 128
MODES = ("prefill", "decode", "first-32", "first-512", "cold-32", "cold-512")


class Shape(NamedTuple):
    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    architecture: str = "llama"
    tied: bool = True
    rope_base: float = 10000.0
    epsilon: float = 1e-5


SHAPES = {
    "smollm": Shape(30, 576, 9, 3, 1536, 49152),
    "qwen": Shape(24, 896, 14, 2, 4864, 151936, "qwen2", rope_base=1e6, epsilon=1e-6),
    "tinyllama": Shape(22, 2048, 32, 4, 5632, 32000, tied=False),
}
MODELS = ("smollm-q8_0", "smollm-q4_0", "qwen-q8_0", "qwen-q4_k_m", "tinyllama-q8_0", "tinyllama-q4_k_m")
BLOCKS = {"Q8_0": (32, 34, (0,)), "Q4_0": (32, 18, (0,)), "Q5_0": (32, 22, (0,)), "Q4_K": (256, 144, (0, 2)),
          "Q6_K": (256, 210, (208,))}  # fmt: skip
"""Numbers in a block, its bytes, and where in them float16 scales are."""


def kind_of(quantised: str, tensor: str, layer: int, layers: int, cols: int) -> str:
    """The type llama.cpp's quantiser gives a tensor: Q4_K_M takes Q6_K for what matters most, and where rows are no
    whole blocks of 256, Q5_0 and Q8_0."""
    if quantised != "q4_k_m":
        return "Q8_0" if tensor == "token_embd" else quantised.upper()
    more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    fine = tensor in ("token_embd", "output") or (tensor in ("attn_v", "ffn_down") and more)
    return ("Q8_0" if fine else "Q5_0") if cols % 256 else "Q6_K" if fine else "Q4_K"


def random_blocks(kind: str, rows: int, cols: int, seed: int) -> npt.NDArray[np.uint8]:
    numbers, size, scales = BLOCKS[kind]
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (rows * cols // numbers, size), dtype=np.uint8)
    for at in scales:
        small = (random.random(len(blocks)) * 2e-4 + 1e-4).astype("<f2")
        blocks[:, at : at + 2] = small.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(-1)


def make(model: str, path: Path) -> None:
    from ruvllm_mcp.formats.gguf_write import write_gguf

    name, quantised = model.split("-")
    shape = SHAPES[name]
    kv = shape.kv_heads * shape.width // shape.heads
    tensors: dict[str, Any] = {}

    def matrix(tensor: str, rows: int, cols: int, layer: int = 0) -> None:
        prefix = "" if tensor in ("token_embd", "output") else f"blk.{layer}."
        kind, seed = kind_of(quantised, tensor, layer, shape.layers, cols), len(tensors)
        data: Callable[[], npt.NDArray[np.uint8]] = lambda: random_blocks(kind, rows, cols, seed)  # noqa: E731
        tensors[f"{prefix}{tensor}.weight"] = (kind, (rows, cols), data)

    def vector(tensor: str, length: int, value: float) -> None:
        tensors[tensor] = ("F32", (length,), np.full(length, value, np.float32).view(np.uint8))

    matrix("token_embd", shape.vocabulary, shape.width)
    for i in range(shape.layers):
        vector(f"blk.{i}.attn_norm.weight", shape.width, 1)
        vector(f"blk.{i}.ffn_norm.weight", shape.width, 1)
        for part, rows in (("q", shape.width), ("k", kv), ("v", kv)):
            matrix(f"attn_{part}", rows, shape.width, i)
            if shape.architecture == "qwen2":
                vector(f"blk.{i}.attn_{part}.bias", rows, 0.01)
        matrix("attn_output", shape.width, shape.width, i)
        matrix("ffn_gate", shape.inner, shape.width, i)
        matrix("ffn_up", shape.inner, shape.width, i)
        matrix("ffn_down", shape.width, shape.inner, i)
    vector("output_norm.weight", shape.width, 1)
    if not shape.tied:
        matrix("output", shape.vocabulary, shape.width)
    of = shape.architecture
    head = {
        "general.architecture": of,
        f"{of}.block_count": np.uint32(shape.layers),
        f"{of}.context_length": np.uint32(2048),
        f"{of}.embedding_length": np.uint32(shape.width),
        f"{of}.feed_forward_length": np.uint32(shape.inner),
        f"{of}.attention.head_count": np.uint32(shape.heads),
        f"{of}.attention.head_count_kv": np.uint32(shape.kv_heads),
        f"{of}.attention.layer_norm_rms_epsilon": np.float32(shape.epsilon),
        f"{of}.rope.dimension_count": np.uint32(shape.width // shape.heads),
        f"{of}.rope.freq_base": np.float32(shape.rope_base),
        f"{of}.vocab_size": np.uint32(shape.vocabulary),
        "tokenizer.ggml.model": "no_vocab",
    }
    write_gguf(path, head, tensors)


def tokens_of(model: str, count: int) -> npt.NDArray[np.int32]:
    return np.random.default_rng(0).integers(0, SHAPES[model.split("-")[0]].vocabulary, count).astype(np.int32)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Ours:
    def __init__(self, path: Path, threads: int) -> None:
        from ruvllm_mcp.llm.model import Cache, Part, load_model
        from ruvllm_mcp.native.lib import nogil

        nogil.rv_llm_set_threads(threads)
        self.model = load_model(path)
        self.cache, self.part = Cache(self.model, 2048), Part

    def feed(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """The last one's logits."""
        return self.model.forward([self.part(self.cache, tokens, 1)])

    def forget(self) -> None:
        self.cache.truncate(0)


class Theirs:
    """llama.cpp through llama-cpp-python's plain C interface."""

    def __init__(self, path: Path, threads: int, *, repack: bool) -> None:
        import llama_cpp as llama  # type: ignore[import-not-found,unused-ignore]

        self.llama = llama
        llama.llama_backend_init()
        silent = llama.llama_log_callback(lambda *_: None)
        llama.llama_log_set(silent, None)
        options = llama.llama_model_default_params()
        options.use_extra_bufts = repack
        options.n_gpu_layers = 0
        self.model = llama.llama_model_load_from_file(str(path).encode(), options)
        context = llama.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = 2048, PROMPT, PROMPT
        context.n_threads = context.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, context)
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self._kept = silent

    def feed(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """The last one's logits."""
        array = (ctypes.c_int32 * len(tokens))(*tokens.tolist())
        if self.llama.llama_decode(self.context, self.llama.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError("llama_decode failed")
        logits = self.llama.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(logits, (self.vocabulary,))

    def forget(self) -> None:
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), True)


def start_up(engine: str, path: Path, threads: int) -> Any:
    return Ours(path, threads) if engine == "ours" else Theirs(path, threads, repack=engine == "repack")


def measure_cold(engine: str, path: Path, model: str, length: int, threads: int) -> dict[str, float]:
    """Seconds from no model to the first token; what both import is there before."""
    if engine == "ours":
        import ruvllm_mcp.llm.model  # noqa: F401  so that it is not timed
    else:
        import llama_cpp  # type: ignore[import-not-found,unused-ignore]  # noqa: F401  optional; nor this
    prompt = tokens_of(model, length)
    start = time.perf_counter()
    start_up(engine, path, threads).feed(prompt).argmax()
    return {"first": time.perf_counter() - start}


def measure_first(runner: Any, model: str, length: int, seconds: float) -> dict[str, float]:
    prompt, best, until = tokens_of(model, length), float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until or best == float("inf"):
        runner.forget()
        start = time.perf_counter()
        runner.feed(prompt).argmax()
        best = min(best, time.perf_counter() - start)
    return {"first": best}


def measure(engine: str, path: Path, model: str, mode: str, threads: int, seconds: float) -> dict[str, float]:
    """The best of the runs that begin within so many seconds, after a few tokens to warm up."""
    kind, _, length = mode.partition("-")
    if kind == "cold":
        return measure_cold(engine, path, model, int(length), threads)
    before = resident()
    runner = start_up(engine, path, threads)
    prompt = tokens_of(model, PROMPT)
    for token in prompt[:4]:  # the file's pages come in
        runner.feed(np.array([token], np.int32))
    if kind == "first":
        return measure_first(runner, model, int(length), seconds)
    best, until = 0.0, 0.0
    while not until or time.perf_counter() < until:
        runner.forget()
        start = time.perf_counter()
        if mode == "prefill":
            runner.feed(prompt)
        else:
            for token in prompt[:DECODED]:
                runner.feed(np.array([token], np.int32))
        now = time.perf_counter()
        best = max(best, (PROMPT if mode == "prefill" else DECODED) / (now - start))
        until = until or start + seconds
    return {"rate": best, "grown": float(resident() - before)}


def bandwidth(threads: int) -> float:
    """Bytes a second that so many threads read from memory, best of five."""
    size = 256 << 20
    data = np.ones(size, np.uint8)
    find = ctypes.CDLL(None).memchr
    find.argtypes, find.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t), ctypes.c_void_p
    share = size // threads
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(lambda i: find(data.ctypes.data + i * share, 0, share), range(threads)))
            best = max(best, share * threads / (time.perf_counter() - start))
    return best


def weight_bytes(path: Path) -> int:
    from ruvllm_mcp.llm.files import open_checkpoint

    checkpoint = open_checkpoint(path)
    embedding = checkpoint.weights["token_embd.weight"].data.nbytes if "output.weight" in checkpoint.weights else 0
    return checkpoint.weight_bytes - embedding


def cache_bytes(model: str) -> int:
    shape = SHAPES[model.split("-")[0]]
    return 2 * 2 * shape.layers * shape.kv_heads * shape.width // shape.heads * DECODED


def run_alone(arguments: argparse.Namespace, engine: str, model: str, mode: str, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--folder", str(arguments.folder), "--seconds", str(arguments.seconds)]
    command += ["--one", engine, model, mode, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def first_row(arguments: argparse.Namespace, model: str, mode: str, threads: int) -> str:
    times = 3 if mode.startswith("cold") else 1
    seconds = {
        engine: min(run_alone(arguments, engine, model, mode, threads)["first"] for _ in range(times))
        for engine in ("ours", "repack", "plain")
    }
    ours, theirs = 1000 * seconds["ours"], 1000 * min(seconds["repack"], seconds["plain"])
    return f"{model:17} {mode:9} {threads:6} {ours:9.1f} {theirs:9.1f} {theirs / ours:6.2f}  (ms)"


def row(arguments: argparse.Namespace, model: str, mode: str, threads: int) -> str:
    if "-" in mode:
        return first_row(arguments, model, mode, threads)
    ours = run_alone(arguments, "ours", model, mode, threads)
    theirs = max(run_alone(arguments, engine, model, mode, threads)["rate"] for engine in ("repack", "plain"))
    line = f"{model:17} {mode:9} {threads:6} {ours['rate']:9.1f} {theirs:9.1f} {ours['rate'] / theirs:6.2f}"
    if mode == "prefill":
        return line
    path = arguments.folder / f"{model}.gguf"
    limit = bandwidth(threads) / weight_bytes(path)
    memory = ours["grown"] / (path.stat().st_size + cache_bytes(model))
    return f"{line} {limit:9.1f} {ours['rate'] / limit:6.0%} {memory:7.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="which, separated by commas (default: all)")
    parser.add_argument("--modes", default=",".join(MODES), help="what is measured (default: all)")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each figure, at least one run (default: 6)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "ruvllm-bench-models")
    parser.add_argument("--make", action="store_true", help="make the files and stop")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        engine, model, mode, threads = arguments.one
        path = arguments.folder / f"{model}.gguf"
        print(json.dumps(measure(engine, path, model, mode, int(threads), arguments.seconds)))
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    models = arguments.models.split(",")
    for model in models:
        path = arguments.folder / f"{model}.gguf"
        if not path.exists():
            make(model, path)
    if arguments.make:
        return
    print("model             mode     threads      ours llama.cpp  ratio     limit  share  memory")
    for model in models:
        for mode in arguments.modes.split(","):
            for threads in arguments.threads.split(","):
                print(row(arguments, model, mode, int(threads)), flush=True)


if __name__ == "__main__":
    main()

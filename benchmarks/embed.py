"""Texts a second of the embedders, each beside a peer in the same run.

    pip install onnx onnxruntime model2vec
    python benchmarks/embed.py [--repeats 7]

`minilm` against ONNX Runtime running the same weights (dequantised from our file, then quantised per channel to int8 by
its own tool): one text on one thread, and batches of 32 texts of one length on all CPUs, padded to nothing on either
side. Both are given ids; tokenising is not in. `static` against model2vec with a table of the same shape, texts to
vectors. Runs alternate and the best of each is kept. Cold: from a new process to its first embedding.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp import embed
from ruvllm_mcp.embed.bert import Bert
from ruvllm_mcp.embed.minilm import PASS_TOKENS, WEIGHTS, MiniLM
from ruvllm_mcp.embed.weights.reference import ReferenceBert
from ruvllm_mcp.formats.gguf import GgufFile

LENGTHS = (16, 64, 256)
BATCH = 32
COLD = "from ruvllm_mcp import embed; embed.load('minilm').encode(['first words'])"


def best(repeats: int, *calls: Callable[[], Any]) -> list[float]:
    """The least seconds of each call, taken in turn."""
    least = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            started = time.perf_counter()
            call()
            least[i] = min(least[i], time.perf_counter() - started)
    return least


def onnx_model(reference: ReferenceBert, path: Path) -> None:
    """The encoder as an ONNX graph, from ids (n, t) to last hidden states (n, t, d), then quantised to `path`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {}

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(name: str, values: Any) -> str:
        constants[name] = np.asarray(values)
        return name

    def linear(x: str, name: str) -> str:
        weights = constant(f"{name}.weight", np.ascontiguousarray(reference.weights[f"{name}.weight"].T))
        return add("Add", add("MatMul", x, weights), constant(f"{name}.bias", reference.weights[f"{name}.bias"]))

    def norm(x: str, name: str) -> str:
        parts = [constant(f"{name}.{part}", reference.weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        return add("LayerNormalization", x, *parts, axis=-1, epsilon=float(reference.epsilon))

    heads = constant("heads", np.array([0, 0, reference.heads, 32], np.int64))
    joined = constant("joined", np.array([0, 0, -1], np.int64))
    scale = constant("scale", np.float32(32**-0.5))
    x = add("Gather", constant("pieces", reference.weights["token_embd.weight"]), "ids")
    x = norm(add("Add", x, "places"), "token_embd_norm")
    for layer in range(reference.layers):
        block = f"blk.{layer}"
        split = [add("Reshape", linear(x, f"{block}.attn_{part}"), heads) for part in "qkv"]
        q, v = (add("Transpose", part, perm=[0, 2, 1, 3]) for part in (split[0], split[2]))
        scores = add("Mul", add("MatMul", q, add("Transpose", split[1], perm=[0, 2, 3, 1])), scale)
        seen = add("Transpose", add("MatMul", add("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        x = norm(
            add("Add", linear(add("Reshape", seen, joined), f"{block}.attn_output"), x), f"{block}.attn_output_norm"
        )
        inner = add("Gelu", linear(x, f"{block}.ffn_up"))
        x = norm(add("Add", linear(inner, f"{block}.ffn_down"), x), f"{block}.layer_output_norm")
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "t"]),
        helper.make_tensor_value_info("places", TensorProto.FLOAT, ["t", 384]),
    ]
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", "t", 384])
    weights = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "bert", inputs, [output], weights)
    whole = path.with_suffix(".f32.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), whole)
    quantize_dynamic(whole, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])


def against_onnxruntime(repeats: int) -> None:
    import onnxruntime

    file = GgufFile(WEIGHTS)
    reference, bert = ReferenceBert(file), Bert(file)
    threads = os.cpu_count() or 1
    one, many = MiniLM(threads=1), MiniLM(threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        onnx_model(reference, path)
        for length in LENGTHS:
            ids = np.random.default_rng(length).integers(1000, 29000, (BATCH, length - 2)).astype(np.int32)
            framed = np.pad(ids, ((0, 0), (1, 1))).astype(np.int64)
            framed[:, 0], framed[:, -1] = bert.tokenizer.start, bert.tokenizer.end
            for rows, workers in ((1, 1), (BATCH, threads)):
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = workers
                options.log_severity_level = 3
                session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                feed = {"ids": framed[:rows], "places": reference.positions[:length]}
                size = max(1, PASS_TOKENS // length)
                passes = [list(ids[at : min(at + size, rows)]) for at in range(0, rows, size)]

                def ours(passes: list[Any] = passes, workers: int = workers) -> Any:
                    return list((one, many)[workers > 1].run(passes, tokens=False))

                def theirs(session: Any = session, feed: dict[str, Any] = feed) -> Any:
                    return session.run(None, feed)

                found = np.concatenate([sentences for sentences, _ in ours()])
                pooled = theirs()[0].mean(axis=1)
                cosine = ((found * pooled).sum(axis=1) / np.linalg.norm(pooled, axis=1)).mean()
                mine, other = best(repeats * (8 if rows == 1 else 1), ours, theirs)
                print(
                    f"minilm, {rows:2} x {length:3} tokens, {workers} threads: {rows / mine:7.0f} texts/s, "
                    f"ONNX Runtime {rows / other:7.0f}, ratio {other / mine:.2f} (mean cosine to it {cosine:.4f})"
                )


def against_model2vec(repeats: int) -> None:
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    static = embed.load("static")
    pieces = list(GgufFile(WEIGHTS).metadata["tokenizer.ggml.tokens"])
    plain = [
        p[1:] if p[0] == "\u2581" else p if p[0] == "[" and p[-1] == "]" and len(p) > 1 else f"##{p}" for p in pieces
    ]
    tokenizer = Tokenizer(models.WordPiece(vocab={p: i for i, p in enumerate(plain)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    table = np.random.default_rng(0).standard_normal((len(pieces), static.dim)).astype(np.float32)
    peer = StaticModel(table, tokenizer, normalize=True)
    words = [piece[1:] for piece in pieces[2000:12000] if piece[0] == "\u2581"]
    random = np.random.default_rng(1)
    for count, length in ((1, 30), (1000, 30), (1000, 200)):
        texts = [" ".join(random.choice(words, length)) for _ in range(count)]
        one, other = best(repeats, lambda: static.encode(texts), lambda: peer.encode(texts))  # noqa: B023 - called at once
        print(
            f"static, {count:4} texts of {length:3} words: {one / count * 1e6:6.1f} us a text, model2vec "
            f"{other / count * 1e6:6.1f}, ratio {other / one:.1f}"
        )


def cold(repeats: int) -> None:
    (seconds,) = best(repeats, lambda: subprocess.run([sys.executable, "-c", COLD], check=True))
    (bare,) = best(repeats, lambda: subprocess.run([sys.executable, "-c", "import numpy"], check=True))
    print(
        f"cold: first embedding {seconds * 1000:.0f} ms after a process starts; Python with NumPy {bare * 1000:.0f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    cold(arguments.repeats)
    against_model2vec(arguments.repeats)
    against_onnxruntime(arguments.repeats)

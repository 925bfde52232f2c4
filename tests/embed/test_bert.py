"""The encoder's C on every instruction set: against NumPy in float32 and float64, and against itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.embed.bert import Bert
from ruvllm_mcp.embed.minilm import WEIGHTS, MiniLM
from ruvllm_mcp.embed.weights.reference import ReferenceBert
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.formats.gguf_write import write_gguf
from ruvllm_mcp.formats.quants import dequantize, quantize
from ruvllm_mcp.native import lib
from ruvllm_mcp.native.lib import nogil, nogil_ffi

TEXTS = [entry["text"] for entry in json.loads((Path(__file__).parent / "reference.json").read_text())]


@pytest.fixture(scope="module")
def file() -> GgufFile:
    return GgufFile(WEIGHTS)


@pytest.fixture(scope="module")
def bert(file: GgufFile) -> Bert:
    return Bert(file)


@pytest.fixture(params=lib.available())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    lib.use(request.param)
    yield request.param
    lib.use(None)


def product(weights: np.ndarray, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x (t, cols) times packed Q8_0 weights (rows, cols), plus bias, in C."""
    rows, cols = weights.shape
    packed = np.empty(rows * cols // 32 * 36, np.uint8)
    out = np.empty((len(x), rows), np.float32)
    scratch = np.empty(len(x) * cols // 32 * 40 + 256, np.uint8)
    buffer = nogil_ffi.from_buffer
    nogil.rv_encoder_pack(buffer("uint8_t[]", quantize("Q8_0", weights)), rows, cols, 1.0, buffer("uint8_t[]", packed))
    nogil.rv_encoder_product(
        buffer("uint8_t[]", packed),
        rows,
        cols,
        buffer("float[]", x),
        len(x),
        buffer("float[]", bias),
        buffer("uint8_t[]", scratch),
        buffer("float[]", out),
    )
    return out


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 5, 6, 7, 13])
def test_products_agree_with_float64(tokens: int) -> None:
    random = np.random.default_rng(tokens)
    weights = random.standard_normal((64, 96)).astype(np.float32)
    x = (random.standard_normal((tokens, 96)) * random.choice([1e-3, 1, 50], (tokens, 1))).astype(np.float32)
    x[0, :32] = 0
    bias = random.standard_normal(64).astype(np.float32)
    found = product(weights, x, bias)
    exact_weights = dequantize("Q8_0", quantize("Q8_0", weights), (64, 96)).astype(np.float64)
    blocks = x.reshape(-1, 32)
    step = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    whole = np.rint(blocks * np.divide(1, step, out=np.zeros_like(step), where=step > 0))
    exact = (whole.astype(np.float64) * step).reshape(x.shape) @ exact_weights.T + bias
    scale = np.abs(x).max(axis=1, keepdims=True) * 96
    assert (np.abs(found - exact) <= 2e-6 * scale + 1e-6).all()


@pytest.mark.usefixtures("instruction_set")
def test_extreme_bytes_are_multiplied_exactly() -> None:
    weights = np.full((32, 64), 127, np.float32)
    weights[::2] *= -1
    x = np.full((3, 64), 127, np.float32)
    x[1] *= -1
    x[2, 1::2] *= -1
    x[2, 0] = 127
    np.testing.assert_allclose(product(weights, x, np.zeros(32, np.float32)), x @ weights.T, rtol=1e-6)


def test_whole_dot_products_are_the_same_on_every_instruction_set() -> None:
    """With scales of 1 float32 holds every sum exactly, so that any difference is an integer's."""
    random = np.random.default_rng(9)
    weights, x = (random.integers(-126, 127, (n, 384)).astype(np.float32) for n in (96, 11))
    weights[:, ::32], x[:, ::32] = 127, -127
    found = []
    for name in lib.available():
        lib.use(name)
        found.append(product(weights, x, np.zeros(96, np.float32)))
    lib.use(None)
    for other in found:
        np.testing.assert_array_equal(other, x.astype(np.int64) @ weights.astype(np.int64).T)


def test_vectors_agree_with_the_float32_reference(instruction_set: str, file: GgufFile, bert: Bert) -> None:
    reference = ReferenceBert(file)
    texts = TEXTS[2:4] if instruction_set == "scalar" else [*TEXTS[:5], " ".join(TEXTS)]
    windows = [ids[:254] for ids in bert.tokenizer.encode(texts)]
    sentences, tokens = bert.encode(windows, tokens=True)
    assert tokens is not None
    mean = file.metadata["ruvllm.token_mean"]
    start = 0
    for ids, sentence in zip(windows, sentences, strict=True):
        (hidden,) = reference.hidden([np.array([bert.tokenizer.start, *ids, bert.tokenizer.end])])
        pooled = hidden.mean(axis=0)
        assert sentence @ pooled / np.linalg.norm(pooled) > 0.999
        centred = hidden[1:-1] - mean
        cosines = (tokens[start : start + len(ids)] * centred).sum(axis=1) / np.linalg.norm(centred, axis=1)
        assert cosines.mean() > 0.998
        start += len(ids)


def test_a_text_has_the_same_bits_alone_and_among_others(instruction_set: str, bert: Bert) -> None:
    texts = TEXTS[4:6] if instruction_set == "scalar" else TEXTS
    windows = bert.tokenizer.encode([*texts, ""])
    together, _ = bert.encode(windows, tokens=True)
    for ids, vector in zip(windows, together, strict=True):
        np.testing.assert_array_equal(bert.encode([ids], tokens=False)[0][0], vector)


def test_threads_give_the_same_bits() -> None:
    texts = [text * repeat for text in TEXTS for repeat in (1, 2, 5)]
    one, many = MiniLM(threads=1), MiniLM(threads=3)
    expected = one.encode(texts).vectors
    found: list[np.ndarray] = []
    workers = [threading.Thread(target=lambda: found.append(many.encode(texts).vectors)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 3
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected)


def test_threads_that_share_a_pass_give_the_same_bits(instruction_set: str, bert: Bert) -> None:
    windows = bert.tokenizer.encode(TEXTS[:2] if instruction_set == "scalar" else TEXTS)
    expected = [bert.encode([ids], tokens=True) for ids in windows]
    before = nogil.rv_llm_threads()
    try:
        for threads in (1, 3, 16):
            nogil.rv_llm_set_threads(threads)
            with ThreadPoolExecutor(2) as pool:  # of which one has the pool at a time
                run = partial(bert.encode, tokens=True, threads=threads)
                found = list(pool.map(run, ([ids] for ids in windows)))
            for mine, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(mine[0], theirs[0])
                np.testing.assert_array_equal(mine[1], theirs[1])
    finally:
        nogil.rv_llm_set_threads(before)


def test_a_file_whose_shapes_do_not_fit_is_refused(tmp_path: Path, file: GgufFile) -> None:
    path = tmp_path / "x.gguf"
    tensors = {name: (found.kind, found.shape, file.view(found)) for name, found in file.tensors.items()}
    words = file.metadata["tokenizer.ggml.tokens"]
    metadata = {
        "general.architecture": "bert",
        "tokenizer.ggml.tokens": words[:],
        "bert.embedding_length": np.uint32(384),
        "bert.feed_forward_length": np.uint32(1536),
        "bert.context_length": np.uint32(512),
        "bert.block_count": np.uint32(1),
        "bert.attention.head_count": np.uint32(12),
        "bert.attention.layer_norm_epsilon": np.float32(1e-12),
        "ruvllm.token_mean": np.zeros(384, np.float32),
    }
    wrong = [
        {"bert.attention.head_count": np.uint32(6)},
        {"bert.block_count": np.uint32(7)},
        {"bert.embedding_length": np.uint32(0), "bert.attention.head_count": np.uint32(0)},
        {"bert.feed_forward_length": np.uint32(3072)},
        {"tokenizer.ggml.tokens": words[:1000]},
        {"ruvllm.token_mean": np.zeros(3, np.float32)},
    ]
    for change in wrong:
        write_gguf(path, metadata | change, tensors)
        with pytest.raises(ModelError):
            Bert(GgufFile(path))


def test_a_window_longer_than_the_positions_is_refused(bert: Bert) -> None:
    bert.encode([np.zeros(510, np.int32)], tokens=False)
    with pytest.raises(ModelError, match="positions"):
        bert.encode([np.zeros(511, np.int32)], tokens=False)

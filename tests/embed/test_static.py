"""The static embedder: its pooling against NumPy in float64, and what its vectors are good for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp import embed
from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.embed.minilm import WEIGHTS as VOCABULARY
from ruvllm_mcp.embed.static import WEIGHTS, Static
from ruvllm_mcp.embed.wordpiece import WordPiece
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.formats.gguf_write import write_gguf
from ruvllm_mcp.native import lib

TEXTS = ["Where do we keep the API keys?", "def add(a, b): return a + b", "naïve café 日本", "word " * 5000, " \n", "x"]


@pytest.fixture(params=lib.available())
def static(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    lib.use(request.param)
    yield embed.load("static")
    lib.use(None)


def test_a_vector_is_the_unit_sum_of_the_pieces_rows(static: Embedder) -> None:
    file = GgufFile(WEIGHTS)
    rows = file.view(file.tensors["static.rows"]).view(np.int8).reshape(-1, static.dim).astype(np.float64)
    scales = file.view(file.tensors["static.scales"]).view("<f4").astype(np.float64)
    tokenizer = WordPiece(GgufFile(VOCABULARY).value("tokenizer.ggml.tokens", Strings))
    vectors = static.encode(TEXTS).vectors
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)
    for ids, vector, text in zip(tokenizer.encode(TEXTS), vectors, TEXTS, strict=True):
        assert static.count_tokens(text) == len(ids)
        if len(ids):
            whole = (rows[ids] * scales[ids, None]).sum(axis=0)
            np.testing.assert_allclose(vector, whole / np.linalg.norm(whole), atol=2e-5)
        np.testing.assert_array_equal(static.encode([text]).vectors[0], vector)
    assert static.encode([]).vectors.shape == (0, static.dim)


def test_meaning_counts_where_no_word_is_shared(static: Embedder) -> None:
    near = [("the physician examined the child", "a doctor saw a young patient"), ("fix a crash", "repair the bug")]
    for one, two in near:
        a, b, far = static.encode([one, two, "bananas and yellow lemons at the market"]).vectors
        assert a @ b > a @ far + 0.1


def test_another_process_gives_the_same_bits() -> None:
    script = (
        "from ruvllm_mcp import embed; print(embed.load('static').encode(['Tea at four?']).vectors.tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == embed.load("static").encode(["Tea at four?"]).vectors.tobytes().hex()


def test_a_table_that_does_not_fit_the_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.gguf"
    rows, scales = np.zeros((5, 8), np.int8), np.zeros(5, "<f4")
    tensors = {"static.rows": ("I8", rows.shape, rows), "static.scales": ("F32", scales.shape, scales)}
    write_gguf(path, {"static.embedding_length": np.uint32(8), "ruvllm.digest": "0"}, tensors)
    with pytest.raises(ModelError, match="static"):
        Static(path)
    with pytest.raises(ModelError):
        Static(tmp_path / "missing.gguf")

"""`minilm` against the float32 original's vectors, and the promises of the Embedder protocol.

`reference.json` holds texts, the ids that Hugging Face `tokenizers` gives them, and the vectors of all-MiniLM-L6-v2
run in float64 from its original weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp import embed
from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.embed.minilm import OVERLAP, WEIGHTS, WINDOW, MiniLM
from ruvllm_mcp.embed.windows import windows_of
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.formats.gguf_write import write_gguf

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
TEXTS = [entry["text"] for entry in REFERENCE]


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return embed.load("minilm")


def test_vectors_are_those_of_the_original(minilm: Embedder) -> None:
    vectors = minilm.encode(TEXTS).vectors.astype(np.float64)
    cosines = (vectors * np.array([entry["vector"] for entry in REFERENCE])).sum(axis=1)
    assert cosines.mean() >= 0.999
    assert cosines.min() >= 0.998
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_token_ids_are_those_of_the_original(minilm: Embedder) -> None:
    tokens = minilm.encode(TEXTS, tokens=True).tokens
    assert tokens is not None
    for found, entry in zip(tokens, REFERENCE, strict=True):
        assert found.ids.tolist() == entry["ids"]
        assert found.ids.dtype == np.int32
        assert found.vectors.shape == (len(entry["ids"]), minilm.dim)
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
        assert minilm.count_tokens(entry["text"]) == len(entry["ids"])


def test_a_text_has_one_vector_alone_and_among_others(minilm: Embedder) -> None:
    texts = [*TEXTS, "word " * 300]
    together = minilm.encode(texts, tokens=True)
    assert together.tokens is not None
    for text, vector, tokens in zip(texts, together.vectors, together.tokens, strict=True):
        alone = minilm.encode([text], tokens=True)
        assert alone.tokens is not None
        np.testing.assert_allclose(alone.vectors[0], vector, atol=1e-5)
        np.testing.assert_allclose(alone.tokens[0].vectors, tokens.vectors, atol=1e-5)
    assert minilm.encode([]).vectors.shape == (0, minilm.dim)


def test_a_long_text_is_the_mean_of_its_windows(minilm: Embedder) -> None:
    words = [f"step {number} moves block {number * 7 % 11}" for number in range(120)]
    long = " ".join(words)
    whole = minilm.encode([long], tokens=True)
    assert whole.tokens is not None
    ids = whole.tokens[0].ids
    pieces = list(GgufFile(Path(embed.__file__).parent / "weights/minilm-q8_0.gguf").metadata["tokenizer.ggml.tokens"])
    windows = windows_of(len(ids), WINDOW, OVERLAP)
    assert len(windows) > 2
    parts = ["".join(pieces[i] for i in ids[w.start : w.end]).replace("\u2581", " ").strip() for w in windows]
    encoded = minilm.encode(parts, tokens=True)
    assert encoded.tokens is not None
    assert [part.ids.tolist() for part in encoded.tokens] == [ids[w.start : w.end].tolist() for w in windows]
    mean = encoded.vectors.mean(axis=0)
    np.testing.assert_allclose(whole.vectors[0], mean / np.linalg.norm(mean), atol=1e-5)
    kept = [
        part.vectors[w.keep_from - w.start : w.keep_to - w.start]
        for part, w in zip(encoded.tokens, windows, strict=True)
    ]
    np.testing.assert_allclose(whole.tokens[0].vectors, np.concatenate(kept), atol=1e-5)


def test_text_without_a_word_piece_has_a_vector(minilm: Embedder) -> None:
    encoded = minilm.encode([" \n", "\x00"], tokens=True)
    assert encoded.tokens is not None
    assert [len(found.ids) for found in encoded.tokens] == [0, 0]
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-6)


def test_another_process_gives_the_same_bits(minilm: Embedder) -> None:
    script = "from ruvllm_mcp import embed; print(embed.load().encode(['Tea at four?']).vectors.tobytes().hex())"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == minilm.encode(["Tea at four?"]).vectors.tobytes().hex()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    write_gguf(path, {"general.architecture": "llama"}, {})
    with pytest.raises(ModelError, match="bert"):
        MiniLM(path)
    with pytest.raises(ModelError):
        MiniLM(tmp_path / "missing.gguf")


def test_weights_that_are_gone_or_cut_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "cut.gguf"
    damaged.write_bytes(WEIGHTS.read_bytes()[:1_000_000])
    for path in (damaged, tmp_path / "missing.gguf"):
        monkeypatch.setattr("ruvllm_mcp.embed.minilm.GgufFile", lambda _shipped, path=path: GgufFile(path))
        with pytest.raises(ModelError, match=r"(cut|missing)\.gguf .*pip install --force-reinstall"):
            embed.load("minilm", threads=3)

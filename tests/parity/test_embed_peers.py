"""The tokenizer beside Hugging Face `tokenizers`, and our GGUF files beside the `gguf` package."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from ruvllm_mcp.embed.minilm import WEIGHTS
from ruvllm_mcp.embed.static import WEIGHTS as STATIC
from ruvllm_mcp.embed.wordpiece import SPECIAL, WORD_START, WordPiece
from ruvllm_mcp.formats import quants
from ruvllm_mcp.formats.gguf import GgufFile, Strings


@pytest.fixture(scope="module")
def pieces() -> Strings:
    found: Strings = GgufFile(WEIGHTS).value("tokenizer.ggml.tokens", Strings)
    return found


@pytest.fixture(scope="module")
def judge(pieces: Strings) -> Tokenizer:
    """BERT's uncased tokenizer of `tokenizers`, with our vocabulary in BERT's own spelling."""

    def spelled(piece: str) -> str:
        if piece.startswith(WORD_START):
            return piece[1:]
        return piece if len(piece) > 1 and piece[0] == "[" and piece[-1] == "]" else f"##{piece}"

    vocabulary = {spelled(piece): place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def texts(kind: str) -> list[str]:
    chance = random.Random(7)
    if kind == "code points":
        return [f"a{chr(point)}b{chr(point)}" for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    if kind == "code":
        sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
        return [source.read_text(encoding="utf-8") for source in sources if source.stat().st_size]
    if kind == "random bytes":
        return [chance.randbytes(chance.randrange(1, 200)).decode("latin-1") for _ in range(5000)]
    blocks = [(0x20, 0x7F), (0x80, 0x250), (0x300, 0x530), (0x900, 0xA00), (0x3040, 0x3100), (0x4E00, 0x5000)]
    blocks += [(0xAC00, 0xAD00), (0x1F300, 0x1F700), (0x2000, 0x2400)]
    return [
        "".join(chr(chance.randrange(*chance.choice(blocks))) for _ in range(chance.randrange(1, 60)))
        for _ in range(9000)
    ]


@pytest.mark.parametrize("kind", ["code points", "code", "random bytes", "mixed scripts"])
def test_ids_equal_those_of_tokenizers(pieces: Strings, judge: Tokenizer, kind: str) -> None:
    cases = texts(kind)
    theirs = judge.encode_batch(cases, add_special_tokens=False)
    for text, ours, other in zip(cases, WordPiece(pieces).encode(cases), theirs, strict=True):
        assert ours.tolist() == other.ids, ascii(text[:80])


@pytest.mark.parametrize("path", [WEIGHTS, STATIC], ids=lambda path: path.name)
def test_the_gguf_package_reads_the_same(path: Path) -> None:
    ours, theirs = GgufFile(path), gguf.GGUFReader(path)
    assert [tensor.name for tensor in theirs.tensors] == list(ours.tensors)
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert mine.shape == tuple(int(length) for length in tensor.shape[::-1])
        assert mine.kind == tensor.tensor_type.name
        if mine.kind == "Q8_0":
            found = quants.dequantize("Q8_0", ours.view(mine), mine.shape)
            np.testing.assert_array_equal(found, dequantize(tensor.data, tensor.tensor_type))
    assert [key for key in theirs.fields if not key.startswith("GGUF.")] == list(ours.metadata)
    for key, value in ours.metadata.items():
        read = theirs.fields[key].contents()
        assert (list(value) if isinstance(value, (Strings, np.ndarray)) else value) == read, key

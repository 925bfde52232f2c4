"""The tokenizer against ids that Hugging Face `tokenizers` gave (`wordpiece.json`), and its bounds."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.embed.minilm import WEIGHTS
from ruvllm_mcp.embed.wordpiece import SPECIAL, WordPiece
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.native.lib import nogil, nogil_ffi

REFERENCE = json.loads((Path(__file__).parent / "wordpiece.json").read_text())


def vocabulary(pieces: list[str]) -> Strings:
    raw = [piece.encode() for piece in pieces]
    starts = np.cumsum([0, *(8 + len(piece) for piece in raw)])[:-1]
    return Strings(memoryview(b"".join(struct.pack("<Q", len(piece)) + piece for piece in raw)), starts)


@pytest.fixture(scope="module")
def wordpiece() -> WordPiece:
    return WordPiece(GgufFile(WEIGHTS).value("tokenizer.ggml.tokens", Strings))


@pytest.mark.parametrize("entry", REFERENCE, ids=lambda entry: ascii(entry["text"][:24]))
def test_ids_are_those_of_the_original(wordpiece: WordPiece, entry: dict[str, str]) -> None:
    assert wordpiece.encode([entry["text"]])[0].tolist() == entry["ids"]


def test_texts_do_not_touch_each_other(wordpiece: WordPiece) -> None:
    together = wordpiece.encode([entry["text"] for entry in REFERENCE])
    assert [ids.tolist() for ids in together] == [entry["ids"] for entry in REFERENCE]
    assert wordpiece.encode([]) == []


def test_the_longest_piece_wins_and_a_word_that_cannot_be_cut_is_unknown() -> None:
    tokenizer = WordPiece(vocabulary([*SPECIAL, "\u2581un", "\u2581una", "aff", "able", "\u2581a", "b"]))
    unaffable, unable, ab, ba = tokenizer.encode(["unaffable", "unab", "ab", "ba"])
    assert unaffable.tolist() == [1]  # the longest start, "una", leaves "ffable": greedy does not go back
    assert unable.tolist() == [6, 10]
    assert ab.tolist() == [9, 10]
    assert ba.tolist() == [1]


def test_lone_surrogates_are_left_out(wordpiece: WordPiece) -> None:
    assert wordpiece.encode(["ab\ud800c"])[0].tolist() == wordpiece.encode(["abc"])[0].tolist()


def test_no_bytes_are_read_past_the_end_or_give_more_ids_than_bytes(wordpiece: WordPiece) -> None:
    chance = random.Random(11)
    heads = [
        b"\xf0\x9f",
        b"\xe4",
        b"[SEP",
        b"[",
        b"\xed\xa0\x80",
        b"\xff",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"a" * 300,
    ]
    for case in range(4000):
        text = heads[case % len(heads)] if case < 90 else chance.randbytes(chance.randrange(1, 40))
        room = len(text)
        ids = np.full(room + 8, -7, np.int32)
        ends = np.empty(1, np.int64)
        nogil.rv_wordpiece_encode(
            wordpiece._vocabulary,
            text + b"tail of another text",
            nogil_ffi.new("int64_t[]", [room]),
            1,
            nogil_ffi.from_buffer("int32_t[]", ids),
            nogil_ffi.from_buffer("int64_t[]", ends),
        )
        assert 0 <= ends[0] <= room
        assert (ids[room:] == -7).all()
        assert ((ids[: ends[0]] >= 0) & (ids[: ends[0]] < wordpiece.size)).all()
        valid = text.decode("utf-8", "ignore")
        if valid.encode() == text:
            assert wordpiece.encode([valid])[0].tolist() == ids[: ends[0]].tolist()


def test_a_vocabulary_that_is_not_berts_is_refused() -> None:
    with pytest.raises(ModelError, match="BERT"):
        WordPiece(vocabulary(["\u2581a", "b"]))
    lying = vocabulary([*SPECIAL, "\u2581a"])
    lying.buffer = memoryview(bytes(lying.buffer)[:-1])
    with pytest.raises(ModelError, match="BERT"):
        WordPiece(lying)

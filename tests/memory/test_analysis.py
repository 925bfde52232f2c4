"""What becomes of text in the index, and what a question keeps of itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruvllm_mcp.memory import analysis, lexical
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory

from . import plain_analysis
from .plain_analysis import term_id

# What words, their endings and the marks between them are made of, and characters whose small letters are unusual.
PIECES = [
    *("a", "B", "s", "ies", "ing", "ed", "ss", "e", "y", "u", "9", "the", "THE", "_", "'", ".", "-", " ", " ", "\n"),
    *("’", "—", "é", "ß", "İ", "Σ", "ς", "ſ", "ü", "ии", "日", "本", "한", "٣", "²", "ǅ", "ﬁ", "\u212a", "\u0301"),
    *("\ud800", "\x00", "\x1c", "\x85", "\u2028"),
]


def terms(text: str) -> list[int]:
    return list(map(int, analysis.terms(text)))


def memory_terms(content: str, metadata: dict[str, object]) -> list[int]:
    return list(map(int, analysis.memory_terms(content, metadata)))


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=60))
def test_terms_are_those_of_plain_python(text: str) -> None:
    assert terms(text) == plain_analysis.terms(text)


def test_a_library_of_code_has_the_terms_of_plain_python() -> None:
    for path in sorted(Path(random.__file__).parent.glob("*.py"))[::8]:
        text = path.read_text(errors="replace")
        assert terms(text) == plain_analysis.terms(text)


@pytest.mark.parametrize("ids", [[], [7], [2**32 - 1, 0, 2**32 - 1], [n * 2**16 % 1_000_003 for n in range(5_000)] * 2])
def test_packed_terms_are_counted_in_order_of_their_first(ids: Sequence[int]) -> None:
    assert lexical.pack(np.array(ids, np.uint32)) == plain_analysis.pack(ids)


def test_a_count_stops_at_what_two_bytes_hold() -> None:
    found, often = lexical.unpack(lexical.pack(np.full(70_000, 9, np.uint32)))
    assert (found.tolist(), often.tolist()) == ([9], [65_535])


def test_identifiers_are_found_by_their_parts_and_as_a_whole() -> None:
    found = terms("parseHTTPHeader snake_case_name")
    assert {*terms("parse http header"), term_id("parsehttpheader")} <= set(found)
    assert {*terms("snake case name"), term_id("snakecasename")} <= set(found)


def test_words_of_other_alphabets_stay_whole() -> None:
    assert terms("Schlüsselbünde") == [term_id("schlüsselbünd")]
    assert terms("Ключ it’s") == [term_id(term) for term in ("ключ", "s", "its")]


def test_east_asian_text_is_found_by_pairs_of_characters() -> None:
    text = terms("Debianパッケージを作成する")
    for part in ("Debian", "パッケージ", "作成"):
        assert set(terms(part)) <= set(text)
    assert not set(terms("削除")) & set(text)


def test_what_is_remembered_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    known = analysis._Spelled()
    monkeypatch.setattr(analysis, "_SPELLED", known)
    monkeypatch.setattr(analysis, "_KNOWN_AT_MOST", 10)
    for number in range(100):
        assert terms(f"wörd{chr(97 + number % 26)} {'löng' * 100}")[0]
        assert len(known) <= 10
    assert max(map(len, known)) < 100


def test_short_strings_of_the_metadata_are_indexed_and_other_values_are_not() -> None:
    metadata = {"speaker": "Ottilie", "said_at": "3 May, 2021", "n": 77, "essay": "zebra " * 40, "list": ["walrus"]}
    found = memory_terms("content", metadata)
    assert set(terms("Ottilie May 2021")) <= set(found)
    assert not set(terms("77 zebra walrus")) & set(found)


def test_the_opening_counts_twice() -> None:
    words = [f"w{chr(97 + n)}" for n in range(20)]
    found = memory_terms(" ".join(words), {})
    assert [found.count(term_id(word)) for word in words] == [2] * 16 + [1] * 4


@pytest.mark.parametrize(
    ("question", "same_as"),
    [("What did you paint?", "paint"), ("how do I sort a list", "sort list"), ("Who are you", "who are you")],
)
def test_what_only_makes_a_question_is_left_out_unless_it_is_all(question: str, same_as: str) -> None:
    assert analysis.question_terms(question).tolist() == terms(same_as)


def test_changed_metadata_moves_a_memory_in_the_lexical_index(memory: Memory) -> None:
    (number,) = memory.add([NewMemory("a plain remark", {"speaker": "Ottilie"})])
    memory.add([NewMemory("another remark")])
    assert memory.search("ottilie", mode="lexical").hits[0].id == number
    memory.update(number, metadata={"speaker": "Bertram"})
    assert memory.search("bertram", mode="lexical").hits[0].id == number
    assert number not in [hit.id for hit in memory.search("ottilie", mode="lexical").hits]

"""What becomes of text in the index, and what a question keeps of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruvllm_mcp.memory import analysis
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory


def test_identifiers_are_found_by_their_parts_and_as_a_whole() -> None:
    found = analysis.terms("parseHTTPHeader snake_case_name")
    assert {*analysis.terms("parse http header"), analysis.term_id("parsehttpheader")} <= set(found)
    assert {*analysis.terms("snake case name"), analysis.term_id("snakecasename")} <= set(found)


@given(st.text(st.sampled_from("aB9éßİ日٣_'’.-,( \t\n\x1c\x85\u2028\u3000"), max_size=40))
def test_no_word_reaches_across_a_space(text: str) -> None:
    words = analysis._WORD.findall(text)
    assert analysis.terms(text) == [term for word in words for term in analysis.terms(word)]


def test_words_of_other_alphabets_stay_whole() -> None:
    assert analysis.terms("Schlüsselbünde") == [analysis.term_id("schlüsselbünd")]
    assert analysis.terms("Ключ it’s") == [analysis.term_id(term) for term in ("ключ", "s", "its")]


def test_east_asian_text_is_found_by_pairs_of_characters() -> None:
    text = analysis.terms("Debianパッケージを作成する")
    for part in ("Debian", "パッケージ", "作成"):
        assert set(analysis.terms(part)) <= set(text)
    assert not set(analysis.terms("削除")) & set(text)


def test_what_is_remembered_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    known = analysis._Known()
    monkeypatch.setattr(analysis, "_KNOWN", known)
    monkeypatch.setattr(analysis, "_KNOWN_AT_MOST", 10)
    for number in range(100):
        assert analysis.terms(f"word{chr(97 + number % 26)} {'long' * 100}")[0]
        assert len(known) <= 10
    assert max(map(len, known)) < 100


def test_short_strings_of_the_metadata_are_indexed_and_other_values_are_not() -> None:
    metadata = {"speaker": "Ottilie", "said_at": "3 May, 2021", "n": 77, "essay": "zebra " * 40, "list": ["walrus"]}
    found = analysis.memory_terms("content", metadata)
    assert set(analysis.terms("Ottilie May 2021")) <= set(found)
    assert not set(analysis.terms("77 zebra walrus")) & set(found)


def test_the_opening_counts_twice() -> None:
    words = [f"w{chr(97 + n)}" for n in range(20)]
    found = analysis.memory_terms(" ".join(words), {})
    assert [found.count(analysis.term_id(word)) for word in words] == [2] * 16 + [1] * 4


@pytest.mark.parametrize(
    ("question", "same_as"),
    [("What did you paint?", "paint"), ("how do I sort a list", "sort list"), ("Who are you", "who are you")],
)
def test_what_only_makes_a_question_is_left_out_unless_it_is_all(question: str, same_as: str) -> None:
    assert analysis.question_terms(question) == analysis.terms(same_as)


def test_changed_metadata_moves_a_memory_in_the_lexical_index(memory: Memory) -> None:
    (number,) = memory.add([NewMemory("a plain remark", {"speaker": "Ottilie"})])
    memory.add([NewMemory("another remark")])
    assert memory.search("ottilie", mode="lexical").hits[0].id == number
    memory.update(number, metadata={"speaker": "Bertram"})
    assert memory.search("bertram", mode="lexical").hits[0].id == number
    assert number not in [hit.id for hit in memory.search("ottilie", mode="lexical").hits]

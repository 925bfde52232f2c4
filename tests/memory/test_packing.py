"""Packing: the budget to the token, no repetition, sources in order."""

from __future__ import annotations

import numpy as np

from ruvllm_mcp.memory.packing import diverse_order, pack
from ruvllm_mcp.types import MemoryResult


def hit(number: int, content: str, source: str = "") -> MemoryResult:
    return MemoryResult(number, content, {}, 0.5, 1.0 / number, {}, "here", "note", source, 0.0)


def words(text: str) -> int:
    return len(text.split())


def test_relevance_is_weighed_against_repetition() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[1] = [np.sqrt(1 - 0.9**2), 0.9, 0, 0]
    vectors[1] = np.array([0.9, np.sqrt(1 - 0.81), 0, 0])
    # relevance 1, .75, .5, .25; row 1 repeats row 0 by .9: .7 * .75 - .3 * .9 = .255 < .7 * .5 = .35
    assert diverse_order(vectors) == [0, 2, 1, 3]


def test_what_says_the_same_is_left_out() -> None:
    vectors = np.array([[1, 0], [0.99, np.sqrt(1 - 0.99**2)], [0, 1]], np.float32)
    assert diverse_order(vectors) == [0, 2]
    assert diverse_order(np.zeros((3, 2), np.float32)) == [0, 1, 2]
    assert diverse_order(np.zeros((0, 2), np.float32)) == []


def test_parts_of_one_source_stand_together_in_their_order() -> None:
    hits = [hit(9, "end of the story", "a.txt"), hit(5, "something else"), hit(3, "begin of the story", "a.txt")]
    packed = pack(hits, np.eye(3, dtype=np.float32), 100, words)
    assert [source.id for source in packed.sources] == [3, 9, 5]
    assert packed.text == "[3] a.txt\nbegin of the story\n\n[9] a.txt\nend of the story\n\n[5]\nsomething else"
    assert packed.tokens == words(packed.text)


def test_a_smaller_memory_takes_the_place_of_one_that_does_not_fit() -> None:
    hits = [hit(1, "a b c"), hit(2, " ".join("x" * 50)), hit(3, "d e")]
    packed = pack(hits, np.eye(3, dtype=np.float32), 10, words)
    assert [source.id for source in packed.sources] == [1, 3]


def test_the_best_is_cut_only_when_nothing_fits() -> None:
    long = hit(1, " ".join(f"word{n}" for n in range(100)))
    for budget in range(2, 60):
        packed = pack([long], np.ones((1, 1), np.float32), budget, words)
        assert words(packed.text) == packed.tokens <= budget
        assert packed.text.endswith("…")
    assert pack([long], np.ones((1, 1), np.float32), 1, words).sources == ()
    assert pack([], np.zeros((0, 1), np.float32), 10, words).text == ""

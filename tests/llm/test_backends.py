"""What the backends promise: quotes are word for word, fit the budget, and say what they are."""

from __future__ import annotations

import re

import pytest

from ruvllm_mcp import GenerationConfig, embed
from ruvllm_mcp.llm.backends.base import Answer, Output, one_text
from ruvllm_mcp.llm.backends.echo import Echo
from ruvllm_mcp.llm.backends.extractive import NOTHING, PASSAGE_CHARACTERS, Extractive, passages_of
from ruvllm_mcp.types import MemoryResult

PROSE = (
    "The deploy pipeline runs on merge. Releases are blue-green, e.g. two pools swap. "
    "Rollbacks take one command: make rollback!  Ask the on-call engineer first."
)
CODE = 'import os\n\n\ndef rollback(pool):\n    """Swap the pools back."""\n    os.system(f"swap {pool}")\n'


def memory(number: int, content: str) -> MemoryResult:
    return MemoryResult(number, content, {}, 0.5, 1.0, {}, "shop", "note", "", 0.0)


def quoted(text: str, memories: tuple[MemoryResult, ...], config: GenerationConfig | None = None) -> Answer:
    written: list[str] = []
    backend = Extractive(lambda: embed.load("hashing"))
    answer = backend.answer(one_text(text, memories), config or GenerationConfig(), Output(written.append))
    assert "".join(written) == answer.text
    return answer


def test_the_sentence_that_answers_is_quoted_word_for_word() -> None:
    answer = quoted("how do I do rollbacks with one command?", (memory(4, PROSE), memory(9, "Lunch is at noon.")))
    quotes = re.findall(r'\[(\d+)\] "(.*?)"$', answer.text, re.M)
    assert quotes[0] == ("4", "Rollbacks take one command: make rollback!")
    assert all(quote in PROSE for number, quote in quotes if number == "4")
    assert answer.sources[0].id == 4
    assert "no language model" in answer.text
    assert 0 < answer.confidence <= 1
    assert answer.usage.completion_tokens == embed.load("hashing").count_tokens(answer.text)


def test_code_is_quoted_in_whole_blocks() -> None:
    blocks = [passage.text for passage in passages_of(memory(1, CODE))]
    assert 'def rollback(pool):\n    """Swap the pools back."""\n    os.system(f"swap {pool}")' in blocks


def test_passages_cover_every_word_and_none_is_endless() -> None:
    passages = list(passages_of(memory(1, PROSE + "\n\n" + "word " * 1000)))
    assert max(len(passage.text) for passage in passages) <= PASSAGE_CHARACTERS
    assert "".join("".join(p.text for p in passages).split()) == "".join((PROSE + "word " * 1000).split())


@pytest.mark.parametrize("limit", [10, 20, 30, 60])
def test_the_answer_keeps_to_its_token_budget(limit: int) -> None:
    memories = tuple(memory(i, PROSE + " " * i) for i in range(1, 5))
    answer = quoted("what about rollbacks and releases?", memories, GenerationConfig(max_tokens=limit))
    assert answer.usage.completion_tokens <= limit
    assert answer.sources


def test_what_two_memories_say_alike_is_quoted_once() -> None:
    answer = quoted("rollbacks?", (memory(1, PROSE), memory(2, PROSE)))
    assert answer.text.count("make rollback!") == 1


def test_with_nothing_remembered_it_says_so() -> None:
    answer = quoted("anything?", ())
    assert (answer.text, answer.sources, answer.confidence) == (NOTHING, (), 0.0)


def test_echo_gives_the_prompt_back_word_by_word_cut_to_the_budget() -> None:
    written: list[str] = []
    echo = Echo(lambda: embed.load("hashing"))
    answer = echo.answer(one_text("one two three four"), GenerationConfig(max_tokens=2), Output(written.append))
    assert (answer.text, written) == ("one two", ["one", " two"])

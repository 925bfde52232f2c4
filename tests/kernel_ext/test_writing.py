"""`%ruvllm query|generate|chat` with a language model, in a terminal's shell: the whole result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.types import GenerationResponse, QueryResponse
from tests.kernel_ext.conftest import Shell
from tests.llm.talker import write_talker


@pytest.fixture
def talking(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("RUVLLM_MODEL", str(write_talker(tmp_path / "talker.gguf", endless=True)))
    return shell


def generated(shell: Shell, line: str) -> GenerationResponse:
    found = shell.run(line)
    assert isinstance(found, GenerationResponse)
    return found


def test_options_reach_the_model(talking: Shell) -> None:
    greedy = generated(talking, "%ruvllm generate --max-tokens 9 --temperature 0 Once upon")
    assert greedy.usage.completion_tokens == 9
    assert generated(talking, "%ruvllm generate --max-tokens 9 --top-k 1 Once upon").text == greedy.text
    cell = generated(talking, "%%ruvllm generate --max-tokens 9 --min-p 1\nOnce upon")
    assert cell.text == greedy.text
    stop = greedy.text[4:6]
    cut = generated(talking, f"%ruvllm generate --max-tokens 9 --temperature 0 --stop '{stop}' Once upon")
    assert cut.text == greedy.text[: greedy.text.index(stop)]
    assert generated(talking, "%ruvllm generate --raw --max-tokens 9 --temperature 0 Once upon").text != greedy.text
    made = generated(talking, "%ruvllm generate --json-mode --max-tokens 9 Once upon").text
    assert isinstance(json.loads(made), dict)
    with pytest.raises(InvalidInputError, match="top_p"):
        talking.run("%ruvllm generate --top-p 7 Once upon")


def test_a_chat_goes_on_until_a_new_one_begins(talking: Shell) -> None:
    first = generated(talking, "%ruvllm chat --max-tokens 8 --temperature 0 Hi")
    second = generated(talking, "%ruvllm chat --max-tokens 8 --temperature 0 And then?")
    assert second.usage.prompt_tokens > first.usage.prompt_tokens + 8
    with pytest.raises(InvalidInputError):
        talking.run("%ruvllm chat --seed 99999999999999999999 What?")
    third = generated(talking, "%ruvllm chat --max-tokens 8 --temperature 0 What?")
    assert third.usage.prompt_tokens > second.usage.prompt_tokens
    again = generated(talking, "%ruvllm chat --new --max-tokens 8 --temperature 0 Hi")
    assert (again.text, again.usage) == (first.text, first.usage)
    told = generated(talking, '%ruvllm chat --system "Be brief." --max-tokens 8 --temperature 0 Hi')
    assert told.usage.prompt_tokens != first.usage.prompt_tokens


def test_query_uses_the_model_and_can_be_rated(talking: Shell) -> None:
    talking.run("%ruvllm add Releases go out on Tuesdays.")
    answer = talking.run("%ruvllm query --max-tokens 8 when are releases?")
    assert isinstance(answer, QueryResponse)
    assert (answer.backend, [source.id for source in answer.sources]) == ("native", [1])
    assert talking.run("%ruvllm feedback 5") is not None


def test_without_a_model_the_error_says_how_to_get_one(shell: Shell) -> None:
    with pytest.raises(ModelError, match="RUVLLM_MODEL"):
        shell.run("%ruvllm generate Hi")

"""`ruvllm generate|chat|query` with a language model: text as it comes, the same in JSON, clean ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome
from tests.llm.story import BEGINNING, OPENING
from tests.llm.talker import write_talker

Shell = Callable[..., Outcome]
Process = Callable[..., "subprocess.Popen[str]"]
GREEDY = ("--temperature", "0", "--max-tokens", "12")
ENDLESS = ("--temperature", "0", "--max-tokens", "4096")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_talker(tmp_path_factory.mktemp("model") / "talker.gguf"))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_talker(tmp_path_factory.mktemp("endless") / "talker.gguf", endless=True))


def test_text_goes_to_stdout_and_what_is_about_it_to_stderr(shell: Shell, model: str) -> None:
    told = shell("generate", "Once upon", "--model", model, *GREEDY)
    written = shell("generate", "Once upon", "--model", model, *GREEDY, "--json").json
    assert told.out == written["text"].rstrip("\n") + "\n"
    assert "talker: 12 tokens" in told.err
    assert "cut at --max-tokens" in told.err
    assert (written["finish_reason"], written["usage"]["completion_tokens"]) == ("length", 12)
    assert shell("generate", "-", "--model", model, *GREEDY, stdin="Once upon").out == told.out
    assert shell("generate", "Once upon", "--raw", "--model", model, *GREEDY).out != told.out


def test_every_option_reaches_the_sampler(shell: Shell, model: str) -> None:
    def text(*options: str) -> str:
        found: str = shell("generate", "Hi", "--model", model, "--max-tokens", "24", "--json", *options).json["text"]
        return found

    greedy = text("--temperature", "0")
    assert text("--top-k", "1") == text("--top-p", "0.000001") == text("--min-p", "1") == greedy
    assert text("--seed", "1", "--temperature", "5", "--top-k", "0") != greedy
    assert text("--seed", "1") == text("--seed", "1")
    assert text("--temperature", "0", "--stop", greedy[6:9]) == greedy[: greedy.index(greedy[6:9])]
    assert text("--temperature", "0", "--repetition-penalty", "9") != greedy
    assert isinstance(json.loads(text("--json-mode")), dict)


def test_an_option_out_of_range_is_wrong_usage(shell: Shell, model: str) -> None:
    outcome = shell("generate", "Hi", "--model", model, "--top-p", "2", "--json")
    assert (outcome.code, outcome.error["message"]) == (2, "top_p is 2.0.")


def test_without_a_model_the_error_says_how_to_name_one(shell: Shell) -> None:
    outcome = shell("generate", "Hi")
    assert outcome.code == 5
    assert "models add PATH" in outcome.err
    assert shell("generate", "Hi", "--model", "no.gguf").code == 5


def test_a_registered_model_is_called_by_its_name(shell: Shell, model: str) -> None:
    shell("models", "add", model, "--name", "talker")
    by_name = shell("generate", "Hi", "--model", "talker", *GREEDY, "--json").json
    by_path = shell("generate", "Hi", "--model", model, *GREEDY, "--json").json
    assert by_name["text"] == by_path["text"] != ""


def test_a_model_answers_questions_from_memory(shell: Shell, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("memory", "add", "Releases go out on Tuesdays.")
    monkeypatch.setenv("RUVLLM_MODEL", model)
    shown = shell("query", "when are releases?", *GREEDY).out
    answer = shell("query", "when are releases?", *GREEDY, "--json").json
    assert (answer["backend"], answer["sources"][0]["id"]) == ("native", 1)
    assert shown.startswith(answer["text"].rstrip("\n"))
    assert "[1]" in shown
    assert "native talker" in shown
    assert "cut at --max-tokens" in shown


def test_each_line_from_a_pipe_is_a_turn_of_one_chat(shell: Shell, model: str) -> None:
    outcome = shell("chat", "--model", model, *GREEDY, "--json", stdin="Hi\n\nAnd then?\n")
    first, second = map(json.loads, outcome.out.splitlines())
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"] + 12
    assert shell("chat", "--model", model, *GREEDY, stdin="Hi\n").out == first["text"].rstrip("\n") + "\n"
    told = shell("chat", "--model", model, *GREEDY, "--system", "Be brief.", "--json", stdin="Hi\n").json
    assert told["usage"]["prompt_tokens"] != first["usage"]["prompt_tokens"]
    assert shell("chat", "--model", "extractive", stdin="Hi\n").code == 5


def test_ctrl_c_ends_an_answer_cleanly(process: Process, endless: str) -> None:
    child = process("generate", "Once upon", "--model", endless, *ENDLESS, start_new_session=True)
    assert child.stdout is not None
    fcntl(child.stdout, F_SETPIPE_SZ, 4096)  # the answer has no room in it: it is still being written when Ctrl-C comes
    assert child.stdout.read(1)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err.strip()) == (130, "Interrupted. The answer is incomplete.")


def test_a_reader_that_goes_away_ends_it_quietly(process: Process, endless: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    child = process("generate", "Once upon", "--model", endless, *ENDLESS, stdout=writing)
    os.close(writing)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, "")


def test_on_a_terminal_ctrl_c_stops_an_answer_and_ctrl_d_the_chat(process: Process, endless: str) -> None:
    primary, secondary = pty.openpty()
    child = process(
        "chat",
        "--model",
        endless,
        *ENDLESS,
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
    )
    os.close(secondary)
    shown = b""

    def read_until(wanted: int) -> None:
        nonlocal shown
        while shown.count(b"> ") < wanted:
            shown += os.read(primary, 4096)

    read_until(1)
    os.write(primary, b"Hi\n")
    while len(shown) < 60:  # some of the answer
        shown += os.read(primary, 4096)
    child.send_signal(signal.SIGINT)
    read_until(2)
    os.write(primary, b"\x04")
    assert child.wait(60) == 0
    os.close(primary)
    assert b"Traceback" not in shown


def test_a_story_is_told_from_the_shell(shell: Shell, story: Path) -> None:
    told = shell("generate", OPENING, "--model", str(story), "--temperature", "0", "--max-tokens", "60").out
    assert BEGINNING in told

"""Tab offers commands, options, and values that are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruvllm_kernel.commands import CELL_COMMANDS, COMMANDS
from ruvllm_kernel.complete import completions
from tests.kernel_ext.conftest import Shell


def names() -> list[str]:
    return ["global", "my own", "team/app"]


@pytest.mark.parametrize(
    ("rest", "typed", "found"),
    [
        ("", "", list(COMMANDS)),
        ("se", "se", ["search"]),
        ("help fe", "fe", ["feedback"]),
        ("search --m", "--m", ["--mode"]),
        ("search --mode ", "", ["hybrid", "vector", "lexical"]),
        ("search --mode=l", "l", ["lexical"]),
        ("search --namespace t", "t", ["team/app"]),
        ("search --namespace ", "", ["global", '"my own"', "team/app"]),
        ("search --mode vector --m", "--m", []),
        ("search --namespace global --n", "--n", ["--namespace"]),
        ("search some words", "words", []),
        ("search -k ", "", []),
        ("feedback --succ", "--succ", ["--success"]),
        ("feedback --success --re", "--re", ["--relevant", "--request"]),
        ("unknown --m", "--m", []),
        ("add --ex", "--ex", []),
    ],
)
def test_line_completions(rest: str, typed: str, found: list[str]) -> None:
    assert completions(rest, names) == (typed, found)


def test_cells_offer_what_cells_can_do() -> None:
    assert completions("", names, is_cell=True) == ("", list(CELL_COMMANDS))
    assert completions("add --ex", names, is_cell=True) == ("--ex", ["--expand"])


@pytest.mark.parametrize("start", ["%ruvllm ", "hits = %ruvllm ", "    %ruvllm ", "ruvllm "])
def test_ipython_asks_the_matcher(shell: Shell, start: str) -> None:
    assert shell.complete(start + "sea") == ["search"]
    assert shell.complete(start + "search --mode v") == ["vector"]


def test_ipython_completes_the_first_line_of_a_cell(shell: Shell) -> None:
    assert shell.complete("%%ruvllm qu", rest="\nwhy") == ["query"]


def test_other_lines_are_left_alone(shell: Shell) -> None:
    shell.run("ruvllm_things = {'a': 1}")
    assert shell.complete("ruvllm_th") == ["ruvllm_things"]
    assert "search" not in shell.complete("x = 'a' # ruvllm sea")


def test_namespaces_come_from_the_store_and_completing_creates_none(shell: Shell, home: Path) -> None:
    assert "team/app" not in shell.complete("%ruvllm search --namespace te")
    assert not home.exists()
    shell.run("%ruvllm add --namespace team/app Tests run with pytest.")
    assert shell.complete("%ruvllm search --namespace te") == ["team/app"]

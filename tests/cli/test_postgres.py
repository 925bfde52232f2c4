"""The shell on a shared database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome

Shell = Callable[..., Outcome]


@pytest.fixture
def on_database(shell: Shell, postgres_store: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("RUVLLM_STORE", postgres_store.replace("postgres@", "postgres:s3cr3t@"))
    assert shell("memory", "add", "Releases go out on Tuesdays.").code == 0
    return shell


def test_every_command_that_speaks_of_the_store_speaks_of_the_database(on_database: Shell, tmp_path: Path) -> None:
    said: list[Outcome] = []

    def run(*arguments: str) -> str:
        said.append(on_database(*arguments))
        assert said[-1].code == 0, said[-1].err
        return said[-1].out

    assert "Tuesdays" in run("memory", "search", "releases")
    assert "postgresql://postgres" in run("stats")
    assert "postgresql://postgres" in run("info")
    assert "postgresql://postgres" in run("info", "--json")
    assert "1 memories" in run("doctor")
    run("doctor", "--repair")
    run("backup", str(tmp_path / "copy.db"))
    run("memory", "add", "Written since.")
    assert "1 memories" in run("restore", str(tmp_path / "copy.db"))
    run("export", str(tmp_path / "state.jsonl"))
    run("import", str(tmp_path / "state.jsonl"))
    assert "schema 2 already" in run("memory", "migrate")
    assert "brought to 1: question_tokens" in run("memory", "migrate", "--to", "1")
    assert "nothing changed" in run("memory", "migrate", "--dry-run")
    assert "brought to 2" in run("memory", "migrate")
    assert not list((tmp_path / "home").glob("memory.db*")), "no file is made beside the database"
    assert "s3cr3t" not in "".join(one.out + one.err for one in said)


def test_a_server_that_is_away_is_one_line_and_the_stores_exit_code(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUVLLM_STORE", "postgresql://ann:s3cr3t@127.0.0.1:1/team")
    outcome = shell("memory", "search", "x")
    assert outcome.code == 4
    assert "does not answer" in outcome.err
    assert "s3cr3t" not in outcome.err
    assert "does not answer" in shell("doctor").out

"""Every way a command can end: exit codes, errors in one line or JSON, Ctrl-C, a reader that goes away, bad input."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from ruvllm_mcp.cli.errors import MEANINGS
from ruvllm_mcp.cli.main import ruvllm
from tests.cli.conftest import Outcome

Shell = Callable[..., Outcome]
Process = Callable[..., "subprocess.Popen[str]"]


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found += leaves(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("command", [(), ("memory",), *leaves(ruvllm)], ids=" ".join)
def test_every_command_has_help_and_takes_json(shell: Shell, command: tuple[str, ...]) -> None:
    outcome = shell(*command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith("Usage: ruvllm")
    assert "--json" in outcome.out
    assert not any(line.endswith("...") for line in outcome.out.splitlines() if line.startswith("  "))


BAD = [
    (("memory", "add", ""), 2, "InvalidInputError"),
    (("memory", "add", " \n\t "), 2, "InvalidInputError"),
    (("memory", "add", "-"), 2, "InvalidInputError"),
    (("memory", "add", "x", "--importance", "2"), 2, "InvalidInputError"),
    (("memory", "add", "x", "--importance", "nan"), 2, "InvalidInputError"),
    (("memory", "add", "x", "--ttl", "0"), 2, "InvalidInputError"),
    (("memory", "add", "x", "--ttl", "soon"), 2, "UsageError"),
    (("memory", "add", "x", "--kind", "no kind!"), 2, "InvalidInputError"),
    (("memory", "add", "x", "-m", "novalue"), 2, "UsageError"),
    (("memory", "add", "x", "-m", '{"a": NaN}'), 2, "InvalidInputError"),
    (("memory", "add", "x", "-m", '{"a": '), 2, "UsageError"),
    (("memory", "add", "x", "-n", "a", "-n", "b"), 2, "UsageError"),
    (("memory", "add", "x", "-n", "*"), 2, "UsageError"),
    (("memory", "add", "x", "-n", "bad\nname"), 2, "InvalidInputError"),
    (("memory", "search", ""), 2, "InvalidInputError"),
    (("memory", "search", "x", "-k", "0"), 2, "InvalidInputError"),
    (("memory", "search", "x", "-k", "-1"), 2, "InvalidInputError"),
    (("memory", "search", "x", "-k", "ten"), 2, "UsageError"),
    (("memory", "search", "x", "-k", "9" * 30), 2, "InvalidInputError"),
    (("memory", "search", "x", "--mode", "best"), 2, "UsageError"),
    (("memory", "search", "x", "-w", "=1"), 2, "UsageError"),
    (("memory", "search", "x", "-w", '{"$bad": 1}'), 2, "InvalidInputError"),
    (("memory", "get", "7"), 3, "NotFoundError"),
    (("memory", "get", "0"), 2, "InvalidInputError"),
    (("memory", "get", "9" * 30), 2, "InvalidInputError"),
    (("memory", "get"), 2, "UsageError"),
    (("memory", "update", "7", "text"), 3, "NotFoundError"),
    (("memory", "delete", "7"), 3, "NotFoundError"),
    (("memory", "link", "7", "8"), 3, "NotFoundError"),
    (("memory", "list", "--limit", "0"), 2, "UsageError"),
    (("memory", "list", "--cursor", "nonsense"), 2, "InvalidInputError"),
    (("memory", "prune", "--importance-below", "7"), 2, "InvalidInputError"),
    (("memory", "prune", "--similar-above", "0.1"), 2, "InvalidInputError"),
    (("memory", "import", "/no/such/folder"), 2, "InvalidInputError"),
    (("memory", "import", "/dev/null"), 2, "InvalidInputError"),
    (("memory", "export", "/no/such/folder/file"), 4, "StorageFullError"),
    (("query", " "), 2, "InvalidInputError"),
    (("query", "x", "--max-tokens", "0"), 2, "InvalidInputError"),
    (("context", "x", "--max-tokens", "-5"), 2, "InvalidInputError"),
    (("feedback", "nonsense", "--rating", "5"), 3, "NotFoundError"),
    (("feedback", "nonsense", "--rating", "6"), 2, "InvalidInputError"),
    (("feedback", "nonsense", "--relevant", "1,x"), 2, "UsageError"),
    (("feedback", "nonsense"), 2, "UsageError"),
    (("embed", ""), 2, "InvalidInputError"),
    (("embed", "a", "--lines"), 2, "UsageError"),
    (("similarity", "-", "-"), 2, "UsageError"),
    (("similarity", "a", " "), 2, "InvalidInputError"),
    (("stats", "--embedder", "magic"), 2, "SettingsError"),
    (("stats", "--embedder", "hashing:3"), 2, "InvalidInputError"),
    (("nonsense",), 2, "UsageError"),
    (("stats", "--nonsense"), 2, "UsageError"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    BAD,
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, tuple) else None,
)
def test_bad_input_ends_in_one_line_that_says_what_to_do(
    shell: Shell, arguments: tuple[str, ...], code: int, kind: str
) -> None:
    plain = shell(*arguments)
    assert (plain.code, plain.out) == (code, "")
    assert plain.err.startswith("Error: ")
    assert "Traceback" not in plain.err
    told = shell(*arguments, "--json")
    assert (told.code, told.out) == (code, "")
    assert told.error["message"] in plain.err
    assert (told.error["exit_code"], told.error["type"]) == (code, kind)
    assert told.error["hint"]
    assert code in MEANINGS


def test_help_tells_every_exit_code(shell: Shell) -> None:
    shown = shell("--help").out
    for code, meaning in MEANINGS.items():
        assert f"  {code:<3}  {meaning}" in shown


def test_unknown_settings_and_environment_are_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUVLLM_THREADS", "many")
    error = shell("stats", "--json").error
    assert error["type"] == "SettingsError"
    assert "RUVLLM_THREADS" in error["message"]


def test_a_damaged_and_a_newer_store_end_with_the_store_code(shell: Shell, home: Path) -> None:
    shell("memory", "add", "Something.")
    with sqlite3.connect(home / "memory.db") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    assert (shell("stats", "--json").code, shell("stats", "--json").error["type"]) == (4, "StoreVersionError")
    for file in home.glob("memory.db*"):
        file.unlink()
    (home / "memory.db").write_bytes(b"this is no database" * 500)
    assert (shell("stats", "--json").code, shell("stats", "--json").error["type"]) == (4, "StoreCorruptError")


def test_a_full_disk_ends_with_the_store_code_and_loses_nothing(process: Process, shell: Shell) -> None:
    shell("memory", "add", "Kept.")
    records = "".join(json.dumps({"text": f"{number} " + "long text " * 300}) + "\n" for number in range(100))

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    child = process("memory", "import", "-", "--json", preexec_fn=small_disk)
    out, err = child.communicate(records)
    assert (child.returncode, out) == (4, "")
    assert json.loads(err)["error"]["type"] == "StorageFullError"
    assert shell("memory", "get", "1").code == 0
    assert shell("doctor").code == 0
    assert shell("memory", "import", "-", "--json", stdin=records).code == 0
    assert len(shell("memory", "list", "--all", "--json").json["items"]) == 101


def test_exit_codes_reach_the_operating_system(process: Process) -> None:
    for arguments, code in ((["info"], 0), (["memory", "get", "1"], 3), (["nonsense"], 2)):
        child = process(*arguments)
        child.communicate()
        assert child.returncode == code


def test_stdin_and_stdout_are_pipes_that_hold_utf8(process: Process) -> None:
    child = process("memory", "add", "-", "--json")
    out, err = child.communicate("Grüße, 世界 🙂")
    assert (child.returncode, err) == (0, "")
    assert json.loads(out)["id"] == 1
    child = process("memory", "get", "1")
    assert "Grüße, 世界 🙂" in child.communicate()[0]


def test_a_terminal_without_utf8_gets_escapes(process: Process) -> None:
    process("memory", "add", "Grüße, 世界").communicate()
    child = process("memory", "get", "1", encoding="latin-1", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    out, err = child.communicate()
    assert (child.returncode, err) == (0, "")
    assert "Grüße, \\u4e16\\u754c" in out
    child = process("memory", "get", "1", "--json", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert json.loads(child.communicate()[0])["content"] == "Grüße, 世界"


def test_a_reader_that_goes_away_is_no_error(process: Process) -> None:
    process("memory", "add", "-").communicate("A long line of text. " * 20_000)
    reading, writing = os.pipe()
    os.close(reading)
    child = process("memory", "list", "--json", stdout=writing)
    os.close(writing)
    assert child.communicate()[1] == ""
    assert child.returncode == 141


def test_ctrl_c_ends_an_import_cleanly_and_it_goes_on_later(process: Process, shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number}.txt").write_text(f"Note number {number}.")
    pipe = folder / "sync"
    primary, secondary = pty.openpty()
    child = process("memory", "import", str(folder), stderr=secondary, start_new_session=True)
    os.close(secondary)
    shown = b""
    while b"new" not in shown:  # the progress line: some passages are in
        shown += os.read(primary, 4096)
    child.send_signal(signal.SIGINT)
    try:
        while piece := os.read(primary, 4096):
            shown += piece
    except OSError:  # the other end was closed
        pass
    os.close(primary)
    out, _ = child.communicate()
    assert not pipe.exists()
    if child.returncode == 130:
        assert b"run the same command again" in shown
        assert b"Traceback" not in shown
        assert out == ""
    stored = len(shell("memory", "list", "--all", "--json").json["items"])
    report = shell("memory", "import", str(folder), "--json").json["imports"][0]
    assert (report["unchanged"], report["added"] + report["merged"]) == (stored, 400 - stored)
    store = sqlite3.connect(tmp_path / "home" / "memory.db")
    assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from ruvllm_mcp.cli.main import run; run(['--help']);"
        "print([m for m in ('numpy', 'mcp', 'sqlite3', 'anyio', 'asyncio', 'pathspec') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines()[-1] == "[]"

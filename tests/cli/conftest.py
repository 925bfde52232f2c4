"""The shell as a person meets it: `shell` runs a command line in this process, `process` in one of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ruvllm_mcp.cli.main import run


@dataclass(frozen=True)
class Outcome:
    """What a command line left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON document. Anything else on stdout is an error."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error as `--json` writes it to stderr."""
        error: dict[str, Any] = json.loads(self.err)["error"]
        return error


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("RUVLLM_HOME", str(home))
    monkeypatch.setenv("RUVLLM_EMBEDDER", "hashing")
    monkeypatch.setenv("RUVLLM_NAMESPACE", "shop")
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def shell(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    assert not home.exists()

    def shell(*arguments: str, stdin: str | bytes = "") -> Outcome:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = run(arguments)
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return shell


@pytest.fixture
def process(home: Path) -> Callable[..., subprocess.Popen[str]]:
    assert not home.exists()

    def process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        script = "from ruvllm_mcp.cli.main import main; main()"
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([sys.executable, "-c", script, *arguments], text=True, **streams)

    return process

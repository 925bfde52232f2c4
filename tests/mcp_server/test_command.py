"""The command line of `ruvllm-mcp`, and what it refuses to start with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ruvllm_mcp import __version__
from ruvllm_mcp.mcp_server.server import main


def test_version_and_help_name_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    for argument, said in (("--version", f"ruvllm-mcp {__version__}\n"), ("--help", "claude mcp add ruvllm")):
        with pytest.raises(SystemExit) as ended:
            main([argument])
        assert ended.value.code == 0
        assert said in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom ruvllm_mcp.mcp_server.server import main\n"
        "try: main(['--help'])\n"
        "finally: print([name for name in ('mcp', 'numpy', 'anyio', 'pydantic') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout.endswith("[]\n")


def test_the_server_loads_neither_numpy_nor_the_store_before_the_first_call() -> None:
    script = (
        "import sys\nfrom ruvllm_mcp.engine.engine import RuvLLM\nfrom ruvllm_mcp.mcp_server.app import build_server\n"
        "import ruvllm_mcp.mcp_server.stdio\nbuild_server(RuvLLM(home='/nonexistent/home'))\n"
        "print([name for name in ('numpy', 'sqlite3', 'onnxruntime', 'tokenizers') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--embedder", "psychic"], "'embedder'"),
        (["--namespace", " "], "'namespace'"),
        (["--http", "--port", "70000"], "Port 70000 does not exist"),
    ],
)
def test_what_it_cannot_start_with_is_said_on_stderr(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err

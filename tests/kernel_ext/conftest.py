"""A shell in this process, over a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store's folder, in force for this process and those it starts."""
    monkeypatch.setenv("RUVLLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUVLLM_NAMESPACE", "tests")
    monkeypatch.setenv("RUVLLM_EMBEDDER", "hashing")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path / "home"


class Shell:
    """IPython without a terminal: `run` gives a cell's value or raises what the cell raised."""

    def __init__(self, folder: Path) -> None:
        config = Config()
        config.InteractiveShell.ipython_dir = str(folder)
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        config.IPCompleter.use_jedi = False
        self.ipython = InteractiveShell(config=config)

    def run(self, cell: str) -> object:
        done = self.ipython.run_cell(cell)
        done.raise_error()
        return done.result

    def complete(self, text: str, rest: str = "") -> list[str]:
        """What Tab offers after `text`, with `rest` behind the cursor."""
        with provisionalcompleter():
            return [found.text for found in self.ipython.Completer.completions(text + rest, len(text))]


@pytest.fixture
def bare_shell(home: Path) -> Iterator[Shell]:
    shell = Shell(home.with_name("ipython"))
    yield shell
    for name in list(shell.ipython.extension_manager.loaded):
        shell.ipython.extension_manager.unload_extension(name)


@pytest.fixture
def shell(bare_shell: Shell) -> Shell:
    bare_shell.run("%load_ext ruvllm_mcp")
    return bare_shell

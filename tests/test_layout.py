"""The house rules that a program can check: floors, file sizes, a light front door."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "__version__": 0,
    "errors": 0,
    "reports": 0,
    "types": 0,
    "project": 0,
    "settings": 0,
    "native": 1,
    "simd": 1,
    "formats": 1,
    "embed": 2,
    "memory": 3,
    "learning": 4,
    "routing": 5,
    "llm": 6,
    "engine": 7,
    "ingest": 8,
    "qe": 8,
    "cli": 9,
    "http": 9,
    "mcp_server": 9,
    "benchmark": 9,
}
SOURCES = sorted(path for path in (ROOT / "ruvllm_mcp").rglob("*.py") if path.parent.name != "weights")


def floor_of(module: str) -> int | None:
    parts = module.split(".")
    return FLOORS[parts[1]] if parts[0] == "ruvllm_mcp" and len(parts) > 1 else None


def runtime_imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_never_climb_the_stairs(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if module == "ruvllm_mcp.__init__":
        return  # names everything, lazily: that is its job
    own = floor_of(module)
    assert own is not None
    for name in runtime_imports(path):
        other = floor_of(name)
        assert other is None or other <= own, f"{module} (floor {own}) imports {name} (floor {other})"


def test_no_file_is_longer_than_400_lines() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.c", "*.h", "*.def", "*.ts", "*.mjs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    long = {
        name: lines for name in listed.stdout.split() if (lines := len((ROOT / name).read_text().splitlines())) > 400
    }
    assert not long


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, ruvllm_mcp; print([m for m in ('numpy', 'mcp', 'sqlite3', 'anyio') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"

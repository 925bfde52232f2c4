"""What one process holds on the store's file stays held, whatever else it opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ruvllm_mcp.memory.sqlite import FILE_NAME, SqliteStore

OPEN_AND_CLOSE = """
import sys; from pathlib import Path; from ruvllm_mcp.memory.sqlite import SqliteStore
SqliteStore(Path(sys.argv[1])).close()
"""


@pytest.mark.parametrize("times", [1, 2])
def test_another_process_leaves_the_log_of_a_store_in_use(tmp_path: Path, times: int) -> None:
    """The last connection to close deletes the log. A process that had lost its locks would not count, and what it
    writes afterwards would be gone."""
    stores = [SqliteStore(tmp_path) for _ in range(times)]
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(tmp_path)], check=True)
    assert (tmp_path / f"{FILE_NAME}-wal").exists()
    for store in stores:
        store.close()
    assert not (tmp_path / f"{FILE_NAME}-wal").exists()

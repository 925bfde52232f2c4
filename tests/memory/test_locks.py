"""What one process holds on the store's file stays held, whatever else it opens."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from multiprocessing.synchronize import Barrier
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


def open_with_others(folder: Path, others: Barrier) -> None:
    others.wait(60)
    SqliteStore(folder).close()


def test_many_processes_make_a_new_store_at_once(tmp_path: Path) -> None:
    """Two coding agents start at the same moment, the first time: neither may be refused."""
    fork = multiprocessing.get_context("fork")
    for attempt in range(30):
        others = fork.Barrier(8)
        processes = [fork.Process(target=open_with_others, args=(tmp_path / str(attempt), others)) for _ in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 8

"""What is done off the search's path: counts written in batches, memory given back to the system."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruvllm_mcp.memory import access
from ruvllm_mcp.memory.sqlite import SqliteStore


def anonymous_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


@pytest.mark.skipif(access._give_back is None or not Path("/proc/self/smaps_rollup").exists(), reason="glibc, Linux")
def test_holes_in_the_heap_are_given_back(tmp_path: Path) -> None:
    log = access.AccessLog(store := SqliteStore(tmp_path))
    blocks = [bytearray(20_000) for _ in range(3_000)]
    kept = blocks[::10]  # so that the heap cannot shrink from its end
    full = anonymous_bytes()
    del blocks
    log.flush()
    assert anonymous_bytes() < full - 30_000_000
    assert len(kept) == 300
    store.close()

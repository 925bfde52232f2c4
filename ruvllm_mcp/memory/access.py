"""Which memories are found, how often and when: counted in memory and written now and then, off the search's path.

A crash loses the last few counts, never a memory: they steer pruning and tiers, nothing a caller was promised.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence

from ruvllm_mcp.memory.store import Store

FLUSH_AT = 1_000
_give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other allocators do it by themselves


class AccessLog:
    """Collects accesses and hands them to the store in batches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._pending: dict[int, tuple[int, float]] = {}

    def note(self, ids: Sequence[int], now: float) -> None:
        """Counts one access of each."""
        with self._lock:
            for memory_id in ids:
                self._pending[memory_id] = (self._pending.get(memory_id, (0, now))[0] + 1, now)
            is_due = len(self._pending) >= FLUSH_AT
        if is_due:
            self.flush()

    def flush(self) -> None:
        """Writes what was counted, and gives memory back to the system: searches and adds leave holes of all sizes in
        glibc's heaps, which without this grow for ever."""
        with self._lock:
            pending, self._pending = self._pending, {}
        if pending:
            self._store.touch(pending)
        if _give_back is not None:
            _give_back(0)

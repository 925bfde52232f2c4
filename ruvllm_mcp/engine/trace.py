"""What the engine did and how long it took: one meter a process, percentiles over the latest calls of each kind."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ruvllm_mcp.types import Record

REMEMBERED_CALLS = 1024


@dataclass(frozen=True)
class Latency(Record):
    """Calls of one operation in this process; milliseconds, nearest-rank percentiles of the latest 1,024 calls."""

    calls: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Meter:
    """Counts and times operations by name. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._durations: dict[str, deque[float]] = {}
        self._calls: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    @contextmanager
    def measure(self, operation: str) -> Iterator[None]:
        started = time.perf_counter()
        failed = 1
        try:
            yield
            failed = 0
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1e3
            with self._lock:
                self._durations.setdefault(operation, deque(maxlen=REMEMBERED_CALLS)).append(elapsed_ms)
                self._calls[operation] = self._calls.get(operation, 0) + 1
                self._errors[operation] = self._errors.get(operation, 0) + failed

    def report(self) -> dict[str, Latency]:
        with self._lock:
            return {name: self._latency(name) for name in sorted(self._calls)}

    def _latency(self, name: str) -> Latency:
        ordered = sorted(self._durations[name])
        p50, p95, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.50, 0.95, 0.99))
        return Latency(self._calls[name], self._errors[name], p50, p95, p99)

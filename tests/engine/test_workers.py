"""The caretaker's thread works again and again, survives failures, and stops."""

from __future__ import annotations

import threading
import time

import pytest

from ruvllm_mcp.engine import parts
from ruvllm_mcp.engine.workers import Caretaker
from ruvllm_mcp.errors import StoreBusyError
from ruvllm_mcp.settings import Settings


def test_it_works_on_after_failures_and_stops(caplog: pytest.LogCaptureFixture) -> None:
    calls, third = [], threading.Event()

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise StoreBusyError("busy", "wait")
        if len(calls) == 2:
            raise ZeroDivisionError
        third.set()

    caretaker = Caretaker(work, 0.01)
    assert third.wait(10)
    caretaker.stop()
    time.sleep(0.05)
    count = len(calls)
    time.sleep(0.05)
    assert len(calls) == count
    assert [record.levelname for record in caplog.records][:2] == ["WARNING", "ERROR"]


@pytest.mark.parametrize(("interval", "enabled", "expected"), [(3, True, 1), (0, True, 0), (3, False, 0)])
def test_an_engine_learns_unasked_unless_told_not_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, interval: int, enabled: bool, expected: int
) -> None:
    looked_after = []
    monkeypatch.setattr(parts, "Caretaker", lambda work: looked_after.append(work) or Caretaker(work))
    opened = parts.Parts(
        Settings(home=settings.home, embedder="hashing", learning_enabled=enabled, auto_consolidate_interval=interval)
    )
    assert opened.sona.stats()["version"] == 0
    assert len(looked_after) == expected
    assert all(work() is None for work in looked_after)
    opened.close()

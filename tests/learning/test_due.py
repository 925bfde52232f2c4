"""The slower loops run unasked when there is something to learn, and by one process at a time."""

from __future__ import annotations

import pytest

from ruvllm_mcp.learning import versions
from ruvllm_mcp.learning.due import HOUR, WEEK, Run, due
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.sona import SonaEngine
from ruvllm_mcp.learning.versions import VersionStore
from ruvllm_mcp.memory.journal import Place, open_journal

from .conftest import DIM, trajectory, unit

NOW = 1e9


@pytest.mark.parametrize(
    ("signals", "learned", "consolidated", "expected"),
    [
        (49, None, None, None),
        (50, None, None, "learn"),
        (99, Run(NOW - 1, 50), None, None),
        (100, Run(NOW - 1, 50), None, "learn"),
        (59, Run(NOW - HOUR, 50), None, None),  # too few to be worth an hourly run
        (60, Run(NOW - HOUR + 1, 50), None, None),
        (60, Run(NOW - HOUR, 50), None, "learn"),
        (60, Run(NOW - WEEK, 60), None, None),  # nothing new
        (60, Run(NOW - 1, 60), Run(NOW - WEEK, 50), "consolidate"),
        (60, Run(NOW - 1, 60), Run(NOW - WEEK + 1, 50), None),
        (59, Run(NOW - 1, 59), Run(NOW - WEEK, 50), None),
    ],
)
def test_a_loop_is_due_by_feedback_or_by_time(
    signals: int, learned: Run | None, consolidated: Run | None, expected: str | None
) -> None:
    assert due(NOW, signals, 50, learned, consolidated) == expected


def opened(place: Place) -> SonaEngine:
    journal = open_journal(place)
    return SonaEngine(journal, "test", DIM, lambda ids: set(ids), lambda ids: unit(1)[None].repeat(len(ids), 0))


def rate(sona: SonaEngine, count: int) -> None:
    for _ in range(count):
        asked = trajectory(unit(1), (5, 6))
        sona.record(asked)
        sona.feedback(asked.request_id, Feedback(relevant=(6,)))


def test_a_due_loop_runs_once_whoever_looks(place: Place) -> None:
    one, other = opened(place), opened(place)
    rate(one, 4)
    assert one.run_if_due(5) is None
    rate(other, 1)
    report = one.run_if_due(5)
    assert report is not None
    assert (report.kind, report.signals) == ("learn", 5)
    assert other.run_if_due(5) is None
    one.close()
    other.close()


def test_nothing_runs_while_another_process_is_at_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(place)
    busy = VersionStore(journal, "test")
    sona = opened(place)
    rate(sona, 5)
    assert busy.claim()
    assert sona.run_if_due(5) is None
    busy.release()
    assert busy.claim()  # and its holder dies
    now = versions.time.time()
    monkeypatch.setattr(versions.time, "time", lambda: now + versions.CLAIM_SECONDS + 1)
    assert sona.run_if_due(5) is not None
    sona.close()
    journal.close()

"""When the slower loops run without being asked.

The background loop is due after so many new feedbacks, or an hour after its last run if a few came in; the deep loop a
week after its last run, or after the first background run, if something was learned since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Loop = Literal["learn", "consolidate"]

HOUR, WEEK = 3_600.0, 7 * 86_400.0
FEWEST = 10  # feedbacks that a timed run waits for


@dataclass(frozen=True)
class Run:
    """One run of a slower loop: UTC seconds, and the number of the newest feedback it knew."""

    at: float
    signals: int


def due(now: float, signals: int, after: int, learned: Run | None, consolidated: Run | None) -> Loop | None:
    """The loop that is due when the newest feedback is number `signals` and the background loop runs every `after`."""
    if learned is None:
        return "learn" if signals >= after else None
    fresh = signals - learned.signals
    if fresh >= after or (fresh >= FEWEST and now - learned.at >= HOUR):
        return "learn"
    older = consolidated or learned
    return "consolidate" if signals - older.signals >= FEWEST and now - older.at >= WEEK else None

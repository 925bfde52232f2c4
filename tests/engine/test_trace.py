"""Percentiles against NumPy's nearest-rank definition."""

from __future__ import annotations

import numpy as np
import pytest

from ruvllm_mcp.engine.trace import Meter


def test_percentiles_are_nearest_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = np.random.default_rng(7).uniform(0.001, 2.0, size=357)
    ticks = iter([tick for duration in durations for tick in (100.0, 100.0 + duration)])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    meter = Meter()
    for _ in durations:
        with meter.measure("search"):
            pass
    report = meter.report()["search"]
    expected = np.percentile(durations * 1e3, [50, 95, 99], method="inverted_cdf")
    np.testing.assert_allclose([report.p50_ms, report.p95_ms, report.p99_ms], expected, rtol=1e-9)
    assert (report.calls, report.errors) == (357, 0)


def test_a_failed_call_is_counted_as_call_and_error() -> None:
    meter = Meter()
    with pytest.raises(KeyError), meter.measure("get"):
        raise KeyError
    assert (meter.report()["get"].calls, meter.report()["get"].errors) == (1, 1)

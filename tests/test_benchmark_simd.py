"""The speed table: every case runs, progress is told, and the table shows what was measured."""

from __future__ import annotations

import pytest

from ruvllm_mcp.benchmark import simd as benchmark
from ruvllm_mcp.benchmark.simd import Measured
from ruvllm_mcp.native import lib


def test_a_run_measures_every_case_and_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    monkeypatch.setattr(benchmark, "SECONDS_A_TURN", 0.0)
    chosen = {"dot, prepared", "MaxSim 10 x 300 x 40", "100 x 1000 top-10"}
    every_case = benchmark.cases
    monkeypatch.setattr(benchmark, "cases", lambda inputs: [c for c in every_case(inputs) if c.name in chosen])
    steps: list[tuple[int, int]] = []
    before = lib.in_use()
    measured = benchmark.run(
        lambda inputs: {"dot, prepared": {"peer": lambda: inputs.vector @ inputs.other}},
        lambda done, total: steps.append((done, total)),
    )
    assert {row.name for row in measured} == chosen
    assert all(row.ours > 0 for row in measured)
    assert set(measured[0].others) == {"numpy", "peer"}
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert lib.in_use() == before


def test_a_limit_is_scaled_to_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_seconds", lambda _call: 2.0)
    case = benchmark.Case("product", ours=lambda: 0, limit=lambda: 0, limits=0.25, has_scalar=False)
    assert benchmark._measure(case, {}).limit == 0.5


def test_ratios_are_peers_over_ours() -> None:
    row = Measured("dot", 2e-7, 8e-7, 1e-7, {"numpy": 6e-7, "other": 5e-7})
    assert (row.best_peer, row.ratio) == ("other", 2.5)
    assert benchmark.table([row]).splitlines()[1].split() == [
        *("dot", "200", "ns", "4.0", "50", "%"),
        *("numpy", "3.00,", "other", "2.50"),
    ]

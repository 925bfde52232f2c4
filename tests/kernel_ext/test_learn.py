"""`%ruvllm learn`: each action, the curve it draws, and what it refuses."""

from __future__ import annotations

import pytest

from ruvllm_kernel.learning import Learning
from ruvllm_kernel.render import html, plain
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.learning.judging import Verdict
from ruvllm_mcp.learning.versions import Version
from ruvllm_mcp.reports import LearnReport
from tests.kernel_ext.conftest import Shell


def version(number: int, status: str, signals: int, before: float, after: float) -> Version:
    metrics = {"signals": signals, "questions": 9, "before": before, "after": after}
    return Version(number, 1.8e9, "learn", "", number - 1, status, metrics)


LEARNED = Learning(
    3,
    150,
    120,
    7,
    (
        version(1, "promoted", 50, 0.5, 0.55),
        version(2, "dropped", 100, 0.55, 0.54),
        version(3, "promoted", 150, 0.55, 0.65),
    ),
    LearnReport(3, "learn", True, 9, 0.55, 0.65, 0.02, 0.2, 1.0, 150, 7, 1.5),
    Verdict(9, 0.55, 0.65, 0.02, 0.2, 0.0, 9),
)


def test_training_and_rolling_back(shell: Shell) -> None:
    learned = shell.run("%ruvllm learn")
    assert isinstance(learned, Learning)
    assert (learned.active, learned.versions, learned.report) == (0, (), None)
    learned = shell.run("learned = %ruvllm learn run\nlearned")
    assert isinstance(learned, Learning)
    assert learned.report is not None
    assert [one.id for one in learned.versions] == [learned.report.version]
    consolidated = shell.run("%ruvllm learn consolidate")
    assert isinstance(consolidated, Learning)
    assert consolidated.report is not None
    assert consolidated.report.kind == "consolidate"
    judged = shell.run("%ruvllm learn compare 0 {learned.report.version}")
    assert isinstance(judged, Learning)
    assert judged.verdict is not None
    back = shell.run("%ruvllm learn rollback 0")
    assert isinstance(back, Learning)
    assert back.active == 0
    with pytest.raises(NotFoundError):
        shell.run("%ruvllm learn rollback 99")


@pytest.mark.parametrize("line", ["forget", "rollback", "rollback x", "rollback -1", "compare 1", "run 2"])
def test_what_it_does_not_take_is_refused(shell: Shell, line: str) -> None:
    with pytest.raises(InvalidInputError, match="It takes"):
        shell.run(f"%ruvllm learn {line}")


def test_the_curve_goes_through_what_was_promoted() -> None:
    drawn = html(LEARNED)
    assert drawn.count("<circle") == 3  # the untrained start and two promoted versions
    assert "<title>150 feedbacks: 0.650</title>" in drawn
    low, high = (float(drawn.split('<polyline points="')[1].split('"')[0].split()[i].split(",")[1]) for i in (0, -1))
    assert low > high  # upwards, as drawn from above
    written = plain(LEARNED)
    assert "0.500 ▁▃█ 0.650 over 150 feedbacks" in written
    assert "2 learn dropped" in written
    assert "Version 3 is in force" in written

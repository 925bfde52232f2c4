"""`ruvllm learn`: what it prints is what the engine did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Shell = Callable[..., Any]


def test_an_untrained_system_says_so(shell: Shell) -> None:
    status = shell("learn", "status", "--json").json
    assert (status["active"], status["feedbacks"], status["versions"]) == (0, 0, [])
    assert "untrained" in shell("learn", "status").out


def test_a_run_without_enough_feedback_is_dropped_and_listed(shell: Shell) -> None:
    shell("memory", "add", "Releases go out blue-green.")
    found = shell("memory", "search", "how do releases go out?", "--json").json
    shell("feedback", found["request_id"], "--relevant", "1")
    report = shell("learn", "run", "--json").json
    assert (report["promoted"], report["signals"]) == (False, 1)
    assert "was dropped" in shell("learn", "run").out
    listed = shell("learn", "status", "--json").json
    assert [version["status"] for version in listed["versions"]] == ["dropped", "dropped"]
    assert "dropped" in shell("learn", "status").out
    assert shell("learn", "consolidate", "--against", "replay", "--json").json["kind"] == "consolidate"


def test_versions_are_rolled_back_to_and_compared_by_number(shell: Shell) -> None:
    shell("learn", "run")
    assert shell("learn", "rollback", "1", "--json").json == {"active": 1}
    assert shell("learn", "status", "--json").json["active"] == 1
    assert shell("learn", "rollback", "0").out == "Version 0 is in force.\n"
    assert shell("learn", "compare", "0", "1", "--json").json["questions"] == 0
    assert "held-back" in shell("learn", "compare", "0", "1").out
    assert shell("learn", "rollback", "99").code == 3

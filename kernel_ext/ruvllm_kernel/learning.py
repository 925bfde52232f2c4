"""`%ruvllm learn`: train, look at the learning curve, compare and take back versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ruvllm_kernel.options import Given
from ruvllm_kernel.session import Session
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.types import Record

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.learning.judging import Verdict
    from ruvllm_mcp.learning.versions import Version
    from ruvllm_mcp.reports import LearnReport

ARGUMENT = "[run | consolidate | rollback VERSION | compare A B]"


@dataclass(frozen=True)
class Learning(Record):
    """What is learned: the version in force (0 untrained), what it rests on, every version kept, oldest first, and how
    the run or comparison just asked for ended."""

    active: int
    feedbacks: int
    rated_questions: int
    patterns: int
    versions: tuple[Version, ...]
    report: LearnReport | None = None
    verdict: Verdict | None = None


def learn(session: Session, given: Given) -> Learning:
    """Do what the line says, and show where learning stands then."""
    action, *numbers = given.text.split() or ["status"]
    takes = {"status": 0, "run": 0, "consolidate": 0, "rollback": 1, "compare": 2}
    if len(numbers) != takes.get(action) or not all(number.isdecimal() for number in numbers):
        raise InvalidInputError(f"%ruvllm learn got {given.text[:40]!r}.", f"It takes {ARGUMENT}.")
    return session.run(lambda llm: _done(llm, action, [int(number) for number in numbers]))


async def _done(llm: RuvLLM, action: str, numbers: list[int]) -> Learning:
    report = verdict = None
    if action == "run":
        report = await llm.learn()
    elif action == "consolidate":
        report = await llm.consolidate()
    elif action == "rollback":
        await llm.rollback(numbers[0])
    elif action == "compare":
        verdict = await llm.compare(*numbers)
    stats, versions = await llm.stats(), await llm.snapshots()
    return Learning(
        stats.learned_version, stats.feedbacks, stats.rated_questions, stats.patterns, versions[::-1], report, verdict
    )

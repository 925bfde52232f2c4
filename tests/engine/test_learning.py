"""The slower loops through the engine: what a program sees of them."""

from __future__ import annotations

from typing import Any

import pytest

from ruvllm_mcp import RuvLLM, Settings
from ruvllm_mcp.errors import InvalidInputError, NotFoundError

pytestmark = pytest.mark.anyio

TOPICS = ("deploy", "invoice", "fixture", "kotlin", "cache", "index", "token", "socket")


async def rated(llm: RuvLLM, count: int = 48) -> None:
    """Every memory has a twin that says nearly the same; the one marked current is right."""
    ids = {}
    for topic in TOPICS:
        for age in ("current", "older"):
            ids[topic, age] = await llm.add_memory(f"{topic} rule, {age} wording of the {topic} handbook")
    for number in range(count):
        topic = TOPICS[number % len(TOPICS)]
        hits = await llm.search_memory(f"what is the {topic} rule in case {number}?", k=4)
        await llm.feedback(hits.request_id, relevant=[ids[topic, "current"]], client="test")


async def test_learning_reports_what_it_did_and_lists_what_it_learned(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        await rated(llm)
        report = await llm.learn()
        assert report.signals == 48
        assert report.questions > 0
        assert 0 <= report.before <= 1
        (version,) = await llm.snapshots()
        assert (version.id, version.kind, version.status == "promoted") == (report.version, "learn", report.promoted)
        assert (await llm.stats()).learned_version == (report.version if report.promoted else 0)
        requests = await llm.trajectories(5)
        assert requests[0].query.endswith("case 47?")
        for pattern in await llm.patterns():
            assert pattern.uses > 0
            assert 0 <= pattern.quality <= 1


async def test_a_snapshot_can_be_gone_back_to_and_compared(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        await rated(llm)
        await llm.learn()
        kept = await llm.snapshot("before the release")
        await llm.rollback(kept)
        assert (await llm.stats()).learned_version == kept
        verdict = await llm.compare(0, kept)
        assert verdict.low <= verdict.gain <= verdict.high
        await llm.start_trial(0, kept, 0.5)
        for number in range(20):
            await llm.search_memory(f"socket rule {number}")
        versions = {request.version for request in await llm.trajectories(20)}
        assert versions == {0, kept}
        await llm.stop_trial()
        assert (await llm.consolidate()).kind == "consolidate"


async def test_wrong_calls_say_what_is_taken(settings: Settings) -> None:
    wrong: list[tuple[str, tuple[Any, ...]]] = [
        ("patterns", (0,)),
        ("trajectories", (True,)),
        ("snapshot", (" ",)),
        ("rollback", ("1",)),
        ("compare", (0, -1)),
        ("consolidate", ("prayer",)),
        ("start_trial", (0, 0, 0.5)),
        ("start_trial", (0, 1, 2.0)),
    ]
    async with RuvLLM(settings) as llm:
        for name, arguments in wrong:
            with pytest.raises(InvalidInputError) as caught:
                await getattr(llm, name)(*arguments)
            assert caught.value.hint
        with pytest.raises(NotFoundError):
            await llm.rollback(77)

"""Progress of a long add, and what cancelling it leaves behind: nothing."""

from __future__ import annotations

import threading

import anyio
import pytest

from ruvllm_mcp.embed.hashing import Hashing
from tests.mcp_server.conftest import Connect

pytestmark = pytest.mark.anyio
ITEMS = [{"content": f"fact number {number}"} for number in range(50)]


async def test_a_long_add_reports_progress_up_to_its_end(connect: Connect) -> None:
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert message is None
        seen.append((progress, total))

    async with connect() as client:
        result = await client.call_tool("memory_add", {"items": ITEMS}, progress_callback=note)
        assert len(result.structured_content["memories"]) == 50
    assert seen == [(8, 50), (16, 50), (24, 50), (32, 50), (40, 50), (48, 50), (50, 50)]


async def test_a_cancelled_add_stores_nothing_and_the_server_goes_on(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, encode = threading.Event(), Hashing.encode

    def gated(self, texts, **options):  # type: ignore[no-untyped-def]  # stands in for a method of any signature
        made = encode(self, texts, **options)
        if texts[0].endswith("number 8"):
            assert gate.wait(60)
        return made

    async with connect() as client:
        await client.call_tool("stats", {})
        monkeypatch.setattr(Hashing, "encode", gated)
        scope = anyio.CancelScope()

        async def stop(*_progress: object) -> None:
            scope.cancel()

        with scope:
            await client.call_tool("memory_add", {"items": ITEMS}, progress_callback=stop)
        assert scope.cancelled_caught
        await client.list_tools(cache_mode="bypass")  # answered after the cancellation before it was taken in
        gate.set()
        assert (await client.call_tool("stats", {})).structured_content["memories"] == 0
        assert (await client.call_tool("memory_search", {"query": "fact"})).structured_content["memories"] == []

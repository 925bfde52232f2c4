"""Writing through MCP: offered where there is a model, progress while it writes, a cancel that stops it."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp import Client

from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.mcp_server.app import TOOLS, build_server
from tests.llm.story import BEGINNING, OPENING
from tests.llm.talker import write_talker
from tests.mcp_server.conftest import RawClient

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_talker(tmp_path_factory.mktemp("model") / "talker.gguf", endless=True))


@asynccontextmanager
async def connected(home: Path, model: str) -> AsyncIterator[Client]:
    async with (
        RuvLLM(home=home, namespace="project", embedder="hashing", model=model) as llm,
        Client(build_server(llm), mode="legacy") as client,
    ):
        yield client


async def test_generate_is_offered_where_there_is_a_model(home: Path, model: str) -> None:
    async with connected(home, model) as client:
        offered = {tool.name for tool in (await client.list_tools()).tools}
        assert offered == {*TOOLS, "generate"}
        short = {"prompt": "Hi", "max_tokens": 8, "temperature": 0}
        first = (await client.call_tool("generate", short)).structured_content
        assert first["text"]
        assert (first["model"], first["cut"]) == ("talker", "length")
        assert (await client.call_tool("generate", short)).structured_content == first
        told = await client.call_tool("generate", {**short, "system": "Be brief."})
        assert not told.is_error
        refused = await client.call_tool("generate", {**short, "temperature": 9})
        assert "temperature" in refused.content[0].text
        made = (await client.call_tool("generate", {**short, "json_mode": True})).structured_content
        assert isinstance(json.loads(made["text"]), dict)
        assert "cut" not in made
    async with connected(home, "extractive") as client:
        assert "generate" not in {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize(("tool", "asked"), [("generate", "prompt"), ("query", "query")])
async def test_progress_is_told_while_it_writes(home: Path, model: str, tool: str, asked: str) -> None:
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, _message: str | None) -> None:
        seen.append((progress, total))

    async with connected(home, model) as client:
        result = await client.call_tool(tool, {asked: "Hi", "max_tokens": 24}, progress_callback=note)
        assert not result.is_error
    assert seen[0] == (1, 24)
    assert [one for one, _ in seen] == sorted({one for one, _ in seen})


@pytest.mark.parametrize(("tool", "asked"), [("generate", "prompt"), ("query", "query")])
async def test_a_cancel_stops_the_model(home: Path, model: str, tool: str, asked: str) -> None:
    async with connected(home, model) as client:
        scope = anyio.CancelScope()

        async def stop(*_progress: object) -> None:
            scope.cancel()

        with scope:
            await client.call_tool(tool, {asked: "Hi", "max_tokens": 4096}, progress_callback=stop)
        assert scope.cancelled_caught
        await client.call_tool("stats", {})
        for thread in [thread for thread in threading.enumerate() if thread.name == "ruvllm-writer"]:
            await anyio.to_thread.run_sync(thread.join, 20)
            assert not thread.is_alive()
        again = await client.call_tool("generate", {"prompt": "Hi", "max_tokens": 4})
        assert not again.is_error


def test_a_story_is_told_over_stdio(home: Path, story: Path) -> None:
    client = RawClient(home, "--model", str(story))
    try:
        client.hello()
        told = client.call("generate", {"prompt": OPENING, "max_tokens": 60, "temperature": 0})
        assert BEGINNING in told["structuredContent"]["text"]
        assert client.end() == 0
    finally:
        client.kill()

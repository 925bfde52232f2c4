"""The SDK's own client against a real `ruvllm-mcp` process, as an agent's host would start it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parent.parent.parent
OPTIONS = ["--namespace", "project", "--embedder", "hashing"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def started(home: Path, mode: str = "auto") -> AsyncIterator[Client]:
    command = str(Path(sys.executable).parent / "ruvllm-mcp")
    async with Client(
        StdioServerParameters(command=command, args=["--home", str(home), *OPTIONS]), mode=mode
    ) as client:
        yield client


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_every_tool_answers_within_its_own_schema(tmp_path: Path, mode: str) -> None:
    async with started(tmp_path, mode) as client:
        schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
        used: set[str] = set()

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content
            Draft202012Validator(schemas[tool]).validate(result.structured_content)
            used.add(tool)
            return result.structured_content

        (added,) = (await call("memory_add", content="Migrations run before the workers start."))["memories"]
        found = await call("memory_search", query="when do migrations run?")
        assert found["memories"][0]["id"] == added["id"]
        assert (await call("memory_context", query="migrations"))["sources"] == [added["id"]]
        assert (await call("query", query="when do migrations run?"))["sources"][0]["id"] == added["id"]
        await call("feedback", request_id=found["request_id"], relevant=[added["id"]])
        await call("memory_update", id=added["id"], kind="convention")
        assert (await call("memory_get", id=added["id"]))["kind"] == "convention"
        assert (await call("similarity", a="one", b="one"))["similarity"] == 1
        assert (await call("stats"))["memories"] == 1
        assert (await call("learn"))["active"] == 0
        await call("memory_delete", id=added["id"])
        assert used == set(schemas)


@pytest.mark.anyio
async def test_two_servers_on_one_home_see_each_other_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(started(tmp_path)) for _ in range(2)]
        for number, (writer, reader) in enumerate([(one, two), (two, one), (one, two)]):
            added = await writer.call_tool("memory_add", {"content": f"fact number {number}"})
            found = await reader.call_tool("memory_search", {"query": f"fact number {number}", "k": 1})
            assert found.structured_content["memories"][0]["id"] == added.structured_content["memories"][0]["id"]
        learned = await two.call_tool("memory_search", {"query": "fact"})
        request_id = learned.structured_content["request_id"]
        receipt = await one.call_tool("feedback", {"request_id": request_id, "relevant": [1]})
        assert receipt.structured_content["strengthened"] == 1, "feedback may come through another process"


def test_the_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    script = ROOT / "examples" / "mcp_client.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--embedder", "hashing"])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith("11 tools: memory_add")
    assert "1 link strengthened" in printed
    after = printed.rpartition("?")[2].splitlines()
    assert "test_upload" in after[1], "what helped comes first"

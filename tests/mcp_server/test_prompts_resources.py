"""Prompts, resources and completions."""

from __future__ import annotations

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from tests.mcp_server.conftest import Connect

pytestmark = pytest.mark.anyio
RECALL = PromptReference(type="ref/prompt", name="recall")


async def test_recall_brings_the_memories_and_how_to_judge_them(connect: Connect) -> None:
    async with connect() as client:
        await client.call_tool("memory_add", {"content": "Uploads need REDIS_URL."})
        prompt = await client.get_prompt("recall", {"task": "fix the upload {test}"})
        (message,) = prompt.messages
        assert "Task: fix the upload {test}" in message.content.text
        assert "Uploads need REDIS_URL." in message.content.text
        request_id = message.content.text.partition('request_id="')[2].partition('"')[0]
        receipt = await client.call_tool("feedback", {"request_id": request_id, "relevant": [1]})
        assert receipt.structured_content["strengthened"] == 1


async def test_recall_without_memories_says_so(connect: Connect) -> None:
    async with connect() as client:
        prompt = await client.get_prompt("recall", {"task": "anything"})
        assert "Nothing is remembered about it yet" in prompt.messages[0].content.text


async def test_remember_names_the_tools_it_wants_used(connect: Connect) -> None:
    async with connect() as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        text = (await client.get_prompt("remember", {"focus": "the build"})).messages[0].content.text
        assert "above all the build" in text
        for name in ("memory_search", "memory_update", "memory_add", "feedback"):
            assert name in text
            assert name in tools


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("recal", {}, "there are recall, remember"),
        ("recall", {}, "needs its argument 'task'"),
        ("recall", {"task": " "}, "needs its argument 'task'"),
        ("recall", {"task": "x", "k": "3"}, "has no argument 'k'; it takes task, namespace"),
        ("recall", {"task": "x" * 10_001}, "the limit is 10,000"),
        ("recall", {"task": "x", "namespace": "two\nlines"}, "printable"),
    ],
)
async def test_wrong_prompts_are_refused(connect: Connect, name: str, arguments: dict[str, str], said: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as caught:
            await client.get_prompt(name, arguments)
        assert said in str(caught.value)
        assert caught.value.code == -32602


async def test_a_memory_is_a_resource(connect: Connect) -> None:
    async with connect() as client:
        content = "long " * 10_000
        await client.call_tool("memory_add", {"content": content, "kind": "fix"})
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "memory://{id}"
        (read,) = (await client.read_resource("memory://1")).contents
        assert (read.text, read.mime_type) == (content, "text/plain")
        assert (read.meta["kind"], read.meta["namespace"]) == ("fix", "project")
        assert (await client.list_resources()).resources == []


@pytest.mark.parametrize("uri", ["memory://2", "memory://x", "memory://-1", "memory://1/../2", "file:///etc/passwd"])
async def test_unknown_resources_are_refused(connect: Connect, uri: str) -> None:
    async with connect() as client:
        await client.call_tool("memory_add", {"content": "one"})
        with pytest.raises(MCPError, match="There is no") as caught:
            await client.read_resource(uri)
        assert caught.value.code == -32602


async def test_namespaces_are_completed(connect: Connect) -> None:
    async with connect() as client:
        for name in ("Alpha", "alps", "beta"):
            await client.call_tool("memory_add", {"content": "x", "namespace": name})

        async def completed(value: str, argument: str = "namespace") -> list[str]:
            result = await client.complete(RECALL, {"name": argument, "value": value})
            assert result.completion.total == len(result.completion.values)
            return result.completion.values

        assert await completed("al") == ["Alpha", "alps"]
        assert await completed("") == ["Alpha", "alps", "beta"]
        assert await completed("al", "task") == []
        template = ResourceTemplateReference(type="ref/resource", uri="memory://{id}")
        assert (await client.complete(template, {"name": "id", "value": "1"})).completion.values == []

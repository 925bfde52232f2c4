"""What no caller should send: each is refused with a text to act on, changes nothing, and the server goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from ruvllm_mcp.embed.hashing import Hashing
from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.engine.parts import Parts
from ruvllm_mcp.mcp_server.server import warm_up
from tests.mcp_server.conftest import Connect, RawClient

FACT = {"content": "the only fact"}
HUGE = 10**400

# (tool, arguments, what the answer must say)
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("memory_add", {}, "Give content"),
    ("memory_add", {"content": ""}, "'content': string must have at least 1 character"),
    ("memory_add", {"content": " \n\t"}, "blank"),
    ("memory_add", {"content": None, "items": None}, "Give content"),
    ("memory_add", {"content": 5}, "'content': must be a valid string, not 5"),
    ("memory_add", {"content": ["text"]}, "'content': must be a valid string"),
    ("memory_add", {"content": "x" * 100_001}, "'content': string must have at most 100000 characters"),
    ("memory_add", {"content": {"a": "x" * 100_000, "b": [1] * 1_000}}, "'content': must be a valid string"),
    ("memory_add", {"x" * 100_000: 1}, "unknown argument 'xxx"),
    ("memory_add", {"content": "nul \x00 byte"}, "NUL"),
    ("memory_add", {"content": "both", "items": [FACT]}, "not both"),
    ("memory_add", {"items": []}, "Give content"),
    ("memory_add", {"items": [FACT] * 51}, "'items': list must have at most 50 items"),
    ("memory_add", {"items": [FACT, {"content": "fine", "kind": "not fine"}]}, "kind is 'not fine'"),
    ("memory_add", {"items": [{"text": "a"}]}, "'items[0].content' is missing; unknown argument 'items[0].text'"),
    ("memory_add", {"items": "[{not json"}, "'items': must be a valid list"),
    ("memory_add", {**FACT, "metadata": "text"}, "'metadata': must be a valid dictionary, not 'text'"),
    ("memory_add", {**FACT, "metadata": {"deep": json.loads("[" * 60 + "]" * 60)}}, "nested deeper"),
    ("memory_add", {**FACT, "metadata": {"k": "v" * 70_000}}, "65,536"),
    ("memory_add", {**FACT, "metadata": {str(i): i for i in range(51)}}, "'metadata': dictionary must have at most 50"),
    ("memory_add", {**FACT, "metadata": {"n": 2**70}}, "64 bits"),
    ("memory_add", {**FACT, "importance": 1.5}, "'importance': must be less than or equal to 1, not 1.5"),
    ("memory_add", {**FACT, "importance": True}, "'importance': a number is wanted, not true or false"),
    ("memory_add", {**FACT, "ttl_days": -1}, "'ttl_days': must be greater than or equal to 0"),
    ("memory_add", {**FACT, "namespace": "two\nlines"}, "printable"),
    ("memory_add", {**FACT, "namespace": "n" * 201}, "'namespace': string must have at most 200 characters"),
    ("memory_add", {**FACT, "kind": "k" * 65}, "'kind': string must have at most 64"),
    ("memory_add", {**FACT, "source": "s" * 1_001}, "'source'"),
    ("memory_add", {**FACT, "tags": ["a"]}, "unknown argument 'tags'"),
    ("memory_search", {}, "'query' is missing"),
    ("memory_search", {"query": " "}, "blank"),
    ("memory_search", {"query": "q" * 10_001}, "'query'"),
    ("memory_search", {"query": "q", "k": 0}, "'k': must be greater than or equal to 1, not 0"),
    ("memory_search", {"query": "q", "k": -3}, "'k'"),
    ("memory_search", {"query": "q", "k": 51}, "'k': must be less than or equal to 50, not 51"),
    ("memory_search", {"query": "q", "k": HUGE}, "'k'"),
    ("memory_search", {"query": "q", "k": 2.5}, "'k'"),
    ("memory_search", {"query": "q", "k": "many"}, "'k'"),
    ("memory_search", {"query": "q", "k": True}, "'k': a number is wanted"),
    ("memory_search", {"query": "q", "mode": "fuzzy"}, "'mode': must be 'hybrid', 'vector' or 'lexical', not 'fuzzy'"),
    ("memory_search", {"query": "q", "where": {"a": {"$regex": "b"}}}, "$regex"),
    ("memory_search", {"query": "q", "where": [1]}, "'where'"),
    ("memory_search", {"query": "q", "where": {"a": {"$" + "x" * 100_000: 1}}}, "$xxx"),
    ("memory_search", {"query": "q", "query_text": "q"}, "unknown argument 'query_text' (did you mean 'query'?)"),
    ("memory_context", {"query": "q", "max_tokens": 0}, "'max_tokens'"),
    ("memory_context", {"query": "q", "max_tokens": 10**9}, "'max_tokens'"),
    ("memory_get", {}, "'id' is missing"),
    ("memory_get", {"id": 0}, "'id'"),
    ("memory_get", {"id": "seven"}, "'id'"),
    ("memory_get", {"id": 2**60}, "'id'"),
    ("memory_get", {"id": 404}, "There is no memory 404"),
    ("memory_get", {"id": 1, "offset": 500}, "past its end"),
    ("memory_update", {"id": 404, "content": "x"}, "There is no memory 404"),
    ("memory_update", {"id": 1}, "no change was given"),
    ("memory_update", {"id": 1, "content": "  "}, "blank"),
    ("memory_delete", {"id": 404}, "There is no memory 404"),
    ("memory_delete", {"ids": [1]}, "unknown argument 'ids'"),
    ("query", {"query": ""}, "'query'"),
    ("query", {"query": "q", "max_tokens": 5_000}, "'max_tokens'"),
    ("similarity", {"a": "x"}, "'b' is missing"),
    ("similarity", {"a": "x", "b": "\n"}, "blank"),
    ("feedback", {"relevant": [1]}, "'request_id' is missing"),
    ("feedback", {"request_id": "r", "relevant": [1]}, "Use the request_id that"),
    ("feedback", {"request_id": "r"}, "no verdict"),
    ("feedback", {"request_id": "r", "rating": 0}, "'rating'"),
    ("feedback", {"request_id": "r", "rating": 6}, "'rating'"),
    ("feedback", {"request_id": "r", "rating": 4.5}, "'rating'"),
    ("feedback", {"request_id": "r", "rating": True}, "'rating'"),
    ("feedback", {"request_id": "r", "relevant": [-1]}, "'relevant[0]'"),
    ("feedback", {"request_id": "r", "relevant": 1}, "'relevant'"),
    ("stats", {"verbose": True}, "unknown argument 'verbose'. It takes no arguments"),
]


async def refused(client: Client, tool: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, arguments
    assert result.structured_content is None
    text: str = result.content[0].text
    assert len(text) <= 1_001, "an error text is read by a model"
    assert "Traceback" not in text
    assert "pydantic" not in text
    return text


@pytest.mark.anyio
async def test_bad_arguments_are_refused_with_what_to_do_and_change_nothing(connect: Connect) -> None:
    async with connect() as client:
        await client.call_tool("memory_add", FACT)
        for tool, arguments, said in REFUSED:
            text = await refused(client, tool, arguments)
            assert said in text, (tool, str(arguments)[:100])
            if "did nothing: '" in text:
                assert f"{tool} did nothing" in text
                assert "It takes " in text
        stats = (await client.call_tool("stats", {})).structured_content
        assert (stats["memories"], stats["feedbacks"]) == (1, 0)


@pytest.mark.anyio
async def test_an_unknown_tool_is_named_with_those_there_are(connect: Connect) -> None:
    async with connect() as client:
        with pytest.raises(MCPError, match=r"Unknown tool 'memory_list'\. The tools are memory_add, ") as caught:
            await client.call_tool("memory_list", {})
        assert caught.value.code == -32602


@pytest.mark.anyio
async def test_feedback_about_memories_that_were_never_shown_or_are_gone(connect: Connect) -> None:
    async with connect() as client:
        await client.call_tool("memory_add", FACT)
        found = (await client.call_tool("memory_search", {"query": "fact"})).structured_content
        text = await refused(client, "feedback", {"request_id": found["request_id"], "relevant": [404]})
        assert "404" in text
        both = {"request_id": found["request_id"], "relevant": [1], "irrelevant": [1]}
        assert "1" in await refused(client, "feedback", both)


@pytest.mark.anyio
async def test_an_unexpected_failure_is_logged_and_not_told(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("a secret path: /home/someone")

    async with connect() as client:
        monkeypatch.setattr(Hashing, "encode", broken)
        text = await refused(client, "memory_search", {"query": "anything"})
        assert "failed inside the server" in text
        assert "secret" not in text
        with pytest.raises(MCPError, match="Internal error") as caught:
            await client.get_prompt("recall", {"task": "anything"})
        assert "secret" not in str(caught.value)
    assert caplog.text.count("ZeroDivisionError: a secret path") == 2


@pytest.mark.anyio
async def test_a_failing_warm_up_does_not_end_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_parts: Parts) -> None:
        raise ZeroDivisionError("cold")

    monkeypatch.setattr(Parts, "warm_up", broken)
    async with RuvLLM(home=home, embedder="hashing") as llm:
        await warm_up(llm)
    assert "ZeroDivisionError: cold" in caplog.text


def call_line(arguments: str) -> bytes:
    params = '{"name": "memory_add", "arguments": ' + arguments + "}"
    return f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}\n'.encode()


def test_what_json_does_not_have(raw: RawClient) -> None:
    raw.hello()
    places = ('"importance": N', '"metadata": {"x": N}', '"ttl_days": N')
    lines = [
        call_line('{"content": "a fact", ' + place.replace("N", number) + "}")
        for number in ("NaN", "Infinity", "-Infinity", "1e999")
        for place in places
    ]
    for line in [*lines, call_line('{"content": "lone \\ud800 surrogate"}')]:
        raw.send(line)
        answer = raw.receive()
        assert "error" in answer or answer["result"]["isError"], line
    assert raw.call("stats", {})["structuredContent"]["memories"] == 0


def damaged(store: Path) -> None:
    store.write_bytes(b"this is no database " * 500)


def newer(store: Path) -> None:
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()


def unwritable(store: Path) -> None:
    for file in store.parent.glob("memory.db*"):
        file.unlink()
    store.mkdir()  # whoever we are, root included, a folder cannot be opened as a file


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("spoil", "said"), [(damaged, "not a"), (newer, "Upgrade ruvllm-mcp"), (unwritable, "memory.db")]
)
async def test_a_store_that_cannot_be_used_is_told_of_and_left_alone(
    connect: Connect, home: Path, spoil: Callable[[Path], None], said: str
) -> None:
    async with connect() as client:
        await client.call_tool("memory_add", FACT)
    spoil(home / "memory.db")
    before = None if (home / "memory.db").is_dir() else (home / "memory.db").read_bytes()
    async with connect() as client:
        for tool, arguments in (("memory_search", {"query": "fact"}), ("memory_add", {"content": "more"})):
            text = await refused(client, tool, arguments)
            assert said in text
            assert "failed inside the server" not in text
    assert before is None or (home / "memory.db").read_bytes() == before

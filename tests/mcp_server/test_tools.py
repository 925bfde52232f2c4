"""Each tool does what it says, in both protocol eras, and what it returns fits its own output schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client

from ruvllm_mcp.mcp_server.app import TOOLS
from tests.mcp_server.conftest import Connect

pytestmark = pytest.mark.anyio
FACTS = [
    {"content": "Every test is written for pytest, never for unittest.", "kind": "convention"},
    {"content": "Run make bench before each release.", "metadata": {"area": "release", "priority": "high"}},
    {
        "content": "test_upload fails without REDIS_URL; start redis first.",
        "kind": "failure",
        "source": "test_upload.py",
    },
]


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured content of a call that succeeds, after checking it against the advertised schema."""
    result = await client.call_tool(tool, arguments)
    text = result.content[0].text
    assert not result.is_error, text
    Draft202012Validator(TOOLS[tool].definition.output_schema).validate(result.structured_content)
    assert "null" not in json.dumps(result.structured_content)
    assert len(text) <= 30_000
    return result.structured_content


async def stored(client: Client) -> list[int]:
    return [entry["id"] for entry in (await called(client, "memory_add", items=FACTS))["memories"]]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_session_from_remembering_to_learning(connect: Connect, mode: str) -> None:
    async with connect(mode) as client:
        assert client.instructions.startswith("The long-term memory")
        ids = await stored(client)
        found = await called(client, "memory_search", query="which framework are tests written for?", k=2)
        assert len(found["memories"]) == 2
        assert ids[0] in [hit["id"] for hit in found["memories"]]
        receipt = await called(client, "feedback", request_id=found["request_id"], relevant=[ids[1]], rating=4)
        assert receipt["strengthened"] == 1
        again = await called(client, "memory_search", query="which framework are the tests written for?", k=3)
        assert again["memories"][0]["id"] == ids[1], "what was said to have helped comes first"
        stats = await called(client, "stats")
        assert (stats["memories"], stats["feedbacks"], stats["namespaces"]) == (3, 1, {"project": 3})
        assert stats["operations"]["search_memory"]["calls"] == 2


async def test_adding_one_or_several_tells_what_became_of_each(connect: Connect) -> None:
    async with connect() as client:
        first = await called(client, "memory_add", content="The API key is AKIAIOSFODNN7EXAMPLE.", kind="note")
        assert first["memories"][0]["redacted"] == 1
        ids = await stored(client)
        again = await called(client, "memory_add", content=FACTS[1]["content"])
        assert again == {"memories": [{"id": ids[1], "already_known": True}], "namespace": "project"}
        close = await called(client, "memory_add", content=FACTS[0]["content"].upper())
        assert close["memories"][0]["similar"] == [ids[0]]
        assert "hint" in close


async def test_arguments_beside_items_are_their_defaults(connect: Connect) -> None:
    async with connect() as client:
        items = [{"content": "one", "kind": "fix"}, {"content": "two", "metadata": {"b": 2}}]
        added = await called(
            client,
            "memory_add",
            items=items,
            kind="test",
            metadata={"a": 1},
            importance=1,
            ttl_days=1,
            namespace="other",
        )
        one, two = [await called(client, "memory_get", id=entry["id"]) for entry in added["memories"]]
        assert (one["kind"], two["kind"]) == ("fix", "test")
        assert (one["metadata"], two["metadata"]) == ({"a": 1}, {"a": 1, "b": 2})
        assert {one["namespace"], two["namespace"]} == {"other"}
        assert {one["importance"], two["importance"]} == {1}
        assert "expires" in one


async def test_searches_keep_to_their_namespaces(connect: Connect) -> None:
    async with connect() as client:
        for namespace in ("project", "global", "elsewhere"):
            await called(client, "memory_add", content=f"lives in {namespace}", namespace=namespace)

        async def seen(**arguments: Any) -> set[str]:
            found = await called(client, "memory_search", query="lives in", **arguments)
            return {hit.get("namespace", "project") for hit in found["memories"]}

        assert await seen() == {"project", "global"}
        assert await seen(namespace="elsewhere") == {"elsewhere"}
        assert await seen(namespace="*") == {"project", "global", "elsewhere"}
        assert await seen(namespace="") == {"project", "global"}


async def test_where_filters_by_metadata(connect: Connect) -> None:
    async with connect() as client:
        ids = await stored(client)
        for where in ({"priority": {"$in": ["high"]}}, '{"priority": "high"}'):
            found = await called(client, "memory_search", query="tests", where=where)
            assert [hit["id"] for hit in found["memories"]] == [ids[1]], "an object, or the same as JSON text"


async def test_search_leaves_out_what_says_nothing(connect: Connect) -> None:
    async with connect() as client:
        await called(client, "memory_add", content="plain fact")
        (hit,) = (await called(client, "memory_search", query="plain fact"))["memories"]
        assert set(hit) == {"id", "content", "similarity", "score", "created"}
        for number in (hit["similarity"], hit["score"]):
            assert len(json.dumps(number)) <= 6


async def test_long_contents_are_cut_in_search_and_whole_in_pages(connect: Connect) -> None:
    async with connect() as client:
        whole = "".join(f"{number} bottles. " for number in range(4_000))
        (entry,) = (await called(client, "memory_add", content=whole))["memories"]
        (hit,) = (await called(client, "memory_search", query="bottles"))["memories"]
        assert hit["truncated"]
        assert whole.startswith(hit["content"])
        text, offset = "", 0
        while offset is not None:
            page = await called(client, "memory_get", id=entry["id"], offset=offset)
            text, offset = text + page["content"], page.get("next_offset")
        assert text == whole


async def test_context_stays_within_its_budget_and_names_its_sources(connect: Connect) -> None:
    async with connect() as client:
        ids = await stored(client)
        packed = await called(client, "memory_context", query="how are tests run?", max_tokens=60)
        assert 0 < packed["tokens"] <= 60
        assert set(packed["sources"]) <= set(ids)
        assert all(f"[{source}]" in packed["context"] for source in packed["sources"])
        await called(client, "feedback", request_id=packed["request_id"], relevant=packed["sources"])


async def test_query_quotes_its_sources(connect: Connect) -> None:
    async with connect() as client:
        ids = await stored(client)
        answer = await called(client, "query", query="what must run before a release?")
        assert FACTS[1]["content"] in answer["answer"]
        assert answer["sources"][0]["id"] == ids[1]
        assert answer["backend"] == "extractive"
        assert 0 < answer["confidence"] <= 1


async def test_nothing_found_says_so_and_what_to_do(connect: Connect) -> None:
    async with connect() as client:
        for tool in ("memory_search", "memory_context", "query"):
            nothing = await called(client, tool, query="anything at all", where={"area": "none"})
            assert 'without where or with namespace "*"' in nothing["hint"], tool
            assert "memory_add" in nothing["hint"]


async def test_an_unknown_namespace_is_named_with_those_there_are(connect: Connect) -> None:
    async with connect() as client:
        await stored(client)
        nothing = await called(client, "memory_search", query="tests", namespace="projcet")
        assert nothing["hint"] == "There is no namespace 'projcet'. The largest are: project."


async def test_update_changes_what_is_given_and_delete_forgets(connect: Connect) -> None:
    async with connect() as client:
        ids = await stored(client)
        changed = await called(client, "memory_update", id=ids[1], content="Run make bench daily.", ttl_days=2)
        assert changed["metadata"] == FACTS[1]["metadata"]
        assert "expires" in changed
        assert (await called(client, "memory_get", id=ids[1]))["content"] == "Run make bench daily."
        kept = await called(client, "memory_update", id=ids[1], ttl_days=0)
        assert "expires" not in kept
        assert await called(client, "memory_delete", id=ids[1]) == {"deleted": ids[1]}
        gone = await client.call_tool("memory_get", {"id": ids[1]})
        assert gone.is_error
        assert "Ids come from memory_search" in gone.content[0].text


async def test_a_correction_is_remembered(connect: Connect) -> None:
    async with connect() as client:
        await stored(client)
        found = await called(client, "query", query="what must run before a release?")
        right = "Before a release run make bench and make arm."
        await called(client, "feedback", request_id=found["request_id"], correction=right, rating=2)
        again = await called(client, "memory_search", query="what must run before a release?", k=1)
        assert again["memories"][0]["content"] == right
        assert again["memories"][0]["kind"] == "correction"


async def test_feedback_that_moves_nothing_says_so(connect: Connect) -> None:
    async with connect() as client:
        nothing = await called(client, "memory_search", query="an empty memory")
        receipt = await called(client, "feedback", request_id=nothing["request_id"], rating=1)
        assert "no ranking changed" in receipt["hint"]


async def test_similarity_is_a_cosine(connect: Connect) -> None:
    async with connect() as client:
        same = await called(client, "similarity", a="a b c", b="a b c")
        other = await called(client, "similarity", a="a b c", b="x y z")
        assert same["similarity"] == 1
        assert -1 <= other["similarity"] < 0.5


async def test_the_client_is_kept_as_provenance(connect: Connect) -> None:
    from mcp_types import Implementation

    async with connect(client_info=Implementation(name="editor\n", version="9")) as client:
        (entry,) = (await called(client, "memory_add", content="who said so"))["memories"]
        assert (await called(client, "memory_get", id=entry["id"]))["client"] == "editor 9"


async def test_what_a_model_writes_or_changes_is_trusted_no_further_than_an_agent(connect: Connect) -> None:
    async with connect() as client:
        own = (await called(client, "memory_add", content="Written by a model."))["memories"][0]["id"]
        page = (await called(client, "memory_add", content="From a web page.", untrusted=True))["memories"][0]["id"]
        assert (await called(client, "memory_get", id=own))["trust"] == "agent"
        found = await called(client, "memory_search", query="web page")
        assert {hit["id"]: hit.get("trust") for hit in found["memories"]} == {own: None, page: "untrusted"}
        for tool in ("memory_add", "memory_update"):
            refused = await client.call_tool(tool, {"id": own, "content": "x", "trust": "trusted"})
            assert refused.is_error
        changed = await called(client, "memory_update", id=page, content="From a web page, rewritten.")
        assert changed["trust"] == "untrusted"

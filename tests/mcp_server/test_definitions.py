"""What a client's model is shown: few tools, bounded arguments, true schemas, and not many tokens of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ruvllm_mcp.mcp_server.app import INSTRUCTIONS, TOOLS

DEFINITIONS = [tool.definition.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in TOOLS.values()]
WRITES = {"memory_add", "memory_update", "memory_delete", "feedback", "learn"}
# More than any tokenizer at hand makes of these definitions: 3,502 where o200k_base gives 3,171 and the one published
# for Claude 3,175.
TOKEN = re.compile(r"[A-Za-z]{1,8}|\d{1,3}|[^\sA-Za-z\d]{1,3}")


def tokens(text: str) -> int:
    return len(TOKEN.findall(text))


def test_there_are_the_eleven_tools_and_they_cost_under_4000_tokens() -> None:
    assert sorted(TOOLS) == [
        "feedback",
        "learn",
        "memory_add",
        "memory_context",
        "memory_delete",
        "memory_get",
        "memory_search",
        "memory_update",
        "query",
        "similarity",
        "stats",
    ]
    compact = json.dumps(DEFINITIONS, ensure_ascii=False, separators=(",", ":"))
    assert tokens(compact) + tokens(INSTRUCTIONS) <= 4_000


@pytest.mark.parametrize("tool", DEFINITIONS, ids=lambda tool: tool["name"])
def test_every_hint_is_set_and_true(tool: dict[str, Any]) -> None:
    hints = tool["annotations"]
    assert set(hints) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
    assert hints["readOnlyHint"] == (tool["name"] not in WRITES)
    assert hints["destructiveHint"] == (tool["name"] in {"memory_update", "memory_delete"})
    assert hints["openWorldHint"] is False


@pytest.mark.parametrize("tool", DEFINITIONS, ids=lambda tool: tool["name"])
def test_schemas_are_valid_objects_that_refuse_unknown_arguments(tool: dict[str, Any]) -> None:
    for side in ("inputSchema", "outputSchema"):
        Draft202012Validator.check_schema(tool[side])
        assert tool[side]["type"] == "object"
        assert "$ref" not in json.dumps(tool[side])
        # The APIs of model providers refuse these at the top.
        assert not {"anyOf", "oneOf", "allOf"} & set(tool[side])
    assert tool["inputSchema"]["additionalProperties"] is False


def leaves(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from leaves(part, f"{path}.{name}")
    if "items" in schema:
        yield from leaves(schema["items"], f"{path}[]")


@pytest.mark.parametrize("tool", DEFINITIONS, ids=lambda tool: tool["name"])
def test_every_argument_is_bounded(tool: dict[str, Any]) -> None:
    bounds = {
        "string": {"maxLength"},
        "integer": {"minimum", "maximum"},
        "number": {"minimum", "maximum"},
        "array": {"maxItems"},
        "boolean": set(),
    }
    for path, part in leaves(tool["inputSchema"]):
        if "enum" in part or (part["type"] == "object" and "properties" in part):
            continue
        needed = bounds.get(part["type"], {"maxProperties"})
        assert needed <= set(part), f"{tool['name']}{path}"


@pytest.mark.parametrize("tool", DEFINITIONS, ids=lambda tool: tool["name"])
def test_names_and_titles_suit_every_client(tool: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z_]{1,40}", tool["name"])
    assert 1 <= len(tool["title"]) <= 40
    assert 10 <= len(tool["description"]) <= 1_000

"""What a tool is, and the one way a call goes: check the arguments, run, translate what went wrong.

Definitions are written for a language model that must act on them and pays for every token: schemas carry no titles,
no `null` alternatives and no references. Arguments outside a schema are refused with a text that says what was wrong
with which argument and what the tool takes. `RuvLLMError` becomes an error result with its message and hint; any other
exception is logged with its traceback, and the model is told no more than that it happened.
"""

from __future__ import annotations

import json
import logging
import reprlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.errors import NotFoundError, RuvLLMError
from ruvllm_mcp.mcp_server.replies import Reply

logger = logging.getLogger(__name__)

# The largest whole number that every JSON client keeps exact.
LARGEST_ID = 2**53 - 1
SHOWN_PROBLEMS = 5
SHOWN_CHARACTERS = 1_000
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 40
NOISE = [("default", None), ("additionalProperties", True)]


@dataclass(frozen=True)
class Call:
    """What a tool is given beside its arguments: the engine, who calls, and where to report progress."""

    llm: RuvLLM
    client: str
    report: Callable[[float, float], Coroutine[Any, Any, None]]


class Arguments(BaseModel):
    """Base of every tool's arguments: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


A = TypeVar("A", bound=Arguments)


def _parsed(value: Any) -> Any:
    """Objects and lists that a client sent as JSON text, read; some clients cannot help it."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")
    return value


# Last in an Annotated, so that the bounds before it stay in the schema.
Number = BeforeValidator(_not_boolean)
FromJson = BeforeValidator(_parsed)
Id = Annotated[int, Field(ge=1, le=LARGEST_ID), Number]
Ids = Annotated[list[Id], Field(max_length=100), FromJson]
Metadata = Annotated[dict[str, Any], Field(max_length=50), FromJson]
Question = Annotated[str, Field(min_length=1, max_length=10_000)]
Content = Annotated[str, Field(min_length=1, max_length=100_000)]
Kind = Annotated[str, Field(max_length=64)]
Label = Annotated[str, Field(max_length=1_000)]
Namespace = Annotated[str, Field(max_length=200)]
Importance = Annotated[float, Field(ge=0, le=1), Number]
Days = Annotated[float, Field(ge=0, le=36_500), Number]


@dataclass(frozen=True)
class ToolSpec(Generic[A]):
    """One tool. `reply` is the TypedDict of its structured content; `not_found` says where ids come from, after an
    unknown one; `is_read_only`, `is_destructive` and `is_idempotent` are the protocol's hints (no tool leaves this
    machine)."""

    name: str
    title: str
    description: str
    arguments: type[A]
    reply: type
    run: Callable[[Call, A], Awaitable[Reply]]
    not_found: str = ""
    is_read_only: bool = False
    is_destructive: bool = False
    is_idempotent: bool = True

    @cached_property
    def definition(self) -> Tool:
        return Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=lean(self.arguments.model_json_schema()),
            output_schema=lean(TypeAdapter(self.reply).json_schema()),
            annotations=ToolAnnotations(
                read_only_hint=self.is_read_only,
                destructive_hint=self.is_destructive,
                idempotent_hint=self.is_idempotent,
                open_world_hint=False,
            ),
        )

    async def call(self, call: Call, arguments: Mapping[str, Any]) -> CallToolResult:
        """The tool's result; whatever goes wrong becomes an error result that says what to do next."""
        try:
            given = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            return _failed(self._refusal(error))
        try:
            reply = await self.run(call, given)
        except NotFoundError as error:
            return _failed(f"{error} {self.not_found}".rstrip())
        except RuvLLMError as error:
            return _failed(str(error))
        except Exception:
            logger.exception("%s failed", self.name)
            return _failed(
                f"{self.name} failed inside the server; the cause is in its log (standard error). "
                "Trying again may help once; if it does not, go on without it and tell the user."
            )
        return CallToolResult(
            content=[TextContent(type="text", text=reply.text)], structured_content=dict(reply.structured)
        )

    def _refusal(self, error: ValidationError) -> str:
        known = self.arguments.model_fields
        found = error.errors(include_url=False)
        problems = [_problem(item, list(known)) for item in found[:SHOWN_PROBLEMS]]
        if len(found) > SHOWN_PROBLEMS:
            problems.append(f"and {len(found) - SHOWN_PROBLEMS} more")
        required = [name for name, item in known.items() if item.is_required()]
        optional = [name for name, item in known.items() if not item.is_required()]
        takes = ", ".join([*(f"{name} (required)" for name in required), *optional]) or "no arguments"
        return f"{self.name} did nothing: {'; '.join(problems)}. It takes {takes}."


def _failed(text: str) -> CallToolResult:
    shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return CallToolResult(content=[TextContent(type="text", text=shown)], is_error=True)


def _problem(error: Mapping[str, Any], known: Sequence[str]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), known, n=1) if len(error["loc"]) == 1 else []
        return f"unknown argument {place[:80]!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
    if error["type"] == "missing":
        return f"{place!r} is missing"
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must", 1)
    return f"{place!r}: {said[:1].lower()}{said[1:]}{_got(error['input'])}"


def _got(value: Any) -> str:
    if isinstance(value, str) and len(value) > _SHOWN.maxstring:
        return f", not {len(value):,}"
    if isinstance(value, int) and abs(value) > LARGEST_ID:
        return ""
    return f", not {_SHOWN.repr(value)}"


def lean(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema without titles, `null` alternatives, null defaults and references."""
    definitions = schema.pop("$defs", {})

    def trimmed(node: Any) -> Any:
        if isinstance(node, list):
            return [trimmed(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            node = {**definitions[node["$ref"].rpartition("/")[2]], **{k: v for k, v in node.items() if k != "$ref"}}
        if "anyOf" in node:
            some = [item for item in node["anyOf"] if item != {"type": "null"}]
            node = {**{key: value for key, value in node.items() if key != "anyOf"}, **some[0]}
        kept = {key: value for key, value in node.items() if (key, value) not in NOISE and key != "title"}
        return {
            key: {name: trimmed(item) for name, item in value.items()} if key == "properties" else trimmed(value)
            for key, value in kept.items()
        }

    shorter = trimmed(schema)
    assert isinstance(shorter, dict)
    return shorter

"""Memories as resources, `memory://{id}`, and completions for the arguments of prompts."""

from __future__ import annotations

import re

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    Completion,
    CompletionArgument,
    PromptReference,
    ReadResourceResult,
    ResourceTemplate,
    ResourceTemplateReference,
    TextResourceContents,
)

from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.mcp_server import replies

TEMPLATE = ResourceTemplate(
    uri_template="memory://{id}",
    name="memory",
    title="A memory",
    description="The content of one memory; ids come from memory_search.",
    mime_type="text/plain",
)
_URI = re.compile(r"memory://(\d{1,16})/?\Z")
SHOWN_COMPLETIONS = 100


async def read_resource(llm: RuvLLM, uri: str) -> ReadResourceResult:
    """The memory's content, whole, with what else is known of it in `_meta`."""
    match = _URI.match(uri)
    if match is None:
        raise MCPError(
            INVALID_PARAMS, f"There is no resource {uri[:200]!r}. Memories are memory://ID, e.g. memory://7."
        )
    record = await llm.get_memory(int(match[1]))
    meta = dict(replies.about(record))
    contents = TextResourceContents(uri=uri, mime_type="text/plain", text=record.content, _meta=meta)
    return ReadResourceResult(contents=[contents])


async def complete(
    llm: RuvLLM, ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument
) -> Completion:
    """Namespaces that begin with what was typed; nothing for other arguments."""
    if not isinstance(ref, PromptReference) or argument.name != "namespace":
        return Completion(values=[], total=0, has_more=False)
    typed = argument.value.casefold()
    names = sorted((name for name in await llm.namespaces() if name.casefold().startswith(typed)), key=str.casefold)
    shown = names[:SHOWN_COMPLETIONS]
    return Completion(values=shown, total=len(names), has_more=len(names) > len(shown))

"""What tools answer: the shapes of their structured content, lean, and the short text beside it.

Some clients give the model only the structured content, others only the text, so each must be enough alone. Lean
means: what is empty, or the same for all, is left out; scores are rounded to what they can tell; times are UTC to the
minute; long contents are cut where the tool says so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from ruvllm_mcp.types import MemoryRecord, MemoryResult, Trust

OWN_TRUST: Trust = "agent"  # what a model writes is trusted no further, whatever it says of itself
SEARCH_CHARACTERS = 24_000
PAGE_CHARACTERS = 20_000


@dataclass(frozen=True)
class Reply:
    """A tool's answer: `structured` fits the tool's output schema, `text` says the same for the eye."""

    structured: Mapping[str, Any]
    text: str


class Added(TypedDict):
    id: int
    already_known: NotRequired[Annotated[bool, Field(description="same text was stored before; nothing new written")]]
    similar: NotRequired[Annotated[list[int], Field(description="ids that say nearly the same")]]
    redacted: NotRequired[Annotated[int, Field(description="secrets blanked out before storing")]]


class AddReply(TypedDict):
    memories: Annotated[list[Added], Field(description="in the order given")]
    namespace: str
    hint: NotRequired[str]


class Hit(TypedDict):
    id: int
    content: str
    truncated: NotRequired[Annotated[bool, Field(description="memory_get has the rest")]]
    similarity: Annotated[float, Field(description="cosine with the query")]
    score: Annotated[float, Field(description="orders this result only")]
    created: str
    kind: NotRequired[str]
    namespace: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    source: NotRequired[str]
    trust: NotRequired[str]


class SearchReply(TypedDict):
    request_id: str
    memories: Annotated[list[Hit], Field(description="best first")]
    hint: NotRequired[str]


class ContextReply(TypedDict):
    request_id: str
    context: str
    tokens: int
    sources: Annotated[list[int], Field(description="memory ids, in order")]
    hint: NotRequired[str]


class AboutReply(TypedDict):
    id: int
    namespace: str
    kind: str
    importance: float
    trust: str
    metadata: NotRequired[dict[str, Any]]
    source: NotRequired[str]
    client: NotRequired[str]
    created: str
    updated: NotRequired[str]
    expires: NotRequired[str]
    uses: NotRequired[int]


class MemoryReply(AboutReply):
    content: str
    next_offset: NotRequired[Annotated[int, Field(description="there is more: pass as offset")]]


class DeleteReply(TypedDict):
    deleted: int


class Source(TypedDict):
    id: int
    similarity: float
    source: NotRequired[str]


class QueryReply(TypedDict):
    request_id: str
    answer: str
    confidence: Annotated[float, Field(description="0 to 1: closeness to the question, not truth")]
    sources: list[Source]
    backend: str
    hint: NotRequired[str]


class GenerateReply(TypedDict):
    text: str
    model: str
    cut: NotRequired[Annotated[str, Field(description="why it ended too soon")]]


class SimilarityReply(TypedDict):
    similarity: Annotated[float, Field(description="cosine, -1 to 1")]


class FeedbackReply(TypedDict):
    request_id: str
    strengthened: Annotated[int, Field(description="question-memory links made stronger")]
    weakened: int
    hint: NotRequired[str]


class LearnReply(TypedDict):
    active: Annotated[int, Field(description="version in force; 0 untrained")]
    feedbacks: int
    promoted: NotRequired[bool]
    before: NotRequired[Annotated[float, Field(description="nDCG@10")]]
    after: NotRequired[float]
    versions: NotRequired[list[str]]


class Timing(TypedDict):
    calls: int
    errors: NotRequired[int]
    p50_ms: float
    p95_ms: float


class StatsReply(TypedDict):
    memories: int
    namespace: Annotated[str, Field(description="where memories go by default")]
    namespaces: Annotated[dict[str, int], Field(description="the largest 20")]
    embedder: str
    requests: int
    feedbacks: int
    rated_questions: Annotated[int, Field(description="different questions that feedback was given on")]
    store_bytes: int
    home: str
    version: str
    instruction_set: str
    operations: Annotated[dict[str, Timing], Field(description="calls of this process")]


def compact(value: Any) -> str:
    """JSON on one line, without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(seconds))


def hit(result: MemoryResult, home_namespace: str, limit: int) -> Hit:
    """One search hit, its content cut to `limit` characters."""
    shown: Hit = {
        "id": int(result.id),
        "content": result.content[:limit],
        "similarity": round(result.similarity, 2),
        "score": round(result.score, 3),
        "created": when(result.created_at),
    }
    if len(result.content) > limit:
        shown["truncated"] = True
    if result.kind != "note":
        shown["kind"] = result.kind
    if result.namespace != home_namespace:
        shown["namespace"] = result.namespace
    if result.metadata:
        shown["metadata"] = dict(result.metadata)
    if result.source:
        shown["source"] = result.source
    if result.trust != OWN_TRUST:
        shown["trust"] = result.trust
    return shown


def about(record: MemoryRecord) -> AboutReply:
    """Everything about a record but its content."""
    shown: AboutReply = {
        "id": int(record.id),
        "namespace": record.namespace,
        "kind": record.kind,
        "importance": round(record.importance, 3),
        "trust": record.trust,
        "created": when(record.created_at),
    }
    if record.metadata:
        shown["metadata"] = dict(record.metadata)
    if record.source:
        shown["source"] = record.source
    if record.client:
        shown["client"] = record.client
    if when(record.updated_at) != shown["created"]:
        shown["updated"] = when(record.updated_at)
    if record.expires_at is not None:
        shown["expires"] = when(record.expires_at)
    if record.access_count:
        shown["uses"] = record.access_count
    return shown


def memory(record: MemoryRecord, offset: int) -> Reply:
    """A whole record, its content from `offset` on, 20,000 characters at most."""
    end = offset + PAGE_CHARACTERS
    rest = about(record)
    content = record.content[offset:end]
    if end >= len(record.content):
        return Reply({**rest, "content": content}, f"{compact(rest)}\n{content}")
    return Reply({**rest, "content": content, "next_offset": end}, f"{compact(rest)} next_offset {end}\n{content}")

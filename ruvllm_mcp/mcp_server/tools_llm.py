"""The tools about answers and learning: query, similarity, feedback, stats; generate where there is a model."""

from __future__ import annotations

import time
from typing import Annotated, Any

from pydantic import Field

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.mcp_server import replies
from ruvllm_mcp.mcp_server.replies import OWN_TRUST, Reply
from ruvllm_mcp.mcp_server.tools import Arguments, Call, Content, Ids, Number, Question, ToolSpec
from ruvllm_mcp.mcp_server.tools_memory import FEEDBACK_HINT, SHOWN_NAMESPACES, Scope, Where, nothing_found
from ruvllm_mcp.types import GenerationConfig

PROGRESS_SECONDS = 0.25


class Progress:
    """Tells the client how many pieces of text are written, now and then."""

    def __init__(self, call: Call, most: int) -> None:
        self._call = call
        self._most = most
        self._count = 0
        self._next = 0.0

    async def written(self, _piece: str) -> None:
        self._count += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_SECONDS
            await self._call.report(self._count, self._most)


class QueryArguments(Arguments):
    query: Question
    namespace: Scope = None
    where: Where = None
    max_tokens: Annotated[int, Field(ge=1, le=4_096, description="of the answer"), Number] = 512


async def _query(call: Call, given: QueryArguments) -> Reply:
    answer = await call.llm.query(
        given.query,
        namespace=given.namespace or None,
        where=given.where,
        config=GenerationConfig(max_tokens=given.max_tokens),
        written=Progress(call, given.max_tokens).written,
    )
    sources: list[replies.Source] = []
    for source in answer.sources:
        shown: replies.Source = {"id": int(source.id), "similarity": round(source.similarity, 2)}
        if source.source:
            shown["source"] = source.source
        sources.append(shown)
    reply: replies.QueryReply = {
        "request_id": answer.request_id,
        "answer": answer.text,
        "confidence": round(answer.confidence, 2),
        "sources": sources,
        "backend": answer.backend,
    }
    reply["hint"] = FEEDBACK_HINT if sources else await nothing_found(call, given.namespace, given.where)
    about = f"request_id {answer.request_id}, confidence {answer.confidence:.2f}, sources {replies.compact(sources)}"
    return Reply(reply, f"{answer.text}\n{about}. {reply['hint']}")


class GenerateArguments(Arguments):
    prompt: Content
    system: Annotated[Content | None, Field(description="what the model is told first")] = None
    max_tokens: Annotated[int, Field(ge=1, le=4_096), Number] = 512
    temperature: Annotated[float, Field(ge=0, le=5, description="0: always the same answer"), Number] = 0.7
    json_mode: Annotated[bool, Field(description="write one JSON object")] = False


async def _generate(call: Call, given: GenerateArguments) -> Reply:
    config = GenerationConfig(max_tokens=given.max_tokens, temperature=given.temperature, json_mode=given.json_mode)
    written = Progress(call, given.max_tokens).written
    if given.system is None:
        answer = await call.llm.generate(given.prompt, config, written=written)
    else:
        messages = [{"role": "system", "content": given.system}, {"role": "user", "content": given.prompt}]
        answer = await call.llm.chat(messages, config, written=written)
    reply: replies.GenerateReply = {"text": answer.text, "model": answer.model}
    if answer.finish_reason != "stop":
        reply["cut"] = answer.finish_reason
    return Reply(reply, answer.text)


class SimilarityArguments(Arguments):
    a: Content
    b: Content


async def _similarity(call: Call, given: SimilarityArguments) -> Reply:
    cosine = round(await call.llm.similarity(given.a, given.b), 4)
    return Reply(replies.SimilarityReply(similarity=cosine), f"{cosine:.4f}")


class FeedbackArguments(Arguments):
    request_id: Annotated[
        str, Field(min_length=1, max_length=100, description="from memory_search, memory_context or query")
    ]
    relevant: Annotated[Ids | None, Field(description="ids that helped")] = None
    irrelevant: Annotated[Ids | None, Field(description="ids that were of no use")] = None
    rating: Annotated[int | None, Field(ge=1, le=5, description="1 useless to 5 exactly right"), Number] = None
    correction: Annotated[Content | None, Field(description="the right answer; remembered as a memory")] = None
    task_success: Annotated[bool | None, Field(description="whether what you did with it worked")] = None


async def _feedback(call: Call, given: FeedbackArguments) -> Reply:
    said = given.model_dump(exclude_none=True, exclude={"request_id"})
    if not any(value not in ([], "") for value in said.values()):
        raise InvalidInputError(
            "feedback did nothing: it was given no verdict.",
            "Give relevant, irrelevant, rating, correction or task_success.",
        )
    receipt = await call.llm.feedback(given.request_id, client=call.client, trust=OWN_TRUST, **said)
    reply: replies.FeedbackReply = {
        "request_id": receipt.request_id,
        "strengthened": receipt.strengthened,
        "weakened": receipt.weakened,
    }
    if not receipt.strengthened and not receipt.weakened and "correction" not in said:
        reply["hint"] = "Noted, but no ranking changed: name the ids that helped (relevant) or not (irrelevant)."
    text = f"Learned: {receipt.strengthened} links strengthened, {receipt.weakened} weakened."
    return Reply(reply, reply.get("hint", text))


class StatsArguments(Arguments):
    pass


async def _stats(call: Call, given: StatsArguments) -> Reply:
    del given  # it has no fields
    stats = await call.llm.stats()
    largest = sorted(stats.namespaces.items(), key=lambda item: -item[1])[:SHOWN_NAMESPACES]
    operations: dict[str, replies.Timing] = {}
    for name, latency in stats.operations.items():
        operations[name] = {
            "calls": latency.calls,
            "p50_ms": round(latency.p50_ms, 2),
            "p95_ms": round(latency.p95_ms, 2),
        }
        if latency.errors:
            operations[name]["errors"] = latency.errors
    reply: replies.StatsReply = {
        "memories": stats.memories,
        "namespace": stats.namespace,
        "namespaces": dict(largest),
        "embedder": stats.embedder,
        "requests": stats.requests,
        "feedbacks": stats.feedbacks,
        "rated_questions": stats.rated_questions,
        "store_bytes": stats.store_bytes,
        "home": stats.home,
        "version": stats.version,
        "instruction_set": stats.instruction_set,
        "operations": operations,
    }
    return Reply(reply, replies.compact(reply))


LLM_TOOLS: tuple[ToolSpec[Any], ...] = (
    ToolSpec(
        "query",
        "Ask memory",
        'Answer a question from memory, with sources. Backend "extractive" quotes the passages that answer word for '
        "word and uses no language model. For the memories themselves use memory_search.",
        QueryArguments,
        replies.QueryReply,
        _query,
        is_read_only=True,
    ),
    ToolSpec(
        "similarity",
        "Compare two texts",
        "How close two texts are in meaning.",
        SimilarityArguments,
        replies.SimilarityReply,
        _similarity,
        is_read_only=True,
    ),
    ToolSpec(
        "feedback",
        "Say what helped",
        "Say which results of a search, context or query helped. It acts at once and in every session: similar "
        "questions rank what helped higher. Call it whenever you used, or could not use, what was found.",
        FeedbackArguments,
        replies.FeedbackReply,
        _feedback,
        is_idempotent=False,
        not_found="Use the request_id that memory_search, memory_context or query returned.",
    ),
    ToolSpec(
        "stats",
        "Memory statistics",
        "What is stored and learned, where, and how fast calls are.",
        StatsArguments,
        replies.StatsReply,
        _stats,
        is_read_only=True,
    ),
)
GENERATE = ToolSpec(
    "generate",
    "Write with the local model",
    "Text from the small language model on this machine, for easy, self-contained work. It sees the prompt alone: no "
    "memory, no files.",
    GenerateArguments,
    replies.GenerateReply,
    _generate,
    is_read_only=True,
    is_idempotent=False,
)
"""Offered where a language model is set."""

"""The tool about what feedback taught beyond single questions: train, look, take back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.mcp_server import replies
from ruvllm_mcp.mcp_server.replies import Reply
from ruvllm_mcp.mcp_server.tools import LARGEST_ID, Arguments, Call, Number, ToolSpec
from ruvllm_mcp.reports import LearnReport

SHOWN_VERSIONS = 10


class LearnArguments(Arguments):
    action: Annotated[
        Literal["status", "run", "consolidate", "rollback"],
        Field(description="consolidate folds recent learning into the base"),
    ] = "status"
    version: Annotated[int | None, Field(ge=0, le=LARGEST_ID, description="for rollback"), Number] = None


async def _learn(call: Call, given: LearnArguments) -> Reply:
    if (given.version is None) == (given.action == "rollback"):
        raise InvalidInputError(
            "learn did nothing.", "Give version with action rollback, and only then; status lists the versions."
        )
    if given.action == "run":
        return await _told(call, await call.llm.learn())
    if given.action == "consolidate":
        return await _told(call, await call.llm.consolidate())
    if given.version is not None:
        await call.llm.rollback(given.version)
    reply = await _standing(call)
    versions = (await call.llm.snapshots())[:SHOWN_VERSIONS]
    reply["versions"] = [
        f"{one.id} {one.kind} {one.status} {replies.when(one.created_at)} {one.label}".rstrip() for one in versions
    ]
    return Reply(reply, replies.compact(reply))


async def _standing(call: Call) -> replies.LearnReply:
    stats = await call.llm.stats()
    return {"active": stats.learned_version, "feedbacks": stats.feedbacks}


async def _told(call: Call, report: LearnReport) -> Reply:
    reply = await _standing(call)
    reply["promoted"] = report.promoted
    reply["before"], reply["after"] = round(report.before, 4), round(report.after, 4)
    outcome = "is in force" if report.promoted else "was dropped: no better, or too little feedback to judge by"
    return Reply(
        reply,
        f"Version {report.version} {outcome}. nDCG@10 {report.before:.3f} before, {report.after:.3f} after, over "
        f"{report.questions} held-back requests.",
    )


LEARNING_TOOLS: tuple[ToolSpec[Any], ...] = (
    ToolSpec(
        "learn",
        "Train on feedback",
        "Train on feedback now (it also happens by itself), show or roll back versions. A new one takes over only if "
        "held-back requests rank no worse.",
        LearnArguments,
        replies.LearnReply,
        _learn,
        is_idempotent=False,
        not_found="status lists the versions.",
    ),
)

"""`ruvllm export|import`: the whole state, learned things and all, as one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Session, current

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.types import StateReport


@click.command(cls=Command)
@click.argument("path", metavar="FILE")
@current
def export(session: Session, path: str) -> None:
    """Write the whole state to one file. Memories, links and what feedback taught; only its owner can read it."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.export_state(path)

    _tell(session, session.run(work), "Wrote")


@click.command("import", cls=Command)
@click.argument("path", metavar="FILE")
@current
def import_(session: Session, path: str) -> None:
    """Take in a file of `ruvllm export`. Adds what is missing, all or nothing."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.import_state(path)

    _tell(session, session.run(work), "Took in")


def _tell(session: Session, report: StateReport, done: str) -> None:
    if session.as_json:
        output.emit_json(report.to_dict())
    else:
        held = f"{report.memories:,} memories, {report.links:,} links, {report.feedbacks:,} feedbacks"
        click.echo(f"{done} {held}: {output.shown(report.path)}")

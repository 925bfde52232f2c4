"""`ruvllm export|import|backup|restore`: the whole state, learned things and all, as one file.

An export is text for any store, now or later; a backup is this very store as of one moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Session, current

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.reports import StateReport


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
    """Take in a file of `ruvllm export`. Checks the whole file first, then adds what is missing."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.import_state(path)

    _tell(session, session.run(work), "Took in")


@click.command(cls=Command)
@click.argument("path", metavar="FILE")
@current
def backup(session: Session, path: str) -> None:
    """Copy the store while it is in use. FILE must be new; the copy is checked."""
    from ruvllm_mcp.memory.backup import backup as copied

    target = Path(path).expanduser().absolute()
    settings = session.settings()
    count = copied(settings.home, target, settings.store)
    if session.as_json:
        output.emit_json({"path": str(target), "bytes": count})
    else:
        click.echo(f"Wrote {output.size(count)}: {output.shown(str(target))}")


@click.command(cls=Command)
@click.argument("path", metavar="FILE")
@current
def restore(session: Session, path: str) -> None:
    """Make the store what it was in a backup. What was remembered since is gone; other processes follow at once."""
    from ruvllm_mcp.memory.backup import restore as put_back

    source = Path(path).expanduser().absolute()
    settings = session.settings()
    count = put_back(settings.home, source, settings.store)
    if session.as_json:
        output.emit_json({"path": str(source), "memories": count})
    else:
        click.echo(f"Put back {count:,} memories from {output.shown(str(source))}")


def _tell(session: Session, report: StateReport, done: str) -> None:
    if session.as_json:
        output.emit_json(report.to_dict())
    else:
        held = f"{report.memories:,} memories, {report.links:,} links, {report.feedbacks:,} feedbacks"
        click.echo(f"{done} {held}: {output.shown(report.path)}")

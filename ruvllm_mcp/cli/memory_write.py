"""`ruvllm memory add|update|delete|link|prune`: writing, changing and forgetting."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.memory_read import origin
from ruvllm_mcp.cli.session import Command, Session, current, text_from
from ruvllm_mcp.cli.values import duration, merged, pairs
from ruvllm_mcp.errors import NotFoundError
from ruvllm_mcp.types import TRUST_LEVELS, Trust

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM

metadata_option = click.option(
    "--metadata", "-m", type=pairs, multiple=True, metavar="KEY=VALUE", help="A field, or a JSON object. Repeatable."
)


SHOWN_PRUNED = 20

trust_option = click.option(
    "--trust",
    type=click.Choice(TRUST_LEVELS),
    default="trusted",
    show_default=True,
    help="How far its text may be relied on. What agents write through MCP is 'agent'.",
)


@click.command(cls=Command)
@click.argument("text")
@metadata_option
@click.option("--kind", default="note", show_default=True, help="What it is: note, decision, failure, …")
@click.option("--importance", type=float, default=0.5, show_default=True, help="From 0 to 1.")
@click.option("--ttl", type=duration, metavar="DURATION", help="Forget it after 12h, 30d, …")
@click.option("--source", default="", help="Where it is from.")
@trust_option
@current
def add(
    session: Session,
    text: str,
    metadata: Sequence[dict[str, Any]],
    kind: str,
    importance: float,
    ttl: float | None,
    source: str,
    trust: Trust,
) -> None:
    """Remember a text. TEXT `-` reads stdin."""
    content, namespace = text_from(text), session.written()

    async def work(llm: RuvLLM) -> Any:
        added = await llm.add_memory(
            content,
            merged(metadata),
            namespace=namespace,
            kind=kind,
            importance=importance,
            ttl=ttl,
            source=source,
            client="shell",
            trust=trust,
        )
        return added, namespace or llm.settings.namespace

    added, where = session.run(work)
    if session.as_json:
        output.emit_json(
            {
                "id": int(added),
                "namespace": where,
                "merged": added.merged,
                "similar": list(added.similar),
                "redacted": added.redacted,
            }
        )
        return
    done = "was there already as" if added.merged else "Remembered as"
    click.echo(f"{'It ' if added.merged else ''}{done} {output.bold(f'#{added}')} in {output.shown(where)}.")
    if added.similar:
        click.echo(f"Nearly the same: {', '.join(f'#{near}' for near in added.similar)}.")
    if added.redacted:
        click.echo(f"Blanked out before writing: {_counted(added.redacted, 'secret')}.")


@click.command(cls=Command)
@click.argument("memory_id", type=int, metavar="ID")
@click.argument("text", required=False)
@metadata_option
@click.option("--kind", help="What it is.")
@click.option("--importance", type=float, help="From 0 to 1.")
@click.option("--ttl", type=duration, metavar="DURATION", help="Forget it after 12h, 30d, … from now.")
@click.option("--trust", type=click.Choice(TRUST_LEVELS), help="How far its text may be relied on.")
@current
def update(
    session: Session,
    memory_id: int,
    text: str | None,
    metadata: Sequence[dict[str, Any]],
    kind: str | None,
    importance: float | None,
    ttl: float | None,
    trust: Trust | None,
) -> None:
    """Change a memory: its TEXT (`-`: stdin), or what is named. Metadata fields are added to those it has."""
    changes: dict[str, Any] = {"kind": kind, "importance": importance, "ttl": ttl, "trust": trust}
    changes = {name: value for name, value in changes.items() if value is not None}
    if text is not None:
        changes["content"] = text_from(text)
    if not changes and not metadata:
        raise click.UsageError("Nothing to change: give TEXT, --metadata, --kind, --importance, --ttl or --trust.")

    async def work(llm: RuvLLM) -> Any:
        if metadata:
            changes["metadata"] = {**(await llm.get_memory(memory_id)).metadata, **merged(metadata)}
        return await llm.update_memory(memory_id, **changes)

    record = session.run(work)
    if session.as_json:
        output.emit_json(record.to_dict())
    else:
        click.echo(f"Changed {output.bold(f'#{record.id}')}.")


@click.command(cls=Command)
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")
@current
def delete(session: Session, ids: Sequence[int]) -> None:
    """Forget memories. Nothing is forgotten when one of the ids is unknown."""

    async def work(llm: RuvLLM) -> None:
        for memory_id in ids:
            await llm.get_memory(memory_id)
        for memory_id in dict.fromkeys(ids):
            await llm.delete_memory(memory_id)

    session.run(work)
    if session.as_json:
        output.emit_json({"deleted": list(dict.fromkeys(ids))})
    else:
        click.echo(f"Forgot {', '.join(f'#{memory_id}' for memory_id in dict.fromkeys(ids))}.")


@click.command(cls=Command)
@click.argument("a", type=int)
@click.argument("b", type=int)
@click.option("--kind", default="related", show_default=True, help="What joins them.")
@click.option("--weight", type=float, default=1.0, show_default=True, help="How strongly.")
@current
def link(session: Session, a: int, b: int, kind: str, weight: float) -> None:
    """Join memories A and B."""

    async def work(llm: RuvLLM) -> None:
        await llm.link_memories(a, b, kind, weight)

    session.run(work)
    if session.as_json:
        output.emit_json({"a": a, "b": b, "kind": kind, "weight": weight})
    else:
        click.echo(f"Joined #{a} and #{b} ({output.shown(kind)}).")


@click.command(cls=Command)
@click.option("--older-than", type=duration, metavar="DURATION", help="Not written for 90d, 1y, …")
@click.option("--unused-for", type=duration, metavar="DURATION", help="Not found by any search for so long.")
@click.option("--importance-below", type=float, metavar="X", help="Less important than X, from 0 to 1.")
@click.option("--keep-at-most", type=int, metavar="N", help="Per namespace; the least important go first.")
@click.option("--similar-above", type=float, metavar="X", help="Says nearly the same: cosine of X, from 0.8 to 0.99.")
@click.option("--kind", "kinds", multiple=True, help="Only memories of this kind. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@current
def prune(session: Session, /, dry_run: bool, kinds: Sequence[str], **bounds: float | None) -> None:
    """Forget what is old or unused. Goes: what breaks any of the bounds, and what outlived its time to live."""

    async def work(llm: RuvLLM) -> Any:
        from ruvllm_mcp.memory.lifecycle import PrunePolicy

        policy: dict[str, Any] = {**bounds, "kinds": tuple(kinds) or None}
        report = await llm.prune_memory(PrunePolicy(**policy), namespace=session.searched(), dry_run=dry_run)
        shown = []
        for memory_id in report.ids[:SHOWN_PRUNED] if dry_run and not session.as_json else ():
            with suppress(NotFoundError):  # it has expired: nobody is shown it any more
                shown.append(await llm.get_memory(memory_id))
        return report, shown

    report, shown = session.run(work)
    if session.as_json:
        output.emit_json(report.to_dict())
        return
    would = "Would forget" if dry_run else "Forgot"
    merged = f", {len(report.merged):,} of them merged into one that says nearly the same" if report.merged else ""
    click.echo(f"{would} {_counted(len(report.ids), 'memory', 'memories')}{merged}.")
    rows = []
    for record in shown:
        place, content = origin(record)
        into = f"into #{report.merged[record.id]}" if record.id in report.merged else ""
        first = f"{place}  {output.first_line(content)}".strip()
        rows.append([f"#{record.id}", output.when(record.updated_at), f"{record.importance:g}", into, first])
    output.table(rows, right=[0, 2])
    if dry_run and len(report.ids) > len(shown):
        click.echo(output.dim(f"… and {len(report.ids) - len(shown):,} more; --json lists all."))


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"

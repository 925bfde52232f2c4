"""`ruvllm memory namespaces|limit|reembed|migrate`: what the store holds, may hold, and is made of."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Session, current
from ruvllm_mcp.cli.values import NO_LIMIT, at_most

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.memory.upgrade import Change
    from ruvllm_mcp.settings import Settings
    from ruvllm_mcp.types import NamespaceInfo


@click.command(cls=Command)
@current
def namespaces(session: Session) -> None:
    """Show every namespace. How many memories it holds, their text, its limits."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.namespaces(), llm.settings.namespace

    known, own = session.run(work)
    if session.as_json:
        listed = {name: info.to_dict() for name, info in known.items()}
        output.emit_json({"namespaces": listed, "current": own})
        return
    rows = []
    for name in sorted({*known, own}):
        info = known.get(name)
        about = [*(["this project's"] if name == own else []), *(_bounds(info) if info else [])]
        held = (f"{info.memories:,}", output.size(info.bytes)) if info else ("0", "-")
        rows.append([*held, output.shown(name), ", ".join(about)])
    output.table(rows, right=[0, 1], dim_last=True)


def _bounds(info: NamespaceInfo) -> list[str]:
    return [
        *([f"at most {info.max_memories:,} memories"] if info.max_memories is not None else []),
        *([f"at most {output.size(info.max_bytes)} of text"] if info.max_bytes is not None else []),
        *([] if info.token_bits else ["no token bits"]),
    ]


@click.command(cls=Command)
@click.option("--memories", type=at_most, metavar="N", help="At most N memories; 'none' lifts the limit.")
@click.option("--bytes", "size", type=at_most, metavar="SIZE", help="At most 10MB of text; 'none' lifts the limit.")
@click.option(
    "--token-bits/--no-token-bits", default=None, help="Keep what late interaction needs: better, but larger."
)
@current
def limit(session: Session, memories: int | None, size: int | None, token_bits: bool | None) -> None:
    """Bound what a namespace may hold. Without options: show its bounds. What is there stays; growth stops.

    Without token bits a memory takes less of the disk and is found a little less well; switched on again, they are made
    anew in the background.
    """
    namespace = session.written()
    given = {"max_memories": memories, "max_bytes": size, "token_bits": token_bits}
    changes = {name: None if value == NO_LIMIT else value for name, value in given.items() if value is not None}

    async def work(llm: RuvLLM) -> Any:
        name = namespace or llm.settings.namespace
        return name, await llm.configure_namespace(name, **changes), llm.settings

    name, info, settings = session.run(work)
    if session.as_json:
        output.emit_json({"namespace": name, **info.to_dict()})
        return
    click.echo(f"{output.bold(output.shown(name))}: {info.memories:,} memories, {output.size(info.bytes)} of text.")
    click.echo(f"{'; '.join(_bounds(info)).capitalize() or 'No limit of its own'}.")
    if (settings.max_memories and info.max_memories is None) or (settings.max_bytes and info.max_bytes is None):
        click.echo(output.dim("Limits it does not have come from the settings: see `ruvllm info`."))


@click.command(cls=Command)
@current
def reembed(session: Session) -> None:
    """Embed now what another embedder wrote. Searches see to it by themselves, in the background."""
    line = output.ProgressLine(silent=session.as_json)

    def on_progress(done: int, total: int) -> None:
        session.note = f"{done:,} of {total:,} are done; run it again to go on."
        line.show(done / total, f"{done:,} of {total:,}")

    async def work(llm: RuvLLM) -> Any:
        return await llm.reembed(progress=on_progress), llm.settings.embedder

    try:
        count, name = session.run(work)
    finally:
        line.clear()
    if session.as_json:
        output.emit_json({"embedded": count, "embedder": name})
    else:
        click.echo(f"Embedded {count:,} memories by {name}." if count else f"Every memory is embedded by {name}.")


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Try the steps out, roll them back, and tell.")
@click.option("--to", "version", type=int, metavar="SCHEMA", help="Go back to an older release's schema.")
@current
def migrate(session: Session, dry_run: bool, version: int | None) -> None:
    """Bring the store's schema up to date, or back. Every command does the former by itself; of a file, a copy is kept
    first (of a database, make one with `ruvllm backup`).

    Going back (--to) keeps every memory. Do it with nothing else using the store, then run the older release: this one
    brings the store up to date again.
    """
    if dry_run and version is not None:
        raise click.UsageError("--dry-run tells what bringing the store up to date would do; leave out --to.")
    change = _changed(session.settings(), dry_run, version)
    if session.as_json:
        output.emit_json({**dataclasses.asdict(change), "copy": str(change.copy) if change.copy else None})
        return
    if not change.steps:
        click.echo(f"The store has schema {change.after} already.")
        return
    would = "would be" if dry_run else "was"
    click.echo(f"Schema {change.before} {would} brought to {change.after}: {', '.join(change.steps)}.")
    if change.copy is not None:
        click.echo(f"The store as it was: {output.shown(str(change.copy))}")
    if dry_run:
        room = "" if change.free is None else f", of {output.size(change.free)} free"
        click.echo(f"Tried out and rolled back: nothing changed. A copy takes {output.size(change.bytes)}{room}.")


def _changed(settings: Settings, dry_run: bool, version: int | None) -> Change:
    if settings.store:
        from ruvllm_mcp.memory import postgres_upgrade
        from ruvllm_mcp.memory.postgres_connection import address_of

        address = address_of(settings.store)
        if version is not None:
            return postgres_upgrade.roll_back(address, version)
        return postgres_upgrade.try_out(address) if dry_run else postgres_upgrade.migrate(address)
    from ruvllm_mcp.memory import upgrade

    if version is not None:
        return upgrade.roll_back(settings.home, version)
    return upgrade.try_out(settings.home) if dry_run else upgrade.migrate(settings.home)

"""`ruvllm memory search|get|list`: finding and looking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Session, current, text_from
from ruvllm_mcp.cli.values import condition, together
from ruvllm_mcp.types import TRUST_LEVELS, MemoryRecord, MemoryResult, SearchMode, Trust

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM

PAGE = 500

where_option = click.option(
    "--where",
    "-w",
    type=condition,
    multiple=True,
    metavar="CONDITION",
    help="Metadata must match: language=python, 'priority>=2' or a JSON filter. Repeat for more.",
)
min_trust_option = click.option(
    "--min-trust",
    type=click.Choice(TRUST_LEVELS),
    default=TRUST_LEVELS[0],
    show_default=True,
    help="Leave out what is trusted less.",
)


@click.command(cls=Command)
@click.argument("query")
@click.option("-k", type=int, default=10, show_default=True, help="How many to find.")
@where_option
@click.option(
    "--mode",
    type=click.Choice(get_args(SearchMode)),
    default="hybrid",
    show_default=True,
    help="All that is known, meaning alone, or words alone.",
)
@min_trust_option
@click.option("--explain", is_flag=True, help="Show what each score is made of.")
@click.option("--full", is_flag=True, help="Show whole memories, not their first lines.")
@current
def search(
    session: Session,
    query: str,
    k: int,
    where: Sequence[dict[str, Any]],
    mode: SearchMode,
    min_trust: Trust,
    explain: bool,
    full: bool,
) -> None:
    """Find what fits best. QUERY `-` reads stdin."""
    text = text_from(query)

    async def work(llm: RuvLLM) -> Any:
        return await llm.search_memory(
            text, k, namespace=session.searched(), where=together(where), mode=mode, min_trust=min_trust
        )

    hits = session.run(work)
    if session.as_json:
        output.emit_json(hits.to_dict())
        return
    for rank, hit in enumerate(hits, start=1):
        print_hit(rank, hit, explain=explain, full=full)
    if not hits:
        click.echo("Nothing found. `ruvllm memory namespaces` shows what is stored where; -n '*' searches everywhere.")
        return
    click.echo(output.dim(f"{len(hits)} found in {hits.latency_ms:.0f} ms. Say what helped:"), nl=False)
    click.echo(f" ruvllm feedback {hits.request_id} --relevant {hits[0].id}")


def print_hit(rank: int, hit: MemoryResult, *, explain: bool = False, full: bool = False) -> None:
    """One hit: where it is from, how good it is, its first lines."""
    place, content = origin(hit)
    head = f"{rank:>2}. {output.bold(output.shown(place))}" if place else f"{rank:>2}. {output.bold('Memory')}"
    click.echo(f"{head}  {output.dim(f'#{hit.id}  {hit.score:.2f}')}{doubt(hit.trust)}")
    if explain:
        parts = "  ".join(f"{name} {share:+.3f}" for name, share in hit.explain.items())
        click.echo(output.dim(f"    {parts}  (cosine {hit.similarity:.3f})"))
    output.excerpt(content, lines=100_000 if full else output.SHOWN_LINES)


def doubt(trust: Trust) -> str:
    """What to say beside a memory that no person vouches for."""
    return {"trusted": "", "agent": output.dim("  by an agent"), "untrusted": "  UNTRUSTED"}[trust]


def origin(memory: MemoryResult | MemoryRecord) -> tuple[str, str]:
    """Where a memory is from as `path:lines › title`, and its text without the line that says so too."""
    path, title = memory.metadata.get("path"), memory.metadata.get("title")
    if not path or "collection" not in memory.metadata:
        return memory.source, memory.content
    line, cell = (str(memory.metadata.get(unit, "")).partition("-")[0] for unit in ("lines", "cell"))
    place = f"{path}:{line}" if line else f"{path} cell {cell}"
    head, _, rest = memory.content.partition("\n")
    return (f"{place} › {title}" if title else place), rest if head.startswith(str(path)) else memory.content


@click.command(cls=Command)
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")
@current
def get(session: Session, ids: Sequence[int]) -> None:
    """Show memories whole."""

    async def work(llm: RuvLLM) -> Any:
        found = [await llm.get_memory(memory_id) for memory_id in ids]
        return found, [await llm.neighbours(memory_id) for memory_id in ids]

    found, links = session.run(work)
    if session.as_json:
        documents = [
            {**record.to_dict(), "links": [link.to_dict() for link in joined]}
            for record, joined in zip(found, links, strict=True)
        ]
        output.emit_json(documents[0] if len(documents) == 1 else {"items": documents})
        return
    for number, (record, joined) in enumerate(zip(found, links, strict=True)):
        if number:
            click.echo()
        _print_whole(record, joined)


def _print_whole(record: MemoryRecord, links: Iterable[Any]) -> None:
    joined = ", ".join(f"#{link.id} ({link.kind}, {link.weight:g})" for link in links)
    metadata = ", ".join(f"{key}={value}" for key, value in record.metadata.items())
    values = {
        "id": record.id,
        "kind": record.kind,
        "namespace": record.namespace,
        "source": record.source,
        "client": record.client,
        "trust": record.trust,
        "metadata": metadata,
        "importance": f"{record.importance:g}",
        "written": output.when(record.updated_at),
        "expires": output.when(record.expires_at),
        "found": f"{record.access_count} times" if record.access_count != 1 else "once",
        "links": joined,
    }
    output.fields({name: value for name, value in values.items() if value not in ("", "-")})
    click.echo()
    click.echo(output.shown(record.content))


@click.command("list", cls=Command)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many on this page.")
@click.option("--cursor", metavar="CURSOR", help="Where the last page ended.")
@click.option("--all", "everything", is_flag=True, help="All of them, oldest first.")
@where_option
@current
def list_(session: Session, limit: int, cursor: str | None, everything: bool, where: Sequence[dict[str, Any]]) -> None:
    """List memories, oldest first."""

    async def work(llm: RuvLLM) -> Any:
        items: list[MemoryRecord] = []
        after = cursor
        while True:
            page = await llm.list_memories(
                cursor=after,
                limit=PAGE if everything else limit,
                namespace=session.searched(),
                where=together(where),
            )
            items += page.items
            after = page.next_cursor
            if after is None or not everything:
                return items, after

    items, after = session.run(work)
    if session.as_json:
        output.emit_json({"items": [item.to_dict() for item in items], "next_cursor": after})
        return
    rows = []
    for item in items:
        place, content = origin(item)
        first = output.first_line(content)
        label = output.shown(place) if "collection" in item.metadata else f"{place}  {first}" if place else first
        rows.append([f"#{item.id}", output.when(item.updated_at), item.kind, output.shown(item.namespace), label])
    if len({row[3] for row in rows}) == 1:
        rows = [[*row[:3], row[4]] for row in rows]
    output.table(rows, right=[0])
    if not rows:
        click.echo("No memories here. `ruvllm memory namespaces` shows what is stored where.")
    elif after is not None:
        click.echo(output.dim(f"More: --cursor {after}, or --all"))

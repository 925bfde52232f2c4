"""`ruvllm embed|similarity`: texts as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Session, current, text_from

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM

SHOWN_NUMBERS = 6


@click.command(cls=Command)
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option("--lines", is_flag=True, help="Each line of stdin is a text of its own.")
@current
def embed(session: Session, texts: Sequence[str], lines: bool) -> None:
    """Turn texts into unit vectors. TEXT `-` reads stdin."""
    given = [text_from(text) for text in texts]
    if lines:
        if list(texts) != ["-"]:
            raise click.UsageError("--lines reads stdin: give `-` as the only TEXT.")
        given = [line for line in given[0].split("\n") if line.strip()]

    async def work(llm: RuvLLM) -> Any:
        return await llm.embed_many(given), llm.settings.embedder

    vectors, embedder = session.run(work)
    # float32 as the shortest text that reads back to the same number
    numbers = [[float(str(number)) for number in vector] for vector in vectors]
    if session.as_json:
        output.emit_json({"embedder": embedder, "dim": int(vectors.shape[1]), "vectors": numbers})
        return
    for text, row in zip(given, numbers, strict=True):
        head = ", ".join(f"{number:+.4f}" for number in row[:SHOWN_NUMBERS])
        click.echo(f"{output.dim(f'{len(row)} dimensions')}  [{head}, …]  {output.clipped(output.shown(text), 40)}")


@click.command(cls=Command)
@click.argument("a")
@click.argument("b")
@current
def similarity(session: Session, a: str, b: str) -> None:
    """Print the cosine of two texts, from -1 to 1."""
    if a == b == "-":
        raise click.UsageError("Only one of the texts can come from stdin.")
    first, second = text_from(a), text_from(b)

    async def work(llm: RuvLLM) -> Any:
        return await llm.similarity(first, second), llm.settings.embedder

    cosine, embedder = session.run(work)
    if session.as_json:
        output.emit_json({"similarity": cosine, "embedder": embedder})
    else:
        click.echo(f"{cosine:.4f}")

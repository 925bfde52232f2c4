"""`ruvllm query|context|feedback`: asking, and saying what the answer was worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.generate import ENDINGS, INCOMPLETE, Terminal, config_from, writing_options
from ruvllm_mcp.cli.memory_read import min_trust_option, origin, where_option
from ruvllm_mcp.cli.session import Command, Session, current, text_from
from ruvllm_mcp.cli.values import ids, together
from ruvllm_mcp.types import Trust

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM


@click.command(cls=Command)
@click.argument("question")
@where_option
@min_trust_option
@writing_options
@current
def query(
    session: Session,
    /,
    question: str,
    where: Sequence[dict[str, Any]],
    min_trust: Trust,
    model: str | None,
    **options: Any,
) -> None:
    """Answer from memory, with sources. QUESTION `-` reads stdin."""
    text, config = text_from(question), config_from(options)
    terminal = Terminal(silent=session.as_json)
    session.note = INCOMPLETE

    async def work(llm: RuvLLM) -> Any:
        return await llm.query(
            text,
            namespace=session.searched(),
            where=together(where),
            min_trust=min_trust,
            config=config,
            model=model,
            written=terminal.write,
        )

    try:
        answer = session.run(work)
    finally:
        terminal.end()
    if session.as_json:
        output.emit_json(answer.to_dict())
        return
    if answer.sources:
        click.echo()
        rows = [[output.accent(f"[{source.id}]"), output.shown(origin(source)[0])] for source in answer.sources]
        output.table(rows)
    click.echo()
    writer = answer.backend if answer.backend == answer.model else f"{answer.backend} {answer.model}"
    cut = ENDINGS[answer.finish_reason]
    told = f"{writer}, {answer.latency_ms:.0f} ms{f', {cut}' if cut else ''}. Was it right?"
    click.echo(output.dim(told), nl=False)
    click.echo(f" ruvllm feedback {answer.request_id} --rating 5")


@click.command(cls=Command)
@click.argument("question")
@where_option
@min_trust_option
@click.option("--max-tokens", type=int, default=1000, show_default=True, help="Budget for the packed text.")
@current
def context(
    session: Session, question: str, where: Sequence[dict[str, Any]], min_trust: Trust, max_tokens: int
) -> None:
    """Pack memories into a token budget. Those that fit QUESTION (`-`: stdin) best, ready to paste into a prompt."""
    text = text_from(question)

    async def work(llm: RuvLLM) -> Any:
        return await llm.context(
            text, max_tokens, namespace=session.searched(), where=together(where), min_trust=min_trust
        )

    packed = session.run(work)
    if session.as_json:
        output.emit_json(packed.to_dict())
        return
    click.echo(output.shown(packed.text))
    click.echo(output.dim(f"{packed.tokens:,} of {max_tokens:,} tokens, request {packed.request_id}"), err=True)


@click.command(cls=Command)
@click.argument("request_id")
@click.option("--rating", type=int, metavar="1-5", help="How good the answer was; 5 is best.")
@click.option("--relevant", type=ids, metavar="IDS", help="Memories that helped, e.g. 3,5.")
@click.option("--irrelevant", type=ids, metavar="IDS", help="Memories that did not belong there.")
@click.option("--correction", metavar="TEXT", help="The right answer (`-`: stdin); it is remembered.")
@click.option("--success/--failure", "task_success", default=None, help="Whether what you did with it worked.")
@current
def feedback(session: Session, /, request_id: str, correction: str | None, **said: Any) -> None:
    """Say what an answer was worth. Similar questions are ranked by it from now on."""

    async def work(llm: RuvLLM) -> Any:
        text = None if correction is None else text_from(correction)
        return await llm.feedback(request_id, correction=text, client="shell", **said)

    if correction is None and all(value is None for value in said.values()):
        raise click.UsageError(
            "Nothing said: give --rating, --relevant, --irrelevant, --correction, --success or --failure."
        )
    receipt = session.run(work)
    if session.as_json:
        output.emit_json(receipt.to_dict())
    else:
        click.echo(
            f"Learned: {receipt.strengthened} strengthened, {receipt.weakened} weakened for questions like this one."
        )

"""`ruvllm learn`: the slower loops, and the versions of what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Group, Session, current

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.reports import LearnReport

learn = Group("learn", help="Train on feedback, compare, roll back.", no_args_is_help=True)


@learn.command("status", cls=Command)
@current
def status(session: Session) -> None:
    """Show what was learned. Names the version in force."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.stats(), await llm.snapshots()

    stats, versions = session.run(work)
    if session.as_json:
        output.emit_json(
            {
                "active": stats.learned_version,
                "feedbacks": stats.feedbacks,
                "rated_questions": stats.rated_questions,
                "patterns": stats.patterns,
                "versions": [version.to_dict() for version in versions],
            }
        )
        return
    output.fields(
        {
            "version in force": stats.learned_version or "0 (untrained)",
            "feedbacks": stats.feedbacks,
            "questions remembered": stats.rated_questions,
            "patterns": stats.patterns,
        }
    )
    rows = [["version", "made", "by", "status", "label"]] if versions else []
    for version in versions:
        rows.append([str(version.id), output.when(version.created_at), version.kind, version.status, version.label])
    output.table(rows, right=[0])


@learn.command("run", cls=Command)
@current
def run(session: Session) -> None:
    """Train on all feedback now. It takes effect if it does not lose on held-back requests."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.learn()

    _tell(session, session.run(work))


@learn.command("consolidate", cls=Command)
@click.option(
    "--against",
    type=click.Choice(["ewc", "replay", "nothing"]),
    default="ewc",
    show_default=True,
    help="How older learning is held on to.",
)
@current
def consolidate(session: Session, against: Any) -> None:
    """Fold recent learning into the base. Undone if older requests lose more than 5 %."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.consolidate(against)

    _tell(session, session.run(work))


@learn.command("rollback", cls=Command)
@click.argument("version", type=int)
@current
def rollback(session: Session, version: int) -> None:
    """Put VERSION in force again. 0 is the untrained system."""

    async def work(llm: RuvLLM) -> None:
        await llm.rollback(version)

    session.run(work)
    if session.as_json:
        output.emit_json({"active": version})
    else:
        click.echo(f"Version {version} is in force.")


@learn.command("compare", cls=Command)
@click.argument("a", type=int)
@click.argument("b", type=int)
@current
def compare(session: Session, a: int, b: int) -> None:
    """Judge version B against A. Uses requests that no version was trained on."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.compare(a, b)

    verdict = session.run(work)
    if session.as_json:
        output.emit_json({"a": a, "b": b, **verdict.to_dict()})
        return
    click.echo(
        f"nDCG@10 over {verdict.questions} held-back requests: {verdict.before:.3f} for {a}, {verdict.after:.3f} "
        f"for {b} (difference {verdict.gain:+.3f}, 95 % interval {verdict.low:+.3f} to {verdict.high:+.3f})."
    )


def _tell(session: Session, report: LearnReport) -> None:
    if session.as_json:
        output.emit_json(report.to_dict())
        return
    outcome = "is in force" if report.promoted else "was dropped: it was no better, or there was too little to judge by"
    click.echo(f"Version {report.version} {outcome}.")
    click.echo(
        f"nDCG@10 over {report.questions} held-back requests: {report.before:.3f} before, {report.after:.3f} after "
        f"(95 % interval of the difference {report.low:+.3f} to {report.high:+.3f}); retention {report.retention:.1%}; "
        f"{report.signals} feedbacks, {report.patterns} patterns, {report.seconds:.1f} s."
    )

"""`ruvllm memory import|export`: whole folders in, JSON lines in and out."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.memory_read import PAGE, where_option
from ruvllm_mcp.cli.memory_write import trust_option
from ruvllm_mcp.cli.session import Command, Session, current
from ruvllm_mcp.cli.values import together
from ruvllm_mcp.errors import StorageFullError
from ruvllm_mcp.types import Trust

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.ingest.importer import ImportReport, Progress

MAX_FILES = 20_000


@click.command("import", cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--prune", is_flag=True, help="Also forget passages of files that are gone from the folder.")
@click.option("--include", multiple=True, metavar="GLOB", help="Also read files of unknown type that match.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out files and folders that match.")
@click.option(
    "--max-files", type=click.IntRange(1), default=MAX_FILES, show_default=True, help="Refuse more than this."
)
@trust_option
@current
def import_(
    session: Session,
    paths: Sequence[str],
    prune: bool,
    include: Sequence[str],
    exclude: Sequence[str],
    max_files: int,
    trust: Trust,
) -> None:
    """Remember files or folders. Markdown, text, source code, notebooks, JSON lines.

    Files are cut into passages along headings, definitions and paragraphs. Import again at any time: what is unchanged
    stays, what changed is replaced. Binaries, files that look like secrets and what .gitignore leaves out are skipped.
    PATH `-` reads JSON lines from stdin; a line that gives its own trust keeps it up to --trust.
    """
    namespace = session.written()
    line = output.ProgressLine(silent=session.as_json)
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        seen[:] = [progress]
        session.note = f"{progress.added:,} passages were added and are safe; run the same command again to go on."
        share = progress.bytes_done / progress.bytes_total if progress.bytes_total else 1.0
        line.show(min(1.0, share), f"{progress.added:,} new  {output.shown(progress.current)}")

    async def work(llm: RuvLLM) -> list[ImportReport]:
        from ruvllm_mcp.ingest import import_path, import_records
        from ruvllm_mcp.ingest.files import Selection

        selection = Selection(tuple(include), tuple(exclude), max_files)
        shared: dict[str, Any] = {"namespace": namespace, "trust": trust, "on_progress": on_progress}
        return [
            await import_records(llm, sys.stdin.buffer, **shared)
            if path == "-"
            else await import_path(llm, Path(path), selection=selection, prune=prune, **shared)
            for path in paths
        ]

    started = time.monotonic()
    try:
        reports = session.run(work)
    finally:
        line.clear()
    seconds = time.monotonic() - started
    if session.as_json:
        output.emit_json({"imports": [report.to_dict() for report in reports], "seconds": round(seconds, 3)})
        return
    for report in reports:
        _print_report(report)
    click.echo(output.dim(f"{seconds:.1f} s"))


def _print_report(report: ImportReport) -> None:
    done = [
        f"{count:,} {word}"
        for count, word in (
            (report.added, "added"),
            (report.unchanged, "unchanged"),
            (report.moved, "moved"),
            (report.merged, "there already"),
            (report.removed, "removed"),
        )
        if count
    ]
    files = f"{report.files:,} {'file' if report.files == 1 else 'files'}"
    click.echo(
        f"{output.bold(files)} into {output.shown(report.namespace)}: {', '.join(done) or 'nothing to remember'}."
    )
    if report.redacted:
        click.echo(f"Secrets blanked out: {report.redacted:,}.")
    if report.missing_files:
        click.echo(f"Files imported before and not there any more: {report.missing_files:,}. --prune forgets them.")
    if report.skipped:
        click.echo("Skipped:")
        rows = []
        for reason, count in sorted(report.skipped.items(), key=lambda item: -item[1]):
            examples = report.examples[reason]
            more = ", …" if count > len(examples) else ""
            rows.append([f"  {count:,}", reason, output.shown(", ".join(examples) + more)])
        output.table(rows, right=[0], dim_last=True)


@click.command("export", cls=Command)
@click.argument("path", default="-", metavar="[FILE]")
@where_option
@current
def export(session: Session, path: str, where: Sequence[dict[str, Any]]) -> None:
    """Write memories as JSON lines. To FILE or stdout, for `ruvllm memory import` to read back.

    Without --namespace: all namespaces. A file is replaced as a whole or not at all, and only its owner can read it.
    """
    namespace = session.searched() or "*"
    if path == "-":
        session.run(lambda llm: _write(llm, namespace, where, sys.stdout))
        return

    target = Path(path).expanduser().absolute()
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:60]}.")
    except OSError as error:
        raise _cannot_write(target, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            count = session.run(lambda llm: _write(llm, namespace, where, stream))
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from None
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()
    if session.as_json:
        output.emit_json({"path": str(target), "memories": count})
    else:
        click.echo(f"Wrote {count:,} memories to {output.shown(str(target))}.")


def _cannot_write(target: Path, error: OSError) -> StorageFullError:
    return StorageFullError(
        f"{target} cannot be written: {error.strerror}.", "Choose another place, or free some space."
    )


async def _write(llm: RuvLLM, namespace: str | list[str], where: Sequence[dict[str, Any]], stream: TextIO) -> int:
    from ruvllm_mcp.ingest.records import written_record

    count, cursor, now = 0, None, time.time()
    while True:
        page = await llm.list_memories(cursor=cursor, limit=PAGE, namespace=namespace, where=together(where))
        for memory in page.items:
            stream.write(json.dumps(written_record(memory, now), ensure_ascii=False) + "\n")
        count += len(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return count

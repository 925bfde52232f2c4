"""`ruvllm benchmark`: the figures of this machine and of your own judged collections."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Group, Session, current

benchmark = Group("benchmark", help="Measure this machine and your own collections.", no_args_is_help=True)
T = TypeVar("T")
HEADINGS = ("questions", "nDCG@10", "Recall@5", "Recall@10", "MRR")


@benchmark.command("retrieval", cls=Command)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@current
def retrieval(session: Session, folders: tuple[Path, ...]) -> None:
    """Judge vector, lexical and hybrid search on BEIR-style folders.

    Each DIR holds corpus.jsonl, queries.jsonl and qrels.tsv. Nothing of it stays: the memories live in a temporary
    folder. Folders alike up to `-conv` are one family, averaged over all their questions.
    """
    from ruvllm_mcp import embed
    from ruvllm_mcp.benchmark.retrieval import MODES, measure

    def report(folder: str) -> None:
        click.echo(f"{folder} …", err=True)

    settings = session.settings()
    found = measure(folders, embed.load(settings.embedder), progress=report)
    rows = {
        mode: {**found.families[mode], "mean": found.mean(mode)}
        if len(found.families[mode]) > 1
        else found.families[mode]
        for mode in MODES
    }
    if session.as_json:
        figures = {mode: {name: dataclasses.asdict(row) for name, row in by.items()} for mode, by in rows.items()}
        output.emit_json({"embedder": settings.embedder, "retrieval": figures})
        return
    for mode, by in rows.items():
        lines = [[output.bold(mode), *HEADINGS]]
        for name, row in by.items():
            scores = (row.ndcg_at_10, row.recall_at_5, row.recall_at_10, row.mrr)
            lines.append([name, str(row.questions), *(f"{score:.3f}" for score in scores)])
        output.table(lines, right=range(1, len(HEADINGS) + 1))
        click.echo()


def _bar(work: Callable[[Callable[[int, int], None]], list[T]]) -> list[T]:
    """What `work` returns, which tells a progress bar how much it has done; a terminal shows that."""
    with click.progressbar(length=1000, label="measuring", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        return work(lambda done, total: bar.update(1000 * done // total - bar.pos))


@benchmark.command("simd", cls=Command)
@current
def simd(session: Session) -> None:
    """Time the vector kernels beside NumPy and the scalar set, one core each."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is loaded, which is on the next line
    from ruvllm_mcp.benchmark.simd import run, table
    from ruvllm_mcp.simd import simd_info

    instruction_set = simd_info()["instruction_set"]
    measured = _bar(lambda progress: run(progress=progress))
    if session.as_json:
        rows = [dataclasses.asdict(row) for row in measured]
        output.emit_json({"instruction_set": instruction_set, "unit": "seconds a call", "simd": rows})
        return
    click.echo(f"instruction set: {instruction_set}\n{table(measured)}")


@benchmark.command("embed", cls=Command)
@current
def embed(session: Session) -> None:
    """Time the embedders: one text alone, and batches on all cores.

    All that are in the package, or the one that --embedder names.
    """
    from ruvllm_mcp.benchmark.embed import EMBEDDERS, run, table
    from ruvllm_mcp.simd import simd_info

    instruction_set, names = simd_info()["instruction_set"], [session.embedder] if session.embedder else EMBEDDERS
    measured = _bar(lambda progress: run(names, progress))
    if session.as_json:
        rows = [dataclasses.asdict(row) for row in measured]
        output.emit_json({"instruction_set": instruction_set, "cores": os.cpu_count(), "embed": rows})
        return
    click.echo(f"instruction set: {instruction_set}, {os.cpu_count()} cores\n{table(measured)}")


@benchmark.command("memory", cls=Command)
@current
def memory(session: Session) -> None:
    """Time adding and searching, in a store of its own that is gone afterwards."""
    from ruvllm_mcp import embed as embedders
    from ruvllm_mcp.benchmark.memory import run, table

    name = session.settings().embedder
    measured = _bar(lambda progress: run(embedders.load(name), progress))
    if session.as_json:
        output.emit_json({"embedder": name, "memory": [dataclasses.asdict(row) for row in measured]})
        return
    click.echo(f"embedder: {name}\n{table(measured)}")

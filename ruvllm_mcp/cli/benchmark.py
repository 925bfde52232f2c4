"""`ruvllm benchmark`: the figures of this machine and of your own judged collections."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Group, Session, current

benchmark = Group("benchmark", help="Measure this machine and your own collections.", no_args_is_help=True)
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


@benchmark.command("simd", cls=Command)
@current
def simd(session: Session) -> None:
    """Time the vector kernels beside NumPy and the scalar set, one core each."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is loaded, which is on the next line
    from ruvllm_mcp.benchmark.simd import run, table
    from ruvllm_mcp.simd import simd_info

    instruction_set = simd_info()["instruction_set"]
    with click.progressbar(length=1000, label="measuring", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        measured = run(progress=lambda done, total: bar.update(1000 * done // total - bar.pos))
    if session.as_json:
        rows = [dataclasses.asdict(row) for row in measured]
        output.emit_json({"instruction_set": instruction_set, "unit": "seconds a call", "simd": rows})
        return
    click.echo(f"instruction set: {instruction_set}\n{table(measured)}")

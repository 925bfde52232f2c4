"""How good search is with its one default, and what each part of it is worth.

    python benchmarks/retrieval.py DIR... [--json FILE] [--cache DIR]

Each DIR is a BEIR-style folder (corpus.jsonl, queries.jsonl, qrels.tsv); folders alike up to `-conv` are one family.
Every document goes once through the shipped embedder into the real memory. Prints nDCG@10 with Recall@5 and Recall@10
by family for the three modes and for hybrid with one part of its score taken out. The folder `--cache` keeps the
embedded stores from run to run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from ruvllm_mcp import embed
from ruvllm_mcp.benchmark import retrieval
from ruvllm_mcp.benchmark.metrics import Quality
from ruvllm_mcp.memory.weights import DEFAULT, FusionWeights

ALONE = {"two_before": 0.0, "before": 0.0, "after": 0.0, "two_after": 0.0}
RIGID = {"talk_dense": 0.0, "long_lexical": 0.0}
OMISSIONS = {
    "without late interaction": {"late": 0.0},
    "without cosine": {"dense": 0.0},
    "without BM25": {"lexical": 0.0},
    "without neighbours": ALONE,
    "without what is alike": {"near": 0.0},
    "without adaptation": RIGID,
    "without all three": {"late": 0.0, **ALONE, **RIGID},
}


def ablations() -> dict[str, FusionWeights]:
    return {name: dataclasses.replace(DEFAULT, **values) for name, values in OMISSIONS.items()}


def cell(row: Quality) -> str:
    return f"{row.ndcg_at_10:.4f} {row.recall_at_5:.3f} {row.recall_at_10:.3f}"


def printed(table: retrieval.Table) -> str:
    families = list(next(iter(table.families.values())))
    head = ["nDCG@10 R@5 R@10", *families, "mean"]
    rows = [
        [name, *(cell(by[family]) for family in families), cell(table.mean(name))]
        for name, by in table.families.items()
    ]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in [head, *rows]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep the embedded stores there")
    arguments = parser.parse_args()
    table = retrieval.measure(
        arguments.folders, embed.load(), ablations(), lambda name: print(f"# {name}", flush=True), arguments.cache
    )
    print(printed(table))
    if arguments.json is not None:
        figures = {
            name: {family: dataclasses.asdict(row) for family, row in by.items()} for name, by in table.families.items()
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

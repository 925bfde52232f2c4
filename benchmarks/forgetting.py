"""What consolidating forgets of earlier collections when nothing is judged, and what holds it back.

    python benchmarks/forgetting.py DIR DIR DIR [--strengths 2] [--cache DIR]

DIRs are BEIR-style folders as in `learning.py`. The deep loop trains one adapter on the feedback halves of all of them,
one after the other, in every order of the folders, as it does in the product but for its last step: there a version
that ranks worse is not put in force. Shown is how far nDCG@10 on the test halves, by this adapter alone, lies above or
below the untrained system: of the first folder after it was learned and after the last, and of the last.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from learning import System

from ruvllm_mcp.learning.background import quality_of
from ruvllm_mcp.learning.deep import EWC_STRENGTH, consolidated
from ruvllm_mcp.learning.instant import InstantLoop
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.objective import Row, row_of

Consolidate = Callable[[Sequence[Row], Sequence[Row], Learned, InstantLoop, int], Learned]


def rows_of(folder: Path, cache: Path | None) -> dict[str, list[Row]]:
    """The untrained searches for a folder's questions, with what was right, by split."""
    with tempfile.TemporaryDirectory() as home:
        system, rows = System([folder], cache, Path(home)), {}
        for split, questions in system.questions.items():
            made = [
                row_of(system.ask(one, None), dict.fromkeys(one.right, 1.0), system.memory.vectors) for one in questions
            ]
            rows[split] = [row for row in made if row is not None]
        system.sona.close()
        system.memory.close()
    return rows


def quality(rows: Sequence[Row], learned: Learned) -> float:
    """Mean nDCG@10."""
    return float(np.mean(quality_of(rows, learned)))


def in_turn(collections: Sequence[dict[str, list[Row]]], consolidate: Consolidate) -> tuple[float, float, float]:
    """Of the first collection after it was learned and after the last, and of the last: gain over untrained."""
    older: list[Row] = []
    learned, first, last = Learned(), collections[0]["test"], collections[-1]["test"]
    gains = []
    for rows in collections:
        instant = InstantLoop(len(first[0].query))
        learned = consolidate(older, rows["feedback"], learned, instant, 0)
        older = older + rows["feedback"]
        gains.append(quality(first, learned) / quality(first, Learned()) - 1)
    return gains[0], gains[-1], quality(last, learned) / quality(last, Learned()) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--strengths", nargs="*", type=float, default=[EWC_STRENGTH], help="of EWC++'s penalty")
    parser.add_argument("--cache", type=Path, default=None)
    options = parser.parse_args()
    collections = [rows_of(folder, options.cache) for folder in options.folders]
    ways: dict[str, Consolidate] = {
        "nothing": partial(consolidated, against="nothing"),
        "replay": partial(consolidated, against="replay"),
    }
    for strength in options.strengths:
        ways[f"EWC++, strength {strength:g}"] = partial(consolidated, against="ewc", strength=strength)
    orders = list(itertools.permutations(collections))
    print(f"mean over {len(orders)} orders   first, once learned   first, at the end   last")
    for name, consolidate in ways.items():
        learned, kept, last = np.mean([in_turn(order, consolidate) for order in orders], axis=0)
        print(f"{name:24s} {learned:+20.1%} {kept:+19.1%} {last:+8.1%}", flush=True)


if __name__ == "__main__":
    main()

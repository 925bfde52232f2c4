"""A process that adds memories until told otherwise, saying each id once it is acknowledged.

python -m tests.memory.writer FOLDER NAME COUNT [BATCH]; the store is that of RUVLLM_STORE, or a file in FOLDER.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ruvllm_mcp.memory import live
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder


def main(folder: str, name: str, count: int, batch: int = 1, graph_at: int = 0) -> None:
    if graph_at:
        live.WORTH_A_GRAPH = live.SAVE_AT = graph_at
    embedder = WordEmbedder()
    memory = Memory(Path(folder), lambda: embedder, namespace="here", store=os.environ.get("RUVLLM_STORE", ""))
    for start in range(0, count, batch):
        items = [NewMemory(f"{name} wrote number {n}") for n in range(start, min(start + batch, count))]
        for number, item in zip(memory.add(items), items, strict=True):
            print(int(number), item.content, flush=True)
        if start % 10 == 9:
            memory.search("wrote number")
    memory.close()


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))

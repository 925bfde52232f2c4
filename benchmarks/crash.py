"""kill -9 at random moments, again and again, on one store: is everything that was acknowledged there each time?

    python benchmarks/crash.py [ROUNDS]

Each round two processes add and search with background builds running; both are killed after up to a second. Then the
store is opened: every acknowledged memory must be there with its text, the index must agree with the store, and
nothing may need repair but files that a killed build left.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from ruvllm_mcp.memory import doctor  # noqa: E402  the tests are found beside this folder only
from ruvllm_mcp.memory.memory import Memory  # noqa: E402
from tests.memory.conftest import WordEmbedder  # noqa: E402


def killed_writers(folder: Path, number: int, chosen: random.Random) -> dict[int, str]:
    """What two writers had acknowledged when they were killed."""
    command = [sys.executable, "-m", "tests.memory.writer", str(folder)]
    writers = [
        subprocess.Popen(
            [*command, f"{name}{number}", "100000", str(chosen.randint(1, 20)), "400"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("anna", "bert")
    ]
    first = [writer.stdout.readline() for writer in writers if writer.stdout]
    time.sleep(chosen.random())
    acknowledged: dict[int, str] = {}
    for writer in writers:
        writer.kill()
    for begun, writer in zip(first, writers, strict=True):
        for line in (begun + writer.communicate()[0]).splitlines(keepends=True):
            if line.endswith("\n"):
                memory_id, content = line.rstrip("\n").split(" ", 1)
                acknowledged[int(memory_id)] = content
    return acknowledged


def main(rounds: int) -> None:
    chosen, acknowledged = random.Random(9), dict[int, str]()
    embedder = WordEmbedder()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(rounds):
            acknowledged |= killed_writers(folder, number, chosen)
            memory = Memory(folder, lambda: embedder, namespace="here")
            stored = {record.id: record.content for record in memory.records()}
            lost = acknowledged.items() - stored.items()
            found = {hit.id for hit in memory.search("wrote number", 10**6, mode="lexical").hits}
            dense = {hit.id for hit in memory.search("wrote number", 10**6, mode="vector").hits}
            memory.close()
            wrong = [symptom for symptom in doctor.examine(folder) if symptom.name != "leftover"]
            if lost or found != set(stored) or dense != set(stored) or wrong:
                sys.exit(f"round {number}: {len(lost)} lost, {len(stored)} stored, {len(found)} found, {wrong}")
            if number % 10 == 9:
                print(f"{number + 1} rounds: {len(acknowledged):,} acknowledged, {len(stored):,} stored, none lost")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)

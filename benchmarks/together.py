"""Four writers and four readers, in processes of their own, on one store: is anything lost, doubled, locked or stale?

    python benchmarks/together.py [SECONDS]

A reader counts as stale when its search misses a memory that was acknowledged, to any process, before the search began.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.memory.together import together


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as home:
        seen = together(Path(home), 4, 4, seconds)
    print(f"4 writers, 4 readers, {seconds:g} s: {seen.written:,} memories added, {seen.searches:,} searches")
    print(f"{seen.lost} lost, {seen.doubled} doubled, {seen.stale} stale searches, {len(seen.errors)} errors")
    if seen.lost or seen.doubled or seen.stale or seen.errors:
        sys.exit("\n".join(seen.errors) or "not as promised")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)

"""The example scripts run, and say what they promise, with the embedder that needs no weights."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str) -> str:
    """What `python -c script` prints, run where the examples can be imported."""
    done = subprocess.run([sys.executable, "-c", script], cwd=EXAMPLES, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_answers_from_what_it_was_told() -> None:
    printed = run(
        "import os; os.environ['RUVLLM_EMBEDDER'] = 'hashing'; import asyncio, quickstart as q; asyncio.run(q.main())"
    )
    assert "remembered [1, 2, 3]" in printed
    assert "with a filter: [2]" in printed
    assert '[1] "Releases go out blue-green' in printed
    assert "learned: " in printed
    assert "Releases" not in printed.rpartition("left: ")[2]


def test_the_demo_asks_through_mcp_and_shows_that_feedback_moves_a_question_nobody_rated(tmp_path: Path) -> None:
    lesson = 'demo.Lesson("merge sorted inputs into one", "merge several sorted inputs into one", "nsmallest")'
    printed = run(
        "import asyncio, demo; from pathlib import Path;"
        "demo.MODULES = ('heapq', 'bisect', 'shutil', 'glob');"
        f"demo.LESSONS = ({lesson},);"
        f"asyncio.run(demo.main(Path({str(tmp_path / 'home')!r}), 'hashing'))"
    )
    passages = re.search(r"4 files, (\d+) passages", printed)
    assert passages
    assert int(passages[1]) > 50
    assert printed.count("\n ? ") >= 5
    moved = re.search(r"nsmallest went from number (\d+) to number (\d+)", printed)
    assert moved
    assert int(moved[2]) < int(moved[1])
    assert re.search(r"heapq.py:\d+  nsmallest  ← the right one", printed)
    assert f"claude mcp add --scope user ruvllm -- {Path(sys.executable).parent / 'ruvllm-mcp'}" in printed


def test_two_machines_share_a_database_and_one_may_be_killed(postgres_store: str, tmp_path: Path) -> None:
    printed = run(
        "import os; os.environ['RUVLLM_EMBEDDER'] = 'hashing'; import asyncio, two_machines as t;"
        f"from pathlib import Path; asyncio.run(t.main({postgres_store!r}, Path({str(tmp_path)!r})))"
    )
    assert "our search finds: The other machine learned lesson" in printed
    assert re.search(r"killed after \d\d+ acknowledged memories; lost: 0; we hold \d\d+", printed)

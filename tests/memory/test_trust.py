"""Nothing acknowledged is lost: many processes, kill -9, a full disk, a read-only folder, damaged and newer files."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ruvllm_mcp.errors import StoreBusyError, StoreCorruptError, StoreError, StoreVersionError
from ruvllm_mcp.memory import connection
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.conftest import Address
from tests.memory.conftest import WordEmbedder

ROOT = Path(__file__).parent.parent.parent


def writer(folder: Path, name: str, count: int, batch: int, store: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.memory.writer", str(folder), name, str(count), str(batch)]
    environment = {**os.environ, "RUVLLM_STORE": store}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, env=environment)


def opened(folder: Path) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here")


def contents(memory: Memory) -> dict[int, str]:
    return {record.id: record.content for record in memory.records()}


def test_two_processes_add_2000_each_and_every_one_is_found(tmp_path: Path, either_store: Address) -> None:
    processes = [writer(tmp_path, name, 2_000, 20, either_store(tmp_path)) for name in ("anna", "bert")]
    said = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in said] == ["", ""]
    memory = opened(tmp_path)
    stored = contents(memory)
    assert len(stored) == 4_000
    assert len(set(stored.values())) == 4_000
    for out, _ in said:
        acknowledged = dict(line.split(" ", 1) for line in out.splitlines())
        assert {int(number): text for number, text in acknowledged.items()}.items() <= stored.items()
    assert len(memory.search("wrote number", 5_000, mode="lexical").hits) == 4_000
    memory.close()


@pytest.mark.usefixtures("either_store")
def test_writers_and_readers_together_lose_and_miss_nothing(tmp_path: Path) -> None:
    script = """
import sys
from tests.memory.together import *
seen = together(Path(sys.argv[1]), 4, 4, 2.0)
print(seen.written > 0, seen.searches > 0, seen.stale, seen.errors, seen.lost, seen.doubled)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("True True 0 [] 0 0\n", "")


def test_others_see_adds_updates_and_deletes_at_their_next_search(tmp_path: Path) -> None:
    ours, theirs = opened(tmp_path), opened(tmp_path)
    number = ours.add([NewMemory("the first version")])[0]
    assert [hit.content for hit in theirs.search("version").hits] == ["the first version"]
    theirs.update(number, content="the second version")
    assert [hit.content for hit in ours.search("version").hits] == ["the second version"]
    ours.delete(number)
    assert not theirs.search("version").hits
    ours.close()
    theirs.close()


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, either_store: Address) -> None:
    script = """
import sys
from tests.memory.crashing import *
store = Store(Place(Path(sys.argv[1]), sys.argv[2]), seed=3)
for _ in range(5):
    store.round()
print(store.changes)
"""
    command = [sys.executable, "-c", script, str(tmp_path), either_store(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0
    memory = opened(tmp_path)
    stored = contents(memory)
    assert memory.add([NewMemory("life goes on")])[0] > max(stored, default=0)
    memory.close()


IN_TMPFS = """
set -e
mount -t tmpfs -o size=4m tmpfs "$1"
"$2" - "$1" <<'SCRIPT'
{script}
SCRIPT
"""


def in_small_disk(folder: Path, script: str) -> str:
    """Runs Python with a 4 MB disk of its own mounted on `folder` (a private mount namespace: nothing to undo)."""
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*private, "mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    command = [*private, "sh", "-c", IN_TMPFS.replace("{script}", script), "sh", str(folder), sys.executable]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_is_an_error_that_keeps_what_was_there(tmp_path: Path) -> None:
    out = in_small_disk(
        tmp_path,
        """
import sys
from ruvllm_mcp.errors import StorageFullError
from tests.memory.test_trust import *
ballast = Path(sys.argv[1]) / "ballast"
ballast.write_bytes(bytes(300_000))
memory = opened(Path(sys.argv[1]) / "home")
kept = []
try:
    while True:
        kept += memory.add([NewMemory(f"memory {len(kept)} " + "x" * 5_000)])
except StorageFullError as error:
    print("full" in str(error) or "cannot" in str(error))
stored = contents(memory)
print(len(kept) > 10, set(kept) == set(stored))
ballast.unlink()
memory.delete(kept[0])
memory.close()
again = opened(Path(sys.argv[1]) / "home")
print(set(contents(again)) == set(kept[1:]))
""",
    )
    assert out.split() == ["True", "True", "True", "True"]


def test_a_read_only_folder_is_a_clear_error(tmp_path: Path) -> None:
    out = in_small_disk(
        tmp_path,
        """
import subprocess, sys
from ruvllm_mcp.errors import StorageFullError
from tests.memory.test_trust import *
home = Path(sys.argv[1])
memory = opened(home)
memory.add([NewMemory("kept")])
memory.close()
subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
try:
    opened(home).add([NewMemory("new")])
except StorageFullError as error:
    print("cannot be written" in str(error))
subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
print(list(contents(opened(home)).values()) == ["kept"])
""",
    )
    assert out.split() == ["True", "True"]


def test_the_store_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    memory = opened(tmp_path / "home")
    memory.add([NewMemory("private")])
    files = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "home").iterdir()}
    assert files.keys() >= {"memory.db", "memory.db-wal", "memory.db-shm"}
    assert set(files.values()) == {0o600}
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    memory.close()


def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "memory.db")
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    with pytest.raises(StoreVersionError, match="schema 999"):
        opened(tmp_path)


def test_files_that_are_no_stores_are_refused(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_text("this is not a database, but a text of some length" * 100)
    with pytest.raises(StoreCorruptError):
        opened(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    raw = sqlite3.connect(other / "memory.db")
    raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    with pytest.raises(StoreCorruptError, match="another program"):
        opened(other)


@pytest.mark.parametrize("seed", range(6))
def test_a_truncated_or_scribbled_store_is_a_store_error(tmp_path: Path, seed: int) -> None:
    memory = opened(tmp_path)
    memory.add([NewMemory(f"memory {n}") for n in range(300)])
    memory.close()
    path, chosen = tmp_path / "memory.db", random.Random(seed)
    data = bytearray(path.read_bytes())
    if seed % 2:
        del data[chosen.randrange(len(data)) :]
    else:
        for _ in range(50):
            at = chosen.randrange(100, len(data) - 64)
            data[at : at + 64] = chosen.randbytes(64)
    path.write_bytes(data)
    try:
        damaged = opened(tmp_path)
    except StoreError:
        return
    errors: list[StoreError] = []
    for call in (lambda: damaged.search("memory"), lambda: contents(damaged), lambda: damaged.add([NewMemory("new")])):
        try:
            call()
        except StoreError as error:
            errors.append(error)
    assert all(error.hint for error in errors)
    damaged.close()


def test_a_store_locked_too_long_is_a_busy_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    memory = opened(tmp_path)
    memory.add([NewMemory("before")])
    holder = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusyError):
        memory.add([NewMemory("meanwhile")])
    assert memory.search("before").hits, "readers do not wait"
    holder.execute("ROLLBACK")
    holder.close()
    assert memory.add([NewMemory("meanwhile")])
    memory.close()


@pytest.mark.usefixtures("either_store")
def test_a_closed_memory_says_so(tmp_path: Path) -> None:
    memory = opened(tmp_path)
    memory.close()
    with pytest.raises(StoreError, match="closed"):
        memory.add([NewMemory("too late")])

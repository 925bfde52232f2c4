"""Stores that earlier releases wrote (`stores/schema_N.sql`, dumped by their own code) move up, and back, whole."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ruvllm_mcp.errors import InvalidInputError, StoreError
from ruvllm_mcp.memory import doctor, migrations, upgrade
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.migrations import Step
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder

STORES = Path(__file__).parent / "stores"
LATEST = len(migrations.STEPS)
CONTENTS = {1: "Releases go out on Tuesdays", 2: "The cache is flushed at midnight — ünïcode", 3: "Said in passing"}


def opened(folder: Path) -> Memory:
    embedder = WordEmbedder()
    embedder.dim = 8
    return Memory(folder, lambda: embedder, namespace="here")


def written_by(version: int, folder: Path) -> Path:
    folder.mkdir()
    raw = sqlite3.connect(folder / "memory.db")
    raw.executescript((STORES / f"schema_{version}.sql").read_text(encoding="utf-8"))
    raw.close()
    return folder


def schema_of(path: Path) -> int:
    raw = sqlite3.connect(path)
    try:
        return int(raw.execute("PRAGMA user_version").fetchone()[0])
    finally:
        raw.close()


def test_there_is_a_store_of_every_earlier_schema() -> None:
    assert {path.name for path in STORES.iterdir()} == {f"schema_{n}.sql" for n in range(1, LATEST)}


@pytest.mark.parametrize("version", range(1, LATEST))
def test_a_store_of_an_earlier_schema_opens_whole(tmp_path: Path, version: int) -> None:
    home = written_by(version, tmp_path / "home")
    memory = opened(home)
    records = {record.id: record for record in memory.records()}
    assert {number: record.content for number, record in records.items()} == CONTENTS
    assert (records[1].metadata, records[1].source) == ({"topic": "release", "title": "Plan"}, "plan.md")
    assert [records[number].trust for number in (1, 2, 3)] == ["trusted", "agent", "trusted"]
    assert [(link.id, link.weight) for link in memory.neighbours(1)] == [(2, 0.5)]
    held = memory.namespaces()
    assert (held["here"].memories, held["there"].memories) == (2, 1)
    assert held["there"].bytes == len("Said in passing" + "{}")
    assert {hit.id for hit in memory.search("midnight", mode="lexical").hits} == {2}
    assert {hit.id for hit in memory.search("Releases go out on Tuesdays", mode="vector").hits} == {1, 2, 3}
    assert memory.add([NewMemory("one more")])[0] > 4, "ids of deleted memories are not given again"
    memory.close()
    assert doctor.examine(home) == []
    (copy,) = home.glob("memory.db.schema*")
    assert schema_of(copy) == version
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("version", range(1, LATEST))
def test_a_dry_run_names_the_steps_and_changes_nothing(tmp_path: Path, version: int) -> None:
    home = written_by(version, tmp_path / "home")
    planned = upgrade.try_out(home)
    assert planned.steps == tuple(step.name for step in migrations.STEPS[version:])
    assert (planned.before, planned.after, planned.copy) == (version, LATEST, None)
    assert schema_of(home / "memory.db") == version
    assert not list(home.glob("memory.db.schema*"))
    done = upgrade.migrate(home)
    assert (done.steps, done.after) == (planned.steps, LATEST)
    assert done.copy is not None
    assert schema_of(done.copy) == version
    assert upgrade.try_out(home).steps == upgrade.migrate(home).steps == ()


def test_going_back_keeps_what_was_written_since(tmp_path: Path) -> None:
    home = written_by(4, tmp_path / "home")
    memory = opened(home)
    late = memory.add([NewMemory("written by the newer release", trust="untrusted")])[0]
    memory.close()
    back = upgrade.roll_back(home, 4)
    assert (back.before, back.after) == (LATEST, 4)
    assert back.copy is not None
    assert schema_of(back.copy) == LATEST
    theirs, ours = sqlite3.connect(tmp_path / "reference.db"), sqlite3.connect(home / "memory.db")
    theirs.executescript((STORES / "schema_4.sql").read_text(encoding="utf-8"))
    for table in ("memories", "namespaces", "terms", "feedback"):
        query = f"PRAGMA table_info({table})"
        assert ours.execute(query).fetchall() == theirs.execute(query).fetchall()
    assert not ours.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    theirs.close()
    ours.close()
    memory = opened(home)
    assert memory.get(late).content == "written by the newer release"
    assert {record.id for record in memory.records()} == {*CONTENTS, late}
    memory.close()


def test_a_schema_that_cannot_be_reached_is_refused(tmp_path: Path) -> None:
    home = written_by(2, tmp_path / "home")
    for version in (-1, 1, 3, LATEST + 1):
        with pytest.raises(InvalidInputError, match="cannot go to"):
            upgrade.roll_back(home, version)
    with pytest.raises(InvalidInputError, match="no store"):
        upgrade.try_out(tmp_path)


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM memories")
        connection.execute("SELECT no_such_function()")

    home = written_by(4, tmp_path / "home")
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, Step(broken)))
    with pytest.raises(StoreError):
        upgrade.try_out(home)
    with pytest.raises(StoreError):
        opened(home)
    monkeypatch.undo()
    memory = opened(home)
    assert {record.id: record.content for record in memory.records()} == CONTENTS
    memory.close()

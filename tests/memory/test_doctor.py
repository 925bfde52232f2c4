"""Backups, restoring and repair: what was there is there again, and every process sees it."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ruvllm_mcp import RuvLLM, Settings
from ruvllm_mcp.errors import InvalidInputError, StoreCorruptError, StoreError
from ruvllm_mcp.memory import doctor, live
from ruvllm_mcp.memory.backup import backup, restore
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder


def opened(folder: Path) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here")


def contents(memory: Memory) -> dict[int, str]:
    return {record.id: record.content for record in memory.records()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    memory = opened(tmp_path / "home")
    memory.add([NewMemory(f"memory number {n} about topic{n % 9}", {"n": n}) for n in range(200)])
    memory.close()
    return tmp_path / "home"


def test_a_backup_made_while_writing_is_complete_and_restores_online(home: Path, tmp_path: Path) -> None:
    ours, theirs = opened(home), opened(home)
    before = contents(ours)
    theirs.search("topic1")
    assert backup(home, tmp_path / "copy.db") > 0
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    first, second = sorted(before)[:2]
    ours.delete(first)
    ours.update(second, content="overwritten by mistake")
    late = ours.add([NewMemory("added after the backup")])[0]
    assert theirs.search("overwritten by mistake").hits[0].id == second
    assert restore(home, tmp_path / "copy.db") == 200
    for memory in (ours, theirs):
        assert contents(memory) == before
        found = memory.search("memory number", 500, mode="lexical").hits
        assert {hit.id: hit.content for hit in found} == before
        assert late not in {hit.id for hit in memory.search("added after the backup", 500).hits}
    assert ours.add([NewMemory("one more")])[0] > late
    assert not doctor.examine(home)
    ours.close()
    theirs.close()


def test_a_backup_never_overwrites_and_is_checked(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "copy.db")
    with pytest.raises(InvalidInputError, match="exists"):
        backup(home, tmp_path / "copy.db")
    with pytest.raises(InvalidInputError, match="no store"):
        backup(tmp_path / "nowhere", tmp_path / "other.db")
    data = bytearray((tmp_path / "copy.db").read_bytes())
    data[8192 * 3 : 8192 * 5] = random.Random(1).randbytes(8192 * 2)
    (tmp_path / "bad.db").write_bytes(data)
    before = contents(opened(home))
    for bad in (tmp_path / "bad.db", tmp_path / "none.db"):
        with pytest.raises((StoreError, InvalidInputError)):
            restore(home, bad)
    assert contents(opened(home)) == before, "a failed restore changes nothing"


def test_a_restore_replaces_a_store_that_cannot_be_opened(home: Path, tmp_path: Path) -> None:
    before = contents(opened(home))
    backup(home, tmp_path / "copy.db")
    (home / "memory.db").write_bytes(b"garbage" * 10_000)
    with pytest.raises(StoreCorruptError):
        opened(home)
    assert restore(home, tmp_path / "copy.db") == 200
    assert contents(opened(home)) == before
    assert list(home.glob("memory.db.damaged-*"))


def test_a_sound_store_has_no_symptoms(home: Path, tmp_path: Path) -> None:
    assert doctor.examine(home) == []
    assert doctor.examine(tmp_path / "nothing here") == []


HARMS = {
    "terms": "DELETE FROM terms WHERE memory_id % 2",
    "hashes": "UPDATE memories SET content = content || ' flipped' WHERE id = 7",
    "vectors": "UPDATE vectors SET vector = x'0011' WHERE memory_id = 5",
    "numbers": "UPDATE counters SET value = 3 WHERE name = 'seq'",
    "orphans": "INSERT INTO terms VALUES (9999, 1, x'')",
}


@pytest.mark.parametrize("name", HARMS)
def test_each_symptom_is_named_and_put_right(home: Path, name: str) -> None:
    raw = sqlite3.connect(home / "memory.db")
    raw.execute(HARMS[name])
    raw.commit()
    raw.close()
    assert [symptom.name for symptom in doctor.examine(home)] == [name]
    assert doctor.repair(home) == []
    memory = opened(home)
    assert len(memory.search("memory number", 500, mode="lexical").hits) == 200
    assert len(memory.search("memory number", 500, mode="vector").hits) == 200
    memory.close()


def test_stray_and_damaged_files_are_cleared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SAVE_AT", 10)
    memory = opened(home)
    memory.search("topic1")
    memory.close()
    path = next(home.glob("index-*.snap"))
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data)
    (home / "index-abc.snap.partial").write_bytes(b"half")
    assert {symptom.name for symptom in doctor.examine(home)} == {"snapshot", "leftover"}
    assert doctor.repair(home) == []


def test_opening_removes_what_dead_processes_left_unfinished(home: Path) -> None:
    for name in ("index-abc.snap.4194999.partial", "restore.4194999.partial-wal", f"mine.{os.getpid()}.partial"):
        (home / name).write_bytes(b"half")
    memory = opened(home)
    memory.search("topic1")
    memory.close()
    assert [path.name for path in home.glob("*.partial*")] == [f"mine.{os.getpid()}.partial"]


@pytest.mark.parametrize("seed", range(4))
def test_memories_on_sound_pages_are_salvaged(home: Path, seed: int) -> None:
    memory = opened(home)
    before = contents(memory)
    for number in sorted(before)[:-1]:
        memory.link(number, number + 1, "leads-to", number / 1_000)
    memory.close()
    data, chosen = bytearray((home / "memory.db").read_bytes()), random.Random(seed)
    for _ in range(3):
        page = chosen.randrange(4, len(data) // 8192)
        data[page * 8192 : page * 8192 + 4_000] = chosen.randbytes(4_000)
    (home / "memory.db").write_bytes(data)
    if not doctor.examine(home):
        pytest.skip("the damage fell on free pages")
    doctor.repair(home)
    memory = opened(home)
    after = contents(memory)
    assert len(after) >= 100
    assert all(before.get(number) == text for number, text in after.items())
    assert len(memory.search("memory number", 500, mode="lexical").hits) == len(after)
    for number in after:
        for link in memory.neighbours(number):
            assert (abs(link.id - number), link.kind) == (1, "leads-to")
            assert link.weight == min(link.id, number) / 1_000
    memory.close()


def rewritten(path: Path, table: str) -> None:
    """Makes the first page of a table unreadable."""
    raw = sqlite3.connect(path)
    (page,) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    raw.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 8192 : page * 8192] = random.Random(1).randbytes(8192)
    path.write_bytes(data)


async def told(settings: Settings) -> Any:
    async with RuvLLM(settings) as llm:
        page = await llm.list_memories(namespace="*")
        hits = await llm.search_memory("how do the releases reach the deploy pipeline?")
        return (
            [(item.id, item.content, item.access_count) for item in page.items],
            [await llm.neighbours(item.id) for item in page.items],
            (await llm.stats()).feedbacks,
            [(hit.id, round(hit.score, 4)) for hit in hits],
        )


@pytest.mark.parametrize("damaged", ["vectors", "terms", "versions"])
def test_links_and_what_feedback_taught_are_salvaged_too(tmp_path: Path, damaged: str) -> None:
    settings = Settings(home=tmp_path / "home", embedder="hashing", namespace="shop")

    async def fill() -> None:
        async with RuvLLM(settings) as llm:
            texts = ["Releases go out through the deploy pipeline.", "Invoices are rounded.", "The runbook is a wiki."]
            ids = await llm.add_memories(texts)
            await llm.link_memories(ids[0], ids[2], "explains", 0.7)
            hits = await llm.search_memory("how do releases reach the deploy pipeline?")
            await llm.feedback(hits.request_id, relevant=[ids[2]], task_success=True)

    asyncio.run(fill())
    before = asyncio.run(told(settings))
    assert before[1][0], "there is a link"
    assert before[2] == 1
    rewritten(tmp_path / "home" / "memory.db", damaged)
    assert [symptom.name for symptom in doctor.examine(settings.home)] == ["pages"]
    assert doctor.repair(settings.home) == []
    after = asyncio.run(told(settings))
    assert [row[:2] for row in after[0]] == [row[:2] for row in before[0]]
    assert after[1:] == before[1:]
    assert all(now[2] >= then[2] for now, then in zip(after[0], before[0], strict=True)), "how often each was found"

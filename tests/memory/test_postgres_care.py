"""Backups and the doctor on a shared database, and a memory that moves between a file and a database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ruvllm_mcp import RuvLLM, Settings
from ruvllm_mcp.errors import StoreError
from ruvllm_mcp.memory import postgres_doctor
from ruvllm_mcp.memory.backup import backup, restore
from ruvllm_mcp.memory.postgres import PostgresStore
from ruvllm_mcp.memory.postgres_connection import address_of

QUESTION = "how do the releases reach the deploy pipeline?"


async def filled(settings: Settings) -> None:
    async with RuvLLM(settings) as llm:
        ids = await llm.add_memories(
            [
                {"content": "Releases go out through the deploy pipeline.", "metadata": {"ü": [1, None]}},
                {"content": "Invoices are rounded half to even.", "namespace": "global", "ttl": 1e6},
                {"content": "The runbook is in the wiki.", "importance": 0.9},
            ]
        )
        await llm.link_memories(ids[0], ids[2], "explains", 0.7)
        hits = await llm.search_memory("how do releases reach the deploy pipeline?")
        await llm.feedback(hits.request_id, relevant=[ids[2]], task_success=True)
        await llm.configure_namespace("shop", max_memories=100)
        await llm.snapshot("kept")


async def told(settings: Settings) -> Any:
    """Everything that a store is asked for."""
    async with RuvLLM(settings) as llm:
        hits = await llm.search_memory(QUESTION)
        page = await llm.list_memories(namespace="*")
        return (
            [(hit.id, hit.content, round(hit.score, 5)) for hit in hits],
            [(item.id, item.content, item.metadata, item.trust, item.expires_at) for item in page.items],
            [await llm.neighbours(item.id) for item in page.items],
            [(item.label, item.kind) for item in await llm.snapshots()],
            await llm.namespaces(),
            (await llm.stats()).feedbacks,
        )


@pytest.mark.parametrize(("source", "target"), [("postgres", "postgres"), ("postgres", "file"), ("file", "postgres")])
def test_a_backup_of_either_kind_of_store_comes_back_whole_in_the_other(
    postgres_store: str, tmp_path: Path, source: str, target: str
) -> None:
    stores = {"postgres": postgres_store, "file": ""}
    old = Settings(home=tmp_path / "old", store=stores[source], namespace="shop", embedder="hashing")
    new = Settings(home=tmp_path / "new", store=stores[target], namespace="shop", embedder="hashing")
    asyncio.run(filled(old))
    before = asyncio.run(told(old))
    backup(old.home, tmp_path / "copy.db", old.store)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600

    async def spoil() -> None:
        async with RuvLLM(new) as llm:
            await llm.add_memory("Written since, and to be gone.")

    asyncio.run(spoil())
    assert restore(new.home, tmp_path / "copy.db", new.store) == 3
    assert asyncio.run(told(new)) == before

    async def go_on() -> int:
        async with RuvLLM(new) as llm:
            return await llm.add_memory("Life goes on.")

    assert asyncio.run(go_on()) > max(item[0] for item in before[1])
    assert not list(tmp_path.rglob("*partial*"))


def test_others_take_a_restored_database_in_at_their_next_search(postgres_store: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", store=postgres_store, namespace="shop", embedder="hashing")

    async def run() -> list[str]:
        async with RuvLLM(settings) as llm:
            await llm.add_memory("kept")
            backup(settings.home, tmp_path / "copy.db", settings.store)
            await llm.add_memory("written since")
            await llm.search_memory("kept")
            restore(settings.home, tmp_path / "copy.db", settings.store)
            return [hit.content for hit in await llm.search_memory("kept written since")]

    assert asyncio.run(run()) == ["kept"]


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        ("UPDATE namespaces SET memories = 7", "counts"),
        ("DELETE FROM feed", "feed"),
        ("UPDATE counters SET value = 0 WHERE name = 'changes'", "numbers"),
    ],
)
def test_the_doctor_sees_what_was_done_by_hand_and_puts_it_right(
    postgres_store: str, tmp_path: Path, damage: str, name: str
) -> None:
    settings = Settings(home=tmp_path / "home", store=postgres_store, namespace="shop", embedder="hashing")
    asyncio.run(filled(settings))
    address, before = address_of(postgres_store), asyncio.run(told(settings))
    assert postgres_doctor.examine(address) == []
    store = PostgresStore(address)
    with store.connections.read() as connection:
        connection.execute(damage.encode())
    store.close()
    assert [symptom.name for symptom in postgres_doctor.examine(address)] == [name]
    assert postgres_doctor.repair(address) == []
    assert asyncio.run(told(Settings(**{**vars(settings), "home": tmp_path / "another"}))) == before


def test_a_text_changed_by_hand_is_reported(postgres_store: str, tmp_path: Path) -> None:
    asyncio.run(filled(Settings(home=tmp_path, store=postgres_store, namespace="shop", embedder="hashing")))
    store = PostgresStore(address_of(postgres_store))
    with store.connections.read() as connection:
        connection.execute("UPDATE memories SET content = 'X' || substr(content, 2) WHERE id = 1")
    store.close()
    assert [symptom.name for symptom in postgres_doctor.examine(address_of(postgres_store))] == ["hashes"]


def test_the_doctor_says_that_the_server_is_away(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not answer"):
        postgres_doctor.examine(address_of(f"postgresql:///x?host={tmp_path}"))

"""A shared database's schema is tried out, brought up to date and taken back, memories and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruvllm_mcp.errors import InvalidInputError, StoreError
from ruvllm_mcp.memory import postgres_connection, postgres_migrations, postgres_upgrade
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.migrations import Step
from ruvllm_mcp.memory.postgres_connection import address_of
from ruvllm_mcp.types import NewMemory
from tests.conftest import Postgres
from tests.memory.conftest import WordEmbedder

LATEST = len(postgres_migrations.STEPS)


def opened(folder: Path, url: str) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here", store=url)


def columns(postgres: Postgres, url: str) -> set[str]:
    import psycopg

    with psycopg.connect(postgres.url) as connection:
        query = """SELECT column_name FROM information_schema.columns
            WHERE table_schema = %s AND table_name = 'trajectories'"""
        return {row[0] for row in connection.execute(query, (url.rpartition("=")[2],))}


def test_going_back_and_forth_keeps_every_memory(postgres: Postgres, postgres_store: str, tmp_path: Path) -> None:
    memory = opened(tmp_path, postgres_store)
    number = memory.add([NewMemory("kept through it all")])[0]
    memory.close()
    address = address_of(postgres_store)
    assert postgres_upgrade.try_out(address).steps == postgres_upgrade.migrate(address).steps == ()
    back = postgres_upgrade.roll_back(address, 1)
    assert (back.before, back.after, back.steps) == (LATEST, 1, ("question_tokens",))
    assert back.bytes > 0
    assert "tokens" not in columns(postgres, postgres_store)
    tried = postgres_upgrade.try_out(address)
    assert (tried.before, tried.after, tried.steps) == (1, LATEST, ("question_tokens",))
    assert "tokens" not in columns(postgres, postgres_store), "nothing was changed"
    assert postgres_upgrade.migrate(address).steps == ("question_tokens",)
    assert "tokens" in columns(postgres, postgres_store)
    memory = opened(tmp_path, postgres_store)
    assert memory.get(number).content == "kept through it all"
    memory.close()


def test_what_cannot_be_reached_is_refused(postgres_store: str, tmp_path: Path) -> None:
    address = address_of(postgres_store)
    with pytest.raises(InvalidInputError, match="no store"):
        postgres_upgrade.try_out(address)
    opened(tmp_path, postgres_store).close()
    for version in (-1, 0, LATEST + 1):
        with pytest.raises(InvalidInputError, match="cannot go to"):
            postgres_upgrade.roll_back(address, version)


def test_a_way_back_that_fails_changes_nothing(
    postgres_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(connection: postgres_connection.Session) -> None:
        connection.execute("SELECT no_such_function()")

    first, last = postgres_migrations.STEPS
    monkeypatch.setattr(postgres_migrations, "STEPS", (first, Step(last.apply, broken)))
    memory = opened(tmp_path, postgres_store)
    memory.add([NewMemory("still there")])
    memory.close()
    with pytest.raises(StoreError, match="no_such_function"):
        postgres_upgrade.roll_back(address_of(postgres_store), 1)
    memory = opened(tmp_path, postgres_store)
    assert [record.content for record in memory.records()] == ["still there"]
    memory.close()

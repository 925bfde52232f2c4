"""What a shared database has to get right beyond what every store has: order, reconnecting, errors with a name."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ruvllm_mcp.errors import (
    SettingsError,
    StoreAccessError,
    StoreBusyError,
    StoreError,
    StoreSetupError,
    StoreUnreachableError,
    StoreVersionError,
)
from ruvllm_mcp.memory import postgres_connection, postgres_migrations, postgres_rows
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.migrations import Step
from ruvllm_mcp.memory.postgres import PostgresStore
from ruvllm_mcp.memory.postgres_connection import address_of
from ruvllm_mcp.memory.postgres_rows import publish
from ruvllm_mcp.types import NewMemory
from tests.conftest import Postgres
from tests.memory.conftest import WordEmbedder

ROOT = Path(__file__).parent.parent.parent


def opened(folder: Path, url: str) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here", store=url)


@pytest.fixture
def shared(tmp_path: Path, postgres_store: str) -> Iterator[Memory]:
    memory = opened(tmp_path, postgres_store)
    yield memory
    memory.close()


@pytest.fixture
def store(postgres_store: str) -> Iterator[PostgresStore]:
    store = PostgresStore(address_of(postgres_store))
    yield store
    store.close()


def test_a_change_gets_its_number_only_when_all_before_it_are_committed(shared: Memory, store: PostgresStore) -> None:
    first, second = shared.add([NewMemory("first"), NewMemory("second")])
    before = store.sequence()
    numbered, may_commit = threading.Event(), threading.Event()

    def slow(connection: postgres_connection.Session) -> None:
        publish(connection, [first], {})
        numbered.set()
        assert may_commit.wait(20)

    writer = threading.Thread(target=store.connections.write, args=(slow,))
    writer.start()
    assert numbered.wait(20)
    quick = threading.Thread(target=shared.update, args=(second,), kwargs={"importance": 1.0})
    quick.start()
    quick.join(0.3)
    assert quick.is_alive(), "a later number would be seen before the earlier change"
    assert store.sequence() == before
    assert [change.id for part in store.changes(before, "words-1") for change in part.changed] == []
    may_commit.set()
    writer.join()
    quick.join()
    assert {change.id for part in store.changes(before, "words-1") for change in part.changed} == {first, second}


def test_who_commits_late_is_not_missed_and_keeps_its_place_in_the_chain(
    shared: Memory, postgres_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, late = opened(tmp_path / "reader", postgres_store), opened(tmp_path / "late", postgres_store)
    written, may_commit = threading.Event(), threading.Event()

    def said(text: str) -> NewMemory:
        return NewMemory(text, {"session": "one"}, source="talk")

    def slow_publish(*arguments: Any) -> None:
        if threading.current_thread().name == "slow":
            written.set()
            assert may_commit.wait(20)
        publish(*arguments)

    monkeypatch.setattr(postgres_rows, "publish", slow_publish)
    first = shared.add([said("said first")])[0]
    writer = threading.Thread(target=late.add, args=([said("said while others were")],), name="slow")
    writer.start()
    assert written.wait(20), "its id is taken, its row is written"
    last = shared.add([said("said last")])[0]
    assert {hit.id for hit in reader.search("said").hits} == {first, last}
    listed = reader.list(limit=1)
    may_commit.set()
    writer.join()
    (between,) = {hit.id for hit in reader.search("said").hits} - {first, last}
    assert first < between < last
    assert [item.id for item in reader.list(listed.next_cursor).items] == [between, last]
    with reader._live.lock:
        replica = reader._live.current()
        before, after = replica.neighbours(replica.find([first, between, last]))
    ids = replica.rows("ids")
    assert [int(ids[row]) if row >= 0 else None for row in before] == [None, first, between]
    assert [int(ids[row]) if row >= 0 else None for row in after] == [between, last, None]
    reader.close()
    late.close()


def test_a_reader_that_follows_misses_nothing_of_many_writers(store: PostgresStore, tmp_path: Path) -> None:
    url = f"{store.connections.address.conninfo}&schema={store.connections.address.schema}"
    memories = [opened(tmp_path / str(name), url) for name in range(4)]
    written: list[set[int]] = [set() for _ in memories]

    def write(name: int) -> None:
        chosen = random.Random(name)
        for step in range(25):
            texts = [f"{name} wrote {step} part {n} {'x' * 2_000}" for n in range(chosen.randint(1, 12))]
            written[name] |= set(memories[name].add([NewMemory(text) for text in texts]))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    seen, since = set(), 0
    while any(thread.is_alive() for thread in threads) or since < store.sequence():
        for part in store.changes(since, "words-1"):
            seen |= {change.id for change in part.changed}
            since = part.seq
    assert seen == set().union(*written)
    for memory in memories:
        memory.close()


def test_the_same_texts_added_by_all_at_once_are_kept_once(postgres_store: str, tmp_path: Path) -> None:
    memories = [opened(tmp_path / str(name), postgres_store) for name in range(4)]
    texts = [f"everybody says {n}" for n in range(40)]
    ids: list[list[int]] = [[] for _ in memories]

    def write(name: int) -> None:
        mine = random.Random(name).sample(texts, len(texts))
        found = {text: memories[name].add([NewMemory(text)])[0] for text in mine[:20]}
        rest = memories[name].add([NewMemory(text, {"by": name}) for text in mine[20:]])
        ids[name] = [{**found, **dict(zip(mine[20:], rest, strict=True))}[text] for text in texts]

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert len(set(ids[0])) == 40
    assert memories[0].namespaces()["here"].memories == 40
    for memory in memories:
        memory.close()


@pytest.mark.parametrize("seed", range(2))
def test_one_machine_killed_mid_write_loses_nothing_acknowledged_and_stops_nobody(
    shared: Memory, postgres_store: str, tmp_path: Path, seed: int
) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.memory.writer",
        str(tmp_path / "its"),
        "doomed",
        "100000",
        str(1 + 9 * seed),
    ]
    environment = {**os.environ, "RUVLLM_STORE": postgres_store}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(random.Random(seed).randint(1, 60))]
    ours = [shared.add([NewMemory(f"ours {n}")])[0] for n in range(5)]
    process.kill()
    said += process.stdout.readlines()
    assert process.wait() == -signal.SIGKILL
    ours += [shared.add([NewMemory(f"ours after {n}")])[0] for n in range(5)]
    acknowledged = {int(line.split(" ", 1)[0]) for line in said if line.endswith("\n")}
    stored = {record.id for record in shared.records()}
    assert acknowledged | set(ours) <= stored
    assert {hit.id for hit in shared.search("wrote number ours", 100_000).hits} == stored
    process.stdout.close()


def test_what_others_write_is_taken_in_before_the_next_search(
    shared: Memory, postgres_store: str, tmp_path: Path, postgres: Postgres
) -> None:
    shared.search("anything")
    other = opened(tmp_path / "other", postgres_store)
    for text in ("heard of", "heard of after a restart"):
        deadline = time.monotonic() + 20
        held = shared._live._replica
        assert held is not None
        before = held.seq
        while held.seq == before and time.monotonic() < deadline:  # nobody searches meanwhile
            other.add([NewMemory(f"{text} {time.monotonic()}")])
            time.sleep(0.1)
        assert held.seq > before
        postgres.restart()
    other.close()


def test_a_restarted_server_is_found_again(shared: Memory, postgres: Postgres) -> None:
    number = shared.add([NewMemory("before the restart")])[0]
    postgres.restart()
    assert [hit.id for hit in shared.search("restart").hits] == [number]
    assert shared.add([NewMemory("after the restart")])[0] > number


def test_a_server_that_went_away_in_a_write_is_named_and_nothing_is_half_done(
    store: PostgresStore, postgres: Postgres
) -> None:
    def cut(connection: postgres_connection.Session) -> None:
        connection.execute("INSERT INTO namespaces (name) VALUES ('half')")
        with psycopg.connect(postgres.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        connection.execute("SELECT 1")

    with pytest.raises(StoreUnreachableError, match="went away"):
        store.connections.write(cut)
    with store.connections.read() as connection:
        assert connection.execute("SELECT count(*) FROM namespaces").fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (("/data", "/nowhere"), StoreUnreachableError, "does not answer"),
        (("/postgres?", "/missing?"), StoreSetupError, "is not there"),
        (("postgres@", "stranger:s3cr3t@"), StoreAccessError, "refuses us"),
        (("postgres@", "reader@"), StoreAccessError, "forbids it"),
    ],
)
def test_what_keeps_us_out_has_a_name_and_a_hint(
    postgres: Postgres, postgres_store: str, change: tuple[str, str], kind: type[StoreError], said: str
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    try:
        with pytest.raises(kind, match=said) as refused:
            PostgresStore(address_of(postgres_store.replace(*change)))
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("DROP ROLE reader")
    assert refused.value.hint
    assert "s3cr3t" not in str(refused.value)


def test_a_wrong_password_is_refused_in_words_without_it(postgres: Postgres, postgres_store: str) -> None:
    rules = postgres.server.pgdata / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE ann LOGIN PASSWORD 'right'")
        rules.write_text("local all ann scram-sha-256\n" + before)
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.1)
        with pytest.raises(StoreAccessError, match="password") as refused:
            PostgresStore(address_of(postgres_store.replace("postgres@", "ann:wr0ng@")))
        rules.write_text(before)
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP ROLE ann")
    assert "wr0ng" not in str(refused.value)
    assert "wr0ng" not in repr(address_of("postgresql://ann:wr0ng@db/team"))


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cr3t@[bad/db", "postgresql://u:s3cr3t%zz@h/db", "postgresql://h/db?schema=Robert'); --"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="store") as refused:
        address_of(url)
    assert "s3cr3t" not in str(refused.value)


def test_a_database_without_pgvector_says_what_to_install(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_migrations, "EXTENSION", "no_such_extension")
    with pytest.raises(StoreSetupError, match="no pgvector") as refused:
        PostgresStore(address_of(postgres.new_store()))
    assert "Install" in refused.value.hint


def test_a_newer_schema_is_left_alone(store: PostgresStore, postgres_store: str) -> None:
    with store.connections.read() as connection:
        connection.execute("INSERT INTO migrations VALUES ('of_the_future', 0)")
    with pytest.raises(StoreVersionError, match=f"schema {len(postgres_migrations.STEPS) + 1}"):
        PostgresStore(address_of(postgres_store))


def test_a_step_that_fails_leaves_the_schema_as_it_was(
    store: PostgresStore, postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(connection: postgres_connection.Session) -> None:
        connection.execute("DROP TABLE links")
        connection.execute("SELECT no_such_function()")

    monkeypatch.setattr(postgres_migrations, "STEPS", (*postgres_migrations.STEPS, Step(broken)))
    with pytest.raises(StoreError, match="no_such_function"):
        PostgresStore(address_of(postgres_store))
    assert store.links([1]) == {1: []}


def test_many_machines_may_open_a_new_database_at_once(postgres_store: str) -> None:
    opened: list[PostgresStore] = []
    threads = [
        threading.Thread(target=lambda: opened.append(PostgresStore(address_of(postgres_store)))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.identity() for store in opened}) == 1
    assert len(opened) == 5
    for store in opened:
        store.close()


def test_what_takes_too_long_is_a_busy_error(
    postgres_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "LOCK_SECONDS", 0.1)
    memory = opened(tmp_path, postgres_store)
    number = memory.add([NewMemory("held")])[0]
    other = PostgresStore(address_of(postgres_store))
    with other.connections.transaction() as connection:
        connection.execute("UPDATE counters SET value = value")
        with pytest.raises(StoreBusyError, match="too long"):
            memory.delete(number)
        assert memory.search("held").hits, "readers do not wait"
    memory.delete(number)
    other.close()
    memory.close()

"""A namespace too large for a copy in every process is searched in the database, with the same answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.memory import postgres_large, postgres_search, postgres_statistics
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.postgres import PostgresStore
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder

WORDS = [f"word{n}" for n in range(400)]
SHARES = [1 / (n + 3) for n in range(400)]


Answers = list[tuple[list[int], list[float]]]


def sentences(count: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, SHARES, k=9)) + f" {seed}/{n}" for n in range(count)]


def opened(folder: Path, url: str) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here", store=url)


def enlarge(memory: Memory, name: str) -> None:
    store = memory._store
    assert isinstance(store, PostgresStore)
    with store.connections.read() as connection:
        (number,) = connection.execute("SELECT id FROM namespaces WHERE name = %s", (name,)).fetchall()[0]
    with store.connections.connect() as connection:
        assert postgres_large.enlarge(store.connections, connection, number)


@pytest.fixture
def filled(tmp_path: Path, postgres_store: str) -> Iterator[Memory]:
    memory = opened(tmp_path, postgres_store)
    items = [
        NewMemory(text, {"n": n, "even": n % 2 == 0, "session": n // 50}, source="talk", importance=n / 600)
        for n, text in enumerate(sentences(600, seed=1))
    ]
    memory.add(items)
    memory.add([NewMemory(text, namespace="there") for text in sentences(30, seed=2)])
    yield memory
    memory.close()


QUESTIONS = [" ".join(random.Random(seed).choices(WORDS, SHARES, k=4)) for seed in range(3)]
WHERES = [None, {"even": True}, {"n": {"$gte": 590}}, {"n": {"$in": [3, 4, 5]}}]


def answers(memory: Memory) -> Answers:
    found = [
        memory.search(question, 8, mode=mode, where=where, namespaces=spaces).hits  # type: ignore[arg-type]
        for question in QUESTIONS
        for mode in ("hybrid", "lexical", "vector")
        for where in WHERES
        for spaces in (["here"], None)
    ]
    return [([hit.id for hit in hits], [hit.score for hit in hits]) for hits in found]


def overlap(one: Answers, other: Answers) -> float:
    """The mean share of ids that both have."""
    pairs = zip(one, other, strict=True)
    return float(np.mean([len(set(ids) & set(others)) / max(len(ids), 1) for (ids, _), (others, _) in pairs]))


def test_the_database_answers_as_the_copy_did(filled: Memory) -> None:
    before = answers(filled)
    enlarge(filled, "here")
    after = answers(filled)
    same = sum(ids == others for (ids, _), (others, _) in zip(before, after, strict=True))
    assert same >= 0.9 * len(before)
    assert overlap(before, after) > 0.99
    for (ids, scores), (others, others_scores) in zip(before, after, strict=True):
        if ids == others:
            assert scores == pytest.approx(others_scores, rel=0.05, abs=0.1)


def test_processes_let_go_of_a_large_namespace_and_keep_the_small_ones(filled: Memory) -> None:
    filled.search("word1")
    enlarge(filled, "here")
    filled.search("word1", namespaces=["there"])
    with filled._live.lock:
        replica = filled._live.current()
        assert replica.alive == 30
    late = filled.add([NewMemory("word1 said later in the large one")])[0]
    filled.catch_up()
    with filled._live.lock:
        assert filled._live.current().alive == 30
    assert filled.search("word1 said later in the large one", 1, namespaces=["here"]).hits[0].id == late
    filled.update(late, namespace="there")
    assert late in {hit.id for hit in filled.search("said later", namespaces=["there"]).hits}
    filled.update(late, namespace="here")
    assert late not in {hit.id for hit in filled.search("said later", namespaces=["there"]).hits}
    filled.delete(late)
    assert late not in {hit.id for hit in filled.search("said later", 50).hits}
    assert filled.add([NewMemory("word1 said later")])[0].similar == ()


def test_near_duplicates_are_found_in_a_large_namespace(filled: Memory) -> None:
    number = filled.add([NewMemory("one sentence of quite different words about pumps and valves in the old harbour")])[
        0
    ]
    enlarge(filled, "here")
    again = filled.add(
        [NewMemory("one sentence of quite different words about pumps and valves in the old harbour too")]
    )[0]
    assert again.similar == (number,)


def test_a_filter_never_loses_a_match_in_a_large_namespace(filled: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    enlarge(filled, "here")
    monkeypatch.setattr(postgres_search, "SCANNED", 1)  # the index alone would find next to nothing
    for wanted in ({"n": 599}, {"n": {"$lt": 3}}, {"even": False, "n": {"$gt": 580}}):
        expected = {record.id for record in filled.list(limit=1_000, namespaces=["here"], where=wanted).items}
        for mode in ("hybrid", "vector"):
            hits = filled.search(QUESTIONS[0], 100, mode=mode, where=wanted, namespaces=["here"]).hits  # type: ignore[arg-type]
            assert {hit.id for hit in hits} == expected


def test_statistics_from_a_sample_are_close_to_the_counts(filled: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_statistics, "SAMPLE", 150)
    before = answers(filled)
    enlarge(filled, "here")
    after = answers(filled)
    assert overlap(before, after) > 0.9


def test_a_namespace_that_grows_is_made_large_in_the_background(
    tmp_path: Path, postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_large, "LARGE_AT", 700)
    monkeypatch.setattr(postgres_large, "LOOK_EVERY", 100)
    memory, other = opened(tmp_path / "one", postgres_store), opened(tmp_path / "two", postgres_store)
    other.search("word1")
    memory.add([NewMemory(text) for text in sentences(800, seed=3)])
    thread = memory._store._grower._thread  # type: ignore[attr-defined]  # a PostgresStore
    assert thread is not None
    thread.join()
    assert other._live.pushed_down(["here"]) is not None
    assert len(other.search(QUESTIONS[0], 900, mode="vector").hits) == 800
    memory.close()
    other.close()


def test_another_embedders_vectors_get_an_index_of_their_own(
    filled: Memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres_store: str
) -> None:
    enlarge(filled, "here")
    monkeypatch.setattr(postgres_large, "LOOK_EVERY", 100)
    embedder = WordEmbedder("wider")
    embedder.dim = 48
    memory = Memory(tmp_path / "wider", lambda: embedder, namespace="here", store=postgres_store)
    store = memory._store
    assert isinstance(store, PostgresStore)
    memory.search("word1")  # begins to embed anew, in the background
    memory.reembed()
    thread = store._grower._thread
    assert thread is not None
    thread.join()
    with store.connections.read() as connection:
        query = r"""SELECT count(*) FROM pg_index WHERE indisvalid
            AND pg_get_indexdef(indexrelid) ~ 'hnsw.*halfvec\(48\)'"""
        assert connection.execute(query).fetchall() == [(1,)]
    record = next(iter(memory.records()))
    assert memory.search(record.content, 1, mode="vector").hits[0].id == record.id
    memory.close()


def test_an_interrupted_index_is_made_anew(filled: Memory) -> None:
    store = filled._store
    assert isinstance(store, PostgresStore)
    with store.connections.read() as connection:
        (number,) = connection.execute("SELECT id FROM namespaces WHERE name = 'here'").fetchall()[0]
        connection.execute(f"CREATE INDEX large_{number}_terms ON memories USING gin (term_ids)".encode())
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", (f"large_{number}_terms",)
        )
    enlarge(filled, "here")
    with store.connections.read() as connection:
        query = "SELECT bool_and(indisvalid) FROM pg_index WHERE indexrelid = to_regclass(%s)"
        assert connection.execute(query, (f"large_{number}_terms",)).fetchall() == [(True,)]

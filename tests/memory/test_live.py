"""The replica behind searches: saved, mapped again, repaired, given a graph meanwhile, shared by processes."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.errors import StoreCorruptError
from ruvllm_mcp.memory import analysis, live, replica, snapshot
from ruvllm_mcp.memory.index import VectorIndex
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder

pytestmark = pytest.mark.usefixtures("either_store")
WORDS = [f"word{n}" for n in range(300)]


def sentences(count: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=8)) + f" {seed}/{n}" for n in range(count)]


def opened(folder: Path) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here")


def answers(memory: Memory) -> list[list[int]]:
    queries = [" ".join(random.Random(seed).choices(WORDS, k=3)) for seed in range(8)]
    return [
        [hit.id for hit in memory.search(query, 10, mode=mode).hits]  # type: ignore[arg-type]  # a str from a tuple
        for query in queries
        for mode in ("hybrid", "lexical", "vector")
    ]


def assert_alike(some: list[list[int]], others: list[list[int]]) -> None:
    """The same answers; in hybrid ones near-ties may change places, because how rare a token is goes by every memory
    that the replica has met, and one made anew has not met those deleted before."""
    for place, (one, other) in enumerate(zip(some, others, strict=True)):
        assert (set(one) if place % 3 == 0 else one) == (set(other) if place % 3 == 0 else other)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves and builds at sizes that a test can afford."""
    monkeypatch.setattr(live, "SAVE_AT", 100)
    monkeypatch.setattr(live, "WORTH_A_GRAPH", 500)


@pytest.fixture
def filled(tmp_path: Path, eager: None) -> Iterator[Memory]:  # noqa: ARG001  used for its effect
    memory = opened(tmp_path)
    memory.add([NewMemory(text, {"n": n}, source=f"file{n % 7}") for n, text in enumerate(sentences(450, seed=1))])
    yield memory
    memory.close()


def test_a_saved_replica_answers_as_the_one_made_from_the_store(filled: Memory, tmp_path: Path) -> None:
    ids = [record.id for record in filled.records()]
    filled.delete(ids[3])
    filled.update(ids[4], content="word1 word2 word3 changed")
    before = answers(filled)
    filled.close()
    saved = next(tmp_path.glob("*.snap"))
    again = opened(tmp_path)
    assert answers(again) == before
    again.add([NewMemory("word1 word2 later")])
    later = answers(again)
    again.close()
    saved.unlink()
    fresh = opened(tmp_path)
    assert_alike(answers(fresh), later)
    fresh.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_snapshot_is_noticed_and_made_anew(filled: Memory, tmp_path: Path, seed: int) -> None:
    before = answers(filled)
    filled.close()
    path, chosen = next(tmp_path.glob("*.snap")), random.Random(seed)
    data = bytearray(path.read_bytes())
    if seed % 3 == 0:
        del data[chosen.randrange(len(data)) :]
    else:
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    path.write_bytes(data)
    again = opened(tmp_path)
    assert answers(again) == before
    again.close()


def test_a_flipped_bit_is_named(filled: Memory, tmp_path: Path) -> None:
    filled.search("word1")
    identity, seq = snapshot.Identity(filled._store.identity(), "words-1", WordEmbedder.dim), filled._store.sequence()
    filled.close()
    path = next(tmp_path.glob("*.snap"))
    data = bytearray(path.read_bytes())
    data[snapshot.read_footer(path)["parts"]["codes"]["start"] + 5] ^= 1  # type: ignore[index]  # it is there
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match="'codes'"):
        snapshot.load(tmp_path, identity, seq, lambda ids: np.zeros((len(ids), WordEmbedder.dim), np.float32))


def test_a_snapshot_of_another_store_is_not_used(filled: Memory, tmp_path: Path) -> None:
    filled.search("word1")
    filled.close()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for saved in tmp_path.glob("*.snap"):
        shutil.copy(saved, elsewhere)
    other = opened(elsewhere)
    number = other.add([NewMemory("word1 in another store")])
    assert [hit.id for hit in other.search("word1 word2").hits] == number
    other.close()


def test_the_graph_comes_in_the_background_and_misses_nothing(filled: Memory, tmp_path: Path) -> None:
    filled.add([NewMemory(text) for text in sentences(400, seed=2)])
    before = answers(filled)
    builder = filled._live._builder
    assert builder is not None
    builder.join()
    with filled._live.lock:
        current = filled._live.current()
    assert isinstance(current.vectors, VectorIndex)
    assert current.vectors.graph is not None
    assert len(current.vectors.graph) == 850
    assert answers(filled) == before
    added = filled.add([NewMemory("word1 word2 word3 after the graph")])[0]
    assert filled.search("word1 word2 word3 after the graph").hits[0].id == added
    other = opened(tmp_path)
    assert answers(other) == answers(filled)
    with other._live.lock:
        shared = other._live.current()
    assert shared.vectors.unsettled == 1, "another process takes the graph over"
    other.close()


def test_words_analysed_anew_leave_vectors_token_bits_and_graph(
    filled: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.add([NewMemory(text) for text in sentences(250, seed=2)])
    filled.search("word1")
    builder = filled._live._builder
    assert builder is not None
    builder.join()
    ids = [record.id for record in filled.records()]
    filled.delete(ids[3])
    filled.update(ids[4], content="word1 word2 word3 changed")
    filled.update(ids[5], importance=0.9)
    (added,) = filled.add([NewMemory("word1 word2 later")])
    filled.close()
    plain = analysis.terms
    monkeypatch.setattr(analysis, "VERSION", analysis.VERSION + 1)
    monkeypatch.setattr(analysis, "memory_terms", lambda content, _: plain(f"{content} brandnew"))
    again = opened(tmp_path)
    found = {hit.id for hit in again.search("brandnew", 1_000, mode="lexical").hits}
    assert found == {*ids, added} - {ids[3]}
    here = again._live.current()
    assert isinstance(here.vectors, VectorIndex)
    assert here.vectors.graph is not None
    assert (len(here.vectors.graph), len(here), here.alive) == (700, 703, 700)
    assert here.tokens.file is not None
    answered = answers(again)
    again.close()
    saved = next(tmp_path.glob("*.snap"))
    assert snapshot.read_footer(saved)["identity"]["analysis"] == analysis.VERSION  # type: ignore[index]  # it is there
    saved.unlink()
    fresh = opened(tmp_path)
    assert_alike(answers(fresh), answered)
    assert [column.tolist() for column in lexical_state(fresh)] == [column.tolist() for column in lexical_state(again)]
    fresh.close()


def lexical_state(memory: Memory) -> list[np.ndarray]:
    """Ids of what lives and how many terms each has."""
    current = memory._live._replica
    assert current is not None
    living = np.flatnonzero(current.rows("alive"))
    order = living[np.argsort(current.rows("ids")[living])]
    return [current.rows("ids")[order], current.rows("lengths")[order]]


def test_a_build_that_failed_is_not_tried_again_at_every_search(
    filled: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    filled.add([NewMemory(text) for text in sentences(400, seed=2)])

    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(live.snapshot, "Writer", full)
    for _ in range(3):
        assert filled.search("word1").hits
        assert filled._live._builder is not None
        filled._live._builder.join()
    assert caplog.text.count("No space left on device") == 1


def test_closing_stops_a_build(filled: Memory) -> None:
    filled.add([NewMemory(text) for text in sentences(2_000, seed=3)])
    filled.search("word1")
    filled.close()
    builder = filled._live._builder
    assert builder is not None
    assert not builder.is_alive()


def test_neighbours_follow_the_order_of_adding_through_updates_and_deletes(filled: Memory) -> None:
    chosen = random.Random(4)
    for _ in range(60):
        ids = [record.id for record in filled.records()]
        action = chosen.choice(["add", "delete", "reword", "move"])
        if action == "add":
            filled.add([NewMemory(f"added {chosen.random()}", {"session": chosen.randrange(7)}, source="talk")])
        elif action == "delete":
            filled.delete(chosen.choice(ids))
        elif action == "reword":
            filled.update(chosen.choice(ids), content=f"reworded {chosen.random()}")
        else:
            filled.update(chosen.choice(ids), metadata=chosen.choice([{}, {"session": chosen.randrange(7)}]))
        with filled._live.lock:
            current = filled._live.current()
            rows = current.find(sorted(record.id for record in filled.records()))
            before, after = current.neighbours(rows)
            found = {int(r): (int(b), int(a)) for r, b, a in zip(rows, before, after, strict=True)}
            assert found == expected_neighbours(filled, current)


def expected_neighbours(memory: Memory, current: replica.Replica) -> dict[int, tuple[int, int]]:
    chains: dict[tuple[str, int], list[int]] = {}
    out = {}
    for record in memory.records():
        row = int(current.find([record.id])[0])
        out[row] = (-1, -1)
        if "session" in record.metadata:
            chains.setdefault((record.source, record.metadata["session"]), []).append(row)
    for rows in chains.values():
        for at, row in enumerate(rows):
            out[row] = (rows[at - 1] if at else -1, rows[at + 1] if at + 1 < len(rows) else -1)
    return out


def test_scopes_stay_right_through_changes(filled: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.add([NewMemory("word1 elsewhere", namespace="there"), NewMemory("word1 short", ttl=50.0)])
    for spaces in (None, ["here"], ["there"], ["here", "there"], ["nowhere"]):
        filled.search("word1", namespaces=spaces)
    ids = [record.id for record in filled.records()]
    filled.delete(ids[10])
    filled.update(ids[11], namespace="there")
    filled.add([NewMemory("word1 again", namespace="there", ttl=90.0)])
    now = filled.get(ids[0]).created_at
    for later in (1, 60, 100):
        monkeypatch.setattr("time.time", lambda later=later: now + later)
        for spaces in (None, ["here"], ["there"], ["here", "there"], ["nowhere"]):
            with filled._live.lock:
                current = filled._live.current()
                scope = current.scope(spaces, now + later)
                there = {record.id for record in filled.records(spaces)}
                assert set(current.rows("ids")[scope.keep.rows > 0].tolist()) == there
                assert scope.kept == len(there)
                assert scope.terms == pytest.approx(float(current.rows("lengths")[scope.keep.rows > 0].sum()))


def test_many_dead_rows_are_left_behind(filled: Memory) -> None:
    filled.search("word1")
    for record in list(filled.records())[:300]:
        filled.delete(record.id)
    filled.add([NewMemory(text) for text in sentences(500, seed=5)])
    filled.search("word1")
    builder = filled._live._builder
    assert builder is not None
    builder.join()
    with filled._live.lock:
        assert len(filled._live.current()) == 650
    rows = np.array([hit.id for hit in filled.search("word1 word2", 1_000, mode="vector").hits])
    assert len(rows) == 650


def test_dead_rows_of_a_small_store_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "DEAD_ROWS", 50)
    embedder = WordEmbedder()
    memory = Memory(tmp_path, lambda: embedder, namespace="here")
    ids = memory.add([NewMemory(f"number {n}") for n in range(10)])
    longest = 0
    for n in range(200):
        memory.update(ids[n % 10], content=f"number {n} anew")
        assert [hit.content for hit in memory.search(f"number {n} anew", 1, mode="vector").hits] == [f"number {n} anew"]
        longest = max(longest, len(memory._live.current()))
    assert longest <= 10 + 50 + 2
    assert {hit.id for hit in memory.search("number", 100).hits} == set(ids)
    memory.close()

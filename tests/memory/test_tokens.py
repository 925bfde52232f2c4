"""Token bits mapped from a file: always those of the store, whatever happens to memories, files and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.errors import StoreCorruptError
from ruvllm_mcp.memory import live, snapshot, tokens
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder

pytestmark = pytest.mark.usefixtures("either_store")
WIDTH = WordEmbedder.dim // 8


def opened(folder: Path) -> Memory:
    embedder = WordEmbedder()
    return Memory(folder, lambda: embedder, namespace="here")


def written(memory: Memory, first: int, count: int) -> list[int]:
    return [
        int(item)
        for item in memory.add([NewMemory(f"word{n} of {n % 7} and {n % 5}") for n in range(first, first + count)])
    ]


def bits_seen(memory: Memory) -> tuple[dict[int, bytes], list[int]]:
    """What a search reads of all memories' bits, and those for which it had to go to the store."""
    ids, asked = [record.id for record in memory.records()], []

    def fetch(missing: Sequence[int]) -> Mapping[int, bytes]:
        asked.extend(missing)
        return memory._store.token_bits(missing, "words-1")

    with memory._live.lock:
        replica = memory._live.current()
        parts = replica.token_rows(replica.find(ids), fetch)
    found = {
        ids[place]: part.bits[start : start + count].tobytes()
        for part in parts
        for place, start, count in zip(part.places, part.starts, part.counts, strict=True)
    }
    assert found == memory._store.token_bits(ids, "words-1")
    assert all(found.values())
    return found, asked


def built(memory: Memory) -> None:
    """Lets a due build begin and waits for it."""
    with memory._live.lock:
        memory._live.current()
        builder = memory._live._builder
    if builder is not None:
        builder.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a saved replica of 200 memories."""
    monkeypatch.setattr(live, "SAVE_AT", 100)
    monkeypatch.setattr(live, "WORTH_A_GRAPH", 10_000)
    memory = opened(tmp_path)
    written(memory, 0, 200)
    memory.search("word1")
    memory.close()
    return tmp_path


def test_saved_bits_are_read_from_the_file_and_later_ones_once_from_the_store(home: Path) -> None:
    memory = opened(home)
    assert bits_seen(memory)[1] == []
    ids = [record.id for record in memory.records()]
    memory.update(ids[0], content="quite another text")
    memory.delete(ids[1])
    added = written(memory, 200, 1)
    assert sorted(bits_seen(memory)[1]) == [ids[0], *added]
    assert bits_seen(memory)[1] == []
    memory.close()


def test_only_so_many_are_remembered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED", 100)
    next(home.glob("*.snap")).unlink()
    memory = opened(home)
    bits_seen(memory)
    with memory._live.lock:
        remembered = memory._live.current().tokens._bits
    written(memory, 200, 2)
    assert len(bits_seen(memory)[1]) == 202, "all anew"
    with memory._live.lock:
        assert memory._live.current().tokens._bits is not remembered
    memory.close()


def test_a_memory_without_bits_is_asked_for_once(home: Path) -> None:
    memory = opened(home)
    memory.configure("bare", token_bits=False)
    number = memory.add([NewMemory("word1 here", namespace="bare")])[0]
    asked: list[int] = []
    with memory._live.lock:
        for _ in range(2):
            replica = memory._live.current()
            (part,) = replica.token_rows(replica.find([number]), lambda ids: asked.extend(ids) or {})
            assert part.counts.tolist() == [0]
    assert asked == [number]
    memory.close()


def test_a_later_save_appends_and_who_mapped_the_file_before_sees_what_it_did(home: Path) -> None:
    path = next(home.glob("*.bits"))
    before, earlier = path.read_bytes(), opened(home)
    first = bits_seen(earlier)[0]
    with path.open("ab") as file:
        file.write(b"of a save that was cut off")
    memory = opened(home)
    written(memory, 200, 150)
    memory.search("word1")
    memory.close()
    assert list(home.glob("*.bits")) == [path]
    assert path.read_bytes()[: len(before)] == before
    seen, asked = bits_seen(earlier)
    assert {number: seen[number] for number in first} == first
    assert len(asked) == 150
    earlier.close()  # has grown as much, and leaves alone what the other saved
    again = opened(home)
    assert bits_seen(again)[1] == []
    again.close()


def test_two_that_grew_apart_do_not_append_to_one_file(home: Path) -> None:
    one, other = opened(home), opened(home)
    bits_seen(other)
    written(one, 200, 150)
    one.search("word1")
    one.close()
    written(other, 400, 150)
    other.search("word1")
    other.close()
    assert len(list(home.glob("*.bits"))) == 1
    again = opened(home)
    assert bits_seen(again)[1] == []
    again.close()


@pytest.mark.parametrize("damage", ["missing", "short", "flipped"])
def test_a_damaged_file_is_noticed_and_made_anew(home: Path, damage: str) -> None:
    path = next(home.glob("*.bits"))
    data = bytearray(path.read_bytes())
    path.unlink()  # whoever mapped it keeps it
    if damage == "flipped":
        data[len(data) // 2] ^= 4
    if damage != "missing":
        path.write_bytes(data[: -1 if damage == "short" else None])
    with pytest.raises(StoreCorruptError, match=path.name):
        snapshot.verify(next(home.glob("*.snap")))
    memory = opened(home)
    assert len(bits_seen(memory)[1]) == 200, "from the store instead"
    built(memory)
    assert bits_seen(memory)[1] == [], "from a new file"
    memory.close()
    assert path not in home.glob("*.bits")
    assert len(list(home.glob("*.bits"))) == 1
    snapshot.verify(next(home.glob("*.snap")))


def test_bits_of_dead_rows_leave_with_the_rows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(home.glob("*.bits"))
    size, memory = path.stat().st_size, opened(home)
    for record in list(memory.records())[:100]:
        memory.delete(record.id)
    written(memory, 200, 50)
    monkeypatch.setattr(live, "WORTH_A_GRAPH", 40)
    built(memory)
    assert bits_seen(memory)[1] == []
    memory.close()
    (new,) = home.glob("*.bits")
    assert new != path
    assert new.stat().st_size < size


def test_digests_tell_every_change_of_a_bit_and_rows_apart() -> None:
    random = np.random.default_rng(3)
    bits = random.integers(0, 256, (40, WIDTH), np.uint8)
    starts, counts = np.array([0, 5, 5, 39, 0]), np.array([5, 34, 0, 1, 40])
    sound = tokens.digests_of(bits, starts, counts)
    assert len(set(sound.tolist())) == 5
    for row, column in zip(random.integers(0, 40, 60).tolist(), random.integers(0, WIDTH, 60).tolist(), strict=True):
        bits[row, column] ^= 1 << random.integers(0, 8)
        changed = tokens.digests_of(bits, starts, counts) != sound
        assert changed.tolist() == [
            bool(start <= row < start + count) for start, count in zip(starts, counts, strict=True)
        ]
        sound = tokens.digests_of(bits, starts, counts)


def test_bytes_that_are_no_whole_tokens_count_as_none() -> None:
    bits, starts, counts = tokens.laid_out([b"", b"ab" * WIDTH, b"odd", b"c" * WIDTH], WIDTH)
    assert counts.tolist() == [0, 2, 0, 1]
    assert bits[starts[1] : starts[1] + 2].tobytes() == b"ab" * WIDTH
    assert bits[starts[3]].tobytes() == b"c" * WIDTH

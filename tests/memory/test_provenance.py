"""How far a memory is trusted, and how much a namespace may hold."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ruvllm_mcp.errors import InvalidInputError, NamespaceFullError
from ruvllm_mcp.memory.backup import backup, restore
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.store import Limits
from ruvllm_mcp.types import NamespaceInfo, NewMemory, Trust
from tests.conftest import Address
from tests.memory.conftest import WordEmbedder

pytestmark = pytest.mark.usefixtures("either_store")


def test_trust_is_kept_shown_and_filtered_by(memory: Memory) -> None:
    levels: tuple[Trust, ...] = ("untrusted", "agent", "trusted")
    ids = dict(zip(levels, memory.add([NewMemory(f"the {t} pump", trust=t) for t in levels]), strict=True))
    assert {memory.get(number).trust for number in ids.values()} == set(levels)
    for place, least in enumerate(levels):
        for mode in ("hybrid", "vector", "lexical"):
            hits = memory.search("pump", min_trust=least, mode=mode).hits  # type: ignore[arg-type]
            assert {hit.trust for hit in hits} == set(levels[place:])
    assert memory.context("pump", 100, min_trust="trusted")[1].hits[0].id == ids["trusted"]
    with pytest.raises(InvalidInputError, match="min_trust"):
        memory.search("pump", min_trust="very")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="trust"):
        memory.add([NewMemory("x", trust="root")])  # type: ignore[arg-type]


def test_the_same_text_again_raises_trust_but_the_less_trusted_rewrites_nothing(memory: Memory) -> None:
    number = memory.add([NewMemory("deploy on friday", {"ok": "no"}, trust="trusted")])[0]
    memory.add([NewMemory("deploy on friday", {"ok": "yes", "by": "agent"}, trust="agent")])
    assert memory.get(number).metadata == {"ok": "no", "by": "agent"}
    assert memory.get(number).trust == "trusted"
    low = memory.add([NewMemory("from a web page", {"ok": "yes"}, trust="untrusted")])[0]
    memory.add([NewMemory("from a web page", {"ok": "no"}, trust="trusted")])
    assert (memory.get(low).trust, memory.get(low).metadata) == ("trusted", {"ok": "no"})


def test_who_changes_a_memory_bounds_its_trust(memory: Memory) -> None:
    number = memory.add([NewMemory("the port is 8080")])[0]
    assert memory.update(number, importance=0.9, ttl=None, by="agent").trust == "trusted"
    assert memory.update(number, content="the port is 9090", by="agent").trust == "agent"
    assert memory.update(number, trust="trusted", by="agent").trust == "agent"
    assert memory.update(number, trust="trusted").trust == "trusted"
    assert memory.search("port", min_trust="trusted").hits


def test_a_full_namespace_takes_nothing_more_and_says_what_to_do(memory: Memory) -> None:
    memory.configure("here", max_memories=3)
    ids = memory.add([NewMemory(f"number {n}") for n in range(3)])
    with pytest.raises(NamespaceFullError, match="holds 3 of at most 3 memories") as full:
        memory.add([NewMemory("elsewhere", namespace="there"), NewMemory("one too many")])
    assert "prune" in full.value.hint
    assert "limit" in full.value.hint
    assert memory.namespaces().keys() == {"here"}, "all or none are written"
    assert memory.add([NewMemory("number 1", {"again": True})])[0].merged, "what is there may be said again"
    memory.delete(ids[0])
    memory.add([NewMemory("room again")])
    memory.configure("here", max_memories=1)
    memory.delete(ids[1])
    with pytest.raises(NamespaceFullError):
        memory.add([NewMemory("still above the new limit")])
    memory.configure("here", max_memories=None)
    memory.add([NewMemory("no limit any more")])


def test_bytes_of_text_are_counted_exactly_through_every_change(
    memory: Memory, tmp_path: Path, either_store: Address
) -> None:
    memory.configure("here", max_bytes=40)
    number = memory.add([NewMemory("ünï", {"a": 1})])[0]
    assert memory.namespaces()["here"].bytes == len("ünï".encode()) + len('{"a":1}')
    with pytest.raises(NamespaceFullError, match="bytes of text"):
        memory.update(number, content="x" * 40)
    with pytest.raises(NamespaceFullError, match="bytes of text"):
        memory.add([NewMemory("x" * 40)])
    memory.update(number, content="longer", metadata={})
    assert memory.namespaces()["here"].bytes == len("longer{}")
    address = either_store(tmp_path / "home")
    backup(tmp_path / "home", tmp_path / "copy.db", address)
    memory.update(number, namespace="there")
    held = memory.namespaces()
    assert held["here"] == NamespaceInfo(0, 0, None, 40)
    assert held["there"] == NamespaceInfo(1, 8)
    restore(tmp_path / "home", tmp_path / "copy.db", address)
    assert memory.namespaces() == {"here": NamespaceInfo(1, 8, None, 40)}
    memory.delete(number)
    assert memory.namespaces() == {"here": NamespaceInfo(0, 0, None, 40)}


def test_the_settings_limit_holds_where_a_namespace_has_none(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    memory = Memory(tmp_path, lambda: embedder, namespace="here", limits=Limits(max_memories=2))
    memory.configure("roomy", max_memories=5)
    memory.add([NewMemory(f"number {n}", namespace="roomy") for n in range(5)])
    memory.add([NewMemory("one"), NewMemory("two")])
    with pytest.raises(NamespaceFullError):
        memory.add([NewMemory("three")])
    memory.close()


def test_writers_together_do_not_outgrow_a_limit(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    memories = [Memory(tmp_path, lambda: embedder, namespace="here") for _ in range(4)]
    memories[0].configure("here", max_memories=50)

    def fill(name: int) -> None:
        for n in range(51):
            try:
                memories[name].add([NewMemory(f"{name} wrote {n}")])
            except NamespaceFullError:
                return

    threads = [threading.Thread(target=fill, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memories[0].namespaces()["here"].memories == len(list(memories[0].records())) == 50
    for memory in memories:
        memory.close()


def test_token_bits_can_be_switched_off_and_on_for_a_namespace(memory: Memory) -> None:
    here, there = memory.add([NewMemory("bits are kept here"), NewMemory("and kept there", namespace="there")])
    with_bits = memory.stats()["bytes_per_memory"]
    assert memory.configure("here", token_bits=False).token_bits is False
    late = memory.add([NewMemory("no bits for this one")])[0]

    def having() -> set[int]:
        return set(memory._store.token_bits([here, there, late], "words-1"))

    assert having() == {there}
    without = memory.stats()["bytes_per_memory"]
    assert 0 < without["token_bits"] < with_bits["token_bits"]
    assert without["vectors"] == with_bits["vectors"] == 32 * 4
    assert len(memory.search("bits are kept here").hits) == 3, "all are still found"
    memory.configure("here", token_bits=True)
    assert len(memory.search("bits are kept here").hits) == 3
    assert having() == {here, there, late}
    with pytest.raises(InvalidInputError, match="token_bits"):
        memory.configure("here", token_bits=1)  # type: ignore[arg-type]

"""What the front desk promises, call by call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.memory import adding
from ruvllm_mcp.memory.late import TokenSigns
from ruvllm_mcp.memory.lifecycle import PrunePolicy
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import Link, MemoryId, NewMemory, PruneReport
from tests.memory.conftest import WordEmbedder

pytestmark = pytest.mark.usefixtures("either_store")

TEXTS = [
    "retry the upload with exponential backoff",
    "parseHTTPHeader rejects folded lines",
    "the cat sleeps on the warm keyboard",
    "use pytest fixtures for temporary folders",
    "database migrations run before the server starts",
]


def add(memory: Memory, *texts: str, **fields: object) -> list[MemoryId]:
    return memory.add([NewMemory(text, **fields) for text in texts])  # type: ignore[arg-type]  # any field, by name


def test_what_was_added_is_there_after_reopening(tmp_path: Path, embedder: WordEmbedder) -> None:
    first = Memory(tmp_path, lambda: embedder, namespace="here")
    ids = first.add(
        [
            NewMemory(
                "remember me", {"a": [1, {"b": "ü"}]}, kind="decision", importance=0.9, source="x.py", client="test"
            )
        ]
    )
    first.close()
    second = Memory(tmp_path, lambda: embedder, namespace="here")
    record = second.get(ids[0])
    assert (record.content, record.metadata, record.namespace) == ("remember me", {"a": [1, {"b": "ü"}]}, "here")
    assert (record.kind, record.importance, record.source, record.client) == ("decision", 0.9, "x.py", "test")
    assert [hit.id for hit in second.search("remember").hits] == ids
    second.close()


def test_ids_come_in_order_and_exact_duplicates_keep_theirs(memory: Memory) -> None:
    first = add(memory, "one thing", "another thing", "one thing")
    assert first[0] == first[2] < first[1]
    assert [item.merged for item in first] == [False, False, True]
    again = memory.add([NewMemory("another thing", {"new": 1}, importance=0.8)])[0]
    assert again == first[1]
    assert again.merged
    assert memory.get(again).metadata == {"new": 1}
    assert memory.get(again).importance == 0.8
    assert memory.add([NewMemory("another thing", namespace="there")])[0] not in first


def test_near_duplicates_are_reported_most_similar_first(memory: Memory) -> None:
    text = "a long sentence of many different words about retry backoff upload queue worker disk network cache"
    close = add(memory, text + " twice", text + " twice over again here", "something else entirely")
    added = add(memory, text)[0]
    assert added.similar[0] == close[0]
    assert close[2] not in added.similar


def test_near_duplicates_are_found_in_bulk_and_within_what_is_added_together(
    memory: Memory, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [" ".join(f"word{n % 5}x{part}" for part in range(40)) + f" note{n}" for n in range(120)]
    earlier = memory.add([NewMemory(text) for text in texts[:40]])
    later = memory.add([NewMemory(text) for text in texts[40:]] + [NewMemory(texts[119], namespace="there")])
    vectors = embedder.encode(texts).vectors.astype(np.float64)
    close = vectors @ vectors.T >= 0.95
    np.fill_diagonal(close, False)
    assert close[40:].sum() > 500, "there is something to find"
    number = {row: int(memory_id) for row, memory_id in enumerate([*earlier, *later[:80]])}
    for row in range(40, 120):
        assert number[row] == later[row - 40]
        before = {number[other] for other in np.flatnonzero(close[row, :40])}
        beside = {number[40 + other] for other in np.flatnonzero(close[row, 40:])}
        found = set(later[row - 40].similar)
        assert found <= before | beside
        assert beside <= found
        assert len(found & before) >= min(10, len(before)), "up to ten of the store's"
    assert later[80].similar == (), "another namespace is no repetition"
    assert all(memory_id.compared for memory_id in later)
    monkeypatch.setattr(adding, "COMPARE_PAIRS", 1_000)
    unseen = memory.add([NewMemory(f"{text} again") for text in texts])
    assert [(memory_id.compared, memory_id.similar) for memory_id in unseen] == [(False, ())] * 120


@pytest.mark.parametrize("mode", ["hybrid", "vector", "lexical"])
def test_each_mode_finds_the_right_memory_first(memory: Memory, mode: str) -> None:
    ids = add(memory, *TEXTS)
    found = memory.search("pytest fixtures", 3, mode=mode)  # type: ignore[arg-type]  # a str by parametrize
    assert found.hits[0].id == ids[3]
    assert found.hits[0].explain


def test_vector_search_is_brute_force_cosine(memory: Memory, embedder: WordEmbedder) -> None:
    ids = add(memory, *TEXTS)
    query = embedder.encode(["the warm server"]).vectors[0].astype(np.float64)
    cosines = embedder.encode(TEXTS).vectors.astype(np.float64) @ query
    hits = memory.search("the warm server", 5, mode="vector").hits
    assert [hit.id for hit in hits] == [ids[i] for i in np.argsort(-cosines)]
    assert [hit.similarity for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)


def test_parts_of_an_identifier_find_it(memory: Memory) -> None:
    ids = add(memory, *TEXTS)
    assert memory.search("parse http header", mode="lexical").hits[0].id == ids[1]


def test_explain_adds_up_to_the_score(memory: Memory) -> None:
    add(memory, *TEXTS)
    for hit in memory.search("upload the cat").hits:
        assert sum(hit.explain.values()) == pytest.approx(hit.score, abs=1e-5)


def test_namespaces_are_searched_apart_or_together(memory: Memory) -> None:
    here = add(memory, "shared words here")
    there = memory.add([NewMemory("shared words there", namespace="there")])
    assert [hit.id for hit in memory.search("shared words", namespaces=["there"]).hits] == there
    assert {hit.id for hit in memory.search("shared words").hits} == {*here, *there}
    assert {name: info.memories for name, info in memory.namespaces().items()} == {"here": 1, "there": 1}
    assert memory.search("shared words", namespaces=["nowhere"]).hits == ()


def test_a_filter_never_loses_a_match(memory: Memory) -> None:
    memory.add([NewMemory(f"note number {n} about tests", {"n": n}) for n in range(400)])
    rare = memory.add([NewMemory("unrelated sentence", {"n": -1})])
    assert [hit.id for hit in memory.search("note about tests", where={"n": {"$lt": 0}}).hits] == rare
    assert len(memory.search("note about tests", 1_000, where={"n": {"$gte": 100}}).hits) == 300


def test_more_results_than_memories_are_all_of_them(memory: Memory) -> None:
    add(memory, *TEXTS)
    assert len(memory.search("anything at all", 10**9).hits) == len(TEXTS)


def test_expired_memories_are_neither_found_nor_given(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    number = add(memory, "short lived", ttl=10.0)[0]
    assert memory.search("short lived").hits
    later = memory.get(number).created_at + 11
    monkeypatch.setattr("time.time", lambda: later)
    assert not memory.search("short lived").hits
    assert not memory.list().items
    with pytest.raises(NotFoundError):
        memory.get(number)


def test_updates_move_a_memory_in_every_index(memory: Memory) -> None:
    number = add(memory, *TEXTS)[2]
    record = memory.update(number, content="the dog barks at night", metadata={"animal": "dog"}, importance=1.0)
    assert (record.content, record.metadata, record.importance) == ("the dog barks at night", {"animal": "dog"}, 1.0)
    assert number not in {hit.id for hit in memory.search("cat keyboard", mode="lexical").hits}
    assert memory.search("dog barks", mode="lexical").hits[0].id == number
    assert memory.search("dog barks at night", mode="vector").hits[0].similarity > 0.8


def test_deleted_memories_are_gone(memory: Memory) -> None:
    ids = add(memory, *TEXTS)
    memory.delete(ids[0])
    assert ids[0] not in {hit.id for hit in memory.search("retry upload", 10).hits}
    for call in (memory.get, memory.delete, memory.neighbours):
        with pytest.raises(NotFoundError):
            call(ids[0])
    assert add(memory, TEXTS[0])[0] > ids[-1], "ids are never used twice"


def test_pages_give_every_memory_once(memory: Memory) -> None:
    ids = [int(number) for number in add(memory, *(f"memory {n}" for n in range(25)))]
    seen, cursor = [], None
    while True:
        page = memory.list(cursor, 10)
        seen += [record.id for record in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ids


def test_links_are_seen_from_both_ends(memory: Memory) -> None:
    a, b, c = add(memory, "first", "second", "third")
    memory.link(a, b, "caused", 0.5)
    memory.link(a, c)
    assert [(link.id, link.kind, link.weight) for link in memory.neighbours(a)] == [
        (c, "related", 1.0),
        (b, "caused", 0.5),
    ]
    assert [link.id for link in memory.neighbours(b)] == [a]
    memory.unlink(a, b, "caused")
    assert memory.neighbours(b) == ()
    memory.delete(c)
    assert memory.neighbours(a) == ()


def test_pruning_tells_first_and_then_deletes(memory: Memory) -> None:
    ids = memory.add([NewMemory(f"memory {n}", importance=n / 10) for n in range(10)])
    policy = PrunePolicy(importance_below=0.25, keep_at_most=5)
    told = memory.prune(policy, dry_run=True)
    assert told.ids == tuple(ids[:5])
    assert len(memory.list().items) == 10
    assert memory.prune(policy).ids == told.ids
    assert [record.id for record in memory.list().items] == ids[5:]


def test_pruning_leaves_one_of_those_that_say_the_same(memory: Memory, embedder: WordEmbedder) -> None:
    base = "retry the upload with exponential backoff after every timeout of the network"
    texts = [base, f"{base} please", f"{base} please do", "something else entirely", f"{base} elsewhere"]
    items = [NewMemory(text, importance=0.9 if n == 1 else 0.5) for n, text in enumerate(texts[:4])]
    ids = memory.add([*items, NewMemory(texts[4], namespace="there")])
    cosines = embedder.encode(texts).vectors @ embedder.encode(texts).vectors.T
    assert (cosines[1, [0, 2]] > 0.92).all()
    assert cosines[1, 3] < 0.92
    report = memory.prune(PrunePolicy(similar_above=0.9), dry_run=True)
    assert report.ids == (ids[0], ids[2]), "the most important of the three stays; another namespace is no repetition"
    assert report.merged == {ids[0]: ids[1], ids[2]: ids[1]}
    assert memory.prune(PrunePolicy(similar_above=0.9)) == PruneReport(report.ids, False, report.merged)
    assert [record.id for record in memory.records()] == [ids[1], ids[3], ids[4]]
    assert memory.prune(PrunePolicy(similar_above=0.9)).ids == ()


def test_trust_survives_export_and_import(memory: Memory, tmp_path: Path, embedder: WordEmbedder) -> None:
    memory.add([NewMemory("from a web page", trust="untrusted"), NewMemory("said by a person")])
    memory.export_jsonl(tmp_path / "out.jsonl")
    other = Memory(tmp_path / "other", lambda: embedder, namespace="here")
    other.import_jsonl(tmp_path / "out.jsonl")
    assert {record.content: record.trust for record in other.records()} == {
        "from a web page": "untrusted",
        "said by a person": "trusted",
    }
    other.close()


def test_merging_hands_over_links_accesses_and_metadata_but_not_to_the_more_trusted(memory: Memory) -> None:
    base = "retry the upload with exponential backoff after every timeout of the network"
    kept = memory.add([NewMemory(base, {"a": 1}, importance=0.9)])[0]
    gone = memory.add([NewMemory(f"{base} please", {"a": 2, "b": 2})])[0]
    agents = memory.add([NewMemory(f"{base} do", {"c": 3}, importance=1, trust="agent")])[0]
    other = memory.add([NewMemory("something else entirely")])[0]
    memory.link(gone, other, "causes", 0.5)
    memory.link(other, agents, "causes", 0.25)
    memory.link(gone, kept)
    memory.search(f"{base} please", 3)
    report = memory.prune(PrunePolicy(similar_above=0.9))
    assert report.merged == {gone: kept, agents: kept}
    assert memory.get(kept).metadata == {"a": 1, "b": 2}
    assert memory.get(kept).access_count == 3
    assert memory.neighbours(kept) == (Link(other, "causes", 0.5), Link(other, "causes", 0.25))


class Taught:
    """A teacher that points to one memory and turns every question into another."""

    def __init__(self, memory_id: int, vector: FloatArray) -> None:
        self.memory_id, self.vector = memory_id, vector

    def adapt(self, query_vector: FloatArray) -> FloatArray:  # noqa: ARG002  the protocol's shape
        return self.vector

    def taught(
        self,
        query_vector: FloatArray,  # noqa: ARG002
        namespaces: Sequence[str] | None,  # noqa: ARG002
        tokens: TokenSigns | None = None,  # noqa: ARG002
    ) -> Mapping[int, float]:
        return {self.memory_id: 1.0, 999_999: 1.0}

    def confirmed(self, ids: Sequence[int]) -> FloatArray:
        return np.array([0.5 * (item == self.memory_id) for item in ids], np.float32)

    def weights(self, query_vector: FloatArray) -> Mapping[str, float]:  # noqa: ARG002  the protocol's shape
        return {"importance": 2.0}


def test_a_teacher_moves_the_ranking(memory: Memory, embedder: WordEmbedder) -> None:
    ids = add(memory, *TEXTS)
    teacher = Taught(ids[2], embedder.encode([TEXTS[4]]).vectors[0])
    found = memory.search("retry the upload", mode="vector", teacher=teacher)
    assert found.hits[0].id == ids[4]
    assert found.query_vector == pytest.approx(embedder.encode(["retry the upload"]).vectors[0])
    taught = memory.search("retry the upload", teacher=teacher)
    assert [hit.id for hit in taught.hits if hit.explain["taught"] > 0] == [ids[2]]
    assert [hit.id for hit in taught.hits if hit.explain["confirmed"] == pytest.approx(2.0)] == [ids[2]]
    untaught = memory.search("retry the upload")
    assert [hit.id for hit in untaught.hits].index(ids[2]) > [hit.id for hit in taught.hits].index(ids[2])


def test_export_and_import_give_the_same_memories(memory: Memory, embedder: WordEmbedder, tmp_path: Path) -> None:
    memory.add([NewMemory(text, {"n": n}, kind="fact", source="s") for n, text in enumerate(TEXTS)])
    assert memory.export_jsonl(tmp_path / "out.jsonl") == len(TEXTS)
    other = Memory(tmp_path / "other", lambda: embedder, namespace="other")
    other.import_jsonl(tmp_path / "out.jsonl")
    kept = [(r.content, r.metadata, r.kind, r.source, r.namespace) for r in memory.list().items]
    assert [(r.content, r.metadata, r.kind, r.source, r.namespace) for r in other.list().items] == kept
    other.close()


def test_a_context_respects_its_budget_and_names_its_sources(memory: Memory, embedder: WordEmbedder) -> None:
    add(memory, *TEXTS, "the cat sleeps on the warm warm keyboard")
    for budget in range(1, 60):
        packed, _ = memory.context("the cat on the keyboard", budget)
        assert packed.tokens == embedder.count_tokens(packed.text) <= budget
        assert all(hit.content in packed.text for hit in packed.sources) or packed.text.endswith("…")
    assert len(packed.sources) == len(TEXTS), "the near duplicate is left out"


def test_memories_of_another_embedder_are_embedded_again(memory: Memory, tmp_path: Path) -> None:
    ids = add(memory, *TEXTS)
    other = WordEmbedder("words-2")
    second = Memory(tmp_path / "home", lambda: other, namespace="here")
    hits = second.search("the cat sleeps on the warm keyboard", mode="vector").hits
    assert hits[0].id == ids[2]
    assert hits[0].similarity == pytest.approx(1.0, abs=1e-6)
    assert memory.search(TEXTS[2], mode="vector").hits[0].similarity == pytest.approx(1.0, abs=1e-6)
    second.close()


@pytest.mark.parametrize("k", [0, -1, True, 1.5, "3", None])
def test_a_bad_k_is_refused(memory: Memory, k: object) -> None:
    with pytest.raises(InvalidInputError, match="k is"):
        memory.search("x", k)  # type: ignore[arg-type]  # that is the point

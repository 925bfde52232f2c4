"""Judged folders through the real memory: figures on a collection small enough to know the right answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ruvllm_mcp.benchmark import retrieval
from ruvllm_mcp.benchmark.metrics import quality
from ruvllm_mcp.embed.base import Encoded
from ruvllm_mcp.embed.hashing import Hashing
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory.weights import FusionWeights

DOCUMENTS = {
    "oven": ("Baking", "Heat the oven before the dough goes in."),
    "tide": ("Coast", "The tide comes in twice a day."),
    "loom": ("", "A loom holds the warp threads tight."),
}
QUESTIONS = {"q1": ("when does the tide come", "tide"), "q2": ("threads of a loom", "loom"), "q3": ("baking", "oven")}


def written(folder: Path) -> Path:
    folder.mkdir()
    rows = [{"_id": key, "title": title, "text": text} for key, (title, text) in DOCUMENTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = [{"_id": key, "text": text} for key, (text, _) in QUESTIONS.items()]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, [*asked, {"_id": "q4", "text": "unjudged"}])))
    grades = [f"{key}\t{right}\t1" for key, (_, right) in QUESTIONS.items()]
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *grades, "q4\toven\t0"]))
    return folder


def test_every_mode_is_judged_through_the_memory(tmp_path: Path) -> None:
    table = retrieval.measure(
        [written(tmp_path / "small")], Hashing(64), {"words only": FusionWeights(dense=0, late=0)}
    )
    assert list(table.families) == ["vector", "lexical", "hybrid", "words only"]
    lexical = table.families["lexical"]["small"]
    assert (lexical.questions, lexical.ndcg_at_10, lexical.mrr) == (3, 1.0, 1.0)


def test_weights_reach_the_search(tmp_path: Path) -> None:
    with retrieval.loaded(retrieval.read(written(tmp_path / "small")), Hashing(64)) as store:
        usual = retrieval.rankings(store)
        by_words = retrieval.rankings(store, fusion=FusionWeights(dense=0, late=0))
        assert by_words != usual
        assert quality(by_words, store.judgements).mrr == 1.0


def test_conversations_are_one_family_and_families_count_once(tmp_path: Path) -> None:
    folders = [written(tmp_path / name) for name in ("talk-conv-1", "talk-conv-2", "other")]
    table = retrieval.measure(folders, Hashing(64))
    assert {family: row.questions for family, row in table.families["hybrid"].items()} == {"talk": 6, "other": 3}
    rows = table.families["vector"].values()
    assert table.mean("vector").ndcg_at_10 == pytest.approx(sum(row.ndcg_at_10 for row in rows) / 2)


@pytest.mark.parametrize("damage", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_what_is_no_collection_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    folder = written(tmp_path / "broken")
    for text in ("{not json}\n\tx", None):
        (folder / damage).unlink(missing_ok=True)
        if text is not None:
            (folder / damage).write_text(f"first\n{text}")
        with pytest.raises(InvalidInputError, match="broken"):
            retrieval.read(folder)


def test_no_folder_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="folder"):
        retrieval.measure([], Hashing(64))


class Counting(Hashing):
    """Counts the texts it embeds."""

    def __init__(self) -> None:
        super().__init__(64)
        self.texts = 0

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:
        self.texts += len(texts)
        return super().encode(texts, tokens=tokens)


def test_a_kept_store_gives_the_same_figures_without_embedding_its_documents_again(tmp_path: Path) -> None:
    folder, cache = written(tmp_path / "small"), tmp_path / "cache"
    first = retrieval.measure([folder], Hashing(64), cache=cache)
    again = Counting()
    assert retrieval.measure([folder], again, cache=cache) == first
    assert again.texts == len(QUESTIONS) + 1

"""`ruvllm benchmark`: retrieval on a small collection whose figures can be worked out by hand; speeds are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ruvllm_mcp.cli.main import run


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "kitchen-dev"
    folder.mkdir()
    texts = ["Bread rises with yeast.", "Knives are sharpened on a wet stone.", "Rice needs twice its volume of water."]
    rows = [json.dumps({"_id": f"d{i}", "title": "", "text": text, "metadata": {}}) for i, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(rows))
    questions = ["yeast bread", "sharpened knives", "volume of water for rice"]
    asked = [json.dumps({"_id": f"q{i}", "text": text, "split": "test"}) for i, text in enumerate(questions)]
    (folder / "queries.jsonl").write_text("\n".join(asked))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in range(3)))
    return folder


def test_figures_are_one_where_every_answer_comes_first(collection: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", "retrieval", str(collection), "--json", "--embedder", "hashing"]) == 0
    printed = json.loads(capsys.readouterr().out)
    for mode in ("vector", "lexical", "hybrid"):
        assert printed["retrieval"][mode] == {
            "kitchen-dev": {"ndcg_at_10": 1.0, "recall_at_5": 1.0, "recall_at_10": 1.0, "mrr": 1.0, "questions": 3}
        }
    assert run(["benchmark", "retrieval", str(collection), "--embedder", "hashing"]) == 0
    assert capsys.readouterr().out.count("1.000") == 12


def test_a_folder_without_a_collection_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", "retrieval", str(tmp_path / "nothing")]) == 2
    assert "nothing holds no judged collection" in capsys.readouterr().err


def test_kernels_are_timed_beside_numpy_and_the_scalar_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ruvllm_mcp.benchmark.simd.SECONDS_A_TURN", 1e-5)
    monkeypatch.setattr("ruvllm_mcp.benchmark.simd.ROUNDS", 1)
    assert run(["benchmark", "simd", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["simd"]}
    dot = rows["dot, prepared"]
    assert dot["ours"] > 0
    assert dot["scalar"] > 0
    assert dot["others"]["numpy"] > 0
    assert run(["benchmark", "simd"]) == 0
    assert "dot, prepared" in capsys.readouterr().out


def test_embedders_are_timed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ruvllm_mcp.benchmark.embed.SECONDS", 1e-3)
    assert run(["benchmark", "embed", "--json", "--embedder", "static"]) == 0
    rows = json.loads(capsys.readouterr().out)["embed"]
    assert [(row["embedder"], row["words"]) for row in rows] == [("static", words) for words in (10, 50, 200)]
    assert all(row["tokens"] >= row["words"] for row in rows)
    assert all(row["one_text_ms"] > 0 and row["texts_per_second"] > 0 for row in rows)
    assert run(["benchmark", "embed", "--embedder", "hashing:64"]) == 0
    assert capsys.readouterr().out.count("hashing:64") == 3
    assert run(["benchmark", "embed", "--embedder", "none"]) != 0


def test_adding_and_searching_are_timed_in_a_store_that_is_gone_afterwards(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ruvllm_mcp.benchmark.memory.SIZE", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home = ["--home", str(tmp_path / "home"), "--embedder", "hashing:64"]
    assert run(["benchmark", "memory", "--json", *home]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["memory"]}
    assert {"add one", "search, hybrid", "search, vector", "search, lexical"} < set(rows)
    assert rows["search, hybrid"]["memories"] == 150
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows.values())
    assert run(["benchmark", "memory", *home]) == 0
    assert "search, hybrid" in capsys.readouterr().out
    assert not any(tmp_path.rglob("*.db*"))

"""`ruvllm query|context|feedback|embed|similarity|stats|info|doctor`, against the engine they stand for."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp import embed
from tests.cli.conftest import Outcome

Shell = Callable[..., Outcome]


@pytest.fixture
def filled(shell: Shell) -> Shell:
    for text in (
        "Releases go out blue-green from the deploy pipeline every Tuesday.",
        "A flaky test is retried twice and then put into quarantine.",
        "Database tests use the postgres fixture.",
    ):
        shell("memory", "add", text)
    return shell


def test_an_answer_quotes_its_sources(filled: Shell) -> None:
    answer = filled("query", "what happens to a flaky test?", "--json").json
    assert answer["backend"] == "extractive"
    assert answer["sources"][0]["id"] == 2
    shown = filled("query", "what happens to a flaky test?").out
    assert "retried twice" in shown
    assert "ruvllm feedback r" in shown


def test_context_keeps_to_its_budget_and_can_be_piped(filled: Shell) -> None:
    packed = filled("context", "flaky test", "--max-tokens", "40", "--json").json
    assert 0 < packed["tokens"] <= 40
    outcome = filled("context", "flaky test", "--max-tokens", "40")
    assert outcome.out == packed["text"] + "\n"
    assert "tokens" in outcome.err


def test_feedback_moves_a_similar_question(filled: Shell) -> None:
    found = filled("memory", "search", "how do releases reach the deploy pipeline?", "--json").json
    assert found["items"][0]["id"] == 1
    receipt = filled("feedback", found["request_id"], "--relevant", "3", "--irrelevant", "1", "--json").json
    assert (receipt["strengthened"], receipt["request_id"]) == (1, found["request_id"])
    again = filled("memory", "search", "how do the releases reach the deploy pipeline?", "--json").json
    assert again["items"][0]["id"] == 3
    said = filled("feedback", found["request_id"], "--rating", "5", "--success", "--correction", "-", stdin="So it is.")
    assert (said.code, "Learned" in said.out) == (0, True)
    assert filled("memory", "search", "So it is", "--json").json["items"][0]["content"] == "So it is."


def test_vectors_are_those_of_the_embedder(shell: Shell) -> None:
    texts = ["one text", "another"]
    expected = embed.load("hashing").encode(texts).vectors
    given = shell("embed", *texts, "--json").json
    np.testing.assert_array_equal(np.array(given["vectors"], np.float32), expected)
    assert (given["dim"], given["embedder"]) == (expected.shape[1], "hashing")
    lines = shell("embed", "-", "--lines", "--json", stdin="one text\n\nanother\n").json
    assert lines["vectors"] == given["vectors"]
    cosine = shell("similarity", "one text", "another", "--json").json["similarity"]
    assert cosine == pytest.approx(float(expected[0] @ expected[1]), abs=1e-6)
    assert float(shell("similarity", "-", "another", stdin="one text").out) == pytest.approx(cosine, abs=1e-4)


def test_the_whole_state_moves_in_one_file(filled: Shell, tmp_path: Path) -> None:
    found = filled("memory", "search", "how do releases reach the deploy pipeline?", "--json").json
    filled("feedback", found["request_id"], "--relevant", "3", "--irrelevant", "1")
    file, elsewhere = str(tmp_path / "state.jsonl"), ["--home", str(tmp_path / "elsewhere"), "--json"]
    written = filled("export", file, "--json").json
    assert (written["memories"], written["feedbacks"]) == (3, 1)
    assert filled("import", file, *elsewhere).json["memories"] == 3
    question = "how do the releases reach the deploy pipeline?"
    assert "postgres" in filled("memory", "search", question, *elsewhere).json["items"][0]["content"]
    assert filled("import", str(tmp_path / "nowhere"), *elsewhere).code != 0


def test_a_backup_puts_the_store_back(filled: Shell, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy.db")
    assert filled("backup", copy, "--json").json["bytes"] > 0
    assert filled("backup", copy).code == 2
    filled("memory", "delete", "1")
    filled("memory", "add", "Since then.")
    assert filled("restore", copy, "--json").json == {"path": copy, "memories": 3}
    items = filled("memory", "list", "--json").json["items"]
    assert [item["content"][:8] for item in items] == ["Releases", "A flaky ", "Database"]
    assert filled("restore", str(tmp_path / "nowhere")).code == 2


def test_stats_and_info_tell_where_things_are(filled: Shell, home: Path) -> None:
    stats = filled("stats", "--json").json
    assert (stats["memories"], stats["home"], stats["namespaces"]) == (3, str(home), {"shop": 3})
    info = filled("info", "--json").json
    assert info["settings"]["home"] == str(home)
    assert info["store_bytes"] == (home / "memory.db").stat().st_size
    assert info["instruction_set"] in info["available"]
    assert str(home) in filled("info").out
    assert "3 in 1 namespaces" in filled("stats").out


def test_info_makes_nothing(shell: Shell, home: Path) -> None:
    assert "not made yet" in shell("info").out
    assert shell("doctor").code == 0
    assert not home.exists()


def test_a_healthy_installation_passes_the_doctor(filled: Shell) -> None:
    report = filled("doctor", "--json").json
    assert report["healthy"] is True
    assert {check["name"]: check["status"] for check in report["checks"]} == dict.fromkeys(
        ("home", "disk", "kernels", "embedder", "store", "integrity"), "ok"
    )


def test_the_doctor_tells_what_is_wrong_and_what_to_do(filled: Shell, home: Path) -> None:
    (home / "memory.db").chmod(0o644)
    warned = filled("doctor")
    assert (warned.code, "can be reached by other users" in warned.out, "chmod" in warned.out) == (0, True, True)
    (home / "memory.db").write_bytes(b"no database " * 1000)
    ill = filled("doctor", "--json")
    assert (ill.code, ill.json["healthy"]) == (1, False)
    failed = {check["name"]: check for check in ill.json["checks"] if check["status"] == "failed"}
    assert list(failed) == ["store", "integrity"]
    assert all(check["advice"] for check in failed.values())


def test_the_doctor_finds_a_page_that_was_overwritten(shell: Shell, home: Path) -> None:
    shell("memory", "import", "-", stdin="\n".join(json.dumps({"text": f"{n} " + "long " * 400}) for n in range(200)))
    with sqlite3.connect(home / "memory.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray((home / "memory.db").read_bytes())
    page = len(data) // 2 // 8192 * 8192
    data[page : page + 8192] = b"\xa5" * 8192
    (home / "memory.db").write_bytes(bytes(data))
    report = shell("doctor", "--json")
    check = next(check for check in report.json["checks"] if check["name"] == "integrity")
    assert (report.code, check["status"], "--repair" in check["advice"]) == (1, "failed", True)
    repaired = shell("doctor", "--repair", "--json")
    assert (repaired.code, repaired.json["healthy"]) == (0, True)
    assert bytes(data) in [file.read_bytes() for file in home.glob("memory.db.damaged-*")]
    left = shell("memory", "list", "--all", "--json").json["items"]
    assert 150 < len(left) < 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can name a folder that nobody can make")
def test_a_home_that_is_a_file_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = shell("doctor", "--json", "--home", str(tmp_path / "file")).json
    assert next(check for check in report["checks"] if check["name"] == "home")["status"] == "failed"

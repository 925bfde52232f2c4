"""`ruvllm memory`: what goes in comes out, in text for people and JSON with stable keys for programs."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Outcome

Shell = Callable[..., Outcome]


def test_add_search_get_and_forget(shell: Shell) -> None:
    added = shell("memory", "add", "Releases go out on Tuesdays.", "-m", "team=web", "-m", "priority=2", "--json").json
    assert added == {"id": 1, "namespace": "shop", "merged": False, "similar": [], "redacted": 0}
    assert shell("memory", "add", "Invoices are rounded half to even.").out == "Remembered as #2 in shop.\n"
    found = shell("memory", "search", "when do releases go out?", "-k", "1", "--json").json
    assert [(hit["id"], hit["content"]) for hit in found["items"]] == [(1, "Releases go out on Tuesdays.")]
    assert set(found) == {"items", "request_id", "query", "mode", "latency_ms"}
    shown = shell("memory", "search", "when do releases go out?", "--explain").out
    assert shown.index("Releases go out") < shown.index("Invoices")
    assert "dense" in shown
    record = shell("memory", "get", "1", "--json").json
    assert record["metadata"] == {"team": "web", "priority": 2}
    assert record["links"] == []
    assert "Releases go out on Tuesdays." in shell("memory", "get", "1").out
    assert shell("memory", "delete", "1", "--json").json == {"deleted": [1]}
    assert shell("memory", "get", "1").code == 3


def test_deleting_an_unknown_id_deletes_nothing(shell: Shell) -> None:
    shell("memory", "add", "Kept.")
    assert shell("memory", "delete", "1", "99").code == 3
    assert shell("memory", "get", "1").code == 0


def test_update_changes_what_is_named_and_adds_metadata(shell: Shell) -> None:
    shell("memory", "add", "Old.", "-m", "a=1")
    changed = shell("memory", "update", "1", "New.", "-m", "b=x", "--importance", "0.9", "--ttl", "2h", "--json").json
    assert (changed["content"], changed["metadata"], changed["importance"]) == ("New.", {"a": 1, "b": "x"}, 0.9)
    assert abs(changed["expires_at"] - changed["updated_at"] - 7200) < 5
    outcome = shell("memory", "update", "1")
    assert (outcome.code, "Nothing to change" in outcome.err) == (2, True)


def test_where_filters_and_namespaces(shell: Shell) -> None:
    shell("memory", "add", "Alpha test.", "-m", "priority=1")
    shell("memory", "add", "Beta test.", "-m", "priority=5", "-n", "other")

    def found(*arguments: str) -> list[str]:
        return [hit["content"] for hit in shell("memory", "search", "test", "--json", *arguments).json["items"]]

    assert found() == ["Alpha test."]
    assert found("-n", "other") == ["Beta test."]
    assert sorted(found("-n", "*")) == ["Alpha test.", "Beta test."]
    assert sorted(found("-n", "other", "-n", "shop")) == ["Alpha test.", "Beta test."]
    assert found("-n", "*", "-w", "priority>=3") == ["Beta test."]
    assert found("-n", "*", "--where", '{"priority": {"$in": [1, 2]}}') == ["Alpha test."]
    assert found("-n", "*", "-w", "priority>0", "-w", "priority!=5") == ["Alpha test."]
    listed = shell("memory", "namespaces", "--json").json
    held = {name: (info["memories"], info["bytes"]) for name, info in listed["namespaces"].items()}
    assert held == {"other": (1, 24), "shop": (1, 25)}
    assert listed["current"] == "shop"
    assert "this project's" in shell("memory", "namespaces").out


def test_shared_options_stand_before_or_after_the_command(shell: Shell, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "elsewhere")
    shell("--home", elsewhere, "-n", "left", "memory", "add", "One.")
    assert shell("memory", "list", "--json", "--home", elsewhere, "-n", "left").json["items"][0]["content"] == "One."
    assert shell("--json", "-n", "left", "memory", "list", "-n", "right", "--home", elsewhere).json["items"] == []


def test_list_pages_through_everything(shell: Shell) -> None:
    for number in range(5):
        shell("memory", "add", f"Note {number}.")
    first = shell("memory", "list", "--limit", "2", "--json").json
    second = shell("memory", "list", "--limit", "2", "--cursor", first["next_cursor"], "--json").json
    assert [item["content"] for item in first["items"] + second["items"]] == [f"Note {n}." for n in range(4)]
    everything = shell("memory", "list", "--all", "--json").json
    assert (len(everything["items"]), everything["next_cursor"]) == (5, None)
    assert "More: --cursor" in shell("memory", "list", "--limit", "2").out


def test_links_show_from_both_ends(shell: Shell) -> None:
    shell("memory", "add", "One.")
    shell("memory", "add", "Two.")
    assert shell("memory", "link", "1", "2", "--kind", "causes", "--weight", "0.5").code == 0
    assert shell("memory", "get", "2", "--json").json["links"] == [{"id": 1, "kind": "causes", "weight": 0.5}]
    assert "#2 (causes, 0.5)" in shell("memory", "get", "1").out


def test_prune_tells_before_it_forgets(shell: Shell) -> None:
    for importance in ("0.1", "0.9"):
        shell("memory", "add", f"Worth {importance}.", "--importance", importance)
    planned = shell("memory", "prune", "--importance-below", "0.5", "--dry-run")
    assert planned.out.startswith("Would forget 1 memory.\n#1 ")
    assert "Worth 0.1." in planned.out
    assert shell("memory", "prune", "--importance-below", "0.5", "--json").json == {
        "ids": [1],
        "dry_run": False,
        "merged": {},
    }
    assert len(shell("memory", "list", "--json").json["items"]) == 1
    shell("memory", "add", "Worth 0.1 elsewhere.", "--importance", "0.1", "-n", "other")
    assert shell("memory", "prune", "--importance-below", "0.5", "--json").json["ids"] == []
    assert len(shell("memory", "prune", "--importance-below", "0.5", "-n", "other", "--json").json["ids"]) == 1


def test_prune_keeps_one_of_those_that_say_nearly_the_same(shell: Shell) -> None:
    shell("memory", "add", "The deploy pipeline runs every Tuesday at noon, after the nightly build is green.")
    shell("memory", "add", "The deploy pipeline runs every Tuesday at noon after the nightly build is green")
    shell("memory", "add", "Invoices are rounded half to even.")
    assert "1 of them merged into one that says nearly the same" in shell(
        "memory", "prune", "--similar-above", "0.9", "--dry-run"
    ).out.replace("\n", " ")
    assert shell("memory", "prune", "--similar-above", "0.9", "--json").json["merged"] == {"2": 1}


def test_text_comes_from_stdin(shell: Shell) -> None:
    shell("memory", "add", "-", stdin="From a pipe: ü.\r\nTwo lines.\n")
    assert shell("memory", "get", "1", "--json").json["content"] == "From a pipe: ü.\nTwo lines."
    assert shell("memory", "search", "-", "--json", stdin="pipe").json["items"][0]["id"] == 1
    assert shell("memory", "add", "-", "--json", stdin=b"\xff\xfe broken").error["type"] == "InvalidInputError"


def test_export_reads_back_as_the_same_memories(shell: Shell, tmp_path: Path) -> None:
    shell("memory", "add", "One.", "-m", '{"list": [1, "a"]}', "--kind", "decision", "--importance", "0.7")
    shell("memory", "add", "Two.", "-n", "other", "--source", "notes", "--ttl", "1d")
    file = tmp_path / "out.jsonl"
    assert shell("memory", "export", str(file), "--json").json == {"path": str(file), "memories": 2}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    elsewhere = ["--home", str(tmp_path / "elsewhere")]
    report = shell("memory", "import", str(file), "--json", *elsewhere).json["imports"][0]
    assert report["added"] == 2
    before, after = (shell("memory", "list", "-n", "*", "--json", *where).json["items"] for where in ([], elsewhere))
    for name in ("content", "metadata", "namespace", "kind", "importance", "source"):
        assert [item[name] for item in before] == [item[name] for item in after]
    assert abs(before[1]["expires_at"] - after[1]["expires_at"]) < 10
    assert [json.loads(line)["id"] for line in shell("memory", "export").out.splitlines()] == [1, 2]
    lines = [json.loads(line) for line in shell("memory", "export", "-n", "other").out.splitlines()]
    assert [line["content"] for line in lines] == ["Two."]


def test_import_reports_what_it_did_and_what_it_skipped(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nText.\n")
    (folder / ".env").write_text("TOKEN=x\n")
    shown = shell("memory", "import", str(folder)).out
    assert "1 file into shop: 1 added." in shown
    assert "looks like a secret" in shown
    assert ".env" in shown
    report = shell("memory", "import", str(folder), "--json").json["imports"][0]
    assert (report["unchanged"], report["added"], report["skipped"]) == (1, 0, {"looks like a secret": 1})
    assert "a.md:1 › A" in shell("memory", "search", "text").out


def test_control_characters_are_shown_not_obeyed(shell: Shell) -> None:
    shell("memory", "add", "red \x1b[31m alert")
    for command in (["memory", "search", "alert"], ["memory", "get", "1"], ["memory", "list"], ["query", "alert"]):
        shown = shell(*command).out
        assert "\x1b" not in shown
        assert "alert" in shown
    assert shell("memory", "get", "1", "--json").json["content"] == "red \x1b[31m alert"

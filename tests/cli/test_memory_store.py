"""`ruvllm memory namespaces|limit|reembed|migrate`, and how trust is set, shown and filtered by."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from ruvllm_mcp.memory import migrations
from tests.cli.conftest import Outcome

Shell = Callable[..., Outcome]
STORES = Path(__file__).parent.parent / "memory" / "stores"
LATEST = len(migrations.STEPS)


def test_a_limit_is_set_shown_kept_and_lifted(shell: Shell) -> None:
    shell("memory", "add", "First.")
    set_to = shell("memory", "limit", "--memories", "1", "--bytes", "2kB", "--json").json
    assert set_to == {
        "namespace": "shop",
        "memories": 1,
        "bytes": 8,
        "max_memories": 1,
        "max_bytes": 2000,
        "token_bits": True,
    }
    assert "at most 1 memories, at most 2.0 kB of text" in shell("memory", "namespaces").out
    full = shell("memory", "add", "Second.")
    assert full.code == 4
    assert "holds 1 of at most 1 memories" in full.err
    assert "ruvllm memory limit -n 'shop'" in full.err
    assert "No limit of its own" in shell("memory", "limit", "--memories", "none", "--bytes", "none").out
    assert shell("memory", "add", "Second.").code == 0
    assert shell("memory", "limit", "--bytes", "lots").code == 2
    assert "no token bits" in shell("memory", "limit", "-n", "logs", "--no-token-bits").out.lower()
    assert shell("memory", "limit", "-n", "*").code == 2


def test_a_limit_in_the_settings_holds_for_every_namespace(shell: Shell, home: Path) -> None:
    home.mkdir()
    (home / "ruvllm.toml").write_text("max_memories = 1\n")
    assert shell("memory", "add", "First.").code == 0
    assert "NamespaceFullError" in shell("memory", "add", "Second.", "--json").err
    assert "come from the settings" in shell("memory", "limit").out


def test_trust_is_set_shown_and_filtered_by(shell: Shell) -> None:
    shell("memory", "add", "The pump is blue.", "--trust", "untrusted")
    shell("memory", "add", "The pump is red.")
    assert "UNTRUSTED" in shell("memory", "search", "pump").out
    found = shell("memory", "search", "pump", "--min-trust", "trusted", "--json").json["items"]
    assert [(hit["content"], hit["trust"]) for hit in found] == [("The pump is red.", "trusted")]
    assert "[1 untrusted]" in shell("context", "pump").out
    assert "blue" not in shell("context", "pump", "--min-trust", "agent").out
    assert "blue" not in shell("query", "pump", "--min-trust", "agent").out
    assert shell("memory", "update", "1", "--trust", "trusted", "--json").json["trust"] == "trusted"
    assert shell("memory", "add", "x", "--trust", "fully").code == 2
    shell("memory", "add", "From a page.", "--trust", "untrusted")
    shell("memory", "import", "-", "-n", "copy", stdin=shell("memory", "export").out.replace('"shop"', '"copy"'))
    copied = shell("memory", "list", "-n", "copy", "--json").json["items"]
    assert {item["content"]: item["trust"] for item in copied}["From a page."] == "untrusted"
    shell("memory", "import", "-", "--trust", "agent", stdin='{"content": "Heard."}')
    assert shell("memory", "list", "--json").json["items"][-1]["trust"] == "agent"


def test_embedding_anew_after_a_change_of_embedder(shell: Shell) -> None:
    for n in range(3):
        shell("memory", "add", f"Fact number {n}.")
    assert shell("stats", "--json", "--embedder", "hashing:64").json["unembedded"] in (0, 3)
    done = shell("memory", "reembed", "--embedder", "hashing:32", "--json").json
    assert done["embedder"] == "hashing:32"
    assert shell("memory", "reembed", "--embedder", "hashing:32").out == "Every memory is embedded by hashing:32.\n"


def test_a_migration_is_tried_out_done_and_taken_back(shell: Shell, home: Path) -> None:
    assert shell("memory", "migrate", "--dry-run").code == 2, "there is no store yet"
    home.mkdir()
    raw = sqlite3.connect(home / "memory.db")
    raw.executescript((STORES / "schema_4.sql").read_text(encoding="utf-8"))
    raw.close()
    tried = shell("memory", "migrate", "--dry-run").out
    assert "nothing changed" in tried
    assert "trust_and_limits" in tried
    done = shell("memory", "migrate", "--json").json
    assert (done["before"], done["after"]) == (4, LATEST)
    assert Path(done["copy"]).exists()
    assert shell("memory", "migrate").out == f"The store has schema {LATEST} already.\n"
    back = shell("memory", "migrate", "--to", "4").out
    assert back.startswith(f"Schema {LATEST} was brought to 4")
    assert shell("memory", "migrate", "--to", "1").code == 2
    assert shell("memory", "migrate", "--to", "4", "--dry-run").code == 2
    assert len(shell("memory", "list", "-n", "*", "--json").json["items"]) == 3

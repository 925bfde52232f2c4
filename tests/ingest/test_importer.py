"""Import and import again: the store is the judge of what is in it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ruvllm_mcp import RuvLLM, Settings
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.ingest import ImportReport, import_path
from ruvllm_mcp.ingest.importer import BATCH, Progress
from ruvllm_mcp.ingest.records import written_record
from ruvllm_mcp.types import TRUST_LEVELS, MemoryRecord

pytestmark = pytest.mark.anyio

FUNCTION = "def {name}(x):\n    " + "'''{name} does its work, at length.'''\n    " * 12 + "return x\n\n\n"
GUIDE = "# Guide\n\nStart here.\n\n## Install\n\nRun make.\n\n## Use\n\nCall it.\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "guide.md").write_text(GUIDE)
    (root / "code.py").write_text("".join(FUNCTION.format(name=name) for name in ("one", "two", "three")))
    return root


async def everything(llm: RuvLLM) -> dict[int, MemoryRecord]:
    page = await llm.list_memories(limit=1000)
    assert page.next_cursor is None
    return {memory.id: memory for memory in page.items}


def counts(report: ImportReport) -> dict[str, int]:
    names = ("added", "unchanged", "moved", "merged", "removed")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


async def test_passages_say_where_they_are_from(settings: Settings, project: Path) -> None:
    async with RuvLLM(settings) as llm:
        report = await import_path(llm, project)
        assert counts(report) == {"added": 6}
        passages = {memory.metadata.get("title"): memory for memory in (await everything(llm)).values()}
        install = passages["Guide › Install"]
        assert install.content == "docs/guide.md › Guide › Install\n## Install\n\nRun make."
        assert dict(install.metadata) == {
            "collection": report.collection,
            "path": "docs/guide.md",
            "lines": "5-7",
            "language": "markdown",
            "title": "Guide › Install",
        }
        assert (install.source, install.kind, install.namespace) == ("docs/guide.md", "document", "shop")
        assert (passages["two"].kind, passages["two"].metadata["language"]) == ("code", "python")


async def test_importing_again_adds_nothing(settings: Settings, project: Path) -> None:
    async with RuvLLM(settings) as llm:
        await import_path(llm, project)
        before = await everything(llm)
        assert counts(await import_path(llm, project)) == {"unchanged": 6}
        assert await everything(llm) == before


async def test_a_changed_file_changes_only_its_own_passages(settings: Settings, project: Path) -> None:
    async with RuvLLM(settings) as llm:
        await import_path(llm, project)
        before = await everything(llm)
        (project / "docs" / "guide.md").write_text("A new first line.\n\n" + GUIDE.replace("Run make.", "Run pip."))
        assert counts(await import_path(llm, project)) == {"added": 2, "unchanged": 3, "moved": 2, "removed": 1}
        after = await everything(llm)
        gone = {before[memory_id].metadata["title"] for memory_id in before.keys() - after.keys()}
        assert gone == {"Guide › Install"}
        for memory_id in before.keys() & after.keys():
            assert after[memory_id].content == before[memory_id].content
            if before[memory_id].metadata["path"] == "code.py":
                assert after[memory_id] == before[memory_id]
        moved = {m.metadata["title"]: m.metadata["lines"] for m in after.values() if m.metadata.get("title")}
        assert moved["Guide › Use"] == "11-13"


async def test_gone_files_stay_until_pruned_and_only_inside_the_folder_named(settings: Settings, project: Path) -> None:
    async with RuvLLM(settings) as llm:
        (project / ".git").mkdir()
        await import_path(llm, project)
        (project / "docs" / "guide.md").unlink()
        (project / "code.py").unlink()
        (project / "docs" / "new.md").write_text("New.")
        report = await import_path(llm, project / "docs")
        assert (counts(report), report.missing_files) == ({"added": 1}, 1)
        report = await import_path(llm, project / "docs", prune=True)
        assert counts(report) == {"unchanged": 1, "removed": 3}
        assert {m.metadata["path"] for m in (await everything(llm)).values()} == {"docs/new.md", "code.py"}


async def test_a_folder_of_a_repository_and_the_repository_agree(settings: Settings, project: Path) -> None:
    (project / ".git").mkdir()
    async with RuvLLM(settings) as llm:
        await import_path(llm, project / "docs" / "guide.md")
        await import_path(llm, project / "docs")
        assert counts(await import_path(llm, project)) == {"added": 3, "unchanged": 3}


async def test_a_folder_that_its_repository_ignores_is_read_on_its_own(settings: Settings, project: Path) -> None:
    (project / ".git").mkdir()
    (project / ".gitignore").write_text("docs/\n")
    (project / "docs" / "deep").mkdir()
    (project / "docs" / "deep" / "more.md").write_text("More.")
    async with RuvLLM(settings) as llm:
        assert (await import_path(llm, project)).added == 3
        report = await import_path(llm, project / "docs")
        assert counts(report) == {"added": 4}
        assert report.collection.startswith("docs~")
        assert (await import_path(llm, project / "docs" / "deep")).collection.startswith("deep~")
        assert {m.metadata["path"] for m in (await everything(llm)).values()} == {
            "code.py",
            "guide.md",
            "deep/more.md",
            "more.md",
        }


async def test_equal_text_in_two_files_is_two_passages(settings: Settings, project: Path) -> None:
    (project / "docs" / "copy.md").write_text(GUIDE)
    async with RuvLLM(settings) as llm:
        assert (await import_path(llm, project)).added == 9
        (project / "docs" / "copy.md").unlink()
        assert counts(await import_path(llm, project, prune=True)) == {"unchanged": 6, "removed": 3}


async def test_a_stopped_import_goes_on_where_it_was(settings: Settings, project: Path) -> None:
    for number in range(3 * BATCH):
        (project / f"note{number:03}.txt").write_text(f"Note {number}.")
    async with RuvLLM(settings) as llm:

        def stop(progress: Progress) -> None:
            if progress.added >= BATCH:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await import_path(llm, project, on_progress=stop)
        stopped_at = len(await everything(llm))
        assert BATCH <= stopped_at < 3 * BATCH
        report = await import_path(llm, project)
        assert (report.unchanged, report.added) == (stopped_at, 3 * BATCH + 6 - stopped_at)


async def test_secrets_are_blanked_out_once_and_stay_unchanged(settings: Settings, project: Path) -> None:
    (project / "config.py").write_text('password = "hunter2hunter2"\n')
    async with RuvLLM(settings) as llm:
        assert (await import_path(llm, project)).redacted == 1
        assert not any("hunter2" in memory.content for memory in (await everything(llm)).values())
        assert counts(await import_path(llm, project)) == {"unchanged": 7}


async def test_a_file_that_lost_its_text_loses_its_passages(settings: Settings, project: Path) -> None:
    async with RuvLLM(settings) as llm:
        await import_path(llm, project)
        (project / "code.py").write_text("\n")
        assert counts(await import_path(llm, project)) == {"unchanged": 3, "removed": 3}


async def test_json_lines_are_memories_of_their_own(settings: Settings, tmp_path: Path) -> None:
    records = [
        {"content": "One.", "metadata": {"a": 1}, "kind": "decision", "importance": 0.9, "namespace": "elsewhere"},
        {"_id": "7", "title": "Two", "text": "Second."},
        {"text": "Three.", "priority": 3},
    ]
    file = tmp_path / "records.jsonl"
    file.write_text("\n\n".join(json.dumps(record) for record in records))
    async with RuvLLM(settings) as llm:
        assert counts(await import_path(llm, file)) == {"added": 3}
        assert counts(await import_path(llm, file)) == {"merged": 3}
        items = (await llm.list_memories(namespace="*")).items
        assert [(item.content, dict(item.metadata), item.namespace) for item in items] == [
            ("One.", {"a": 1}, "elsewhere"),
            ("Two\nSecond.", {"_id": "7", "title": "Two"}, "shop"),
            ("Three.", {"priority": 3}, "shop"),
        ]
        assert (items[0].kind, items[0].importance, items[1].source) == ("decision", 0.9, "records.jsonl")


async def test_an_export_keeps_when_a_memory_was_first_known(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(
        '{"content": "Old.", "created_at": 1500000000.5}\n{"content": "Dated.", "created_at": "2024-05-01"}\n'
        '{"content": "Undated.", "created_at": null}'
    )
    async with RuvLLM(settings) as llm:
        before = time.time()
        await import_path(llm, file)
        old, dated, undated = (await llm.list_memories(namespace="*")).items
        assert (old.created_at, dict(old.metadata)) == (1500000000.5, {})
        assert dated.created_at >= before - 1
        assert dict(dated.metadata) == {"created_at": "2024-05-01"}
        assert dict(undated.metadata) == {}
        file.write_text(json.dumps(written_record(old, before)) + '\n{"content": "x", "created_at": 1e14}')
        with pytest.raises(InvalidInputError, match="created_at"):
            await import_path(llm, file)
        file.write_text(json.dumps({**written_record(old, before), "namespace": "copy"}))
        await import_path(llm, file)
        (copy,) = (await llm.list_memories(namespace="copy")).items
        assert copy.created_at == old.created_at


async def test_what_is_imported_is_trusted_as_far_as_is_said(settings: Settings, project: Path) -> None:
    (project / "records.jsonl").write_text(
        "\n".join(json.dumps({"content": f"From {trust}.", "trust": trust}) for trust in TRUST_LEVELS)
    )
    async with RuvLLM(settings) as llm:
        await import_path(llm, project, trust="agent")
        items = (await llm.list_memories(namespace="*")).items
        assert {item.trust for item in items if item.client == "import"} == {"agent"}
        assert {item.content: item.trust for item in items if item.content.startswith("From ")} == {
            "From untrusted.": "untrusted",
            "From agent.": "agent",
            "From trusted.": "agent",
        }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not an object"),
        ('{"content": " "}', "no text"),
        ('{"content": 3}', "no text"),
        ('{"content": "x", "metadata": [1]}', "not an object"),
    ],
)
async def test_a_line_that_is_no_record_is_named(settings: Settings, tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"content": "good"}\n' + line)
    async with RuvLLM(settings) as llm:
        with pytest.raises(InvalidInputError, match=f"line 2.*{problem}"):
            await import_path(llm, file)


async def test_a_path_that_is_not_there_is_an_error(settings: Settings, tmp_path: Path) -> None:
    async with RuvLLM(settings) as llm:
        with pytest.raises(InvalidInputError, match="There is no"):
            await import_path(llm, tmp_path / "nowhere")

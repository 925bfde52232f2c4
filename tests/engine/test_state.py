"""A state file carries memories, links and what was learned from one store to another, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ruvllm_mcp import RuvLLM, Settings
from ruvllm_mcp.errors import InvalidInputError, StorageFullError

pytestmark = pytest.mark.anyio

QUESTION = "how do the releases reach the deploy pipeline?"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "elsewhere", namespace="other", embedder="hashing")


async def taught(llm: RuvLLM) -> list[int]:
    """Three linked memories and a feedback that puts the third first."""
    ids = await llm.add_memories(
        [
            "Releases reach production through the deploy pipeline.",
            {"content": "Invoices are rounded half to even.", "importance": 0.9, "source": "docs/money.md"},
            {"content": "The runbook is in the wiki.", "metadata": {"topic": "ops"}, "created_at": 1_700_000_000.5},
        ]
    )
    await llm.link_memories(ids[0], ids[2], "explains", 0.7)
    hits = await llm.search_memory("how do releases reach the deploy pipeline?")
    await llm.feedback(hits.request_id, relevant=[ids[2]])
    return ids


async def test_round_trip_keeps_memories_links_and_what_was_learned(
    settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "state.jsonl"
    async with RuvLLM(settings) as llm, RuvLLM(elsewhere) as other:
        await taught(llm)
        before = await llm.search_memory(QUESTION)
        written = await llm.export_state(file)
        assert (written.memories, written.links, written.feedbacks) == (3, 1, 1)
        assert file.stat().st_mode & 0o777 == 0o600
        await other.add_memory("Something that shifts every id.", namespace="shop")
        assert (await other.import_state(file)).memories == 3
        after = await other.search_memory(QUESTION, 3, namespace="shop")
        assert after[0].content == before[0].content == "The runbook is in the wiki."
        record = await other.get_memory(after[0].id)
        assert (record.metadata, record.created_at) == ({"topic": "ops"}, 1_700_000_000.5)
        (link,) = await other.neighbours(after[0].id)
        assert (link.kind, link.weight) == ("explains", 0.7)
        again = await other.import_state(file)
        assert (again.memories, again.feedbacks) == (0, 0)
        assert (await other.stats()).memories == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: ["not json", *lines],
        lambda lines: ['{"format": "ruvllm-state", "version": 99}', *lines[1:]],
        lambda lines: [*lines, '{"mystery": {}}'],
        lambda lines: [*lines, '{"memory": {"id": 7}}'],
        lambda lines: [*lines, '{"memory": {"id": 7, "content": "x", "expires_at": "soon"}}'],
        lambda lines: [*lines, '{"feedback": {"request_id": "r0", "rating": 5}}'],
        lambda lines: [*lines, '{"request": {"request_id": "r0"}}'],
        lambda lines: [*lines, "[1]"],
        lambda lines: [*lines, lines[1][:20]],
        lambda lines: lines[:0],
    ],
)
async def test_a_damaged_file_is_refused_whole(
    settings: Settings, elsewhere: Settings, tmp_path: Path, damage: object
) -> None:
    file = tmp_path / "state.jsonl"
    async with RuvLLM(settings) as llm, RuvLLM(elsewhere) as other:
        await taught(llm)
        await llm.export_state(file)
        file.write_text("\n".join(damage(file.read_text().splitlines())))
        with pytest.raises(InvalidInputError, match=r"state\.jsonl"):
            await other.import_state(file)
        assert (await other.stats()).memories == 0


async def test_files_that_cannot_be_read_or_written_are_named(settings: Settings, tmp_path: Path) -> None:
    async with RuvLLM(settings) as llm:
        with pytest.raises(InvalidInputError, match="missing"):
            await llm.import_state(tmp_path / "missing")
        with pytest.raises(StorageFullError, match="nowhere"):
            await llm.export_state(tmp_path / "nowhere" / "state.jsonl")


async def test_every_line_is_one_json_object(settings: Settings, tmp_path: Path) -> None:
    async with RuvLLM(settings) as llm:
        await taught(llm)
        await llm.export_state(tmp_path / "state.jsonl")
    kinds = [next(iter(json.loads(line))) for line in (tmp_path / "state.jsonl").read_text().splitlines()]
    assert kinds == ["format", "memory", "memory", "memory", "link", "request", "feedback"]

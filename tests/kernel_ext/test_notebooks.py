"""The example notebooks run from start to end in a real kernel and show what they promise."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

EXAMPLES = Path(__file__).parents[2] / "examples"
CELL_SECONDS = 60


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NotebookNode]:
    """Every example by name, executed side by side in one store of its own: they share it as they would a user's."""
    folder = tmp_path_factory.mktemp("notebooks")
    own = {"RUVLLM_HOME": str(folder / "home"), "IPYTHONDIR": str(folder / "ipython")}
    notebooks = {path.stem: read(path) for path in sorted(EXAMPLES.glob("*.ipynb"))}

    async def execute_all() -> None:
        place = {"metadata": {"path": str(folder)}}
        clients = [NotebookClient(notebook, timeout=CELL_SECONDS, resources=place) for notebook in notebooks.values()]
        await asyncio.gather(*(client.async_execute(env={**os.environ, **own}) for client in clients))

    asyncio.run(execute_all())
    return notebooks


def shown_after(notebook: NotebookNode, start: str) -> list[str]:
    """The texts put out by the one cell that starts so; what showed progress on a slow machine is empty by then."""
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(start))
    return [output.get("text") or output["data"]["text/plain"] for output in cell.outputs if output.get("data") != {}]


def first_memory(table: str) -> str:
    lines = table.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.split() == ["id", "score", "memory"]) + 1]


def test_all_examples_are_tested_here(executed: dict[str, NotebookNode]) -> None:
    assert set(executed) == {"learning_from_feedback", "quick_tour"}


@pytest.mark.parametrize("name", ["learning_from_feedback", "quick_tour"])
def test_examples_are_committed_without_outputs(name: str) -> None:
    notebook = read(EXAMPLES / f"{name}.ipynb")
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_tour_finds_by_meaning_filters_and_answers_with_sources(executed: dict[str, NotebookNode]) -> None:
    tour = executed["quick_tour"]
    (found,) = shown_after(tour, "%ruvllm search can we ship")
    assert "never on a Friday" in first_memory(found)
    (answer,) = shown_after(tour, "%ruvllm query Why did we choose PostgreSQL?")
    assert "because invoices need transactions" in " ".join(answer.split())
    (filtered,) = shown_after(tour, "topic = ")
    assert "Migrations run inside one transaction" in filtered
    assert len(filtered.splitlines()) == 4
    (stats,) = shown_after(tour, "%ruvllm stats")
    assert '"quick-tour": 31' in stats
    (deleted,) = shown_after(tour, "page = ")
    assert deleted.startswith("Deleted 31 memories")


def test_one_feedback_lifts_the_helpful_memory_for_questions_not_rated(executed: dict[str, NotebookNode]) -> None:
    notebook = executed["learning_from_feedback"]
    (ranks,) = shown_after(notebook, "ranks_after, ")
    moved = [line.split()[1:4:2] for line in ranks.splitlines() if line.startswith("rank")]
    assert len(moved) == 2
    assert all(int(after) < int(before) for before, after in moved)
    (again,) = shown_after(notebook, "%ruvllm search the kraken keeps timing out -k 3")
    assert "Reconciliation needs statement_timeout" in first_memory(again)

"""One way in: a file's text and language to its passages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from ruvllm_mcp.ingest.code import code_passages, python_passages
from ruvllm_mcp.ingest.languages import PROSE_LANGUAGES
from ruvllm_mcp.ingest.passages import Passage
from ruvllm_mcp.ingest.prose import markdown_passages, restructured_passages, text_passages


def split(text: str, language: str) -> list[Passage]:
    """Passages of a text with `\\n` line ends, in order. Languages are those of `languages.py`."""
    if language == "notebook":
        return list(_notebook_passages(text))
    lines = text.split("\n")
    if language == "markdown":
        return list(markdown_passages(lines))
    if language == "restructuredtext":
        return list(restructured_passages(lines))
    if language in PROSE_LANGUAGES:
        return list(text_passages(lines))
    return list(python_passages(lines) if language == "python" else code_passages(lines))


def _notebook_passages(text: str) -> Iterator[Passage]:
    """The cells of a Jupyter notebook, outputs left out; nothing when it is no notebook. A code cell is titled by the
    heading it stands under."""
    try:
        notebook = json.loads(text)
        cells = notebook["cells"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    heading = ""
    for number, cell in enumerate(cells if isinstance(cells, list) else [], start=1):
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        is_prose = isinstance(cell, dict) and cell.get("cell_type") == "markdown"
        for passage in split(source, "markdown" if is_prose else "python"):
            heading = passage.title if is_prose and passage.title else heading
            yield replace(passage, first=number, last=number, title=passage.title or heading)

"""Source code: Python along its definitions, everything else along blank lines, brackets and indentation.

A Python function or small class is one passage, with its decorators and the comments right above it; a larger class is
its head and its methods; small neighbours share a passage. Other languages have no parser here: indentation tells
where a definition ends well enough in all of them, and the title is the first thing a passage defines.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ruvllm_mcp.ingest.passages import (
    CODE_TARGET,
    MAX_CHARACTERS,
    Block,
    Passage,
    fitted,
    indentation_depths,
    passages,
    size_of,
    windows,
)

_DEFINED = (
    re.compile(
        r"^[ \t]*(?:(?:export|default|pub(?:\([a-z]+\))?|public|private|protected|internal|static|final|abstract|async|"
        r"sealed|open|override|virtual|inline|unsafe|extern|const|local|data|case|partial|declare)\s+)*"
        r"(?:func|function|fn|fun|def|defp|defmodule|class|struct|interface|enum|trait|impl|type|module|namespace|object|"
        r"protocol|extension|record|message|service|resource|sub|proc|procedure|macro_rules!|union)(?!\w)"
        r"(?:\s*<[^>]*>)?\s+(?:\([^)]*\)\s*)?[\"']?([A-Za-z_$][\w$.:]*)",
        re.M,
    ),
    re.compile(
        r"^(?:export\s+)?(?:const|let|var)\s+([A-Za-z_$][\w$]*)\s*=\s*(?:async\s*)?(?:\(|function|[A-Za-z_$]+\s*=>)",
        re.M,
    ),
    re.compile(r"^#\s*define\s+([A-Za-z_]\w*)", re.M),
    re.compile(
        r"^create\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?(?:table|view|function|procedure|trigger|index|type)\s+"
        r"(?:if\s+not\s+exists\s+)?[\"`]?([\w.]+)",
        re.M | re.I,
    ),
    re.compile(r"^\[{1,2}([^\]\n]{1,100})\]{1,2}\s*$", re.M),
)


# A function of the C family: a type, a name and a bracket at the left margin, no statement.
_C_FUNCTION = re.compile(r"[A-Za-z_][\w \t*&:<>,~]*?[\s*&]([A-Za-z_~][\w:~]*)\s*\(")
READ_FOR_TITLE = 4_000
# Parts of a definition too large for one passage: as much of it together as one encoder window takes.
PART_TARGET = 1_000


def code_passages(lines: Sequence[str]) -> Iterator[Passage]:
    """Passages of code in any language, each titled by the first thing it defines."""
    parts = windows(lines, 0, len(lines), CODE_TARGET, indentation_depths(lines))
    blocks = [Block(start, end, _defined_in("\n".join(lines[start:end]))) for start, end in parts]
    return passages(lines, blocks)


def _defined_in(text: str) -> str:
    text = text[:READ_FOR_TITLE]
    found = [(match.start(), match[1]) for pattern in _DEFINED if (match := pattern.search(text))]
    position = 0
    for line in text.split("\n"):
        match = _C_FUNCTION.match(line[:200])
        if match and not line.rstrip().endswith(";") and match[0].split()[0] not in ("return", "else", "if"):
            found.append((position, match[1]))
            break
        position += len(line) + 1
    return min(found)[1] if found else ""


@dataclass(frozen=True)
class _Unit:
    """Lines that belong together: a definition, or the statements between two. `owner` is the class around it."""

    start: int
    end: int
    owner: str
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        return ", ".join(f"{self.owner}.{name}" if self.owner else name for name in self.names) or self.owner


def python_passages(lines: Sequence[str]) -> Iterator[Passage]:
    """Passages along the definitions of a Python file; as other code where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in somebody else's strings
            tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code_passages(lines)
    units = _packed(lines, _units(lines, tree.body, 0, len(lines), ""))
    blocks = (Block(unit.start, unit.end, unit.title) for unit in units)
    return passages(lines, fitted(lines, blocks, PART_TARGET, indentation_depths(lines)))


def _units(lines: Sequence[str], body: Sequence[ast.stmt], start: int, end: int, owner: str) -> Iterator[_Unit]:
    """Lines `start` to `end`, whose statements are `body`, partitioned."""
    at = start
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        while first > at and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        last = min(end, node.end_lineno or node.lineno)
        if first < at or last <= first:
            continue  # shares a line with what came before
        if first > at:
            yield _Unit(at, first, owner, ())
        if isinstance(node, ast.ClassDef) and size_of(lines, first, last) > MAX_CHARACTERS:
            yield from _units(lines, node.body, first, last, f"{owner}.{node.name}" if owner else node.name)
        else:
            yield _Unit(first, last, owner, (node.name,))
        at = last
    if at < end:
        yield _Unit(at, end, owner, ())


def _packed(lines: Sequence[str], units: Iterator[_Unit]) -> Iterator[_Unit]:
    """Small neighbours of one owner joined up to `CODE_TARGET` characters."""
    waiting: _Unit | None = None
    for unit in units:
        joins = waiting is not None and (waiting.owner == unit.owner or _is_blank(lines, unit))
        if waiting is not None and joins and size_of(lines, waiting.start, unit.end) <= CODE_TARGET:
            waiting = _Unit(waiting.start, unit.end, waiting.owner, waiting.names + unit.names)
        else:
            if waiting is not None:
                yield waiting
            waiting = unit
    if waiting is not None:
        yield waiting


def _is_blank(lines: Sequence[str], unit: _Unit) -> bool:
    return not any(line.strip() for line in lines[unit.start : unit.end])

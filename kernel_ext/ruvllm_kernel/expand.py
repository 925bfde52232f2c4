"""`{name}` and `{expression}` in a magic's line become values; every other brace stays as it is.

IPython's own expansion gives up on the whole line at the first brace it cannot format, which JSON always contains.
Here each `{...}` is judged alone: it is an expression if Python parses it as one and it mentions a name. So
`{"priority": "high"}`, `{}` and `\\d{4}` stand, `{level}` inside that JSON is replaced, and `{{level}}` means the
braces themselves. An expression that fails is an error: a mistyped name must not be remembered as text.

A value stands in the line as one private-use character until the line has been parsed, so no value, wherever it comes
from, is ever taken for an option, a quote or another expression.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from ruvllm_mcp.errors import InvalidInputError

# An expression stands on one line and is no longer than this, so that code full of braces is scanned in linear time.
LONGEST_EXPRESSION = 200


PRIVATE_USE = range(0xF0000, 0xFFFFE)


@dataclass(frozen=True)
class Marked:
    """A text in which each value is one character, and the values those stand for."""

    text: str
    values: Mapping[str, str]

    def filled(self, part: str) -> str:
        """`part` of the text with its values written out."""
        return part.translate({ord(mark): value for mark, value in self.values.items()})


def expand(text: str, names: Mapping[str, Any]) -> str:
    """`text` with every `{expression}` replaced by its value; see `mark`."""
    marked = mark(text, names)
    return marked.filled(marked.text)


def mark(text: str, names: Mapping[str, Any]) -> Marked:
    """`text` with every `{expression}` marked for its value among `names`.

    Lists, tuples and mappings of plain values are written as JSON, anything else as `str()` gives it. Raises
    InvalidInputError if an expression raises.
    """
    written: list[str] = []
    values: dict[str, str] = {}
    marks = (mark for mark in map(chr, PRIVATE_USE) if mark not in text)
    position = 0
    while (start := text.find("{", position)) >= 0:
        written.append(text[position:start])
        doubled = text.startswith("{{", start)
        found = _expression_at(text, start + 1 + doubled, "}}" if doubled else "}")
        if found is None:
            written.append("{")
            position = start + 1
            continue
        end, code = found
        source = text[start + doubled : end - doubled]
        if doubled:
            written.append(source)
        else:
            written.append(_next(marks))
            values[written[-1]] = _written(_value(source, code, names))
        position = end
    return Marked("".join([*written, text[position:]]), values)


def _next(marks: Iterator[str]) -> str:
    try:
        return next(marks)
    except StopIteration:
        raise InvalidInputError(f"More than {len(PRIVATE_USE):,} expressions.", "Write fewer of them.") from None


def _expression_at(text: str, start: int, closing: str) -> tuple[int, CodeType] | None:
    """Where the shortest expression that starts there ends, `closing` included, and its code; None if there is none."""
    newline = text.find("\n", start)
    limit = min(start + LONGEST_EXPRESSION, len(text) if newline < 0 else newline)
    end = text.find(closing, start, limit)
    while end >= 0:
        code = _compiled(text[start:end].strip())
        if code is not None:
            return end + len(closing), code
        end = text.find(closing, end + 1, limit)
    return None


def _compiled(source: str) -> CodeType | None:
    try:
        tree = ast.parse(source, mode="eval")
        if not any(isinstance(node, ast.Name) for node in ast.walk(tree)):
            return None
        return compile(tree, "<ruvllm>", "eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _value(source: str, code: CodeType, names: Mapping[str, Any]) -> Any:
    try:
        return eval(code, dict(names))
    except Exception as error:
        problem = str(error) or type(error).__name__
        raise InvalidInputError(
            f"{source} failed: {problem}.", f"Write {{{source}}} to mean the braces themselves."
        ) from None


def _written(value: Any) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return str(value)
    return str(value)

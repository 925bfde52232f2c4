"""`{name}` and `{expression}` in a magic's line become values; every other brace stays as it is.

IPython's own expansion gives up on the whole line at the first brace it cannot format, which JSON always contains.
Here each `{...}` is judged alone: it is an expression if Python parses it as one and it mentions a name. So
`{"priority": "high"}`, `{}` and `\\d{4}` stand, `{level}` inside that JSON is replaced, and `{{level}}` means the
braces themselves. An expression that fails is an error: a mistyped name must not be remembered as text.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from types import CodeType
from typing import Any

from ruvllm_mcp.errors import InvalidInputError

# An expression stands on one line and is no longer than this, so that code full of braces is scanned in linear time.
LONGEST_EXPRESSION = 200


def expand(text: str, names: Mapping[str, Any]) -> str:
    """`text` with every `{expression}` replaced by its value among `names`.

    Lists, tuples and mappings of plain values are written as JSON, anything else as `str()` gives it. Values are never
    expanded again. Raises InvalidInputError if an expression raises.
    """
    written: list[str] = []
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
        written.append(source if doubled else _written(_value(source, code, names)))
        position = end
    return "".join([*written, text[position:]])


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
    if isinstance(value, (Mapping, list, tuple)) and not isinstance(value, str):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return str(value)
    return str(value)

"""JSON lines to memories: what `ruvllm memory export` writes, and any other file whose lines hold some text.

A line is an object with `content` (or `text`), optionally `title`, `metadata`, `namespace`, `kind`, `importance`,
`ttl`, `source`, `trust`, `created_at` (seconds since the epoch); every other field goes into the metadata. Records keep
the metadata they bring: they are memories of their own, exact duplicates merge when the file is read again, and nothing
is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import NoneType
from typing import Any, BinaryIO

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.types import MemoryRecord, NewMemory

MAX_LINE_BYTES = 4_000_000
_FIELDS = ("namespace", "kind", "importance", "ttl", "source", "trust")
# Written by an export for people to read; the importing store gives its own.
_IGNORED = ("id", "updated_at")


def read_records(stream: BinaryIO, name: str, namespace: str) -> Iterator[tuple[NewMemory, int]]:
    """Each line's memory and how many bytes it took. InvalidInputError names the line that is no record."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise _bad(name, number, f"is longer than {MAX_LINE_BYTES:,} bytes")
        if line.strip():
            yield record_of(line, name, number, namespace), len(line)


def record_of(line: bytes, name: str, number: int, namespace: str) -> NewMemory:
    """The memory one line describes; what it does not say goes to `namespace`, with `name` as its source."""
    try:
        item = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise _bad(name, number, "is not valid JSON") from None
    if not isinstance(item, dict):
        raise _bad(name, number, "is not an object")
    given = dict(item)
    content = given.pop("content", None)
    if content is None:
        content = given.pop("text", None)
    if not isinstance(content, str) or not content.strip():
        raise _bad(name, number, 'has no text under "content" or "text"')
    metadata = given.pop("metadata", None) or {}
    if not isinstance(metadata, dict):
        raise _bad(name, number, 'has a "metadata" that is not an object')
    title = given.get("title")
    if isinstance(title, str) and title.strip() and "metadata" not in item:
        content = f"{title.strip()}\n{content}"
    fields: dict[str, Any] = {key: given.pop(key) for key in _FIELDS if given.get(key) is not None}
    if type(given.get("created_at")) in (int, float, NoneType):  # a date in another form is metadata
        fields["created_at"] = given.pop("created_at", None)
    rest = {key: value for key, value in given.items() if key not in (*_IGNORED, *_FIELDS)}
    fields = {"namespace": namespace, "source": name, **fields}
    return NewMemory(content=content, metadata={**rest, **metadata}, **fields)


def written_record(memory: MemoryRecord, now: float) -> dict[str, Any]:
    """One line of an export: reading it back gives the same memory. `now` in seconds since the epoch."""
    line: dict[str, Any] = {
        "id": memory.id,
        "content": memory.content,
        "metadata": dict(memory.metadata),
        "namespace": memory.namespace,
        "kind": memory.kind,
        "importance": memory.importance,
        "source": memory.source,
        "trust": memory.trust,
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
    }
    if memory.expires_at is not None:
        line["ttl"] = max(1.0, memory.expires_at - now)
    return line


def _bad(name: str, number: int, problem: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name}, line {number} {problem}.", 'A record looks like {"content": "...", "metadata": {...}}.'
    )

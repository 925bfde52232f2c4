"""Memories as JSON Lines, out and in: one object a line, with everything but what can be derived again.

Ids are the exporting store's; importing gives new ones and keeps when each was made and will expire. A broken line
stops the import before anything is written, and says which line it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruvllm_mcp.errors import InvalidInputError, StorageFullError
from ruvllm_mcp.types import NewMemory

_FIELDS = ("content", "metadata", "namespace", "kind", "importance", "source", "client", "created_at", "trust")
MAX_LINE = 2_000_000


def write_lines(items: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Writes the objects to `path` (mode 0600), replacing it only when all are written. Returns how many."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        partial.touch(mode=0o600)
        with partial.open("w", encoding="utf-8") as file:
            for item in items:
                file.write(json.dumps(item, ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageFullError(f"{path} cannot be written ({error}).", "Check the disk and the permissions.") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file that `write_lines` made, each with where it stands, for errors. Blank lines are skipped."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), start=1):
                if line.strip():
                    yield f"Line {number} of {path}", _parsed(line, f"Line {number} of {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}).", "Name a file that an export wrote.") from error


def read_memory(item: Mapping[str, Any], place: str, now: float) -> NewMemory | None:
    """The memory that a line describes, None if it expired meanwhile."""
    expires = item.get("expires_at")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, (int, float))):
        raise InvalidInputError(f"{place} has a bad expires_at.", "It takes a time or null.")
    if "content" not in item:
        raise InvalidInputError(f"{place} is no memory.", "Nothing was imported; mend the file.")
    if expires is not None and expires <= now:
        return None
    fields = {name: item[name] for name in _FIELDS if name in item}
    return NewMemory(**fields, ttl=None if expires is None else expires - now)


def _parsed(line: str, place: str) -> dict[str, Any]:
    try:
        item: Any = json.loads(line)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise InvalidInputError(f"{place} is no JSON object.", "Nothing was imported; mend the file.")
    return item

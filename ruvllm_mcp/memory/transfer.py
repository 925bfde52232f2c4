"""Memories as JSON Lines, out and in: one object a line, with everything but what can be derived again.

Ids are the exporting store's; importing gives new ones and keeps the old times. A broken line stops the import before
anything is written, and says which line it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruvllm_mcp.errors import InvalidInputError, StorageFullError
from ruvllm_mcp.types import MemoryRecord, NewMemory

_FIELDS = ("content", "metadata", "namespace", "kind", "importance", "source", "client")
MAX_LINE = 2_000_000


def write_jsonl(records: Iterable[MemoryRecord], path: Path) -> int:
    """Writes the records to `path` (mode 0600), replacing it only when all are written. Returns how many."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        partial.touch(mode=0o600)
        with partial.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record.to_dict(), ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageFullError(f"{path} cannot be written ({error}).", "Check the disk and the permissions.") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def read_jsonl(path: Path, now: float) -> Iterator[NewMemory]:
    """The memories of a file that `write_jsonl` made; those that expired meanwhile are left out."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), start=1):
                if line.strip():
                    item = _parsed(line, number, path, now)
                    if item.ttl is None or item.ttl > 0:
                        yield item
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}).", "Name a file that `export` wrote.") from error


def _parsed(line: str, number: int, path: Path, now: float) -> NewMemory:
    try:
        item: Any = json.loads(line)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict) or "content" not in item:
        raise InvalidInputError(f"Line {number} of {path} is no memory.", "Nothing was imported; mend the file.")
    expires = item.get("expires_at")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, (int, float))):
        raise InvalidInputError(f"Line {number} of {path} has a bad expires_at.", "It takes a time or null.")
    return NewMemory(
        **{name: item[name] for name in _FIELDS if name in item}, ttl=None if expires is None else expires - now
    )

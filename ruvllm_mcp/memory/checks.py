"""What may enter the store: every bound on caller's input, checked once, before anything is written.

The limits keep one memory from filling a disk or a context window and keep JSON portable: whatever passes here can be
stored by SQLite and PostgreSQL alike, read by any JSON parser, and printed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.types import TRUST_LEVELS

MAX_CONTENT_BYTES = 1_000_000
MAX_QUERY_BYTES = 100_000
MAX_METADATA_BYTES = 65_536
MAX_METADATA_DEPTH = 16
MAX_LABEL = 200
MAX_SOURCE = 1_000
MAX_ITEMS = 100_000
_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z")


def text(value: Any, what: str, limit: int = MAX_CONTENT_BYTES) -> str:
    """`value` itself when it is non-blank, storable text of at most `limit` UTF-8 bytes."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} must be text, not {type(value).__name__}.", "Pass a string.")
    if not value.strip():
        raise InvalidInputError(f"{what} is blank.", "Pass some text.")
    _storable(value, what)
    size = len(value) if value.isascii() else len(value.encode())
    if size > limit:
        raise InvalidInputError(f"{what} is {size:,} bytes; the limit is {limit:,}.", "Split it into smaller parts.")
    return value


def _storable(value: str, what: str) -> None:
    if "\x00" in value:
        raise InvalidInputError(f"{what} contains a NUL character.", "Remove it; binary data cannot be remembered.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"{what} contains a lone surrogate at position {error.start}.",
                "Decode the text properly, or with errors='replace'.",
            ) from None


def label(value: Any, what: str, limit: int = MAX_LABEL) -> str:
    """A one-line name: stripped, 1 to `limit` printable characters."""
    name = value.strip() if isinstance(value, str) else ""
    if not name or len(name) > limit or not name.isprintable():
        raise InvalidInputError(f"{what} is {_shown(value)}.", f"It takes 1 to {limit} printable characters.")
    return name


def origin(value: Any, what: str) -> str:
    """Where a memory came from: "" or a label of up to 1,000 characters."""
    return "" if value == "" else label(value, what, MAX_SOURCE)


def trust(value: Any, what: str = "trust") -> int:
    """The place of a trust level's name among `TRUST_LEVELS`."""
    if not isinstance(value, str) or value not in TRUST_LEVELS:
        raise InvalidInputError(f"{what} is {_shown(value)}.", f"It takes one of {', '.join(TRUST_LEVELS)}.")
    return TRUST_LEVELS.index(value)


def kind(value: Any, what: str = "kind") -> str:
    """A short identifier such as `note`, `decision` or `said-next`."""
    if not isinstance(value, str) or not _KIND.match(value):
        raise InvalidInputError(
            f"{what} is {_shown(value)}.", "It takes 1 to 64 letters, digits, '-', '_', '.' or ':'; a letter first."
        )
    return value


def number(value: Any, what: str, low: float, high: float) -> float:
    """A finite number in [low, high]; booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InvalidInputError(f"{what} is {_shown(value)}.", f"It takes a number from {low:g} to {high:g}.")
    return float(value)


def count(value: Any, what: str, low: int = 1, high: int = 2**63 - 1) -> int:
    """A whole number in [low, high]; booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInputError(f"{what} is {_shown(value)}.", f"It takes a whole number from {low:,} up.")
    return int(value)


def flag(value: Any, what: str) -> bool:
    """True or False themselves."""
    if not isinstance(value, bool):
        raise InvalidInputError(f"{what} is {_shown(value)}.", "It takes true or false.")
    return value


def seconds_to_live(value: Any) -> float | None:
    """Seconds a memory lives, None for ever: above 0, at most a thousand years."""
    if value is None:
        return None
    if value == 0:
        raise InvalidInputError("ttl is 0.", "It takes seconds above 0, or None for ever.")
    return number(value, "ttl", 1e-3, 3.2e10)


def memory_id(value: Any) -> int:
    """An id as `add` hands them out."""
    return count(value, "id")


def namespaces(value: Any) -> tuple[str, ...] | None:
    """None (all of them) or one or more names."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or not 1 <= len(value) <= 1_000:
        raise InvalidInputError("namespaces must be a list of 1 to 1,000 names.", "Pass None to search all of them.")
    return tuple(dict.fromkeys(label(name, "namespace") for name in value))


# Compact JSON text. Making an encoder for each call would cost more than what it does.
json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def metadata(value: Any, what: str = "metadata") -> tuple[dict[str, Any], str]:
    """`value` as an object of JSON values and as compact JSON text, bounded in depth and size, NaN refused."""
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{what} must be a mapping, not {type(value).__name__}.", "Pass a dict.")
    if not value:
        return {}, "{}"
    copy: dict[str, Any] = plain(value, what)
    encoded = json_text(copy)
    if len(encoded) > MAX_METADATA_BYTES // 4 and len(encoded.encode()) > MAX_METADATA_BYTES:
        raise InvalidInputError(
            f"{what} is {len(encoded.encode()):,} bytes as JSON; the limit is {MAX_METADATA_BYTES:,}.",
            "Put long text into the content.",
        )
    return copy, encoded


def plain(value: Any, what: str, depth: int = MAX_METADATA_DEPTH) -> Any:
    """A copy made of dicts, lists, strings, numbers, booleans and None only."""
    if depth < 0:
        raise InvalidInputError(f"{what} is nested deeper than {MAX_METADATA_DEPTH} levels.", "Flatten it.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _storable(value, what)
        return str(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidInputError(f"{what} holds a number beyond 64 bits.", "Pass it as a string.")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{what} holds {value}, which JSON cannot.", "Use None for a missing number.")
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not key:
                raise InvalidInputError(f"{what} has the key {_shown(key)}.", "Keys are non-empty strings.")
            _storable(key, what)
        return {key: plain(item, what, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, what, depth - 1) for item in value]
    raise InvalidInputError(f"{what} holds a {type(value).__name__}, which JSON cannot.", "Convert it to text first.")


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."

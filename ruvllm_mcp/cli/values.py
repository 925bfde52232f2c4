"""What people type for durations, ids, metadata and filters. Each reader raises click.BadParameter with an example."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_557_600}
_SIZES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_SIZE = re.compile(r"(?:(\d{1,12}(?:\.\d{1,6})?)\s*([kmg]b)?|none)\Z", re.ASCII)
NO_LIMIT = -1
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([smhdwy]?)\Z", re.ASCII)
_CONDITION = re.compile(r"([^=<>!\s]+)\s*(!=|>=|<=|=|>|<)(.*)\Z", re.DOTALL)
_OPERATORS = {"!=": "$ne", ">=": "$gte", "<=": "$lte", ">": "$gt", "<": "$lt"}


def duration(text: str) -> float:
    """`90`, `90s`, `15m`, `12h`, `30d`, `2w`, `1y` to seconds."""
    match = _DURATION.match(text.strip().lower())
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration: try 90s, 15m, 12h, 30d or 1y.")
    return float(match[1]) * _UNITS[match[2] or "s"]


def at_most(text: str) -> int:
    """`5000`, `10kB`, `2.5MB`, `1GB` to a number; `none` to NO_LIMIT."""
    match = _SIZE.match(text.strip().lower())
    if match is None:
        raise click.BadParameter(f"{text!r} is no limit: try 5000, 10MB or none.")
    return NO_LIMIT if match[1] is None else round(float(match[1]) * _SIZES[match[2] or ""])


def ids(text: str) -> tuple[int, ...]:
    """`3` or `3,5,8` to ids."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= 19 for part in parts):
        raise click.BadParameter(f"{text!r} is no list of ids: try 3 or 3,5,8.")
    return tuple(map(int, parts))


def condition(text: str) -> dict[str, Any]:
    """`framework=pytest`, `priority>=2`, `status!=done`, or a JSON filter, to a `where` mapping."""
    if text.lstrip().startswith("{"):
        return _object(text)
    match = _CONDITION.match(text.strip())
    if match is None:
        raise click.BadParameter(f'{text!r} is no condition: try field=value or \'{{"field": {{"$gt": 2}}}}\'.')
    wanted = scalar(match[3].strip())
    return {match[1]: wanted if match[2] == "=" else {_OPERATORS[match[2]]: wanted}}


def pairs(text: str) -> dict[str, Any]:
    """`framework=pytest`, or a JSON object, to metadata."""
    if text.lstrip().startswith("{"):
        return _object(text)
    key, equals, rest = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} is no metadata: try key=value or '{{\"key\": [1, 2]}}'.")
    return {key.strip(): scalar(rest)}


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text[:80]!r} is not valid JSON: {error}.") from None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{text[:80]!r} is not a JSON object.")
    return found


def scalar(text: str) -> Any:
    """A typed word: numbers, true, false, null and quoted strings as JSON has them, anything else as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, (dict, list)) else value


def together(conditions: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The filter that all conditions must pass; None for none."""
    if len(conditions) > 1:
        return {"$and": list(conditions)}
    return conditions[0] if conditions else None


def merged(fields: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One mapping of all, later ones winning."""
    return {key: value for part in fields for key, value in part.items()}

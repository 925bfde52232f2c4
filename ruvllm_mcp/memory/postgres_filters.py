"""A `where` filter as a condition in SQL on `m.metadata`, true of exactly what `filters` passes.

Equality is containment of JSON, so that PostgreSQL's index on metadata serves it; order comparisons are paths in
strict mode, which neither look into arrays unasked nor compare a number with a text. A field with dots is a key of that
name where there is one, else a path: as in `filters`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ruvllm_mcp.memory.filters import Filter

JSON = "m.metadata::jsonb"
Condition = tuple[str, list[Any]]  # SQL and the values of its placeholders
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def condition(keep: Filter | None) -> Condition:
    """True where there is no filter."""
    return ("true", []) if keep is None else _all_of(json.loads(keep.key))


def _joined(word: str, parts: Sequence[Condition]) -> Condition:
    text = f" {word} ".join(part for part, _ in parts)
    return f"({text})" if parts else "true", [value for _, values in parts for value in values]


def _all_of(where: Mapping[str, Any]) -> Condition:
    return _joined("AND", [_part(field, wanted) for field, wanted in where.items()])


def _part(field: str, wanted: Any) -> Condition:
    if field in ("$and", "$or"):
        return _joined(field[1:].upper(), [_all_of(item) for item in wanted])
    conditions = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
    return _joined("AND", [_test(field, operator, value) for operator, value in conditions.items()])


def _test(field: str, operator: str, value: Any) -> Condition:
    if operator in ("$ne", "$nin"):
        text, values = _test(field, "$eq" if operator == "$ne" else "$in", value)
        return f"(NOT {text})", values
    if operator == "$in":
        return _joined("OR", [_equal_to(field, item) for item in value]) if value else ("false", [])
    if operator == "$eq":
        return _same_list(field, value) if isinstance(value, list) else _equal_to(field, value)
    if operator == "$exists":
        text, values = _by_path(field, lambda path: (f"coalesce({JSON} @? %s::jsonpath, false)", [f"strict {path}"]))
        return (text if value else f"(NOT {text})"), values
    bound = f"? (@ {_SIGNS[operator]} {json.dumps(value)})"
    held = f"(coalesce({JSON} @? %s::jsonpath, false) OR coalesce({JSON} @? %s::jsonpath, false))"
    return _by_path(field, lambda path: (held, [f"strict {path} {bound}", f"strict {path}[*] {bound}"]))


def _equal_to(field: str, value: Any) -> Condition:
    """The field is the value, or a list with the value in it."""

    def contained(keys: Sequence[str]) -> Condition:
        texts = []
        for wanted in (value, [value]):
            for key in reversed(keys):
                wanted = {key: wanted}
            texts.append(json.dumps(wanted))
        return f"({JSON} @> %s::jsonb OR {JSON} @> %s::jsonb)", texts

    return _where_it_is(field, contained)


def _same_list(field: str, value: Sequence[Any]) -> Condition:
    text = f"coalesce(jsonb_path_query_first({JSON}, %s::jsonpath, silent => true) = %s::jsonb, false)"
    return _by_path(field, lambda path: (text, [f"strict {path}", json.dumps(value)]))


def _by_path(field: str, make: Any) -> Condition:
    return _where_it_is(field, lambda keys: make("$" + "".join(f".{json.dumps(key)}" for key in keys)))


def _where_it_is(field: str, make: Any) -> Condition:
    """The condition on the key `field`, or on the path it spells where there is no such key."""
    if "." not in field:
        return make([field])  # type: ignore[no-any-return]  # a Condition, by every caller
    (plain, first), (nested, second) = make([field]), make(field.split("."))
    return f"(CASE WHEN {JSON} ? %s THEN {plain} ELSE {nested} END)", [field, *first, *second]

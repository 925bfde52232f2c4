"""The `where` filter: a mapping from metadata fields to what they must be, parsed once and evaluated on metadata.

`{"framework": "pytest", "priority": {"$in": ["high"]}}` means both. A dotted field reaches into nested objects. A
list in the metadata matches when any of its elements does. Values compare within their own type only: numbers with
numbers, text with text, so 1 is not "1" and not true. `$ne` and `$nin` are the exact opposites of `$eq` and `$in`,
hence also true of memories that lack the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import ge, gt, le, lt
from typing import Any

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import checks

Predicate = Callable[[Mapping[str, Any]], bool]
MAX_DEPTH = 8
MAX_CONDITIONS = 200
MAX_VALUES = 1_000
OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$and", "$or")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}


@dataclass(frozen=True)
class Filter:
    """Tells whether metadata passes. `key` is equal for equal filters. `needles`: of each group, at least one text
    occurs in the stored JSON of whatever passes, so that a store need not parse the rest."""

    key: str
    passes: Predicate
    needles: tuple[tuple[str, ...], ...]

    def __call__(self, metadata: Mapping[str, Any]) -> bool:
        return self.passes(metadata)


def compile_filter(where: Mapping[str, Any]) -> Filter:
    """Reads a `where`. Raises InvalidInputError for anything it does not know."""
    if not isinstance(where, Mapping):
        raise InvalidInputError(f"where must be a mapping, not {type(where).__name__}.", 'Try {"field": "value"}.')
    passes = _all_of(where, MAX_DEPTH, [MAX_CONDITIONS])
    return Filter(
        json.dumps(checks.plain(where, "where", 8 * MAX_DEPTH), sort_keys=True),
        passes,
        tuple(islice(_needles(where), 8)),
    )


def _needles(where: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for field, wanted in where.items():
        if field == "$and":
            for part in wanted:
                yield from _needles(part)
        elif field != "$or":
            conditions = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
            values = [conditions["$eq"]] if "$eq" in conditions else conditions.get("$in", ())
            if values and len(values) <= 50 and all(isinstance(value, str) for value in values):
                yield tuple(json.dumps(value, ensure_ascii=False) for value in values)


def _all_of(where: Any, depth: int, budget: list[int]) -> Predicate:
    if not isinstance(where, Mapping):
        raise InvalidInputError("Each part of $and and $or must be a mapping.", 'Try {"$or": [{"a": 1}, {"b": 2}]}.')
    if depth == 0:
        raise InvalidInputError(f"where is nested deeper than {MAX_DEPTH} levels.", "Flatten it.")
    parts = [_part(field, wanted, depth, budget) for field, wanted in where.items()]
    return lambda metadata: all(part(metadata) for part in parts)


def _part(field: Any, wanted: Any, depth: int, budget: list[int]) -> Predicate:
    if not isinstance(field, str) or not field:
        raise InvalidInputError(f"where has the field {field!r}.", "Fields are non-empty strings.")
    if field in ("$and", "$or"):
        if not isinstance(wanted, (list, tuple)) or not wanted:
            raise InvalidInputError(f"{field} takes a non-empty list of filters.", 'Try {"$or": [{"a": 1}, {"b": 2}]}.')
        parts = [_all_of(item, depth - 1, budget) for item in wanted]
        combine = all if field == "$and" else any
        return lambda metadata: combine(part(metadata) for part in parts)
    if field.startswith("$"):
        raise _unknown(field)
    conditions = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
    if not conditions:
        raise InvalidInputError(f"The condition on {field!r} is empty.", f"Use one of {', '.join(OPERATORS[:9])}.")
    budget[0] -= len(conditions)
    if budget[0] < 0:
        raise InvalidInputError(f"where has more than {MAX_CONDITIONS} conditions.", "Use $in for alternatives.")
    tests = [_condition(operator, value) for operator, value in conditions.items()]
    path = field.split(".")

    def passes(metadata: Mapping[str, Any]) -> bool:
        found = _reach(metadata, field, path)
        return all(test(found) for test in tests)

    return passes


class _Missing:
    """Stands for a field that is not there; equal to nothing, ordered with nothing."""


_MISSING = _Missing()


def _reach(metadata: Mapping[str, Any], field: str, path: list[str]) -> Any:
    if field in metadata:
        return metadata[field]
    found: Any = metadata
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return _MISSING
        found = found[key]
    return found


def _unknown(operator: str) -> InvalidInputError:
    return InvalidInputError(f"where uses {operator!r}, which is no operator.", f"Known: {', '.join(OPERATORS)}.")


def _condition(operator: Any, value: Any) -> Callable[[Any], bool]:
    if operator == "$exists":
        if not isinstance(value, bool):
            raise InvalidInputError(f"$exists is {value!r}.", "It takes true or false.")
        return lambda found: (found is not _MISSING) is value
    if operator in ("$in", "$nin"):
        if not isinstance(value, (list, tuple)) or len(value) > MAX_VALUES:
            raise InvalidInputError(f"{operator} takes a list of at most {MAX_VALUES:,} values.", "Pass a list.")
        keys = {_key(item, operator) for item in value}
        return lambda found: _any_in(found, keys) is (operator == "$in")
    if operator in ("$eq", "$ne"):
        if isinstance(value, (list, tuple)):
            wanted = checks.plain(value, operator)
            return lambda found: (found == wanted) is (operator == "$eq")
        keys = {_key(value, operator)}
        return lambda found: _any_in(found, keys) is (operator == "$eq")
    if isinstance(operator, str) and operator in _COMPARISONS:
        return _ordered(operator, _key(value, operator))
    raise _unknown(str(operator))


def _ordered(operator: str, bound: tuple[str, Any]) -> Callable[[Any], bool]:
    if bound[0] not in ("number", "text"):
        raise InvalidInputError(f"{operator} takes a number or text.", "Use $eq for other values.")
    compare = _COMPARISONS[operator]

    def passes(found: Any) -> bool:
        for item in found if isinstance(found, list) else (found,):
            if _family(item) == bound[0] and compare(item, bound[1]):
                return True
        return False

    return passes


def _family(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "other"


def _key(value: Any, operator: str) -> tuple[str, Any]:
    plain = checks.plain(value, operator)
    if isinstance(plain, (list, dict)):
        raise InvalidInputError(f"{operator} compares with a {type(plain).__name__}.", "Compare with a single value.")
    return _family(plain), plain


def _any_in(found: Any, keys: set[tuple[str, Any]]) -> bool:
    for item in found if isinstance(found, list) else (found,):
        if isinstance(item, (dict, list, _Missing)):
            continue
        if (_family(item), item) in keys:
            return True
    return False

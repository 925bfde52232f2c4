"""What each operator of `where` means, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory.filters import compile_filter
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory

RECORD = {
    "framework": "pytest",
    "priority": 3,
    "ratio": 0.5,
    "done": True,
    "owner": None,
    "tags": ["slow", "network", 7],
    "ci": {"job": "linux", "runs": [1, 2]},
    "a.b": "literal dot",
}
CASES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"framework": "pytest"}, True),
    ({"framework": "unittest"}, False),
    ({"framework": {"$eq": "pytest"}, "priority": 3}, True),
    ({"framework": "pytest", "priority": 4}, False),
    ({"priority": 3.0}, True),
    ({"priority": "3"}, False),
    ({"priority": True}, False),
    ({"done": 1}, False),
    ({"done": True}, True),
    ({"owner": None}, True),
    ({"missing": None}, False),
    ({"priority": {"$gt": 2, "$lt": 4}}, True),
    ({"priority": {"$gte": 3, "$lte": 3}}, True),
    ({"priority": {"$gt": 3}}, False),
    ({"framework": {"$gt": "p"}}, True),
    ({"framework": {"$gt": 1}}, False),
    ({"done": {"$gt": 0}}, False),
    ({"missing": {"$lt": 9}}, False),
    ({"framework": {"$in": ["pytest", "nose"]}}, True),
    ({"framework": {"$in": []}}, False),
    ({"framework": {"$nin": []}}, True),
    ({"framework": {"$nin": ["pytest"]}}, False),
    ({"missing": {"$nin": ["x"]}}, True),
    ({"framework": {"$ne": "pytest"}}, False),
    ({"missing": {"$ne": "x"}}, True),
    ({"tags": "slow"}, True),
    ({"tags": "fast"}, False),
    ({"tags": {"$ne": "slow"}}, False),
    ({"tags": {"$in": ["fast", 7]}}, True),
    ({"tags": {"$gt": 6}}, True),
    ({"tags": ["slow", "network", 7]}, True),
    ({"tags": ["slow"]}, False),
    ({"ci.job": "linux"}, True),
    ({"ci.runs": 2}, True),
    ({"ci.job.name": "x"}, False),
    ({"a.b": "literal dot"}, True),
    ({"ci": {"$exists": True}}, True),
    ({"missing": {"$exists": False}}, True),
    ({"owner": {"$exists": True}}, True),
    ({"$or": [{"framework": "nose"}, {"priority": 3}]}, True),
    ({"$or": [{"framework": "nose"}, {"priority": 4}]}, False),
    ({"$and": [{"framework": "pytest"}, {"$or": [{"priority": 3}, {"done": False}]}]}, True),
    ({"$and": [{"framework": "pytest"}], "done": False}, False),
]
BAD: list[Any] = [
    "framework",
    ["framework"],
    {"x": {"$regex": "a"}},
    {"$not": {"x": 1}},
    {"x": {}},
    {"x": {"y": 1}},
    {"": 1},
    {3: 1},
    {"x": {"$in": "abc"}},
    {"x": {"$in": [[1]]}},
    {"x": {"$in": list(range(1_001))}},
    {"x": {"$exists": 1}},
    {"x": {"$gt": None}},
    {"x": {"$gt": [1]}},
    {"x": float("nan")},
    {"x": {"$eq": {"a": 1}}},
    {"x": object()},
    {"$or": []},
    {"$or": {"x": 1}},
    {"$and": [1]},
    {"x": {"$eq": 2**70}},
    {f"field{n}": n for n in range(201)},
]


@pytest.mark.parametrize(("where", "passes"), CASES, ids=[str(case[0])[:60] for case in CASES])
def test_meaning(where: dict[str, Any], passes: bool) -> None:
    assert compile_filter(where)(RECORD) is passes


@pytest.mark.parametrize("where", BAD, ids=[str(bad)[:40] for bad in BAD])
def test_what_makes_no_sense_is_refused_with_a_hint(where: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        compile_filter(where)
    assert caught.value.hint


def test_nesting_is_bounded() -> None:
    where: dict[str, Any] = {"x": 1}
    for _ in range(7):
        where = {"$and": [where]}
    assert compile_filter(where)({"x": 1})
    for _ in range(10_000):
        where = {"$and": [where]}
    with pytest.raises(InvalidInputError, match="deeper"):
        compile_filter(where)


@pytest.mark.parametrize(("where", "passes"), CASES, ids=[str(case[0])[:60] for case in CASES])
def test_what_the_store_looks_for_is_in_whatever_passes(where: dict[str, Any], passes: bool) -> None:
    stored = json.dumps(RECORD, ensure_ascii=False, separators=(",", ":"))
    found = all(any(text in stored for text in group) for group in compile_filter(where).needles)
    assert found or not passes


def test_a_filter_finds_odd_text_through_the_store(memory: Memory) -> None:
    for text in ('quo"te', "back\\slash", "new\nline", "ünïcode ✓", "tab\t"):
        number = memory.add([NewMemory(f"about {text}", {"name": text})])[0]
        assert [hit.id for hit in memory.search("about", where={"name": text}).hits] == [number]
        assert [record.id for record in memory.list(where={"name": {"$in": [text]}}).items] == [number]

"""A filter in SQL passes what the filter in Python passes, for any metadata and any filter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ruvllm_mcp.memory.filters import compile_filter
from ruvllm_mcp.memory.postgres import PostgresStore
from ruvllm_mcp.memory.postgres_connection import address_of
from ruvllm_mcp.memory.postgres_filters import condition
from tests.conftest import Postgres

SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 2.5, 1.0, 10**15, "", "a", "b", "A", "é", "€", '"', "a\\", "1"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=2)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(["a", "b", "a.b", "a.b.c", "b.a", "é", 'q"'])
METADATA = st.dictionaries(KEYS, VALUES, max_size=3)
PLAIN = st.sampled_from([0, 1, 2.5, -1, "a", "b", "", "é", "€"])
CONDITIONS = st.one_of(
    SCALARS,
    st.fixed_dictionaries({"$eq": st.one_of(SCALARS, st.lists(SCALARS, max_size=2))}),
    st.fixed_dictionaries({"$ne": SCALARS}),
    st.fixed_dictionaries({"$in": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"$nin": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), PLAIN, min_size=1, max_size=2),
)
FILTERS = st.recursive(
    st.dictionaries(KEYS, CONDITIONS, min_size=1, max_size=2),
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=2), max_size=1
    ),
    max_leaves=3,
).filter(bool)


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[PostgresStore]:
    url = postgres.new_store()
    store = PostgresStore(address_of(url))
    yield store
    store.close()
    postgres.drop(url)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(METADATA, min_size=1, max_size=12), where=FILTERS)
def test_sql_and_python_agree(store: PostgresStore, rows: list[dict[str, Any]], where: dict[str, Any]) -> None:
    keep = compile_filter(where)
    text, values = condition(keep)
    query = f"SELECT m.place FROM unnest(%s::text[]) WITH ORDINALITY AS m (metadata, place) WHERE {text}"
    with store.connections.read() as connection:
        found = connection.execute(query.encode(), ([json.dumps(row) for row in rows], *values)).fetchall()
    assert {place - 1 for (place,) in found} == {place for place, row in enumerate(rows) if keep(row)}

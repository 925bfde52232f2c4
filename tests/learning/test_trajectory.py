from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.learning.trajectory import Candidates, from_row, is_request_id, new_request_id, to_row
from ruvllm_mcp.memory.late import TokenSigns

from .conftest import trajectory, unit


def test_request_ids_sort_by_time_and_never_meet() -> None:
    times = [1_700_000_000.0 + 0.001 * step for step in range(200)]
    ids = [new_request_id(at) for at in times]
    assert sorted(ids) == ids
    assert len({new_request_id(5.0) for _ in range(2000)}) == 2000


def test_request_ids_have_a_form_that_can_be_told() -> None:
    made = new_request_id()
    assert made.startswith("r")
    assert len(made) == 27
    assert is_request_id(made)
    assert not any(is_request_id(other) for other in ("", "r", made[:-1], made[:-1] + "u", made.upper(), None, 7))


def test_a_row_gives_back_the_trajectory() -> None:
    candidates = Candidates(
        np.array([5, 2**40], np.int64), ("dense", "lexical"), np.array([[0.5, 1.0], [0.25, -2.0]], np.float32)
    )
    tokens = TokenSigns(np.arange(12, dtype=np.uint8).reshape(3, 4), np.array([0.5, 1.0, 7.0], np.float32))
    before = replace(
        trajectory(unit(1, 2, 3), (5, 2**40), candidates=candidates, client="agent \N{SNOWMAN}"), tokens=tokens
    )
    after = from_row(to_row(before))
    assert after.tokens is not None
    assert np.array_equal(after.tokens.bits, tokens.bits)
    assert np.array_equal(after.tokens.weights, tokens.weights)
    assert from_row(to_row(replace(before, tokens=None))).tokens is None
    assert np.array_equal(after.vector, before.vector)
    assert np.array_equal(after.candidates.ids, candidates.ids)
    assert np.array_equal(after.candidates.parts, candidates.parts)
    assert after.candidates.names == candidates.names
    assert (after.request_id, after.at, after.client, after.namespaces, after.query, after.shown, after.version) == (
        before.request_id,
        before.at,
        before.client,
        before.namespaces,
        before.query,
        before.shown,
        before.version,
    )


@pytest.mark.parametrize("values", [[], [np.nan, 1.0], [np.inf], [[1.0], [2.0]]])
def test_vectors_that_cannot_be_learned_from_are_refused(values: list[Any]) -> None:
    with pytest.raises(InvalidInputError):
        trajectory(np.array(values, np.float32))


def test_candidates_must_fit_together() -> None:
    with pytest.raises(DimensionError):
        Candidates(np.array([1, 2]), ("dense",), np.zeros((1, 1), np.float32))

from __future__ import annotations

import math
from typing import Any

import pytest

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.learning.feedback import Feedback, votes


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"rating": 0},
        {"rating": 6},
        {"rating": 3.5},
        {"rating": True},
        {"relevant": [0]},
        {"relevant": ["7"]},
        {"relevant": [2**63]},
        {"relevant": 7},
        {"relevant": range(1, 1002)},
        {"relevant": [1, 2], "irrelevant": [2]},
        {"correction": "  "},
        {"correction": "x" * 20_001},
        {"task_success": 1},
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Feedback(**bad)
    assert caught.value.hint


def test_named_ids_count_in_full_and_passed_over_ones_half() -> None:
    assert votes(Feedback(relevant=(2,), irrelevant=(3,)), (1, 2, 3)) == {1: -0.5, 2: 1.0, 3: -1.0}


def test_naming_only_wrong_ones_says_nothing_of_the_rest() -> None:
    assert votes(Feedback(irrelevant=(1,)), (1, 2, 3)) == {1: -1.0}


def test_a_missed_memory_can_be_named() -> None:
    assert votes(Feedback(relevant=(9,)), (1,)) == {1: -0.5, 9: 1.0}


def test_the_memory_of_a_correction_is_right_and_the_shown_are_doubtful() -> None:
    assert votes(Feedback(correction="so it is", correction_id=8), (1, 2)) == {1: -0.5, 2: -0.5, 8: 1.0}


@pytest.mark.parametrize(("rating", "share"), [(5, 0.5), (4, 0.25), (2, -0.25), (1, -0.5)])
def test_a_rating_is_an_opinion_of_the_shown(rating: int, share: float) -> None:
    cast = votes(Feedback(rating=rating), (1, 2))
    assert cast[1] == pytest.approx(share)
    assert cast[2] == pytest.approx(share / math.log2(3) if share > 0 else share)


def test_a_middling_rating_casts_no_vote() -> None:
    assert not votes(Feedback(rating=3), (1, 2))


@pytest.mark.parametrize(
    ("feedback", "quality"),
    [
        (Feedback(rating=5), 1.0),
        (Feedback(rating=1, task_success=True), 0.0),
        (Feedback(task_success=True), 1.0),
        (Feedback(relevant=(1,), irrelevant=(2, 3, 4)), 0.25),
        (Feedback(correction="no"), 0.0),
    ],
)
def test_quality_is_the_most_direct_thing_said(feedback: Feedback, quality: float) -> None:
    assert feedback.quality == quality

from __future__ import annotations

import numpy as np
import pytest

from ruvllm_mcp.learning.credit import Credit, Credits, Witness


def test_a_client_never_heard_is_believed() -> None:
    assert Credit().share == 1.0


def test_random_feedback_loses_all_credit_within_dozens() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        credit = Credit()
        for _ in range(120):
            credit.hear(Witness(float(random.random()), float(random.random() < 0.2), 0.2))
        assert credit.share < 0.35


def test_agreement_alone_keeps_credit() -> None:
    credit = Credit()
    for _ in range(100):
        credit.hear(Witness(0.7, 0.0, 0.3))
    assert credit.share == 1.0


def test_consistency_alone_keeps_credit() -> None:
    """Someone who only ever corrects bad rankings disagrees with them, but earlier corrections foresee later ones."""
    credit = Credit()
    for _ in range(100):
        credit.hear(Witness(0.2, 0.6, 0.3))
    assert credit.share == 1.0


def test_hostile_feedback_loses_all_credit() -> None:
    credit = Credit()
    for _ in range(40):
        credit.hear(Witness(0.1, 0.0, 0.2))
    assert credit.share == 0.0


@pytest.mark.parametrize("share_wrong", [0.0, 0.2, 0.5])
def test_a_feedback_is_believed_as_often_as_such_feedback_is_right(share_wrong: float) -> None:
    """The oracle: a mixture whose wrong part is known."""
    random = np.random.default_rng(5)
    count = 4000
    is_wrong = random.random(count) < share_wrong
    any_place = random.random(count)
    honest = np.where(random.random(count) < 0.15, any_place, random.beta(6, 1, size=count))
    agreements = np.where(is_wrong, any_place, honest)
    credit = Credit()
    for value in agreements.tolist():
        credit.hear(Witness(value))
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.8), (0.8, 1.0)):
        such = (agreements >= low) & (agreements < high)
        believed = np.mean([credit.belief(value) for value in agreements[such].tolist()])
        assert believed == pytest.approx(1 - is_wrong[such].mean(), abs=0.06)
    assert credit.belief(None) == pytest.approx(1 - share_wrong, abs=0.04)


def test_who_is_consistent_is_believed_whatever_the_ranking_says() -> None:
    credit = Credit()
    for _ in range(100):
        credit.hear(Witness(0.1, 0.6, 0.3))
    assert credit.belief(0.1) == 1.0


def test_newcomers_are_believed_by_one_record() -> None:
    credits = Credits()
    assert credits.belief("anybody", 0.0) == 1.0
    for number in range(100):
        credits.hear(f"liar {number}", HOSTILE)
    assert credits.belief("somebody new", 0.1) < 0.1


HOSTILE, HONEST = Witness(0.1, 0.0, 0.2), Witness(0.9, 0.2, 0.1)


def test_a_new_name_for_every_lie_is_soon_not_believed_and_hurts_no_known_client() -> None:
    credits = Credits()
    for _ in range(10):
        credits.hear("honest", HONEST)
    assert credits.share("somebody new") == 1.0
    for number in range(100):
        credits.hear(f"liar {number}", HOSTILE)
    assert credits.share("liar 99") == credits.share("liar 1000") == 0.0
    assert credits.share("honest") == 1.0


def test_new_names_that_name_what_was_not_shown_are_soon_not_believed_but_a_known_client_is() -> None:
    credits, unseen = Credits(), Witness(missed=True)
    for _ in range(10):
        credits.hear("honest", HONEST)
    for number in range(100):
        credits.hear(f"somebody {number}", unseen)
        credits.hear("honest", unseen)
    assert credits.share("somebody new") == 0.0
    assert credits.share("honest") == 1.0


def test_new_names_that_now_and_then_name_what_was_not_shown_are_believed() -> None:
    credits = Credits()
    for number in range(100):
        credits.hear(f"somebody {number}", Witness(missed=True) if number % 4 == 0 else HONEST)
    assert credits.share("somebody new") == 1.0


def test_many_new_names_count_as_one_voice() -> None:
    credits = Credits()
    for _ in range(10):
        credits.hear("honest", HONEST)
    liars = {f"liar {number}": -1.0 for number in range(100)}
    assert credits.settled({"honest": 1.0, **liars}) == pytest.approx(0.0)
    assert credits.settled({"honest": 1.0}) == 1.0
    assert credits.settled(liars) == pytest.approx(-1.0)


def test_who_is_not_believed_takes_nothing_from_who_is() -> None:
    credits = Credits()
    for _ in range(40):
        credits.hear("honest", HONEST)
        credits.hear("liar", HOSTILE)
    assert credits.settled({"honest": 1.0, "liar": -1.0}) == 1.0


def test_blame_alone_wears_off_and_praise_gives_it_weight() -> None:
    credits = Credits()
    for _ in range(10):
        credits.count("critic", [-1.0, -0.5])
    assert credits.settled({"critic": -1.0}) == -1.0
    for _ in range(990):
        credits.count("critic", [-1.0])
    assert credits.settled({"critic": -1.0}) == pytest.approx(-0.01)
    for _ in range(99):
        credits.count("critic", [1.0, -0.5])
    assert credits.settled({"critic": -1.0}) == -1.0


def test_blame_under_a_new_name_each_time_counts_ever_less() -> None:
    credits = Credits()
    for _ in range(10):
        credits.hear("known", HONEST)
    first = credits.settled({"somebody new": -1.0})
    for number in range(100):
        credits.count(f"liar {number}", [-1.0])
    assert first == -1.0
    assert credits.settled({"liar 0": -1.0}) == pytest.approx(-0.1)
    assert credits.settled({"known": -1.0}) == -1.0
    for number in range(9):
        credits.count(f"reader {number}", [1.0])
    assert credits.settled({"liar 0": -1.0}) == -1.0

"""Judged against the equation in the module's head, written out here in the plainest way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ruvllm_mcp.learning.associations import KNOTS, P_CHANCE, Associations
from ruvllm_mcp.learning.trajectory import FloatArray

from .conftest import DIM, at_cosine, unit

_numbers = itertools.count(1)


def told(associations: Associations, vector: FloatArray, votes: dict[int, float], client: str = "") -> None:
    same, lesson = associations.foreseen(vector, votes, tuple(votes))
    associations.learn(next(_numbers), vector, votes, client, same, lesson)


def expected_evidence(similarity: float) -> float:
    """With nothing counted yet, the prior's chance interpolated, as a log ratio to chance."""
    prior = [0.004, 0.006, 0.012, 0.03, 0.08, 0.3, 0.6, 0.8, 0.95]
    chance = float(np.interp(similarity, KNOTS, prior))
    return max(0.0, math.log(chance / P_CHANCE) / math.log(1 / P_CHANCE))


@pytest.mark.parametrize("similarity", [1.0, 0.96, 0.93, 0.8, 0.65, 0.5])
def test_evidence_is_the_log_likelihood_ratio_at_that_similarity(similarity: float) -> None:
    associations = Associations(DIM)
    told(associations, unit(1), {7: 1.0})
    assert associations.evidence(at_cosine(similarity)).get(7, 0.0) == pytest.approx(
        expected_evidence(similarity), abs=1e-5
    )


def test_an_unrelated_question_is_left_alone() -> None:
    associations = Associations(DIM)
    told(associations, unit(1), {7: 1.0, 8: -1.0})
    assert not associations.evidence(at_cosine(0.29))
    assert not associations.evidence(at_cosine(-1.0))


def test_votes_against_lower_and_votes_for_raise() -> None:
    associations = Associations(DIM)
    told(associations, unit(1), {7: 1.0, 8: -1.0, 9: -0.5})
    evidence = associations.evidence(at_cosine(0.95))
    assert evidence[7] > 0 > evidence[9] > evidence[8] >= -1


def test_an_opinion_is_worth_less_than_a_vote() -> None:
    associations = Associations(DIM)
    told(associations, unit(1), {7: 1.0, 8: 0.5})
    evidence = associations.evidence(unit(1))
    assert evidence[7] > evidence[8] > 0


def test_a_collection_whose_questions_share_no_answers_stops_lending() -> None:
    associations = Associations(DIM)
    rng = np.random.default_rng(3)
    for step in range(200):
        spread = np.zeros(DIM, np.float32)
        spread[2:] = rng.normal(size=DIM - 2)
        vector = unit(1.0) + 0.6 * spread / np.linalg.norm(spread)  # cosines about 0.73 among them
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        told(associations, vector, {1000 + step: 1.0})
    fresh = Associations(DIM)
    told(fresh, vector, {7: 1.0})
    assert fresh.evidence(unit(1))[7] > 0.5
    assert not associations.evidence(unit(1))


def test_a_collection_whose_questions_share_answers_lends_more() -> None:
    sharing, fresh = Associations(DIM), Associations(DIM)
    rng = np.random.default_rng(3)
    for _ in range(60):
        spread = np.zeros(DIM, np.float32)
        spread[2:] = rng.normal(size=DIM - 2)
        vector = unit(1.0) + 0.6 * spread / np.linalg.norm(spread)
        told(sharing, (vector / np.linalg.norm(vector)).astype(np.float32), {7: 1.0})
    told(fresh, unit(1), {7: 1.0})
    away = at_cosine(0.7)
    assert sharing.evidence(away)[7] > fresh.evidence(away)[7]


def test_the_latest_vote_of_a_client_counts_once_however_often_it_votes() -> None:
    once, often = Associations(DIM), Associations(DIM)
    for associations, times in ((once, 1), (often, 500)):
        told(associations, unit(1), {7: 1.0}, "honest")
        for _ in range(times):
            told(associations, unit(1), {7: -1.0, 8: 1.0}, "flood")
    assert often.evidence(unit(1)) == once.evidence(unit(1))
    assert 7 not in once.evidence(unit(1))  # one for, one against: as if nobody had spoken


def test_an_opinion_does_not_undo_a_vote() -> None:
    associations = Associations(DIM)
    told(associations, unit(1), {7: 1.0})
    told(associations, unit(1), {7: -0.5, 8: 1.0})
    evidence = associations.evidence(unit(1))
    assert evidence[7] == evidence[8] > 0


def test_many_similar_questions_weigh_no_more_than_the_best() -> None:
    associations = Associations(DIM)
    for offset in range(2, 20):
        vector = np.zeros(DIM, np.float32)
        vector[0], vector[offset] = 0.9, math.sqrt(1 - 0.81)
        associations.learn(offset, vector, {8: 1.0}, "flood")
    assert associations.evidence(unit(1))[8] == pytest.approx(expected_evidence(0.9), abs=1e-5)


def test_the_number_of_questions_kept_is_bounded() -> None:
    associations = Associations(DIM, capacity=8)
    for index in range(20):
        vector = np.zeros(DIM, np.float32)
        vector[index] = 1
        told(associations, vector, {index: 1.0})
    assert len(associations) == 8
    newest, oldest = np.zeros(DIM, np.float32), np.zeros(DIM, np.float32)
    newest[19], oldest[0] = 1, 1
    assert associations.evidence(newest)[19] > 0
    assert not associations.evidence(oldest)

"""Judged against the equation in the module's head, written out here in the plainest way."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from ruvllm_mcp.learning.associations import NO_COUNTS, Associations, Lesson, Told
from ruvllm_mcp.learning.credit import Witness
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.lending import KNOTS, TOKEN_KNOTS, _rising
from ruvllm_mcp.learning.trajectory import FloatArray
from ruvllm_mcp.memory.late import TokenSigns
from ruvllm_mcp.memory.weights import DEFAULT

from .conftest import DIM, at_cosine, trajectory, unit

PRIOR = [0.01, 0.03, 0.08, 0.2, 0.3, 0.3, 0.6, 0.8, 0.95]
_numbers = itertools.count(1)


def about_alike(rng: np.random.Generator, apart: float) -> np.ndarray:
    """A question near `unit(1)`, moved by `apart` in a direction of its own."""
    spread = np.zeros(DIM, np.float32)
    spread[2:] = rng.normal(size=DIM - 2)
    vector = unit(1.0) + apart * spread / np.linalg.norm(spread)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def told(
    associations: Associations,
    vector: FloatArray,
    votes: dict[int, float],
    client: str = "",
    tokens: TokenSigns | None = None,
) -> None:
    same, lesson = associations.foreseen(vector, votes, tuple(votes), None, client, tokens)
    associations.learn(next(_numbers), vector, votes, client, same, lesson, tokens)


def expected_evidence(similarity: float) -> float:
    """With nothing counted yet: of the prior's chance P, interpolated, -log(1 - P) in units of its greatest value."""
    chance = float(np.interp(similarity, KNOTS, PRIOR))
    return math.log(1 - chance) / math.log(1 - PRIOR[-1])


@pytest.mark.parametrize("similarity", [1.0, 0.96, 0.93, 0.8, 0.65, 0.5])
def test_evidence_is_what_the_chance_at_that_similarity_says(similarity: float) -> None:
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
        vector = about_alike(rng, 0.6)  # cosines about 0.73 among them
        told(associations, vector, {1000 + step: 1.0})
    fresh = Associations(DIM)
    told(fresh, vector, {7: 1.0})
    assert fresh.evidence(unit(1))[7] > 0.2
    assert max(associations.evidence(unit(1)).values()) < 0.004


def test_one_feedback_lifts_a_paraphrase_until_counts_say_otherwise() -> None:
    """A standard deviation of the search's own score is what tells neighbours in a ranking apart."""
    associations = Associations(DIM)
    told(associations, unit(1), {7: 1.0})
    paraphrase = at_cosine(0.65)
    assert DEFAULT.taught * associations.evidence(paraphrase)[7] > 1
    for step in range(20):  # of the same likeness, each right for something else
        direction = np.zeros(DIM, np.float32)
        direction[0], direction[2 + step] = 0.65, math.sqrt(1 - 0.65**2)
        told(associations, direction, {100 + step: 1.0})
    assert DEFAULT.taught * associations.evidence(paraphrase)[7] < 0.5


def test_a_vote_is_checked_by_as_much_as_it_would_have_counted() -> None:
    associations = Associations(DIM)
    told(associations, unit(1), {7: 0.5, 8: -0.5, 9: -1.0})
    _, lesson = associations.foreseen(at_cosine(0.8), {7: 1.0, 9: 1.0, 10: 1.0}, (7, 9, 10), None)
    assert lesson.counts.sum(axis=1).tolist() == [0.5, 0.5, 1.0, 1.0]


def test_of_a_client_that_is_often_wrong_what_is_unlikely_counts_little() -> None:
    associations = Associations(DIM)
    rng = np.random.default_rng(4)
    for number in range(200):  # half of it right, that is first, and half anything
        agreed = 1.0 if number % 2 else float(rng.random())
        lesson = Lesson(NO_COUNTS, 10, 1, Witness(agreed))
        associations.learn(next(_numbers), unit(0, 0, 1), {number + 10: 1.0}, "hasty", None, lesson)
    for memory, agreed in ((7, 1.0), (8, 0.1)):
        lesson = Lesson(NO_COUNTS, 10, 1, Witness(agreed))
        associations.learn(next(_numbers), unit(1), {memory: 1.0}, "hasty", None, lesson)
    evidence = associations.evidence(unit(1))
    assert evidence[7] > 0.4
    assert 0 < evidence[8] < evidence[7] / 3


def test_a_client_that_names_the_same_few_whatever_is_asked_loses_its_credit() -> None:
    """Its earlier lies must not bear out its later ones."""
    associations = Associations(DIM)
    rng = np.random.default_rng(2)
    for step in range(400):
        vector = about_alike(rng, 0.8)
        named = 1 + step % 5
        votes = {memory: 1.0 if memory == named else -1.0 for memory in (1, 2, 3, 4, 5)}
        shown = (1, 2, 3, 4, 5, *(100 + 5 * step + other for other in range(5)))
        agreed = None if step < 20 else 0.1  # the ranking never agreed, but lies that nobody shows go uncompared
        same, lesson = associations.foreseen(vector, votes, shown, agreed, "mallory", None)
        associations.learn(next(_numbers), vector, votes, "mallory", same, lesson, None)
    assert associations.credit("mallory") == 0


def test_the_curve_of_chances_is_the_nearest_that_rises() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        values, weights = rng.random(9), rng.random(9) * 5 + 0.1
        means = {
            (low, high): np.average(values[low:high], weights=weights[low:high])
            for low in range(9)
            for high in range(low + 1, 10)
        }  # the nearest rising curve at i is the greatest over starts of the least over ends of these
        nearest = [max(min(means[low, high] for high in range(i + 1, 10)) for low in range(i + 1)) for i in range(9)]
        assert _rising(values.tolist(), weights.tolist()) == pytest.approx(nearest)


def test_a_collection_whose_questions_share_answers_lends_more() -> None:
    sharing, fresh = Associations(DIM), Associations(DIM)
    rng = np.random.default_rng(3)
    for _ in range(60):
        told(sharing, about_alike(rng, 0.6), {7: 1.0})
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
        vector[0], vector[offset] = 29 / 32, math.sqrt(1 - (29 / 32) ** 2)  # 29 / 32 is whole in half precision
        associations.learn(offset, vector, {8: 1.0}, "flood")
    assert associations.evidence(unit(1))[8] == pytest.approx(expected_evidence(29 / 32), abs=1e-5)


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


def signs(*rows: int, dim: int = 64) -> TokenSigns:
    """One token a row, each with signs of its own, all of one weight."""
    drawn = [np.random.default_rng(row).integers(0, 256, dim // 8, np.uint8) for row in rows]
    return TokenSigns(np.stack(drawn), np.ones(len(rows), np.float32))


def test_questions_with_tokens_are_compared_token_by_token() -> None:
    associations = Associations(DIM)
    told(associations, unit(1), {7: 1.0}, tokens=signs(1, 2, 3, 4))
    asked = signs(1, 2, 3, 9)
    near = at_cosine(0.35)  # by its vector alone it would lend next to nothing
    one, other = (np.unpackbits(item.bits, axis=1) * 2.0 - 1 for item in (asked, signs(1, 2, 3, 4)))
    likeness = float((one @ other.T / one.shape[1]).max(axis=1).mean())
    chance = float(np.interp(likeness, TOKEN_KNOTS, PRIOR))
    assert associations.evidence(near, asked)[7] == pytest.approx(
        math.log(1 - chance) / math.log(1 - PRIOR[-1]), abs=0.01
    )
    assert associations.evidence(near)[7] < 0.01
    assert not associations.evidence(near, signs(11, 12, 13))


def lessons(associations: Associations, answers: list[tuple[int, list[int]]]) -> None:
    """Unrelated questions, each with the memory that was right and those shown beside it."""
    for index, (memory, wrong) in enumerate(answers):
        vector = np.zeros(DIM, np.float32)
        vector[index % DIM] = 1
        told(associations, vector, {memory: 1.0, **dict.fromkeys(wrong, -0.5)}, tokens=signs(1000 + index))


def test_where_memories_are_right_again_having_been_right_speaks_for_them() -> None:
    associations = Associations(DIM)
    assert not associations.confirmed([7, 8]).any()
    lessons(associations, [(7, [1, 2, 3, 4])] * 20)
    worth = associations.confirmed([7, 8])
    assert worth[0] > 0.25
    assert worth[1] == 0


def test_where_each_memory_answers_one_question_having_been_right_speaks_against_them() -> None:
    associations = Associations(DIM)
    lessons(associations, [(100 + index, [100 + earlier for earlier in range(index)]) for index in range(20)])
    assert -1 <= associations.confirmed([100])[0] < 0


def test_a_memory_is_confirmed_until_the_vote_is_taken_back() -> None:
    associations = Associations(DIM)
    lessons(associations, [(7, [1, 2, 3, 4])] * 20)
    told(associations, at_cosine(0.5), {8: 1.0})
    assert associations.confirmed([8])[0] > 0
    told(associations, at_cosine(0.5), {8: -1.0})
    assert associations.confirmed([8])[0] == 0


def test_questions_beyond_those_kept_settled_are_settled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, short = Associations(DIM), Associations(DIM)
    for associations in (whole, short):
        rng = np.random.default_rng(3)
        monkeypatch.setattr("ruvllm_mcp.learning.associations._SETTLED_KEPT", 3 if associations is short else 100)
        for index in range(40):
            asked = about_alike(rng, 0.5)
            told(associations, asked, {index % 7: 1.0, 7 + index % 5: -1.0}, f"client {index % 3}")
        assert associations.evidence(unit(1))
    assert short.evidence(unit(1)) == whole.evidence(unit(1))


def test_a_question_remembers_little_beside_its_vector() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3_000, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    associations = Associations(DIM)
    tracemalloc.start()
    try:
        for index, vector in enumerate(vectors):
            associations.learn(1 + index, vector, {index: 1.0}, "")
        assert tracemalloc.get_traced_memory()[0] / len(vectors) < 1_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("relevant", "irrelevant"), [((), (7,)), ((8,), (7,)), ((), (9,))])
@pytest.mark.parametrize("near", [1.0, 0.93, 0.2])
def test_what_is_told_counts_as_if_it_were_learned(
    relevant: tuple[int, ...], irrelevant: tuple[int, ...], near: float
) -> None:
    associations = Associations(DIM)
    told(associations, at_cosine(0.7), {7: 1.0, 9: -1.0}, "other")
    for client in ("other", "same"):
        told(associations, unit(1), {7: 1.0, 8: -0.5}, client)
    now = Told(trajectory(at_cosine(near)), Feedback(relevant=relevant, irrelevant=irrelevant, client="same"))
    before = associations.evidence(unit(1))
    early = [associations.evidence(asked, None, [now]) for asked in (unit(1), at_cosine(0.8))]
    assert associations.evidence(unit(1)) == before
    lenders = associations._similar(now.search.vector, None)
    same = next((lender.slot for lender in lenders if lender.likeness.is_same), None)
    number = None if same is None else associations._questions[same].number
    associations.learn(next(_numbers), now.search.vector, now.votes, "same", number)
    for asked, then in zip((unit(1), at_cosine(0.8)), early, strict=True):
        assert then == pytest.approx(associations.evidence(asked), abs=1e-5)

from __future__ import annotations

import numpy as np
import pytest

from ruvllm_mcp.learning.instant import (
    MOST_CLIENTS,
    MOST_MOVE,
    MOST_TURN,
    InstantLoop,
    InstantStep,
    step_of,
    weight_step_of,
)
from ruvllm_mcp.learning.objective import row_of

from .conftest import DIM, unit
from .test_objective import in_float64, row, searched


def test_a_step_lowers_the_loss_it_was_taken_for() -> None:
    item = row()
    loop = InstantLoop(DIM)
    before = in_float64(item, {}, item.query)
    for _ in range(3):
        weights = loop.weights({})
        loop.apply(item.query, step_of(item, weights, item.query + loop.move(item.query)))
    assert in_float64(item, loop.weights({}), item.query + loop.move(item.query)) < before


def test_a_step_of_weights_alone_is_that_of_all_without_the_vector() -> None:
    asked, vectors = searched()
    votes = {2: 1.0, 4: 1.0, 3: -0.5}
    item = row_of(asked, votes, lambda ids: vectors[ids - 1])
    assert item is not None
    weights = {"lexical": 1.2}
    step = weight_step_of(asked, votes, weights)
    assert step is not None
    whole = step_of(item, weights, item.query)
    assert step.in_weights == pytest.approx(whole.in_weights, abs=1e-5)
    loop, other = InstantLoop(DIM), InstantLoop(DIM)
    loop.apply(item.query, step)
    other.apply(item.query, whole)
    assert loop.weights({}) == pytest.approx(other.weights({}))
    assert other.moves_vectors
    assert other.move(item.query).any()
    assert not loop.moves_vectors
    assert not loop.move(item.query).any()
    assert weight_step_of(asked, {3: -0.5}, weights) is None


def test_no_run_of_steps_leaves_the_bounds() -> None:
    loop = InstantLoop(DIM)
    random = np.random.default_rng(0)
    for _ in range(3000):
        pull = random.normal(size=DIM).astype(np.float32) + 3 * unit(1)
        loop.apply(unit(1), InstantStep(pull / np.linalg.norm(pull), {"dense": 2.0, "lexical": -2.0}))
    assert np.linalg.norm(loop.move(unit(1))) <= MOST_MOVE * 1.001
    weights = loop.weights({"dense": 2.0})
    agreed = 1 - 1 / 3000
    assert weights["dense"] == pytest.approx(2 * np.exp(-MOST_TURN * agreed))
    assert weights["lexical"] == pytest.approx(np.exp(MOST_TURN * agreed))


def test_a_client_without_credit_leaves_nothing_behind() -> None:
    credit = {"honest": 1.0, "flood": 1.0}
    both, honest = InstantLoop(DIM, lambda client: credit[client]), InstantLoop(DIM)
    good, bad = InstantStep(unit(0, 1), {"dense": 1.0}), InstantStep(unit(0, -1), {"dense": -2.0})
    for _ in range(5):
        both.apply(unit(1), good, "honest")
        honest.apply(unit(1), good, "honest")
        both.apply(unit(1), bad, "flood")
    assert not np.allclose(both.move(unit(1)), honest.move(unit(1)))
    credit["flood"] = 0.0
    assert np.array_equal(both.move(unit(1)), honest.move(unit(1)))
    assert both.weights({}) == honest.weights({})
    assert np.allclose(both.delta_weight() @ unit(1), honest.move(unit(1)), atol=1e-6)


def test_the_same_steps_give_the_same_state() -> None:
    loops = [InstantLoop(DIM), InstantLoop(DIM)]
    random = np.random.default_rng(1)
    for _ in range(20):
        step = InstantStep(random.normal(size=DIM).astype(np.float32) / 10, {"dense": float(random.normal())})
        for loop in loops:
            loop.apply(unit(1, 2, 3), step)
    assert np.array_equal(loops[0].move(unit(1)), loops[1].move(unit(1)))
    assert loops[0].weights({}) == loops[1].weights({})


def test_many_clients_together_keep_within_the_bounds_of_one() -> None:
    loop = InstantLoop(DIM)
    step = InstantStep(unit(0, -1), {"dense": -2.0})
    for client in range(MOST_CLIENTS + 10):
        for _ in range(60):
            loop.apply(unit(1), step, str(client))
    assert np.linalg.norm(loop.move(unit(1))) <= MOST_MOVE * 1.001
    assert loop.weights({})["dense"] <= np.exp(MOST_TURN) * 1.001


def test_the_clients_that_said_least_make_room() -> None:
    loop, alone = InstantLoop(DIM, lambda client: float(client == "known")), InstantLoop(DIM)
    for one in (loop, alone):
        for _ in range(3):
            one.apply(unit(1), InstantStep(unit(0, -1), {"dense": -2.0}), "known")
    for stranger in range(2 * MOST_CLIENTS):
        loop.apply(unit(1), InstantStep(unit(0, 1), {"dense": 1.0}), str(stranger))
    assert np.array_equal(loop.move(unit(1)), alone.move(unit(1)))


def test_weights_follow_as_far_as_steps_agree() -> None:
    loop, torn = InstantLoop(DIM), InstantLoop(DIM)
    nothing = np.empty(0, np.float32)
    for count in range(1, 9):
        loop.apply(unit(1), InstantStep(nothing, {"dense": -1.0}))
        torn.apply(unit(1), InstantStep(nothing, {"dense": -1.0 if count % 2 else 0.8}))
        assert np.log(loop.weights({})["dense"]) == pytest.approx(0.01 * count * (1 - 1 / count))
        assert torn.weights({}).get("dense", 1.0) == 1


def test_clients_that_agree_are_as_sure_as_one_that_says_it_all() -> None:
    crowd, alone = InstantLoop(DIM), InstantLoop(DIM)
    step = InstantStep(np.empty(0, np.float32), {"dense": -1.0})
    for client in range(10):
        crowd.apply(unit(1), step, str(client))
        alone.apply(unit(1), step)
    sure = np.log([loop.weights({})["dense"] for loop in (crowd, alone)])
    assert sure == pytest.approx([0.01 * (1 - 1 / 10), 0.1 * (1 - 1 / 10)])

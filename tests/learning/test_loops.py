"""The slower loops on a small world in which there is something to learn, and through real files."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError, NotFoundError
from ruvllm_mcp.learning import loops
from ruvllm_mcp.learning.background import is_held_back
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.instant import InstantLoop
from ruvllm_mcp.learning.judging import Verdict
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.lora import LoraAdapter
from ruvllm_mcp.learning.objective import Row
from ruvllm_mcp.learning.patterns import RatedQuestion, ReasoningBank
from ruvllm_mcp.learning.sona import SonaEngine
from ruvllm_mcp.learning.trajectory import Candidates, Trajectory
from ruvllm_mcp.learning.versions import KEPT, Trial
from ruvllm_mcp.memory.journal import Place, open_journal

DIM, MEMORIES = 24, 40
NAMES = ("dense", "lexical", "taught")


class World:
    """Memories and questions whose right answers the lexical part knows and the dense part misjudges: a question lies
    near its answer's mirror image, so weights and adapter both have something to find."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.table = self._units(MEMORIES)
        self.requests = itertools.count(1)
        self.turn = np.linalg.qr(self.random.normal(size=(DIM, DIM)))[0].astype(np.float32)

    def _units(self, count: int) -> Any:
        made = self.random.normal(size=(count, DIM)).astype(np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def vectors(self, ids: Any) -> Any:
        return self.table[np.asarray(ids) - 1]

    def asked(self) -> tuple[Trajectory, int]:
        answer = int(self.random.integers(MEMORIES))
        query = self.turn @ self.table[answer] + 0.6 * self._units(1)[0]
        query = (query / np.linalg.norm(query)).astype(np.float32)
        dense = 3 * (self.table @ query)
        lexical = self.random.normal(size=MEMORIES) * 0.7
        lexical[answer] += 1.5
        parts = np.stack([dense, lexical, np.zeros(MEMORIES)], axis=1).astype(np.float32)
        order = np.argsort(-parts.sum(axis=1))
        candidates = Candidates(order.astype(np.int64) + 1, NAMES, parts[order])
        shown = tuple((order[:10] + 1).tolist())
        return (
            Trajectory(
                f"r{next(self.requests):026d}", 1.0, "user", ("space",), "question", "test", query, candidates, shown
            ),
            answer + 1,
        )

    def rate(self, sona: SonaEngine, count: int, *, right: Callable[[Trajectory, int], int] | None = None) -> None:
        for _ in range(count):
            trajectory, answer = self.asked()
            sona.record(trajectory)
            said = answer if right is None else right(trajectory, answer)
            sona.feedback(trajectory.request_id, Feedback(relevant=(said,), client="user"))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def sona(place: Place, world: World) -> Iterator[SonaEngine]:
    engine = opened(place, world)
    yield engine
    engine.close()


def opened(place: Place, world: World) -> SonaEngine:
    return SonaEngine(open_journal(place), "test", DIM, set, world.vectors, micro_lora=True)


def test_learning_lifts_held_back_requests_and_takes_effect_at_once_everywhere(
    sona: SonaEngine, world: World, place: Place
) -> None:
    world.rate(sona, 150)
    other = opened(place, world)
    other.stats()
    report = sona.learn()
    assert report.promoted
    assert report.after > report.before
    assert report.questions == sum(is_held_back(one.vector) for one in sona.trajectories(1000))
    question = world.asked()[0].vector
    assert not np.allclose(sona.adapt(question), question, atol=1e-3)
    assert np.array_equal(other.adapt(question), sona.adapt(question))
    assert other.weights(question) == sona.weights(question)
    assert sona.weights(question)["lexical"] > 1.1
    assert other.stats()["version"] == report.version
    other.close()


def test_every_process_reaches_the_same_state_from_the_log(sona: SonaEngine, world: World, place: Place) -> None:
    world.rate(sona, 40)
    sona.learn()
    world.rate(sona, 15)
    later = opened(place, world)
    for _ in range(5):
        question = world.asked()[0].vector
        assert np.array_equal(later.adapt(question), sona.adapt(question))
        assert later.weights(question) == sona.weights(question)
        assert later.taught(question, None) == sona.taught(question, None)
    later.close()


def test_too_little_to_judge_by_promotes_nothing(sona: SonaEngine, world: World) -> None:
    world.rate(sona, 5)
    report = sona.learn()
    assert not report.promoted
    assert sona.stats()["version"] == 0


@pytest.mark.parametrize(
    ("lexical", "verdict", "is_better"),
    [
        (
            3.0,
            Verdict(40, 0.50, 0.51, -0.05, 0.07, 0.4, 40),
            True,
        ),  # the ranks leave doubt, the right answers are likelier
        (0.1, Verdict(40, 0.50, 0.51, -0.05, 0.07, 0.4, 40), False),  # they are not
        (3.0, Verdict(40, 0.50, 0.55, 0.01, 0.09, 0.1, 40), True),  # the ranks leave no doubt
        (0.1, Verdict(40, 0.50, 0.55, 0.01, 0.09, 0.1, 40), False),  # nor does likelihood, of the opposite
        (3.0, Verdict(40, 0.51, 0.50, -0.07, 0.05, 0.6, 40), False),
        (3.0, Verdict(4, 0.50, 0.60, 0.05, 0.15, 0.0, 4), False),
    ],
)
def test_where_ranks_leave_doubt_likelihood_decides(lexical: float, verdict: Verdict, is_better: bool) -> None:
    random = np.random.default_rng(5)
    rows = []
    for _ in range(240):
        right = np.arange(12) == 3
        parts = random.normal(size=(12, 2)).astype(np.float32)
        parts[:, 1] += 2 * right  # the second part tells right from wrong
        query = random.normal(size=DIM).astype(np.float32)
        rows.append(Row("", query, ("dense", "lexical"), parts, right, 1, np.zeros((12, DIM), np.float32), 0.0))
    after = Learned(weights={"lexical": lexical})
    assert loops._is_better(rows, Learned(), InstantLoop(DIM), after, verdict) is is_better


def test_one_question_that_moved_up_leaves_doubt() -> None:
    random, rows = np.random.default_rng(5), []
    right = np.arange(12) == 3
    for _ in range(240):
        parts = np.stack([6.0 * right, random.normal(size=12)], axis=1).astype(np.float32)
        query = random.normal(size=DIM).astype(np.float32)
        rows.append(Row("", query, ("dense", "lexical"), parts, right, 1, np.zeros((12, DIM), np.float32), 0.0))
    moved = next(row for row in rows if is_held_back(row.query))
    moved.parts[:] = 0.0, -5.0
    moved.parts[3], moved.parts[4] = (0.0, 0.6), (3.0, -2.2)  # right comes second, and first with less of `dense`
    after = Learned(weights={"dense": 0.9})
    verdict = loops._judged(rows, Learned(), InstantLoop(DIM), after)
    assert verdict.gain > 0
    assert verdict.worse == 0
    assert not loops._is_better(rows, Learned(), InstantLoop(DIM), after, verdict)


def test_random_feedback_trains_nothing(sona: SonaEngine, world: World) -> None:
    random = np.random.default_rng(9)
    world.rate(sona, 200, right=lambda trajectory, _answer: int(random.choice(trajectory.shown)))
    assert not sona.learn().promoted
    question = world.asked()[0].vector
    assert np.allclose(sona.adapt(question), question, atol=1e-6)
    assert all(abs(weight - 1) < 1e-6 for weight in sona.weights(question).values())


def test_consolidating_folds_the_instant_steps_into_the_base(sona: SonaEngine, world: World) -> None:
    world.rate(sona, 100)
    first = sona.learn()
    world.rate(sona, 100)
    assert sona.stats()["instant_steps"] > 50
    report = sona.consolidate()
    assert report.kind == "consolidate"
    assert report.retention > 0
    if report.promoted:
        assert report.retention >= 0.95
        assert sona.stats()["instant_steps"] == 0
    assert sona.stats()["version"] == (report.version if report.promoted else first.version)


@pytest.mark.parametrize("against", ["ewc", "replay", "nothing"])
def test_every_way_against_forgetting_gives_a_judged_version(sona: SonaEngine, world: World, against: Any) -> None:
    world.rate(sona, 60)
    sona.learn()
    world.rate(sona, 60)
    report = sona.consolidate(against)
    assert {version.id for version in sona.snapshots()} >= {report.version}


def test_rolling_back_restores_what_was_answered(sona: SonaEngine, world: World) -> None:
    question = world.asked()[0].vector
    world.rate(sona, 120)
    version = sona.learn().version
    trained = sona.adapt(question)
    sona.rollback(0)
    assert sona.stats()["version"] == 0
    assert not np.array_equal(sona.adapt(question), trained)
    sona.rollback(version)
    assert np.array_equal(sona.adapt(question), trained)
    with pytest.raises(NotFoundError):
        sona.rollback(999)


def test_a_trial_answers_its_share_by_each_version(sona: SonaEngine, world: World) -> None:
    world.rate(sona, 120)
    version = sona.learn().version
    sona.start_trial(Trial(0, version, 0.25))
    answered = [sona.version_for(world.asked()[0].vector) for _ in range(400)]
    assert set(answered) == {0, version}
    assert answered.count(version) / 400 == pytest.approx(0.25, abs=0.08)
    sona.start_trial(None)
    assert sona.version_for(world.asked()[0].vector) == version
    with pytest.raises(InvalidInputError):
        sona.start_trial(Trial(0, version, 1.0))
    with pytest.raises(NotFoundError):
        sona.start_trial(Trial(0, 999, 0.5))


def test_comparing_versions_judges_on_held_back_requests(sona: SonaEngine, world: World) -> None:
    world.rate(sona, 150)
    report = sona.learn()
    verdict = sona.compare(0, report.version)
    assert verdict.after == pytest.approx(report.after)
    assert sona.compare(report.version, report.version).gain == 0


def test_old_versions_make_room_but_not_named_or_used_ones(sona: SonaEngine, world: World) -> None:
    world.rate(sona, 120)
    active = sona.learn()
    assert active.promoted
    named = sona.snapshot("before")
    for _ in range(KEPT + 5):
        sona._versions.add(Learned(), "learn", parent=active.version, promote=False, metrics={})
    kept = {version.id: version for version in sona.snapshots()}
    assert {active.version, named} <= kept.keys()
    assert len(kept) == KEPT + 2
    assert kept[named].label == "before"
    assert kept[named].status == "kept"


def test_a_version_whose_parent_was_replaced_is_not_promoted(sona: SonaEngine) -> None:
    first, promoted = sona._versions.add(Learned(), "learn", parent=0, promote=True, metrics={})
    assert promoted
    _, promoted = sona._versions.add(Learned(), "learn", parent=0, promote=True, metrics={})
    assert not promoted
    assert sona._versions.active() == first


def test_everything_learned_comes_back_from_its_bytes() -> None:
    base = LoraAdapter(DIM, rank=3, seed=1)
    base.b[:] = 0.1
    bank = ReasoningBank().learn([RatedQuestion(base.a[0] / np.linalg.norm(base.a[0]), 0.5, {7: 1.0})], 1, 5.0)
    before = Learned(base, {"dense": 0.5}, bank, {"a": base.a}, {"a": base.a}, 17)
    after = Learned.from_blob(before.to_blob())
    assert after.base is not None
    assert np.array_equal(after.base.a, base.a)
    assert after.base.scale == base.scale
    assert (after.weights, after.trained_to) == ({"dense": 0.5}, 17)
    assert dict(after.bank.patterns[0].support) == {7: 1.0}
    assert np.array_equal(after.importance["a"], base.a)
    assert Learned.from_blob(Learned().to_blob()) == Learned()
    with pytest.raises(ModelError):
        Learned.from_blob(before.to_blob()[:-5])


def test_a_process_killed_while_learning_leaves_the_old_version_whole(
    sona: SonaEngine, world: World, place: Place
) -> None:
    """The child is killed inside the transaction that would have put its version in force."""
    world.rate(sona, 100)
    version = sona.learn().version
    question = world.asked()[0].vector
    before = sona.adapt(question)
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import PosixPath
        from ruvllm_mcp.learning import versions
        from ruvllm_mcp.learning.learned import Learned
        from ruvllm_mcp.memory.journal import open_journal

        def killed(self, connection):
            os.kill(os.getpid(), signal.SIGKILL)

        versions.VersionStore._make_room = killed
        store = versions.VersionStore(open_journal({place!r}), "test")
        store.add(Learned(), "learn", parent={version}, promote=True, metrics={{}})
        """
    )
    child = subprocess.run([sys.executable, "-c", script], env={**os.environ}, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    later = opened(place, world)
    assert later.stats()["version"] == version
    assert np.array_equal(later.adapt(question), before)
    assert [one.id for one in later.snapshots()] == [version]
    later.close()

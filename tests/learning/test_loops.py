"""The slower loops on a small world in which there is something to learn, and through real files."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError, NotFoundError
from ruvllm_mcp.learning import background, loops
from ruvllm_mcp.learning.background import HELD_BACK, fold_of
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
    assert report.questions == len(sona._gathered().rows) > 140
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


LIKELIER = Verdict(40, -2.0, -1.0, 0.5, 1.5, 0.0, 40)
UNDECIDED = Verdict(40, -1.0, -1.0, -0.5, 0.5, 0.5, 40)
LESS_LIKELY = Verdict(40, -1.0, -2.0, -1.5, -0.5, 1.0, 40)


@pytest.mark.parametrize(
    ("ranks", "likelihoods", "is_better"),
    [
        (Verdict(40, 0.50, 0.51, -0.05, 0.07, 0.4, 40), LIKELIER, False),  # ranks leave doubt
        (Verdict(40, 0.50, 0.53, -0.02, 0.08, 0.15, 40), LIKELIER, True),
        (Verdict(40, 0.50, 0.53, -0.02, 0.08, 0.15, 40), UNDECIDED, False),
        (Verdict(40, 0.50, 0.55, 0.01, 0.09, 0.05, 40), UNDECIDED, True),
        (Verdict(40, 0.50, 0.55, 0.01, 0.09, 0.05, 40), LESS_LIKELY, False),
        (Verdict(40, 0.50, 0.55, 0.01, 0.09, 0.0, 2), LIKELIER, False),  # too few moved
        (Verdict(40, 0.51, 0.50, -0.07, 0.05, 0.6, 40), LIKELIER, False),
        (Verdict(4, 0.50, 0.60, 0.05, 0.15, 0.0, 4), LIKELIER, False),
    ],
)
def test_what_ranks_better_without_doubt_and_is_no_less_likely_is_promoted(
    ranks: Verdict, likelihoods: Verdict, is_better: bool
) -> None:
    assert loops._is_better(ranks, likelihoods) is is_better


def test_one_question_that_moved_up_leaves_doubt() -> None:
    random, rows = np.random.default_rng(5), []
    right = np.arange(12) == 3
    for _ in range(240):
        parts = np.stack([6.0 * right, random.normal(size=12)], axis=1).astype(np.float32)
        query = random.normal(size=DIM).astype(np.float32)
        rows.append(Row("", query, ("dense", "lexical"), parts, right, 1, np.zeros((12, DIM), np.float32), 0.0))
    moved = rows[7]
    moved.parts[:] = 0.0, -5.0
    moved.parts[3], moved.parts[4] = (0.0, 0.6), (3.0, -2.2)  # right comes second, and first with less of `dense`
    after = Learned(weights={"dense": 0.9})
    ranks, likelihoods = loops._verdicts([(rows, Learned(), InstantLoop(DIM))], [(rows, after, None)])
    assert ranks.gain > 0
    assert ranks.worse == 0
    assert not loops._is_better(ranks, likelihoods)


def test_what_the_version_in_force_was_trained_on_does_not_judge_the_next(sona: SonaEngine, world: World) -> None:
    world.rate(sona, 150)
    assert sona.learn().promoted
    world.rate(sona, 40)
    rows = sona._gathered().rows
    unseen = sum(number > 150 or fold_of(row.query) == HELD_BACK for number, row in rows)
    assert sona.learn().questions == unseen < len(rows)


def test_no_fold_judges_what_was_trained_on_it(sona: SonaEngine, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_on: list[set[str]] = []

    def candidates(rows: Sequence[Row], *_: object) -> tuple[Learned, ...]:
        trained_on.append({row.request_id for row in rows})
        return (Learned(weights={"number": len(trained_on)}),)

    judged: dict[float, set[str]] = {}

    def quality_of(rows: Sequence[Row], learned: Learned, *_: object) -> list[float]:
        judged.setdefault(learned.weights.get("number", 0), set()).update(row.request_id for row in rows)
        return [0.0] * len(rows)

    monkeypatch.setattr(background, "candidates", candidates)
    monkeypatch.setattr(background, "quality_of", quality_of)
    world.rate(sona, 60)
    sona.learn()
    everything = judged.pop(0)
    assert set.union(*judged.values()) == everything == {row.request_id for _, row in sona._gathered().rows}
    for number, requests in judged.items():
        assert requests.isdisjoint(trained_on[int(number) - 1])


def test_the_slower_loops_read_no_more_than_they_may(
    sona: SonaEngine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rate(sona, 90)
    newest = [one.request_id for one in sona.trajectories(1000)]
    everything = sona._gathered()
    monkeypatch.setattr(loops, "MOST_REQUESTS", 20)
    few = sona._gathered()
    expected = [row.request_id for _, row in everything.rows if row.request_id in newest[:20]]
    assert [row.request_id for _, row in few.rows] == expected
    assert (len(few.questions), few.signals) == (20, 90)
    for _, row in few.rows:
        assert np.array_equal(row.vectors, world.vectors(sona._log.get(row.request_id).candidates.ids))
    monkeypatch.setattr(loops, "MOST_MEMORIES", MEMORIES - 1)
    assert not sona._gathered().rows  # every search here considers all


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
    assert verdict.questions == sum(fold_of(one.vector) == HELD_BACK for one in sona.trajectories(1000))
    assert verdict.gain > 0
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

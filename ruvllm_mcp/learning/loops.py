"""The slower loops as steps: gather what was rated, make a candidate, judge it, put it in force or drop it.

Judging is by requests that neither side has seen (see `background`): each fifth of them by candidates trained without
it, and the version in force, with its instant steps less those that this fifth asked for, by what it was not trained
on. What decides is ranks; but where a few changed for the better by chance, what is right may have become less likely
by the scores behind them, and then nothing is promoted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from ruvllm_mcp.errors import NotFoundError
from ruvllm_mcp.learning import background, deep
from ruvllm_mcp.learning.credit import Credits
from ruvllm_mcp.learning.deep import Against
from ruvllm_mcp.learning.instant import InstantLoop
from ruvllm_mcp.learning.judging import Verdict, paired_bootstrap
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.log import TrajectoryLog
from ruvllm_mcp.learning.objective import Row, Vectors, likelihood, ndcg, row_of
from ruvllm_mcp.learning.patterns import RatedQuestion
from ruvllm_mcp.learning.said import Said
from ruvllm_mcp.learning.trajectory import Trajectory
from ruvllm_mcp.learning.versions import VersionStore
from ruvllm_mcp.memory.sets import distinct
from ruvllm_mcp.reports import LearnReport

MOST_REQUESTS = 1_000
MOST_MEMORIES = 20_000  # different ones among these requests' candidates, at 384 dimensions 31 MB
FEWEST_JUDGED = 15
NO_DOUBT, LITTLE_DOUBT, SOME_DOUBT = 0.05, 0.1, 0.2  # a bootstrap's share of resamples in which a version is worse
FEWEST_MOVED = 3  # questions whose ranks changed: by chance fewer would all get better too often
CLUSTERS = 100
_QUESTIONS_PER_PATTERN = 6


@dataclass(frozen=True)
class Material:
    """What the slower loops learn from: rated searches as rows with the number of their last feedback; each request's
    settled votes and quality; how many feedbacks it rests on and the number of the newest; by fold, the instant loop
    as it would be without that fold's feedback."""

    rows: tuple[tuple[int, Row], ...]
    questions: tuple[tuple[int, RatedQuestion], ...]
    signals: int
    last: int
    instants: tuple[InstantLoop, ...]


@dataclass
class _Heard:
    """What was said of one request: the number of its last feedback, and memory id → client → latest vote."""

    last: int = 0
    votes: dict[int, dict[str, float]] = field(default_factory=dict)

    def settled(self) -> dict[int, float]:
        """Memory id → mean of the clients' latest votes."""
        return {memory: sum(cast.values()) / len(cast) for memory, cast in self.votes.items()}


def gathered(
    log: TrajectoryLog, fingerprint: str, vectors: Vectors, believed: Callable[[str], bool], trained_to: int, dim: int
) -> Material:
    """What believed clients rated of this embedder: the requests spoken of last, at most `MOST_REQUESTS`, and of no
    more than `MOST_MEMORIES`. The instant loops begin after feedback number `trained_to`."""
    heard: dict[str, _Heard] = {}
    instants = tuple(InstantLoop(dim) for _ in range(background.FOLDS))
    signals = last = 0
    for one in _as_believed(said for said in log.since(0) if said.fingerprint == fingerprint):
        if not believed(one.client):
            continue
        signals, last = signals + 1, one.seq
        request = heard[one.request_id] = heard.pop(one.request_id, _Heard())
        request.last = one.seq
        for memory, vote in one.votes.items():
            request.votes.setdefault(memory, {})[one.client] = vote
        if len(heard) > MOST_REQUESTS:
            del heard[next(iter(heard))]
        if one.seq > trained_to and one.step is not None:
            own = background.fold_of(one.vector)
            for instant in instants[:own] + instants[own + 1 :]:
                instant.apply(one.vector, one.step, one.client)
    asked = _asked(log, heard)
    questions = [(heard[one.request_id].last, _question(one, heard[one.request_id].settled())) for one in asked]
    return Material(_rows(asked, heard, vectors), tuple(questions), signals, last, instants)


def _as_believed(said: Iterable[Said]) -> Iterator[Said]:
    """The same with each vote as much as its feedback was believed when it came."""
    credits = Credits()
    for one in said:
        belief = credits.belief(one.client, one.lesson.witness.agreement)
        yield replace(one, votes={memory: belief * vote for memory, vote in one.votes.items()})
        if one.votes and one.lesson.shown:
            credits.hear(one.client, one.lesson.witness)


def _asked(log: TrajectoryLog, requests: Iterable[str]) -> list[Trajectory]:
    """What these requests left behind, oldest first: the newest of them that are of no more than `MOST_MEMORIES`."""
    asked: list[Trajectory] = []
    memories: set[int] = set()
    for request in sorted(requests, reverse=True):
        with suppress(NotFoundError):  # where it has just made room
            trajectory = log.get(request)
            memories.update(trajectory.candidates.ids.tolist())
            if len(memories) > MOST_MEMORIES:
                break
            asked.append(trajectory)
    return asked[::-1]


def _rows(asked: Sequence[Trajectory], heard: Mapping[str, _Heard], vectors: Vectors) -> tuple[tuple[int, Row], ...]:
    """The rows of what was asked. They share one table of vectors: searches mostly consider the same memories."""
    ids = distinct(np.concatenate([one.candidates.ids for one in asked])) if asked else np.empty(0, np.int64)
    table, rows = vectors(ids), []
    for one in asked:
        known = heard[one.request_id]
        row = row_of(one, known.settled(), lambda wanted: table[np.searchsorted(ids, wanted)])
        if row is not None:
            rows.append((known.last, replace(row, table=table, places=np.searchsorted(ids, one.candidates.ids))))
    return tuple(rows)


def _question(asked: Trajectory, votes: Mapping[int, float]) -> RatedQuestion:
    right = sum(vote > 0 for vote in votes.values())
    return RatedQuestion(asked.vector, right / len(votes) if votes else 0.5, votes)


def learn(versions: VersionStore, material: Material, active: int, learned: Learned) -> LearnReport:
    """Train, judge, and promote or drop a version of weights, base and patterns."""
    started = time.perf_counter()
    candidate, ranks, likelihoods = _cross_fitted(material, learned)
    now = time.time()
    fresh = [question for number, question in material.questions if number > learned.trained_to]
    clusters = min(CLUSTERS, max(1, len(fresh) // _QUESTIONS_PER_PATTERN))
    candidate = replace(candidate, bank=learned.bank.learn(fresh, clusters, now).pruned(limit=CLUSTERS))
    promote = _is_better(ranks, likelihoods)
    return _settle(versions, "learn", active, candidate, ranks, 1.0, promote, material, started)


def consolidate(
    versions: VersionStore, material: Material, active: int, learned: Learned, against: Against
) -> LearnReport:
    """Fold, train, measure what was retained, and promote or drop."""
    started = time.perf_counter()
    older = [row for number, row in material.rows if number <= learned.trained_to]
    newer = [row for number, row in material.rows if number > learned.trained_to]
    unbiased = material.instants[background.HELD_BACK]
    candidate = deep.consolidated(older, newer, learned, unbiased, material.last, against)
    kept = deep.retention(older, learned, candidate)
    held = background.parted([*older, *newer])[1]
    ranks, likelihoods = _verdicts([(held, learned, unbiased)], [(held, candidate, None)])
    promote = kept >= deep.RETENTION and _is_better(ranks, likelihoods)
    return _settle(versions, "consolidate", active, candidate, ranks, kept, promote, material, started)


def compare(material: Material, a: Learned, b: Learned) -> Verdict:
    """Two versions on the held-back requests, without instant steps."""
    held = background.parted([row for _, row in material.rows])[1]
    return paired_bootstrap(background.quality_of(held, a), background.quality_of(held, b))


def _cross_fitted(material: Material, learned: Learned) -> tuple[Learned, Verdict, Verdict]:
    """The best kind of the background loop's candidates, and what its ranks and likelihoods say of it.

    Each fold judges candidates trained without it, so that as many requests judge as there are. The one that may come
    into force is that without the held-back fold. What the version in force was trained on cannot judge it.
    """
    rows = [(background.fold_of(row.query), number, row) for number, row in material.rows]
    learned_to = learned.trained_to if learned.base is not None or learned.weights else 0
    judges, kinds = [], []
    for fold in range(background.FOLDS):
        trained_on = [row for own, _, row in rows if own != fold]
        kinds.append(background.candidates(trained_on, learned, material.last))
        since = 0 if fold == background.HELD_BACK else learned_to
        judges.append([row for own, number, row in rows if own == fold and number > since])
    after = [[(asked, one, None) for asked, one in zip(judges, kind, strict=True)] for kind in zip(*kinds, strict=True)]
    best = max(after, key=lambda kind: float(np.mean(_judged(kind, ndcg) or [0.0])))
    before = [(asked, learned, instant) for asked, instant in zip(judges, material.instants, strict=True)]
    return best[background.HELD_BACK][1], *_verdicts(before, best)


_Trials = Sequence[tuple[Sequence[Row], Learned, InstantLoop | None]]  # each version on the requests that may judge it


def _judged(trials: _Trials, measure: background.Measure) -> list[float]:
    return [value for trial in trials for value in background.quality_of(*trial, measure)]


def _verdicts(before: _Trials, after: _Trials) -> tuple[Verdict, Verdict]:
    """Of the ranks and of the likelihood of what was right."""
    ranks, likelihoods = (
        paired_bootstrap(_judged(before, measure), _judged(after, measure)) for measure in (ndcg, likelihood)
    )
    return ranks, likelihoods


def _is_better(ranks: Verdict, likelihoods: Verdict) -> bool:
    """Whether ranks speak for the candidate with little doubt and likelihood is not sure of the opposite, or with some
    doubt and likelihood is sure, too. Where one or two questions moved, a bootstrap knows no doubt, and means
    nothing."""
    if ranks.questions < FEWEST_JUDGED or ranks.moved < FEWEST_MOVED or ranks.gain <= 0:
        return False
    if ranks.worse <= LITTLE_DOUBT:
        return likelihoods.worse < 1 - NO_DOUBT
    return ranks.worse <= SOME_DOUBT and likelihoods.worse <= NO_DOUBT


def _settle(
    versions: VersionStore,
    kind: str,
    active: int,
    candidate: Learned,
    verdict: Verdict,
    kept: float,
    promote: bool,
    material: Material,
    started: float,
) -> LearnReport:
    metrics: Mapping[str, object] = {**verdict.to_dict(), "retention": kept, "signals": material.last}
    version, promoted = versions.add(candidate, kind, parent=active, promote=promote, metrics=metrics)
    return LearnReport(
        version=version,
        kind=kind,
        promoted=promoted,
        questions=verdict.questions,
        before=verdict.before,
        after=verdict.after,
        low=verdict.low,
        high=verdict.high,
        retention=kept,
        signals=material.signals,
        patterns=len(candidate.bank.patterns),
        seconds=time.perf_counter() - started,
    )

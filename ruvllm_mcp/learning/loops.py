"""The slower loops as steps: gather what was rated, make a candidate, judge it, put it in force or drop it.

Judging is by held-back requests alone (see `background`). The ranks of a few dozen right answers jump about, so that
what is better shows it surely only in time. It may show it by how likely it makes those answers instead, which moves
with every score. The version in force is judged with its instant steps, less those that held-back requests asked for,
so that neither side has seen the answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
from ruvllm_mcp.learning.versions import VersionStore
from ruvllm_mcp.reports import LearnReport

MOST_REQUESTS = 5_000
FEWEST_JUDGED = 15
MOST_DOUBT = 0.2  # the bootstrap's share of resamples in which a version may be worse and still be promoted
MOST_DOUBT_BY_LIKELIHOOD = 0.05
FEWEST_MOVED = 3  # questions whose ranks changed: by chance fewer would all get better more often than MOST_DOUBT
CLUSTERS = 100
_QUESTIONS_PER_PATTERN = 6


@dataclass(frozen=True)
class Material:
    """What the slower loops learn from: rated searches as rows with the number of their last feedback, the feedback
    itself in order, and each request's settled votes and quality."""

    rows: tuple[tuple[int, Row], ...]
    said: tuple[Said, ...]
    questions: tuple[tuple[int, RatedQuestion], ...]

    @property
    def last(self) -> int:
        """The number of the newest feedback."""
        return self.said[-1].seq if self.said else 0


def gathered(log: TrajectoryLog, fingerprint: str, vectors: Vectors, believed: Callable[[str], bool]) -> Material:
    """What believed clients rated of this embedder, the newest `MOST_REQUESTS` requests of it."""
    heard = _as_believed([one for one in log.since(0) if one.fingerprint == fingerprint])
    said = [one for one in heard if believed(one.client)]
    settled = _settled(said)
    last = {one.request_id: one.seq for one in said}
    rows, questions = [], []
    for trajectory in reversed(log.recent(MOST_REQUESTS, only_rated=True)):
        if trajectory.request_id not in settled:
            continue
        votes = settled[trajectory.request_id]
        row = row_of(trajectory, votes, vectors)
        number = last[trajectory.request_id]
        if row is not None:
            rows.append((number, row))
        right = sum(vote > 0 for vote in votes.values())
        quality = right / len(votes) if votes else 0.5
        questions.append((number, RatedQuestion(trajectory.vector, quality, votes)))
    return Material(tuple(rows), tuple(said), tuple(questions))


def _as_believed(said: Sequence[Said]) -> list[Said]:
    """The same with each vote as much as its feedback was believed when it came."""
    credits, scaled = Credits(), []
    for one in said:
        belief = credits.belief(one.client, one.lesson.witness.agreement)
        scaled.append(replace(one, votes={memory: belief * vote for memory, vote in one.votes.items()}))
        if one.votes and one.lesson.shown:
            credits.hear(one.client, one.lesson.witness)
    return scaled


def _settled(said: Sequence[Said]) -> dict[str, dict[int, float]]:
    """Request id → memory id → mean of the clients' latest votes."""
    by_client: dict[str, dict[int, dict[str, float]]] = {}
    for one in said:
        memories = by_client.setdefault(one.request_id, {})
        for memory, vote in one.votes.items():
            memories.setdefault(memory, {})[one.client] = vote
    return {
        request: {memory: sum(cast.values()) / len(cast) for memory, cast in memories.items()}
        for request, memories in by_client.items()
    }


def learn(versions: VersionStore, material: Material, active: int, learned: Learned, dim: int) -> LearnReport:
    """Train, judge, and promote or drop a version of weights, base and patterns."""
    started = time.perf_counter()
    rows = [row for _, row in material.rows]
    candidate = background.train(rows, learned, material.last)
    now = time.time()
    fresh = [question for number, question in material.questions if number > learned.trained_to]
    clusters = min(CLUSTERS, max(1, len(fresh) // _QUESTIONS_PER_PATTERN))
    candidate = replace(candidate, bank=learned.bank.learn(fresh, clusters, now).pruned(limit=CLUSTERS))
    unbiased = _unbiased(material, learned, dim)
    verdict = _judged(rows, learned, unbiased, candidate)
    promote = _is_better(rows, learned, unbiased, candidate, verdict)
    return _settle(versions, "learn", active, candidate, verdict, 1.0, promote, material, started)


def consolidate(
    versions: VersionStore,
    material: Material,
    active: int,
    learned: Learned,
    dim: int,
    against: Against,
) -> LearnReport:
    """Fold, train, measure what was retained, and promote or drop."""
    started = time.perf_counter()
    older = [row for number, row in material.rows if number <= learned.trained_to]
    newer = [row for number, row in material.rows if number > learned.trained_to]
    unbiased = _unbiased(material, learned, dim)
    candidate = deep.consolidated(older, newer, learned, unbiased, material.last, against)
    kept = deep.retention(older, learned, candidate)
    rows = [*older, *newer]
    verdict = _judged(rows, learned, unbiased, candidate)
    promote = kept >= deep.RETENTION and _is_better(rows, learned, unbiased, candidate, verdict)
    return _settle(versions, "consolidate", active, candidate, verdict, kept, promote, material, started)


def compare(material: Material, a: Learned, b: Learned) -> Verdict:
    """Two versions on the held-back requests, without instant steps."""
    held = background.parted([row for _, row in material.rows])[1]
    return paired_bootstrap(background.quality_of(held, a), background.quality_of(held, b))


def _judged(
    rows: Sequence[Row], before: Learned, instant: InstantLoop, after: Learned, measure: background.Measure = ndcg
) -> Verdict:
    held = background.parted(rows)[1]
    return paired_bootstrap(
        background.quality_of(held, before, instant, measure), background.quality_of(held, after, None, measure)
    )


def _is_better(rows: Sequence[Row], before: Learned, instant: InstantLoop, after: Learned, verdict: Verdict) -> bool:
    """Whether the verdict on ranks speaks for `after` and the one on likelihood is not sure of the opposite, or where
    ranks leave doubt, likelihood is sure. Where one or two questions moved, a bootstrap knows no doubt, and means
    nothing."""
    if verdict.questions < FEWEST_JUDGED or verdict.gain <= 0:
        return False
    less_likely = _judged(rows, before, instant, after, likelihood).worse
    if verdict.worse <= MOST_DOUBT and verdict.moved >= FEWEST_MOVED:
        return less_likely < 1 - MOST_DOUBT_BY_LIKELIHOOD
    return less_likely <= MOST_DOUBT_BY_LIKELIHOOD


def _unbiased(material: Material, learned: Learned, dim: int) -> InstantLoop:
    """The instant loop as it would be without the held-back requests' feedback."""
    instant = InstantLoop(dim)
    for said in material.said:
        if said.seq > learned.trained_to and said.step is not None and not background.is_held_back(said.vector):
            instant.apply(said.vector, said.step, said.client)
    return instant


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
        signals=len(material.said),
        patterns=len(candidate.bank.patterns),
        seconds=time.perf_counter() - started,
    )

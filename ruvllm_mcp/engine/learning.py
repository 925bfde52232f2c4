"""The engine's calls about learning: the slower loops, what they learned, and the versions they made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.reports import LearnReport, PatternRecord, RequestRecord

if TYPE_CHECKING:
    from ruvllm_mcp.engine.parts import Parts
    from ruvllm_mcp.learning.judging import Verdict
    from ruvllm_mcp.learning.versions import Version

T = TypeVar("T")
Against = Literal["ewc", "replay", "nothing"]
MOST_LISTED = 1_000
MOST_LABEL = 100


class LearningCalls:
    """Part of `RuvLLM`; `_run` is the engine's."""

    if TYPE_CHECKING:

        async def _run(self, operation: str, work: Callable[[Parts], T]) -> T: ...

    async def learn(self) -> LearnReport:
        """Run the background loop now: train on all feedback; what does not lose on held-back requests takes effect."""
        return await self._run("learn", lambda parts: parts.sona.learn())

    async def consolidate(self, against: Against = "ewc") -> LearnReport:
        """Run the deep loop now: fold what feedback taught since into the learned base, holding on to older learning by
        `against`: ewc, replay or nothing. Undone at once if older requests keep less than 95 % of their quality."""
        if against not in ("ewc", "replay", "nothing"):
            raise InvalidInputError(f"against is {against!r}.", "It takes ewc, replay or nothing.")
        return await self._run("consolidate", lambda parts: parts.sona.consolidate(against))

    async def patterns(self, limit: int = 20) -> tuple[PatternRecord, ...]:
        """The kinds of questions learned, the most used first."""
        count = _listed(limit)
        found = await self._run("patterns", lambda parts: parts.sona.patterns(count))
        return tuple(
            PatternRecord(one.quality, one.uses, tuple(one.support), one.created_at, one.used_at) for one in found
        )

    async def trajectories(self, limit: int = 20) -> tuple[RequestRecord, ...]:
        """The newest requests, newest first."""
        count = _listed(limit)
        found = await self._run("trajectories", lambda parts: parts.sona.trajectories(count))
        return tuple(
            RequestRecord(one.request_id, one.at, one.query, one.namespaces, one.shown, one.version) for one in found
        )

    async def snapshots(self) -> tuple[Version, ...]:
        """Every learned version kept, newest first; the untrained system is version 0."""
        return tuple(await self._run("snapshots", lambda parts: parts.sona.snapshots()))

    async def snapshot(self, label: str) -> int:
        """Keep what is learned now under a name; the version to `rollback` to."""
        if not isinstance(label, str) or not label.strip() or len(label) > MOST_LABEL or not label.isprintable():
            raise InvalidInputError(f"label is {str(label)[:60]!r}.", f"Give 1 to {MOST_LABEL} printable characters.")
        return await self._run("snapshot", lambda parts: parts.sona.snapshot(label.strip()))

    async def rollback(self, version: int) -> None:
        """Put an earlier version in force, 0 for the untrained system. Single questions stay remembered. Raises
        NotFoundError."""
        number = _version(version)
        await self._run("rollback", lambda parts: parts.sona.rollback(number))

    async def compare(self, a: int, b: int) -> Verdict:
        """Version `b` judged against `a` on requests that no version was trained on. Raises NotFoundError."""
        first, second = _version(a), _version(b)
        return await self._run("compare", lambda parts: parts.sona.compare(first, second))

    async def start_trial(self, a: int, b: int, share: float = 0.5) -> None:
        """Answer a `share` of requests by version `b`, the rest by `a`, until `stop_trial`, `rollback` or a promotion.
        Each trajectory names the version that answered. Raises NotFoundError, InvalidInputError."""
        from ruvllm_mcp.learning.versions import Trial

        trial = Trial(_version(a), _version(b), share)
        await self._run("start_trial", lambda parts: parts.sona.start_trial(trial))

    async def stop_trial(self) -> None:
        """Answer every request by the active version again."""
        await self._run("stop_trial", lambda parts: parts.sona.start_trial(None))


def _listed(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_LISTED:
        raise InvalidInputError(f"limit is {limit!r}.", f"It takes a whole number from 1 to {MOST_LISTED}.")
    return limit


def _version(version: int) -> int:
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version < 2**63:
        raise InvalidInputError(f"version is {version!r}.", "It takes a version's number; list them with snapshots().")
    return version

"""Which memories may go: a policy of bounds, and the choice it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import checks
from ruvllm_mcp.types import TRUST_LEVELS, MemoryRecord


@dataclass(frozen=True)
class PrunePolicy:
    """A memory goes when it breaks any bound that is set. `older_than` and `unused_for` are seconds since it was last
    written and last found; `importance_below` in [0, 1]; `keep_at_most` counts per namespace, the least important and
    longest unused going first. `similar_above` in [0.8, 0.99]: memories of one namespace whose cosine reaches it are
    merged into the most trusted, most important, oldest of them. `expired` removes what outlived its ttl. `kinds`
    narrows all but `expired`."""

    older_than: float | None = None
    unused_for: float | None = None
    importance_below: float | None = None
    keep_at_most: int | None = None
    similar_above: float | None = None
    expired: bool = True
    kinds: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("older_than", "unused_for"):
            if getattr(self, name) is not None:
                checks.number(getattr(self, name), name, 0, 1e12)
        if self.importance_below is not None:
            checks.number(self.importance_below, "importance_below", 0, 1)
        if self.similar_above is not None:
            checks.number(self.similar_above, "similar_above", 0.8, 0.99)
        if self.keep_at_most is not None:
            checks.count(self.keep_at_most, "keep_at_most", 0)
        if self.kinds is not None:
            if not isinstance(self.kinds, tuple) or not self.kinds:
                raise InvalidInputError("kinds must be a tuple of kinds.", "Leave it out to mean every kind.")
            for kind in self.kinds:
                checks.kind(kind)


def chosen(
    records: Iterable[MemoryRecord], policy: PrunePolicy, now: float, near: Callable[[MemoryRecord], Iterable[int]]
) -> tuple[list[int], dict[int, int]]:
    """Ids that break the policy, oldest first, and which of them are merged into which. `near` gives the ids of a
    memory's namespace that reach `similar_above`."""
    into: dict[int, int] = {}
    gone: set[int] = set()
    kept: dict[str, list[MemoryRecord]] = {}
    for record in records:
        if policy.expired and record.expires_at is not None and record.expires_at <= now:
            gone.add(record.id)
        elif policy.kinds is None or record.kind in policy.kinds:
            if _breaks(record, policy, now):
                gone.add(record.id)
            else:
                kept.setdefault(record.namespace, []).append(record)
    if policy.similar_above is not None:
        for group in kept.values():
            into |= _repeats(group, near)
            group[:] = [record for record in group if record.id not in into]
    if policy.keep_at_most is not None:
        for group in kept.values():
            group.sort(key=lambda record: (record.importance, _last_used(record), record.id))
            gone.update(record.id for record in group[: max(0, len(group) - policy.keep_at_most)])
    return sorted(gone.union(into)), into


def _repeats(group: Iterable[MemoryRecord], near: Callable[[MemoryRecord], Iterable[int]]) -> dict[int, int]:
    """Those of a namespace's memories that say nearly what a better one says, each with that one, which stays."""
    left = {record.id for record in group}
    into: dict[int, int] = {}
    for record in sorted(group, key=lambda item: (-TRUST_LEVELS.index(item.trust), -item.importance, item.id)):
        if record.id in left:
            left.discard(record.id)
            into |= dict.fromkeys(left.intersection(near(record)), record.id)
            left.difference_update(into)
    return into


def _last_used(record: MemoryRecord) -> float:
    return max(record.updated_at, record.accessed_at or 0.0)


def _breaks(record: MemoryRecord, policy: PrunePolicy, now: float) -> bool:
    return (
        (policy.older_than is not None and record.updated_at < now - policy.older_than)
        or (policy.unused_for is not None and _last_used(record) < now - policy.unused_for)
        or (policy.importance_below is not None and record.importance < policy.importance_below)
    )

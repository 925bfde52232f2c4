"""What a store may do beside keeping: search by itself what is too large for a copy in every process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.candidates import Evidence, IntArray, Question
from ruvllm_mcp.memory.filters import Filter
from ruvllm_mcp.types import SearchMode

Near = tuple[float, int]  # cosine and id


class Collected(Evidence, Protocol):
    """What one search may rank."""

    def best(self, count: int, mode: SearchMode) -> IntArray:
        """Ids of the candidates: the best by each list that `mode` uses, and what was taught."""
        ...

    def cosines(self, ids: Sequence[int]) -> Mapping[int, float]:
        """Exact cosines of those that are embedded."""
        ...


@dataclass(frozen=True)
class Sight:
    """What one search may see: `namespaces` (None: all), metadata that passes `keep`, trust of at least `least` (an
    index into TRUST_LEVELS), unexpired at `now`. `taught`: memory id → evidence from feedback on similar questions;
    `confirmed` tells it of memories for any question (see `Teacher`)."""

    namespaces: Sequence[str] | None
    keep: Filter | None
    least: int
    taught: Mapping[int, float]
    now: float
    confirmed: Callable[[Sequence[int]], FloatArray] | None = None


@runtime_checkable
class PushDown(Protocol):
    """A store that leaves large namespaces out of the feed and answers for them itself."""

    def watch(self, changed: Callable[[], object]) -> None:
        """Calls `changed`, in a thread of its own, soon after any process has written; until the store is closed."""
        ...

    def large(self) -> frozenset[str]:
        """The namespaces left out, as of the last `sequence()`."""
        ...

    def collection(self, question: Question, sight: Sight, embedder: str) -> Collected:
        """Everything that is in sight, whether large or not."""
        ...

    def near(
        self, vector: FloatArray, namespace: str, embedder: str, now: float, threshold: float, limit: int
    ) -> Sequence[Near]:
        """Up to `limit` memories of the namespace whose cosine with `vector` reaches the threshold: cosine and id, most
        similar first."""
        ...

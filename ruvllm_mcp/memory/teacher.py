"""What learning may change in a search. The learning floor implements it; memory only asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.late import TokenSigns


class Teacher(Protocol):
    """Called once per search, from any thread; must answer in well under a millisecond."""

    def adapt(self, query_vector: FloatArray) -> FloatArray:
        """The query vector to search with: float32 (d,), unit length, as given or moved by what was learned."""
        ...

    def taught(
        self, query_vector: FloatArray, namespaces: Sequence[str] | None, tokens: TokenSigns | None = None
    ) -> Mapping[int, float]:
        """Memory id → evidence in [-1, 1] from feedback on similar questions. `query_vector` is the one before
        `adapt`, `tokens` what the encoder saw of it. Ids that are gone, expired or filtered out are ignored."""
        ...

    def confirmed(self, ids: Sequence[int]) -> FloatArray:
        """Evidence in [-1, 1], float32 (n,), from each of these memories having been right for any question; 0 for
        those that never were. Called while memory holds its lock: must not wait for one that calls memory."""
        ...

    def weights(self, query_vector: FloatArray) -> Mapping[str, float]:
        """Score part → the factor (> 0) its share of the score is multiplied by; 1 for parts not named. `query_vector`
        is the one before `adapt`."""
        ...

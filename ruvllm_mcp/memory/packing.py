"""Hits into a token budget: which to take, in what order to show them, and never a token too many.

Choice is by maximal marginal relevance (Carbonell & Goldstein 1998): relevance, ranked from 1 down to 0, against the
highest cosine with what was taken already. What does not fit whole is left out in favour of a smaller one further
down; only when nothing fits at all is the best one cut. Chosen ones are shown best first, parts of one source
together in the order they were stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.types import MemoryResult

RELEVANCE_WEIGHT = 0.7
REDUNDANT = 0.95
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Packed:
    """`text` has `tokens` <= the budget and quotes exactly `sources`, in that order."""

    text: str
    tokens: int
    sources: tuple[MemoryResult, ...]


def pack(
    hits: Sequence[MemoryResult], vectors: FloatArray, max_tokens: int, count_tokens: Callable[[str], int]
) -> Packed:
    """`hits` best first with their unit `vectors` (n, d); zero rows are never redundant."""
    taken: list[int] = []
    text, tokens = "", 0
    for candidate in diverse_order(vectors):
        trial = _render([hits[i] for i in (*taken, candidate)])
        size = count_tokens(trial)
        if size <= max_tokens:
            taken.append(candidate)
            text, tokens = trial, size
    if not taken and hits:
        text = _cut(_passage(hits[0]), max_tokens, count_tokens)
        return Packed(text, count_tokens(text), (hits[0],)) if text else Packed("", 0, ())
    return Packed(text, tokens, tuple(_shown_order([hits[i] for i in taken])))


def diverse_order(vectors: FloatArray) -> list[int]:
    """Rows by maximal marginal relevance, those that repeat an earlier one left out."""
    count = len(vectors)
    relevance = 1.0 - np.arange(count) / max(count, 1)
    overlap = np.zeros(count)
    order: list[int] = []
    left = np.ones(count, np.bool_)
    while left.any():
        left &= overlap < REDUNDANT
        if not left.any():
            break
        gain = np.where(left, RELEVANCE_WEIGHT * relevance - (1 - RELEVANCE_WEIGHT) * overlap, -np.inf)
        best = int(gain.argmax())
        order.append(best)
        left[best] = False
        overlap = np.maximum(overlap, vectors @ vectors[best])
    return order


def _shown_order(hits: Sequence[MemoryResult]) -> list[MemoryResult]:
    groups: dict[tuple[str, str], list[MemoryResult]] = {}
    for hit in hits:
        key = (hit.namespace, hit.source) if hit.source else ("", str(hit.id))
        groups.setdefault(key, []).append(hit)
    return [hit for group in groups.values() for hit in sorted(group, key=lambda hit: hit.id)]


def _render(hits: Sequence[MemoryResult]) -> str:
    return SEPARATOR.join(_passage(hit) for hit in _shown_order(hits))


def _passage(hit: MemoryResult) -> str:
    doubt = " untrusted" if hit.trust == "untrusted" else ""
    origin = f" {hit.source}" if hit.source else ""
    return f"[{hit.id}{doubt}]{origin}\n{hit.content}"


def _cut(text: str, max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The longest beginning that fits with an ellipsis, by bisection on characters; "" when not even that fits."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(text[:middle].rstrip() + " …") <= max_tokens:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + " …" if low else ""

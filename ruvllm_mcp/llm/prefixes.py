"""Caches of finished answers, kept for the next prompt that begins alike: a chat's next turn computes only what is new.

A cache is found by its tokens alone, so sessions need no name and can never see each other's: what is reused is what
the new prompt itself begins with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ruvllm_mcp.llm.model import Cache, Model

KEPT_CACHES = 8
KEPT_BYTES = 512_000_000
WORTH_COPYING = 32
"""A shorter common beginning is computed again: a template's first words are common to all chats."""
COMPUTED_AGAIN = 5
"""Tokens of a prompt that are computed in any case: the last one's logits are wanted, and five tokens go through the
same kernels as a whole prompt (up to four go as in decoding), so that the answer does not depend on what was kept."""


@dataclass(frozen=True)
class _Kept:
    cache: Cache
    tokens: tuple[int, ...]


class Prefixes:
    """The kept caches of one model, the last used last. Not thread-safe: the batcher's thread owns it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._kept: list[_Kept] = []

    def take(self, tokens: Sequence[int]) -> Cache:
        """A cache that holds as much of the beginning of `tokens` as is known, all but the last five at most.

        A kept cache is handed over when most of it is of use, else copied from. Raises BackendError without memory.
        """
        best, length = None, 0
        for kept in self._kept:
            common = _common(kept.tokens, tokens)
            if common > length:
                best, length = kept, common
        length = min(length, len(tokens) - COMPUTED_AGAIN)
        if best is None or length < WORTH_COPYING:
            return Cache(self._model, self._model.architecture.context)
        self._kept.remove(best)
        if length * 2 >= len(best.tokens):
            best.cache.truncate(length)
            return best.cache
        cache = Cache(self._model, self._model.architecture.context)
        cache.copy_from(best.cache, length)
        self._kept.append(best)
        return cache

    def give(self, cache: Cache, tokens: Sequence[int]) -> None:
        """Keep a cache whose positions hold the first of `tokens`; the least lately used ones go when room is short."""
        if len(cache):
            self._kept.append(_Kept(cache, tuple(tokens[: len(cache)])))
        while len(self._kept) > KEPT_CACHES or (len(self._kept) > 1 and self.bytes > KEPT_BYTES):
            del self._kept[0]

    @property
    def bytes(self) -> int:
        """What the kept caches take."""
        return sum(kept.cache.bytes for kept in self._kept)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))

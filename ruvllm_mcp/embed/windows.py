"""How a text longer than the encoder's window is cut: overlapping windows of one length, spread evenly.

The middle of each overlap is the border: a token's vector is taken from the window that sees more of its surroundings.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple


class Window(NamedTuple):
    """Tokens [start, end) are encoded together; of them, [keep_from, keep_to) give the text's token vectors."""

    start: int
    end: int
    keep_from: int
    keep_to: int


def windows_of(tokens: int, length: int, overlap: int) -> list[Window]:
    """Windows of at most `length` tokens, neighbours sharing at least `overlap`; the kept parts tile the tokens."""
    if tokens <= length:
        return [Window(0, tokens, 0, tokens)]
    count = -(-(tokens - length) // (length - overlap)) + 1
    starts = [round(place * (tokens - length) / (count - 1)) for place in range(count)]
    borders = [0, *((left + length + right) // 2 for left, right in pairwise(starts)), tokens]
    return [Window(start, start + length, borders[i], borders[i + 1]) for i, start in enumerate(starts)]

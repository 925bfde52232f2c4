"""Where a text is cut: passages small enough to be one thought and one encoder window, large enough to answer.

Every splitter works on line numbers and partitions its file: each line that is not blank lies in exactly one passage,
word for word (a single line beyond `MAX_CHARACTERS` is cut at spaces into several passages of that line). Cuts fall at
the shallowest boundary that makes the parts fit: blank lines outside of indented code first, then ever deeper ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

# 1,000 characters are about 230 word pieces of English: one window of the default encoder.
PROSE_TARGET = 1_000
CODE_TARGET = 600
MAX_CHARACTERS = 1_800
DEEPEST = 40
TITLE_LIMIT = 160


@dataclass(frozen=True)
class Passage:
    """`text` is lines `first` to `last` (from 1, both included) without the blank ones around them; `title` names the
    section or definition. In a notebook `first` and `last` count cells."""

    text: str
    first: int
    last: int
    title: str = ""


@dataclass(frozen=True)
class Block:
    """Lines `start` to `end` (from 0, `end` left out) under one title."""

    start: int
    end: int
    title: str = ""


# For each line how deep a cut before it would cut, from 0; None where none should be made.
Depths = Sequence["int | None"]


def size_of(lines: Sequence[str], start: int, end: int) -> int:
    """Characters of the lines with their line ends."""
    return sum(map(len, lines[start:end])) + end - start


def fitted(lines: Sequence[str], blocks: Iterable[Block], target: int, depths: Depths) -> Iterator[Block]:
    """The blocks, those beyond `MAX_CHARACTERS` cut into parts of about `target` under the same title."""
    for block in blocks:
        if size_of(lines, block.start, block.end) <= MAX_CHARACTERS:
            yield block
        else:
            for start, end in windows(lines, block.start, block.end, target, depths):
                yield replace(block, start=start, end=end)


def windows(
    lines: Sequence[str], start: int, end: int, target: int, depths: Depths, above: int = -1
) -> list[tuple[int, int]]:
    """Lines `start` to `end` partitioned into parts of at most about `target` characters, cut as shallow as can be but
    deeper than `above`."""
    if size_of(lines, start, end) <= target or end - start < 2:
        return [(start, end)]
    possible = {line: depth for line in range(start + 1, end) if (depth := depths[line]) is not None and depth > above}
    shallowest = min(possible.values(), default=DEEPEST)
    cuts = [line for line, depth in possible.items() if depth == shallowest] or list(range(start + 1, end))
    parts: list[tuple[int, int]] = []
    for first, last in zip([start, *cuts], [*cuts, end], strict=True):
        if size_of(lines, first, last) > MAX_CHARACTERS:
            parts += windows(lines, first, last, target, depths, shallowest)
        elif parts and size_of(lines, parts[-1][0], last) <= target:
            parts[-1] = (parts[-1][0], last)
        else:
            parts.append((first, last))
    return parts


def passages(lines: Sequence[str], blocks: Iterable[Block]) -> Iterator[Passage]:
    """The blocks' text; blank ones are left out, a single giant line comes in pieces."""
    for block in blocks:
        start, end = block.start, block.end
        while start < end and not lines[start].strip():
            start += 1
        while end > start and not lines[end - 1].strip():
            end -= 1
        if start == end:
            continue
        title = block.title[:TITLE_LIMIT]
        text = "\n".join(lines[start:end])
        pieces = cut_line(text) if end - start == 1 else [text]
        for piece in pieces:
            yield Passage(piece, start + 1, end, title)


def cut_line(text: str) -> list[str]:
    """One line in pieces of at most `MAX_CHARACTERS`, cut after sentences or at spaces where there are any."""
    pieces = []
    while len(text) > MAX_CHARACTERS:
        head = text[:MAX_CHARACTERS]
        at = max((head.rfind(mark) + len(mark.rstrip()) for mark in (". ", "? ", "! ")), default=0)
        if at < PROSE_TARGET // 2:
            at = head.rfind(" ")
        if at < PROSE_TARGET // 2:
            at = MAX_CHARACTERS
        pieces.append(text[:at])
        text = text[at:].lstrip(" ")
    return [*pieces, text] if text.strip() else pieces


def paragraph_depths(lines: Sequence[str]) -> Depths:
    """Prose is cut before paragraphs: at the first line after a blank one. All cuts are equally deep."""
    return [
        0 if number and line.strip() and not lines[number - 1].strip() else None for number, line in enumerate(lines)
    ]


_CLOSING = re.compile(r"\s*(?:[\]})]+[;,]?|end\b.*)\s*$")


def indentation_depths(lines: Sequence[str]) -> Depths:
    """Code is cut after a blank line or a closing bracket, as deep as the line after the cut is indented."""

    depths: list[int | None] = [None] * len(lines)
    for number in range(1, len(lines)):
        text, above = lines[number], lines[number - 1]
        if text.strip() and not _CLOSING.match(text) and (not above.strip() or _CLOSING.match(above)):
            expanded = text[:200].expandtabs(4)
            depths[number] = min(DEEPEST, len(expanded) - len(expanded.lstrip()))
    return depths

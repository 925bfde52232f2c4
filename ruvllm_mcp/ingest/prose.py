"""Markdown, reStructuredText and plain text: cut at headings, then between paragraphs.

A section's title is the path of headings above it. A heading with nothing under it goes with the section that follows.
Headings inside fenced code are code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ruvllm_mcp.ingest.passages import PROSE_TARGET, Block, Depths, Passage, fitted, paragraph_depths, passages

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SETEXT = re.compile(r" {0,3}(={3,}|-{3,})[ \t]*$")
_NO_PARAGRAPH = re.compile(r"\s*(?:[-*+>|#]|\d+[.)]\s|```|~~~|$)")
_UNDERLINE = re.compile(r"([=\-`:'\"~^_*+#<>.])\1{2,}\s*$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Heading:
    """`line` (from 0) is where the section begins, `body` the first line under the heading."""

    line: int
    body: int
    level: int
    text: str


def markdown_passages(lines: Sequence[str]) -> Iterator[Passage]:
    """Sections of a Markdown file; long ones cut between paragraphs, fenced code kept whole where it fits."""
    fenced = _fenced_lines(lines)
    blocks = _sections(lines, list(_markdown_headings(lines, fenced)))
    return passages(lines, fitted(lines, blocks, PROSE_TARGET, _outside(fenced, lines)))


def restructured_passages(lines: Sequence[str]) -> Iterator[Passage]:
    """Sections of a reStructuredText file: a line underlined by punctuation at least as long as itself."""
    blocks = _sections(lines, list(_underlined_headings(lines)))
    return passages(lines, fitted(lines, blocks, PROSE_TARGET, paragraph_depths(lines)))


def text_passages(lines: Sequence[str]) -> Iterator[Passage]:
    """Windows of whole paragraphs."""
    return passages(lines, fitted(lines, [Block(0, len(lines))], PROSE_TARGET, paragraph_depths(lines)))


def _sections(lines: Sequence[str], headings: Sequence[Heading]) -> Iterator[Block]:
    start, title = 0, ""
    path: list[Heading] = []
    body = 0
    for heading in headings:
        if any(line.strip() for line in lines[body : heading.line]):
            yield Block(start, heading.line, title)
            start = heading.line
        path = [above for above in path if above.level < heading.level] + [heading]
        title, body = " › ".join(part.text for part in path if part.text), heading.body
    yield Block(start, len(lines), title)


def _markdown_headings(lines: Sequence[str], fenced: Sequence[bool]) -> Iterator[Heading]:
    first = _front_matter_end(lines)
    for number in range(first, len(lines)):
        if fenced[number]:
            continue
        if match := _ATX.match(lines[number]):
            yield Heading(number, number + 1, len(match[1]), _plain(match[2] or ""))
        elif number > first and (match := _SETEXT.match(lines[number])):
            above = lines[number - 1]
            alone = number - 1 == first or not lines[number - 2].strip()
            if alone and not fenced[number - 1] and not _NO_PARAGRAPH.match(above):
                yield Heading(number - 1, number + 1, 1 if match[1][0] == "=" else 2, _plain(above))


def _front_matter_end(lines: Sequence[str]) -> int:
    if lines and lines[0].rstrip() == "---":
        for number in range(1, min(len(lines), 200)):
            if lines[number].rstrip() in ("---", "..."):
                return number + 1
    return 0


def _fenced_lines(lines: Sequence[str]) -> list[bool]:
    fenced, fence = [], ""
    for line in lines:
        match = _FENCE.match(line)
        closes = bool(match and fence and match[1].startswith(fence) and not line.strip().strip(fence[0]))
        opens = bool(match and not fence)
        fenced.append(bool(fence) or opens)
        if opens and match:
            fence = match[1]
        elif closes:
            fence = ""
    return fenced


def _outside(fenced: Sequence[bool], lines: Sequence[str]) -> Depths:
    """Between paragraphs; deeper inside fenced code."""
    return [
        1 if depth is not None and fenced[number] and fenced[number - 1] else depth
        for number, depth in enumerate(paragraph_depths(lines))
    ]


def _underlined_headings(lines: Sequence[str]) -> Iterator[Heading]:
    styles: list[tuple[str, bool]] = []
    number = 0
    while number + 1 < len(lines):
        text, underline = lines[number].strip(), _UNDERLINE.match(lines[number + 1])
        alone = number == 0 or not lines[number - 1].strip() or _UNDERLINE.match(lines[number - 1])
        if text and underline and alone and not _UNDERLINE.match(text) and len(underline[0].strip()) >= len(text):
            overlined = number > 0 and lines[number - 1].rstrip() == underline[0].rstrip()
            style = (underline[1], overlined)
            if style not in styles:
                styles.append(style)
            yield Heading(number - overlined, number + 2, styles.index(style) + 1, text)
            number += 2
        else:
            number += 1


def _plain(text: str) -> str:
    """A heading without links and emphasis."""
    return re.sub(r"\*\*|__|`|\{#[^}]*\}", "", _LINK.sub(r"\1", text)).strip()

"""Blocks written as HTML for notebooks and as plain text for terminals.

What memories hold was written by others. In HTML every piece of it is escaped; in both forms control characters
(which could steer a terminal) and direction overrides (which could reorder what is read) are shown by their code. The
HTML takes its colours from the page, so it suits light and dark themes, and reads as a table where styles are stripped.
"""

from __future__ import annotations

import re
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ruvllm_kernel.views import Block, Body, Curve, Fields, Grid, Line, Memories, Row, clipped, view

FOLDED_CHARACTERS = 600
INDENTED = re.compile(r"\n[ \t]+\S")
CONTENT_LINES = 3
NARROWEST, WIDEST = 40, 110
WIDTH, HEIGHT, MARGIN = 360, 90, 6  # of a curve, in pixels
MARKS = "▁▂▃▄▅▆▇█"
_STYLE = """<style>
.ruvllm{font-size:13px;line-height:1.45;max-width:68em}
.ruvllm table{border-collapse:collapse;margin:.3em 0;border:0;font-size:inherit}
.ruvllm th,.ruvllm td{text-align:left!important;vertical-align:top!important;padding:.3em 1em .3em 0!important;
border:0;border-bottom:1px solid rgba(128,128,128,.25)!important;background:none!important;max-width:none!important}
.ruvllm th{font-weight:600;opacity:.7;white-space:nowrap}
.ruvllm .n{font-variant-numeric:tabular-nums;white-space:nowrap;text-align:right!important}
.ruvllm .t{white-space:pre-wrap;overflow-wrap:anywhere}
.ruvllm .c{font-family:var(--jp-code-font-family,monospace)}
.ruvllm .m{opacity:.65;font-size:12px;overflow-wrap:anywhere;margin:.2em 0}
.ruvllm .m span{margin-right:1em}
.ruvllm .b{height:3px;border-radius:2px;background:currentColor;opacity:.4;margin:.3em 0 0 auto}
.ruvllm .v{display:block;fill:none;stroke:currentColor;stroke-width:1.5;opacity:.8}
.ruvllm .v circle{fill:currentColor}
.ruvllm summary{cursor:pointer}
</style>"""
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """`text` with control characters other than newline and tab, direction overrides and lone surrogates by code."""
    if text.isprintable():
        return text
    return "".join(
        f"\\u{ord(char):04x}"
        if char not in "\n\t" and (unicodedata.category(char) in ("Cc", "Cs") or char in _DIRECTION_OVERRIDES)
        else char
        for char in text.replace("\r\n", "\n")
    )


def html(result: Any) -> str:
    """The result as one self-contained HTML fragment."""
    return f'{_STYLE}<div class="ruvllm">{"".join(map(_html_block, view(result)))}</div>'


def plain(result: Any) -> str:
    """The result as text for the width of this terminal."""
    width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns))
    return "\n".join(line for block in view(result) for line in _plain_block(block, width))


def summary(result: Any) -> str:
    """The result in one line: what it is and what it says first."""
    first = next((block.text for block in view(result) if isinstance(block, (Line, Body))), "")
    return f"<{type(result).__name__}: {visible(clipped(first))}>"


def _html_block(block: Block) -> str:
    match block:
        case Line(text):
            return f'<div class="m">{_escaped(text)}</div>'
        case Body(text):
            return _html_text(text)
        case Fields(rows):
            return _table("", [f"<th>{_escaped(name)}</th>{_cell('t', _escaped(value))}" for name, value in rows])
        case Grid(header, rows):
            names = "".join(f"<th>{_escaped(name)}</th>" for name in header)
            return _table(names, ["".join(_cell("n" * bool(i), _escaped(c)) for i, c in enumerate(r)) for r in rows])
        case Curve():
            return _html_curve(block)
        case Memories(rows, brief):
            score = "<th>score</th>" if rows[0].score else ""
            table = _table(f"<th>id</th>{score}<th>memory</th>", [_html_memory(row) for row in rows])
            return f'<details><summary class="m">sources</summary>{table}</details>' if brief else table


def _html_curve(curve: Curve) -> str:
    """The curve as an inline drawing: a line in the page's own colour, each point with its values to hover over."""
    xs, ys = [x for x, _ in curve.points], [y for _, y in curve.points]
    low, high = min(ys), max(ys)
    across, up = max(xs) - min(xs) or 1.0, high - low or 1.0
    spots = [(WIDTH * (x - min(xs)) / across + MARGIN, HEIGHT * (1 - (y - low) / up) + MARGIN) for x, y in curve.points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{at:,.0f} {_escaped(curve.x)}: {value:.3f}</title></circle>'
        for (x, y), (at, value) in zip(spots, curve.points, strict=True)
    )
    return (
        f'<div class="m">{_escaped(curve.y)}, {low:.3f} to {high:.3f}, over {max(xs):,.0f} {_escaped(curve.x)}</div>'
        f'<svg class="v" width="{WIDTH + 2 * MARGIN}" height="{HEIGHT + 2 * MARGIN}" role="img">'
        f'<polyline points="{line}"/>{dots}</svg>'
    )


def _html_memory(row: Row) -> str:
    score = ""
    if row.score:
        bar = f'<div class="b" style="width:{row.share:.0%}"></div>'
        why = " · ".join(f"{name} {value}" for name, value in row.why)
        score = f'<td class="n" title="{_escaped(why)}">{_escaped(row.score)}{bar}</td>'
    notes = "".join(f"<span>{_escaped(name)}: {_escaped(value)}</span> " for name, value in row.notes)
    shown = _html_text(row.content)
    if len(row.content) > FOLDED_CHARACTERS:
        start = _escaped(row.content[: FOLDED_CHARACTERS // 4])
        shown = f'<details><summary class="t" dir="auto">{start}…</summary>{shown}</details>'
    return _cell("n", str(row.id)) + score + _cell("", shown + f'<div class="m">{notes}</div>' * bool(notes))


def _html_text(text: str) -> str:
    """A text word for word; one with indented lines is taken for code and set in fixed width."""
    style = "t c" if INDENTED.search(text) else "t"
    return f'<div class="{style}" dir="auto">{_escaped(text)}</div>'


def _table(header: str, rows: Iterable[str]) -> str:
    head = f"<thead><tr>{header}</tr></thead>" if header else ""
    return f"<table>{head}<tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"


def _cell(style: str, content: str) -> str:
    return f'<td class="{style}">{content}</td>' if style else f"<td>{content}</td>"


def _escaped(text: str) -> str:
    return escape(visible(text), quote=True)


def _plain_block(block: Block, width: int) -> Iterable[str]:
    match block:
        case Line(text):
            return textwrap.wrap(visible(text), width) or [""]
        case Body(text):
            return [
                part
                for line in visible(text).expandtabs(4).split("\n")
                for part in textwrap.wrap(line, width, drop_whitespace=False, replace_whitespace=False) or [""]
            ]
        case Fields(rows):
            return _columns([(visible(name), visible(value)) for name, value in rows], "<<")
        case Grid(header, rows):
            return _columns([header, *([visible(cell) for cell in row] for row in rows)], "<" + ">" * (len(header) - 1))
        case Curve(x, y, points):
            marks = "".join(_mark(value, [value for _, value in points]) for _, value in points)
            return [f"{y} {points[0][1]:.3f} {marks} {points[-1][1]:.3f} over {points[-1][0]:,.0f} {x}"]
        case Memories(rows, brief):
            return _plain_memories(rows, width, 1 if brief else CONTENT_LINES)


def _mark(value: float, among: Sequence[float]) -> str:
    low, high = min(among), max(among)
    return MARKS[round((len(MARKS) - 1) * (value - low) / (high - low))] if high > low else MARKS[0]


def _plain_memories(rows: Sequence[Row], width: int, most_lines: int) -> Iterable[str]:
    ids = max(len("id"), *(len(str(row.id)) for row in rows))
    scores = max(len("score"), *(len(row.score) for row in rows)) if rows[0].score else 0
    heading = f"{'score':>{scores}}  " * bool(scores)
    yield f"  {'id':>{ids}}  {heading}memory"
    for row in rows:
        start = f"  {row.id:>{ids}}  {f'{row.score:>{scores}}  ' * bool(scores)}"
        indent = " " * len(start)
        room = max(width - len(start), NARROWEST // 2)
        lines = textwrap.wrap(visible(row.content), room, max_lines=most_lines, placeholder=" …") or [""]
        notes = " · ".join(f"{name}: {value}" for name, value in row.notes) if most_lines > 1 else ""
        lines += textwrap.wrap(visible(notes), room, max_lines=most_lines, placeholder=" …")
        yield start + lines[0]
        yield from (indent + line for line in lines[1:])


def _columns(rows: Sequence[Sequence[str]], alignment: str) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(alignment))] if rows else []
    for row in rows:
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(row, alignment, widths, strict=True)]
        yield ("  " + "  ".join(cells)).rstrip()

"""How answers look: one JSON document with `--json`, else text that lines up.

Colour only where a terminal reads it and `NO_COLOR` is not set. Memories are other people's text: control characters
in them are shown, not obeyed by the terminal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SHOWN_LINES = 4


def emit_json(document: Any) -> None:
    """One JSON document on stdout; indented when a person reads it on a terminal."""
    indent = 2 if sys.stdout.isatty() else None
    escaped = not _unicode(sys.stdout.encoding)
    click.echo(json.dumps(document, ensure_ascii=escaped, indent=indent, allow_nan=False))


def shown(text: str) -> str:
    """The text with control characters made visible."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text.replace("\r\n", "\n"))


def bold(text: str) -> str:
    return click.style(text, bold=True)


def dim(text: str) -> str:
    return click.style(text, dim=True)


def accent(text: str) -> str:
    return click.style(text, fg="cyan")


def columns_of(text: str) -> int:
    """How many columns a terminal gives the text, styles not counted."""
    plain = click.unstyle(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in plain
    )


def clipped(text: str, width: int) -> str:
    """Plain text in at most `width` columns, with an ellipsis where something is missing."""
    if columns_of(text) <= width:
        return text
    while text and columns_of(text) > width - 1:
        text = text[: max(0, min(len(text) - 1, width - 1))]
    return text + "…"


def terminal_width() -> int:
    return max(40, min(160, shutil.get_terminal_size((100, 24)).columns))


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), dim_last: bool = False) -> None:
    """Rows with their columns lined up; those in `right` to the right. A terminal gets the last column cut to fit."""
    if not rows:
        return
    to_right = set(right)
    widths = [max(columns_of(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = terminal_width() - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for row in rows:
        cells = []
        for column, cell in enumerate(row[:-1]):
            gap = " " * (widths[column] - columns_of(cell))
            cells.append(gap + cell if column in to_right else cell + gap)
        last = clipped(row[-1], room) if sys.stdout.isatty() else row[-1]
        if len(row) - 1 in to_right:
            last = " " * (widths[-1] - columns_of(last)) + last
        click.echo("  ".join([*cells, dim(last) if dim_last else last]).rstrip())


def fields(values: Mapping[str, Any]) -> None:
    """Names and values, one a line."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        click.echo(f"{dim(name.ljust(width))}  {shown(str(value))}")


def when(seconds: float | None) -> str:
    """A time in UTC seconds since the epoch as local date and minute."""
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def first_line(text: str) -> str:
    """A text's first line that is not blank, fit to be shown."""
    return next((line.strip() for line in shown(text).split("\n") if line.strip()), "")


def excerpt(text: str, *, indent: str = "    ", lines: int = SHOWN_LINES) -> None:
    """The first lines of a text, indented, each cut at the terminal's edge."""
    width = terminal_width() - len(indent)
    full = [line.rstrip() for line in shown(text).expandtabs(4).split("\n") if line.strip()]
    for line in full[:lines]:
        click.echo(indent + (clipped(line, width) if sys.stdout.isatty() else line))
    if len(full) > lines:
        click.echo(indent + dim(f"… {len(full) - lines} more lines"))


class ProgressLine:
    """One line on stderr that is written over; nothing at all where no terminal shows it."""

    def __init__(self, *, silent: bool = False) -> None:
        self._on = sys.stderr.isatty() and not silent
        self._started = time.monotonic()
        self._next = 0.0

    def show(self, share: float, text: str) -> None:
        """`share` in [0, 1] of the work is done; at most ten times a second."""
        now = time.monotonic()
        if not self._on or (now < self._next and share < 1):
            return
        self._next = now + 0.1
        elapsed = now - self._started
        left = f"{_clock(elapsed / share - elapsed)} left" if share > 0.02 and elapsed > 1 and share < 1 else ""
        filled = round(share * 20)
        bar = (
            "█" * filled + "░" * (20 - filled) if _unicode(sys.stderr.encoding) else "#" * filled + "." * (20 - filled)
        )
        line = clipped(f"{bar} {share:4.0%}  {text}  {left}".rstrip(), terminal_width() - 1)
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._on and self._next:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _unicode(encoding: str | None) -> bool:
    return "utf" in (encoding or "").lower()


def wants_colour() -> bool | None:
    """False where `NO_COLOR` forbids it, else None: a terminal gets it, a file does not."""
    return False if os.environ.get("NO_COLOR") else None

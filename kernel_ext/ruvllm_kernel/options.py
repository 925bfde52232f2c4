"""A magic's line split into options and text.

Options stand before the text or after it; what lies between is taken word for word, apostrophes, hash signs and all. A
tail counts as options only if all of it does, and `--` ends them, so a sentence may mention `--where` unharmed. Quotes
around a whole text are dropped. A JSON value reaches to its closing bracket and may contain spaces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruvllm_kernel.expand import Marked
from ruvllm_mcp.errors import InvalidInputError

WORD = re.compile(r"\S+")
QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'")
JSON_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[][{}]")
END_OF_OPTIONS = "--"
DASHES = "Put -- before a text that has such words."


@dataclass(frozen=True)
class Option:
    """One option of a command.

    `key` names the argument it sets. `read` turns its value into that argument and raises ValueError saying what it
    takes; None makes it a flag that sets `flag`. `choices` are offered by completion. `repeated` collects a list.
    """

    name: str
    key: str
    value: str
    help: str
    read: Callable[[str], Any] | None = None
    flag: Any = None
    choices: tuple[str, ...] = ()
    repeated: bool = False

    @property
    def usage(self) -> str:
        return f"[{self.name} {self.value}]" if self.read else f"[{self.name}]"


# An option as it stands in the line, with its value if one follows.
Written = tuple[Option, str | None]


@dataclass(frozen=True)
class Given:
    """What a line gave: option values by key, and the text."""

    options: Mapping[str, Any]
    text: str

    def with_body(self, body: str, expanded: Callable[[str], str]) -> Given:
        """The same with a cell's body for its text, below what the line says. `--expand` is used up here."""
        options = dict(self.options)
        body = (expanded(body) if options.pop("expand", False) else body).strip("\n")
        return Given(options, f"{self.text}\n{body}" if self.text else body)


def parse(marked: Marked, options: Sequence[Option], where: str) -> Given:
    """Split a line and write its values out. Raises InvalidInputError naming the option and what it takes; `where` is
    how the user called."""
    known = {option.name: option for option in options}
    line = marked.text
    written, position = _options_from(line, 0, known)
    text = line[position:].strip()
    first = WORD.match(text)
    if first and first[0] == END_OF_OPTIONS:
        text = text[first.end() :].strip()
    elif first and re.match(r"--?[A-Za-z]", first[0]):
        raise InvalidInputError(f"{where} has no option {_name(first[0])}.", _accepted(known))
    else:
        tail, start = _tail(text, known)
        written += tail
        text = text[:start].rstrip()
    return Given(_values(written, where, marked.filled), marked.filled(_unquoted(text)))


def _options_from(line: str, position: int, known: Mapping[str, Option]) -> tuple[list[Written], int]:
    """The options that follow each other from `position`, and where the first other word begins."""
    written: list[Written] = []
    while word := WORD.search(line, position):
        option = known.get(_name(word[0]))
        if option is None:
            return written, word.start()
        end = word.start() + len(option.name)
        if option.read is None:
            raw, position = (None, end) if end == word.end() else (line[end : word.end()], word.end())
        else:
            raw, position = _raw_value(line, end + (end < word.end()))
        written.append((option, raw))
    return written, len(line)


def _tail(text: str, known: Mapping[str, Option]) -> tuple[list[Written], int]:
    """The options that end the text, and where they begin."""
    for word in WORD.finditer(text):
        if word[0] == END_OF_OPTIONS:
            break
        if _name(word[0]) in known:
            written, end = _options_from(text, word.start(), known)
            if end == len(text):
                return written, word.start()
    return [], len(text)


def _values(written: Sequence[Written], where: str, filled: Callable[[str], str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option, raw in written:
        value = _value(option, None if raw is None else filled(raw), where)
        if option.repeated:
            values[option.key] = [*values.get(option.key, []), value]
        elif option.key in values:
            raise InvalidInputError(f"{where}: {option.name} says again what was said.", "Say it once.")
        else:
            values[option.key] = value
    return values


def _value(option: Option, raw: str | None, where: str) -> Any:
    if option.read is None:
        if raw is not None:
            raise InvalidInputError(f"{where}: {option.name} takes no value.", "Give it alone.")
        return option.flag
    if raw is None:
        raise InvalidInputError(
            f"{where}: {option.name} has no value.", f"Write {option.name} {option.value}. {DASHES}"
        )
    try:
        return option.read(raw)
    except ValueError as error:
        raise InvalidInputError(f"{where}: {option.name} is {_short(raw)}.", f"It takes {error}.") from None


def _raw_value(line: str, position: int) -> tuple[str | None, int]:
    """The value at `position` as written (quotes dropped) and where it ends: JSON, a quoted text or a word."""
    word = WORD.search(line, position)
    if word is None:
        return None, position
    start = word.start()
    if line[start] in "{[":
        end = _closing_bracket(line, start)
        return line[start:end], end
    if (quoted := QUOTED.match(line, start)) and (quoted.end() == len(line) or line[quoted.end()].isspace()):
        return _unescaped(quoted), quoted.end()
    return word[0], word.end()


def _closing_bracket(line: str, start: int) -> int:
    """Behind the bracket that closes the one at `start`, those in strings left out; the line's end if none does."""
    depth = 0
    for token in JSON_TOKEN.finditer(line, start):
        depth += (token[0] in "{[") - (token[0] in "}]")
        if depth == 0:
            return token.end()
    return len(line)


def _unquoted(text: str) -> str:
    quoted = QUOTED.fullmatch(text)
    return _unescaped(quoted) if quoted else text


def _unescaped(quoted: re.Match[str]) -> str:
    body = quoted[1] if quoted[1] is not None else quoted[2]
    return re.sub(r"\\([\"'\\])", r"\1", body)


def _accepted(known: Mapping[str, Option]) -> str:
    return f"It takes {', '.join(known)}. {DASHES}" if known else f"It takes none. {DASHES}"


def _name(word: str) -> str:
    return word.partition("=")[0]


def _short(raw: str, limit: int = 60) -> str:
    text = repr(raw)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def whole(raw: str) -> int:
    """Reads a whole number; its range is the engine's to check."""
    if not re.fullmatch(r"[+-]?\d{1,18}", raw):
        raise ValueError("a whole number")
    return int(raw)


def number(raw: str) -> float:
    """Reads a number; its range is the engine's to check."""
    try:
        return float(raw)
    except ValueError:
        raise ValueError("a number") from None


def json_object(raw: str) -> dict[str, Any]:
    """Reads a JSON object."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError('a JSON object such as {"priority": "high"}')
    return value


def ids(raw: str) -> list[int]:
    """Reads memory ids: `3`, `3,7` or `[3, 7]`."""
    inner = raw.strip().removeprefix("[").removesuffix("]")
    words = [word for word in re.split(r"[,\s]+", inner) if word]
    if not words or not all(re.fullmatch(r"\d{1,18}", word) for word in words):
        raise ValueError("memory ids such as 3 or 3,7")
    return [int(word) for word in words]

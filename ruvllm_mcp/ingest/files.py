"""Which files of a folder are read, and why the others are not.

The walk stays inside the folder it was given: it follows no symbolic link, opens regular files only, and gives up with
an error, before anything is added, when there are more files than `max_files`. What is skipped is counted by reason, so
that nobody has to wonder why a file cannot be found again.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.ingest.ignore import Ignores
from ruvllm_mcp.ingest.languages import (
    NOISE_FOLDERS,
    OPEN_HIDDEN_FOLDERS,
    TOOL_MARKS,
    language_of,
    looks_machine_written,
    looks_secret,
)

MAX_FILE_BYTES = 1_000_000
MAX_RECORDS_BYTES = 1_000_000_000
LONGEST_AVERAGE_LINE = 1_000
SHOWN_PATHS = 5
LONGEST_NAME = 500
PRIVATE_KEY = re.compile(r"^-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY", re.M)


@dataclass(frozen=True)
class SourceFile:
    """A file to read. `name` is its path from the project's root with forward slashes; `size` in bytes."""

    path: Path
    name: str
    language: str
    size: int


@dataclass
class Skipped:
    """Paths that were left out, counted by reason; the first few are kept as examples."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < SHOWN_PATHS:
            shown.append(name)


@dataclass(frozen=True)
class Selection:
    """What the caller wants beyond the defaults: glob patterns on the path or on its last part."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    max_files: int = 20_000

    def includes(self, name: str) -> bool:
        return _any_match(name, self.include)

    def excludes(self, name: str) -> bool:
        return _any_match(name, self.exclude)


def find_files(root: Path, target: Path, selection: Selection, skipped: Skipped) -> list[SourceFile]:
    """The files of `target` (a folder at or below `root`) worth reading, in path order."""
    ignores = Ignores.above(root, target)
    found: list[SourceFile] = []
    for path, size in _walk(root, target, ignores, selection, skipped):
        name = path.relative_to(root).as_posix()
        language = _chosen_language(path.name, name, size, selection, skipped)
        if language is not None:
            found.append(SourceFile(path, name, language, size))
        if len(found) > selection.max_files:
            raise InvalidInputError(
                f"{target} holds more than {selection.max_files:,} files to read.",
                "Name a smaller folder, exclude some, or raise max_files.",
            )
    return found


def named_file(root: Path, path: Path) -> SourceFile:
    """A file the caller named: read whatever its name, as plain text when that tells nothing. InvalidInputError when it
    is too big or no regular file."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInputError(f"{path} is not a regular file.", "Name a file or a folder.")
    language = language_of(path.name) or "text"
    limit = _limit(language)
    if status.st_size > limit:
        raise InvalidInputError(f"{path} is {status.st_size:,} bytes; the limit is {limit:,}.", "Split it.")
    return SourceFile(path, path.relative_to(root).as_posix(), language, status.st_size)


def read_text(file: SourceFile) -> tuple[str, str]:
    """The file's text with `\\n` line ends, and "" or the reason why it was not read."""
    try:
        handle = os.open(file.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return "", "unreadable"
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return "", "not a regular file"
        try:
            data = stream.read(MAX_FILE_BYTES + 1)
        except OSError:
            return "", "unreadable"
    if len(data) > MAX_FILE_BYTES:
        return "", "too big"
    text = decoded(data)
    if text is None:
        return "", "binary"
    if PRIVATE_KEY.search(text):
        return "", "holds a private key"
    if file.language != "notebook" and len(text) > LONGEST_AVERAGE_LINE * (text.count("\n") + 5):
        return "", "machine-written"
    return (text, "") if text.strip() else ("", "empty")


def decoded(data: bytes) -> str | None:
    """Bytes as text (UTF-8, UTF-16 with its mark, else Latin-1) with `\\n` line ends; None for what is no text."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            return None
    elif b"\0" in data:
        return None
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    strange = sum(count for character, count in Counter(text).items() if _is_strange(character))
    if strange * 200 > len(text):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _is_strange(character: str) -> bool:
    return (character < " " and character not in "\t\n\r\f\v\x1b") or "\x7f" <= character < "\xa0"


def _walk(
    root: Path, target: Path, ignores: Ignores, selection: Selection, skipped: Skipped
) -> Iterator[tuple[Path, int]]:
    waiting = [(target, ignores)]
    while waiting:
        folder, rules = waiting.pop()
        folders: list[tuple[Path, Ignores]] = []
        for entry in _entries(folder, root, skipped):
            path = folder / entry.name
            name = path.relative_to(root).as_posix()
            if entry.is_symlink():
                skipped.note("symbolic link", name)
            elif entry.is_dir(follow_symlinks=False):
                if reason := _folder_left_out(path, name, rules, selection):
                    skipped.note(reason, name + "/")
                else:
                    folders.append((path, rules.entering(path)))
            elif not entry.is_file(follow_symlinks=False):
                skipped.note("not a regular file", name)
            elif rules.leaves_out(path, is_folder=False):
                skipped.note("ignored by .gitignore", name)
            elif selection.excludes(name):
                skipped.note("excluded", name)
            else:
                yield path, entry.stat(follow_symlinks=False).st_size
        waiting.extend(reversed(folders))


def _entries(folder: Path, root: Path, skipped: Skipped) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        skipped.note("unreadable", folder.relative_to(root).as_posix() + "/")
        return []


def _folder_left_out(path: Path, name: str, rules: Ignores, selection: Selection) -> str:
    if path.name in (".git", ".hg", ".svn"):
        return "hidden folder"
    if rules.leaves_out(path, is_folder=True):
        return "ignored by .gitignore"
    if selection.excludes(name):
        return "excluded"
    if path.name.startswith(".") and path.name not in OPEN_HIDDEN_FOLDERS:
        return "hidden folder"
    if path.name in NOISE_FOLDERS or any((path / mark).is_file() for mark in TOOL_MARKS):
        return "made by a tool"
    return ""


def _chosen_language(last_part: str, name: str, size: int, selection: Selection, skipped: Skipped) -> str | None:
    """The file's language, or None with the reason noted."""
    language = language_of(last_part) or ("text" if selection.includes(name) else None)
    if len(name) > LONGEST_NAME or not name.isprintable():
        skipped.note("unusable name", name.encode("utf-8", "replace").decode()[:LONGEST_NAME])
    elif looks_secret(last_part):
        skipped.note("looks like a secret", name)
    elif looks_machine_written(last_part) and not selection.includes(name):
        skipped.note("machine-written", name)
    elif language is None:
        skipped.note("unknown type", name)
    elif size > _limit(language):
        skipped.note("too big", name)
    else:
        return language
    return None


def _limit(language: str) -> int:
    return MAX_RECORDS_BYTES if language == "jsonl" else MAX_FILE_BYTES


def _any_match(name: str, patterns: Sequence[str]) -> bool:
    last_part = name.rsplit("/", 1)[-1]
    return any(fnmatchcase(name, pattern) or fnmatchcase(last_part, pattern) for pattern in patterns)

"""Text to index terms: words, identifiers split into their parts, endings taken off.

`parseHTTPHeader` gives the terms of "parse http header" and the whole identifier besides, so that both the prose and
the exact name find it. `VERSION` is stored beside what was derived; a store analysed by another version is analysed
again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

VERSION = 1
_WORD = re.compile(r"[^\W_]+(?:[_'’.-]?[^\W_]+)*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "for",
        "from",
        "has",
        "have",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "was",
        "with",
    ]
)


def indexed_text(content: str, metadata: Mapping[str, Any]) -> str:
    """What is embedded and analysed for a memory: its title, when metadata has one, and its content."""
    title = metadata.get("title")
    return f"{title}\n{content}" if isinstance(title, str) and title.strip() and title not in content else content


def terms(text: str) -> list[str]:
    """The index terms of `text`, in order, repeated as often as they occur; may be empty."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        found += _terms_of(match[0])
    return found


@lru_cache(maxsize=200_000)
def _terms_of(word: str) -> tuple[str, ...]:
    parts = [part.lower() for part in _PART.findall(word)]
    out = [_stem(part) for part in parts if part not in _STOP]
    if len(parts) > 1:
        out.append("".join(parts)[:64])
    return tuple(out)


def _stem(word: str) -> str:
    """Plural and verb endings, cautiously: Harman's S-stemmer, then -ing and -ed where a stem with a vowel remains."""
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        word = word[:-1]
    for ending in ("ing", "ed"):
        stem = word[: -len(ending)]
        if len(stem) > 2 and word.endswith(ending) and any(char in "aeiouy" for char in stem):
            word = stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz" else stem
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word

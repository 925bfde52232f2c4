"""Text to index terms: words, identifiers split into their parts, endings taken off, each under a number.

`parseHTTPHeader` gives the terms of "parse http header" and the whole identifier besides, so that both the prose and
the exact name find it. Chinese, Japanese and Korean are written with few spaces or long endings: there every pair of
neighbouring characters is a term. `VERSION` is stored beside what was derived; a store analysed by another version is
analysed again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from itertools import chain
from typing import Any

VERSION = 3
_WORD = re.compile(r"[^\W_]+(?:[_'’.-][^\W_]+)*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_EAST_ASIAN = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_PAIRED = re.compile(f"[{_EAST_ASIAN}]")
_FOREIGN_PART = re.compile(rf"[{_EAST_ASIAN}]+|\d+|[^\W\d_{_EAST_ASIAN}]+")
_COMMON_WORDS = "a an and are as at be but by for from has have in is it its of on or that the this to was with"
_STOP = frozenset(_COMMON_WORDS.split())
# What turns words into a question. They stay in the index, where a song may be called "Who are you", but say nothing of
# what is asked for.
_QUESTION_WORDS = "what when where which who whom whose how why did do does i you he she they we"
_ASKING = frozenset(_QUESTION_WORDS.split())
_VOWELS = frozenset("aeiouy")
_LEAD = 16
_SHORT = 64
_KNOWN_AT_MOST = 40_000  # some 10 MB
_LABEL_LENGTH = 64


def indexed_text(content: str, metadata: Mapping[str, Any]) -> str:
    """What is embedded and analysed for a memory: its title, when metadata has one, and its content."""
    title = metadata.get("title")
    return f"{title}\n{content}" if isinstance(title, str) and title.strip() and title not in content else content


def memory_terms(content: str, metadata: Mapping[str, Any]) -> list[int]:
    """The index terms of a memory: its text, the short strings of its metadata (who said it, when, in which file), and
    its first 16 terms once more, because a title, a signature or an opening says best what the rest is about."""
    labels = [value for value in metadata.values() if isinstance(value, str) and len(value) <= _LABEL_LENGTH]
    found = list(chain.from_iterable(map(terms, [indexed_text(content, metadata), *labels])))
    return found + found[:_LEAD]


def question_terms(text: str) -> list[int]:
    """The index terms of a question, without the words that only make it one, unless there are no others."""
    telling = [term for word in _WORD.findall(text) if word.lower() not in _ASKING for term in _terms_of(word)]
    return telling or terms(text)


def terms(text: str) -> list[int]:
    """The index terms of `text`, in order, repeated as often as they occur; may be empty."""
    return list(chain.from_iterable(map(_KNOWN.__getitem__, text.split())))  # no word has a space in it


def term_id(term: str) -> int:
    """The term's 32-bit name in the index (CRC-32): the same everywhere, without a dictionary to keep."""
    return zlib.crc32(term.encode())


class _Known(dict[str, tuple[int, ...]]):
    """The terms of what stands between two spaces, remembered where it is short. Emptied when full: keeping an order by
    last use would cost more than it spares."""

    def __missing__(self, piece: str) -> tuple[int, ...]:
        found = tuple(chain.from_iterable(map(_terms_of, _WORD.findall(piece))))
        if len(piece) <= _SHORT:
            if len(self) >= _KNOWN_AT_MOST:
                self.clear()
            self[piece] = found
        return found


_KNOWN = _Known()


def _terms_of(word: str) -> list[int]:
    is_plain = word.replace("’", "'").isascii()
    parts = [part.lower() for part in (_PART if is_plain else _FOREIGN_PART).findall(word)]
    out = []
    for part in parts:
        if _PAIRED.match(part):
            out += [part[at : at + 2] for at in range(max(1, len(part) - 1))]
        elif part not in _STOP:
            out.append(_stem(part))
    if len(parts) > 1:
        out.append("".join(parts)[:64])
    return list(map(term_id, out))


def _stem(word: str) -> str:
    """Plural and verb endings, cautiously: Harman's S-stemmer, then -ing and -ed where a stem with a vowel remains."""
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(stem := word[: -len(ending)]) > 2 and not _VOWELS.isdisjoint(stem):
            word = stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz" else stem
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word

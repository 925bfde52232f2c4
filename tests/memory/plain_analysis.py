"""The analysis in plain Python, by regular expressions: what `rv_terms` and `rv_count_terms` are compared with."""

from __future__ import annotations

import re
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence

WORD = re.compile(r"[^\W_]+(?:[_'’.-][^\W_]+)*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_EAST_ASIAN = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_PAIRED = re.compile(f"[{_EAST_ASIAN}]")
_FOREIGN_PART = re.compile(rf"[{_EAST_ASIAN}]+|\d+|[^\W\d_{_EAST_ASIAN}]+")
_COMMON_WORDS = "a an and are as at be but by for from has have in is it its of on or that the this to was with"
_STOP = frozenset(_COMMON_WORDS.split())
_VOWELS = frozenset("aeiouy")


def terms(text: str) -> list[int]:
    return [term for word in WORD.findall(text) for term in _terms_of(word)]


def term_id(term: str) -> int:
    return zlib.crc32(term.encode())


def pack(ids: Sequence[int]) -> bytes:
    counts = Counter(ids)
    often = [min(count, 65_535) for count in counts.values()]
    return array("I", counts).tobytes() + array("H", often).tobytes()


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

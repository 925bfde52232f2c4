"""Text to index terms: words, identifiers split into their parts, endings taken off, each under a number.

`parseHTTPHeader` gives the terms of "parse http header" and the whole identifier besides, so that both the prose and
the exact name find it. Chinese, Japanese and Korean are written with few spaces or long endings: there every pair of
neighbouring characters is a term. C does it (`rv_terms`); words with letters beyond ASCII are cut into parts and put
into small letters here, by Python's tables, and marked as such. `VERSION` is stored beside what was derived; a store
analysed by another version is analysed again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.native.lib import gil, gil_ffi

TermArray = npt.NDArray[np.uint32]
VERSION = 3
_WORD = re.compile(r"[^\W_]+(?:[_'’.-][^\W_]+)*")
_EAST_ASIAN = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_PAIRED = re.compile(f"[{_EAST_ASIAN}]")
_FOREIGN_PART = re.compile(rf"[{_EAST_ASIAN}]+|\d+|[^\W\d_{_EAST_ASIAN}]+")
_AS_PART, _AS_TERM = b"\xfe", b"\xff"  # what `rv_terms` takes for marks: no UTF-8 has these bytes
# What turns words into a question. They stay in the index, where a song may be called "Who are you", but say nothing of
# what is asked for.
_QUESTION_WORDS = "what when where which who whom whose how why did do does i you he she they we"
_ASKING = frozenset(_QUESTION_WORDS.split())
_LEAD = 16
_SHORT = 64
_KNOWN_AT_MOST = 40_000  # some 10 MB
_LABEL_LENGTH = 64


def indexed_text(content: str, metadata: Mapping[str, Any]) -> str:
    """What is embedded and analysed for a memory: its title, when metadata has one, and its content."""
    title = metadata.get("title")
    return f"{title}\n{content}" if isinstance(title, str) and title.strip() and title not in content else content


def memory_terms(content: str, metadata: Mapping[str, Any]) -> TermArray:
    """The index terms of a memory: its text, the short strings of its metadata (who said it, when, in which file), and
    its first 16 terms once more, because a title, a signature or an opening says best what the rest is about."""
    labels = [value for value in metadata.values() if isinstance(value, str) and len(value) <= _LABEL_LENGTH]
    found = terms("\n".join([indexed_text(content, metadata), *labels]))
    return np.concatenate((found, found[:_LEAD]))


def question_terms(text: str) -> TermArray:
    """The index terms of a question, without the words that only make it one, unless there are no others."""
    telling = terms(" ".join([word for word in _WORD.findall(text) if word.lower() not in _ASKING]))
    return telling if len(telling) else terms(text)


def terms(text: str) -> TermArray:
    """The index terms of `text`, in order, repeated as often as they occur; may be empty. Each is the CRC-32 of its
    UTF-8: the same everywhere, without a dictionary to keep."""
    if text.isascii():
        spelled = text.encode()
    else:  # no word has a space in it
        spelled = b" ".join([piece.encode() if piece.isascii() else _SPELLED[piece] for piece in text.split()])
    ids = np.empty(len(spelled) * 3 // 2, np.uint32)
    return ids[: gil.rv_terms(spelled, len(spelled), gil_ffi.from_buffer("uint32_t[]", ids))]


class _Spelled(dict[str, bytes]):
    """What `rv_terms` is given for a piece of text that is not all ASCII, remembered where it is short. Emptied when
    full: keeping an order by last use would cost more than it spares."""

    def __missing__(self, piece: str) -> bytes:
        found = b" ".join(map(_spelled, _WORD.findall(piece)))
        if len(piece) <= _SHORT:
            if len(self) >= _KNOWN_AT_MOST:
                self.clear()
            self[piece] = found
        return found


_SPELLED = _Spelled()


def _spelled(word: str) -> bytes:
    straight = word.replace("’", "'")
    if straight.isascii():
        return straight.encode()
    parts = [part.lower() for part in _FOREIGN_PART.findall(word)]
    out = []
    for part in parts:
        if _PAIRED.match(part):
            out += [_AS_TERM + part[at : at + 2].encode() for at in range(max(1, len(part) - 1))]
        else:
            out.append(_AS_PART + part.encode())
    if len(parts) > 1:
        out.append(_AS_TERM + "".join(parts)[:64].encode())
    return b"".join(out)

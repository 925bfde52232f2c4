"""BERT's uncased tokenizer: text to the ids of word pieces, as Hugging Face `tokenizers` gives them.

Clean (control characters out, every white space a blank), decompose (NFD) and drop accents, lower-case, split at white
space, around punctuation and around each Chinese character; then cut each word greedily into the longest pieces of the
vocabulary, or give [UNK] where that fails. Special tokens written out in a text ("[SEP]") count as themselves.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

WORD_START = "\u2581"
"""Marks a piece that begins a word in a GGUF vocabulary; BERT's own files mark the others instead, by `##`."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST_WORD = 100
"""Characters; a longer word is one [UNK]."""
CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """The tokenizer of one vocabulary. `pieces[i]` is piece i as GGUF writes it. Thread-safe."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.ids = {piece: place for place, piece in enumerate(pieces)}
        self.unknown, self.start, self.end = (self.ids[name] for name in ("[UNK]", "[CLS]", "[SEP]"))
        self._longest = max(map(len, pieces))
        self._special = re.compile("|".join(re.escape(name) for name in SPECIAL))

    def encode(self, text: str) -> Ids:
        """The ids of `text`, int32 (t,), without [CLS] and [SEP] around them; t may be 0 (blank text)."""
        ids: list[int] = []
        place = 0
        for found in self._special.finditer(text):
            ids += self._plain(text[place : found.start()])
            ids.append(self.ids[found.group()])
            place = found.end()
        return np.array(ids + self._plain(text[place:]), np.int32)

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in _words(text):
            ids += self._pieces(word)
        return ids

    def _pieces(self, word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        ids: list[int] = []
        place, mark = 0, WORD_START
        while place < len(word):
            for end in range(min(len(word), place + self._longest), place, -1):
                piece = self.ids.get(mark + word[place:end])
                if piece is not None:
                    break
            else:
                return [self.unknown]
            ids.append(piece)
            place, mark = end, ""
        return ids


def _words(text: str) -> Iterator[str]:
    cleaned = "".join(map(_clean, text))
    plain = "".join(map(_lower, unicodedata.normalize("NFD", cleaned)))
    for word in plain.split(" "):
        start = 0
        for place, character in enumerate(word):
            if _is_punctuation(character):
                yield from filter(None, (word[start:place], character))
                start = place + 1
        if start < len(word):
            yield word[start:]


@lru_cache(4096)
def _clean(character: str) -> str:
    if character in "\t\n\r":
        return " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Co", "Cs") or character == "\ufffd":
        return ""
    if character.isspace():
        return " "
    point = ord(character)
    return f" {character} " if any(low <= point <= high for low, high in CHINESE) else character


@lru_cache(4096)
def _lower(character: str) -> str:
    return "" if unicodedata.category(character) == "Mn" else character.lower()


@lru_cache(4096)
def _is_punctuation(character: str) -> bool:
    is_ascii_symbol = character.isascii() and character.isprintable() and not character.isalnum() and character != " "
    return is_ascii_symbol or unicodedata.category(character).startswith("P")

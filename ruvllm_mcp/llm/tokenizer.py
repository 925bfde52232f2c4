"""Text to token ids and back, for the model whose vocabulary it is.

What steers a model (`<|im_end|>`, `<s>`, …) is read as such only in text that the program itself wrote: `plain` guards
a text of anyone else, after which those strings are nothing but their characters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.llm import vocabulary
from ruvllm_mcp.llm.vocabulary import GUARD, SPACE, Vocabulary

MAX_CHARACTERS = 8_000_000
_TAG = re.compile(r"<\S+>|\[\S+\]")
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class Tokenizer:
    """The tokenizer of one model. Thread-safe."""

    def __init__(self, known: Vocabulary) -> None:
        self.vocabulary = known
        self._controls = _any_of(known.controls)
        self._controls_and_tags = _any_of([*known.controls, *filter(_TAG.fullmatch, known.added.values())])
        self._pieces: dict[int, bytes] = {}

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any]) -> Tokenizer:
        """From the metadata of a GGUF file. Raises ModelError."""
        return cls(vocabulary.from_gguf(metadata))

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """From the `tokenizer.json` of a model folder. Raises ModelError."""
        return cls(vocabulary.from_folder(folder))

    def plain(self, text: str, *, by_model: bool = False) -> str:
        """The text with everything that looks like a control token guarded: `encode` reads it as characters.

        So are tags such as `<tool_call>` that a model writes and a template reads, unless the text is `by_model`.
        """
        guarded = self._controls if by_model else self._controls_and_tags
        return guarded.sub(lambda match: match[0][0] + GUARD + match[0][1:], text.replace(GUARD, ""))

    def encode(self, text: str, *, begins: bool = True) -> list[int]:
        """The ids of a text; `begins`: with the model's own tokens around it, never doubled.

        Control tokens written in the text are read as such: give texts of others through `plain`. Raises
        InvalidInputError for more than 8,000,000 characters and for lone surrogates.
        """
        if len(text) > MAX_CHARACTERS:
            raise InvalidInputError(f"The text has {len(text):,} characters.", f"At most {MAX_CHARACTERS:,} are read.")
        try:
            ids: list[int] = self.vocabulary.engine.encode(text, add_special_tokens=False).ids
        except TypeError:
            raise InvalidInputError("The text holds a lone surrogate.", "Give well-formed Unicode.") from None
        if not begins:
            return ids
        begin = [] if ids[:1] == list(self.vocabulary.begin) else self.vocabulary.begin
        return [*begin, *ids, *self.vocabulary.end]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids, control tokens left out, bytes that are no UTF-8 as U+FFFD."""
        reader = Detokenizer(self, is_start=True)
        return "".join(map(reader.add, ids)) + reader.finish()

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; none for control tokens and for ids outside the vocabulary."""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._bytes_of(token)
        return found

    @cached_property
    def beginning_with(self) -> tuple[Sequence[int], ...]:
        """The tokens whose bytes begin with each byte."""
        found: tuple[list[int], ...] = tuple([] for _ in range(256))
        for token in range(self.vocabulary.size):
            if piece := self.piece(token):
                found[piece[0]].append(token)
        return found

    @cached_property
    def single_bytes(self) -> frozenset[int]:
        """The bytes that are a token by themselves."""
        return frozenset(
            i for i, tokens in enumerate(self.beginning_with) if any(len(self.piece(t)) == 1 for t in tokens)
        )

    def text_of(self, token: int) -> str:
        """A token as the vocabulary spells it, or ""."""
        return self.vocabulary.engine.id_to_token(token) or ""

    def _bytes_of(self, token: int) -> bytes:
        known = self.vocabulary
        if token in known.added:
            return b"" if known.added[token] in known.controls else known.added[token].encode()
        text = self.text_of(token)
        if known.byte_level:
            return b"".join(self._byte_of.get(char, char.encode()) for char in text)
        spelt = _BYTE_TOKEN.fullmatch(text)
        return bytes([int(spelt[1], 16)]) if spelt else text.replace(SPACE, " ").encode()

    @cached_property
    def _byte_of(self) -> dict[str, bytes]:
        """GPT-2's table: printable Latin-1 stands for itself, the other bytes for U+0100 and on, in order."""
        shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        hidden = [byte for byte in range(256) if byte not in shown]
        return {chr(byte): bytes([byte]) for byte in shown} | {chr(256 + i): bytes([b]) for i, b in enumerate(hidden)}


class Detokenizer:
    """Token by token to text, never half a character. `is_start`: a blank that the tokenizer itself put before the text
    is taken off."""

    def __init__(self, tokenizer: Tokenizer, *, is_start: bool) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strips = is_start and tokenizer.vocabulary.strips_space

    def add(self, token: int) -> str:
        """The characters that this token completes, often none."""
        piece = self._tokenizer.piece(token)
        if piece and self._strips:
            self._strips = False
            piece = piece.removeprefix(b" ")
        return self._decoder.decode(piece)

    def finish(self) -> str:
        """What an unfinished character at the end comes to."""
        return self._decoder.decode(b"", final=True)


def _any_of(strings: Iterable[str]) -> re.Pattern[str]:
    """Matches any of them, the longest where several fit; nothing at all if there are none."""
    return re.compile("|".join(map(re.escape, sorted(strings, key=len, reverse=True))) or r"(?!)")

"""BERT's uncased tokenizer, run in C: text to the ids of word pieces, as Hugging Face `tokenizers` gives them.

Clean (control characters out, every white space a blank), decompose (NFD) and drop accents, lower-case, split at white
space, around punctuation and around each Chinese character; then cut each word greedily into the longest pieces of the
vocabulary, or give [UNK] where that fails. Special tokens written out in a text ("[SEP]") count as themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import Strings
from ruvllm_mcp.native.lib import nogil, nogil_ffi

Ids = npt.NDArray[np.int32]

WORD_START = "\u2581"
"""Marks a piece that begins a word in a GGUF vocabulary; BERT's own files mark the others instead, by `##`."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class WordPiece:
    """The tokenizer of one vocabulary, `pieces` as GGUF writes them. Thread-safe. Raises ModelError if not BERT's."""

    def __init__(self, pieces: Strings) -> None:
        self.size = len(pieces)
        self._strings = nogil_ffi.from_buffer("uint8_t[]", pieces.buffer)
        self._memory = np.empty(-(-int(nogil.rv_wordpiece_size(self.size)) // 8), np.uint64)
        self._vocabulary = nogil_ffi.from_buffer(self._memory)
        if not nogil.rv_wordpiece_build(self._vocabulary, self._strings, len(self._strings), self.size):
            raise ModelError("The vocabulary is not one of BERT.", "Use a file made by make_minilm.py.")
        self.start, self.end = (int(self.encode([name])[0][0]) for name in ("[CLS]", "[SEP]"))

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, int32 (t,), without [CLS] and [SEP] around them; t may be 0 (blank text).

        Lone surrogates, which no encoding can carry, are left out.
        """
        ids, ends = self.encode_flat(texts)
        return [part.copy() for part in np.split(ids, ends)[:-1]]

    def encode_flat(self, texts: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The same ids one text after another, int32 (t,), and where each text's end, int64 (n,)."""
        raw = [text.encode("utf-8", "ignore") for text in texts]
        ends = np.cumsum([len(part) for part in raw], dtype=np.int64)
        ids = np.empty(ends[-1] if raw else 0, np.int32)
        id_ends = np.empty(len(raw), np.int64)
        nogil.rv_wordpiece_encode(
            self._vocabulary,
            b"".join(raw),
            nogil_ffi.from_buffer("int64_t[]", ends),
            len(raw),
            nogil_ffi.from_buffer("int32_t[]", ids, require_writable=True),
            nogil_ffi.from_buffer("int64_t[]", id_ends, require_writable=True),
        )
        return ids[: id_ends[-1] if raw else 0], id_ends

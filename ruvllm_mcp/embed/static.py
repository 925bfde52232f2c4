"""`static`: one vector a word piece, added up and scaled to unit length; tens of microseconds a text.

The table (weights/make_static.py) is distilled from MiniLM: what it makes of each piece alone, rare pieces counting
more. There is no window: all of a text counts. Rows are int8 with one float scale each; pieces are those of MiniLM's
own tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ruvllm_mcp.embed.base import Encoded
from ruvllm_mcp.embed.minilm import WEIGHTS as VOCABULARY
from ruvllm_mcp.embed.wordpiece import WordPiece
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.native.lib import nogil, nogil_ffi

WEIGHTS = Path(__file__).parent / "weights" / "static-i8.gguf"


class Static:
    """The Embedder of a table made by weights/make_static.py. Raises ModelError where the file is not one."""

    name = "static"
    has_tokens = False

    def __init__(self, path: Path = WEIGHTS, vocabulary: Path = VOCABULARY) -> None:
        file = GgufFile(path)
        self._tokenizer = WordPiece(GgufFile(vocabulary).value("tokenizer.ggml.tokens", Strings))
        self.dim = int(file.value("static.embedding_length", int))
        pieces = self._tokenizer.size
        if self.dim < 1:
            raise ModelError(f"{path} holds vectors of no dimension.", "Use a file made by make_static.py.")
        self._table = nogil_ffi.from_buffer("int8_t[]", file.tensor("static.rows", "I8", (pieces, self.dim)))
        self._scales = nogil_ffi.from_buffer("float[]", file.tensor("static.scales", "F32", (pieces,)))
        self.fingerprint = f"static/1:{file.value('ruvllm.digest', str)}"

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode([text])[0])

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:  # noqa: ARG002 - the protocol's
        ids, ends = self._tokenizer.encode_flat(texts)
        vectors = np.empty((len(texts), self.dim), np.float32)
        nogil.rv_static_pool(
            self._table,
            self._scales,
            self.dim,
            nogil_ffi.from_buffer("int32_t[]", ids),
            nogil_ffi.from_buffer("int64_t[]", ends),
            len(texts),
            nogil_ffi.from_buffer("float[]", vectors, require_writable=True),
        )
        vectors[~vectors.any(axis=1), 0] = 1.0  # no piece, or all cancelled out: some unit vector, the same every time
        return Encoded(vectors, None)

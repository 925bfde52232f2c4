"""An embedder that is quick and predictable: every lower-case word has a fixed random direction; texts add them up."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.embed.base import Encoded, FloatArray, TokenVectors
from ruvllm_mcp.memory.memory import Memory


class WordEmbedder:
    name = "words"
    dim = 32

    def __init__(self, fingerprint: str = "words-1", has_tokens: bool = True) -> None:
        self.fingerprint = fingerprint
        self.has_tokens = has_tokens
        self.encoded = 0

    def _word(self, word: str) -> FloatArray:
        seed = zlib.crc32(f"{self.fingerprint}/{word}".encode())
        vector = np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:
        self.encoded += len(texts)
        rows = [np.array([self._word(word) for word in text.lower().split()]) for text in texts]
        vectors = np.array([row.sum(axis=0) / np.linalg.norm(row.sum(axis=0)) for row in rows], np.float32)
        return Encoded(vectors, tuple(map(self._tokens, texts, rows)) if tokens else None)

    def _tokens(self, text: str, rows: FloatArray) -> TokenVectors:
        ids = [zlib.crc32(word.encode()) % 30_000 for word in text.lower().split()]
        return TokenVectors(np.array(ids, np.int32), rows)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def memory(tmp_path: Path, embedder: WordEmbedder) -> Iterator[Memory]:
    opened = Memory(tmp_path / "home", lambda: embedder, namespace="here")
    yield opened
    opened.close()

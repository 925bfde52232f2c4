"""`hashing`: words and character n-grams hashed into a vector of any width. No weights, any language.

Each feature (a word, a pair of neighbouring words, the 3- to 5-grams of a word with its borders) goes to one place with
one sign, both from its 64-bit BLAKE2b digest (the hashing trick: Weinberger et al., arXiv:0902.2206), with weight
1 + ln(count), so repetition counts less and less. A word and all its n-grams weigh the same in sum.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from ruvllm_mcp.embed.base import Encoded
from ruvllm_mcp.errors import InvalidInputError

DIMENSIONS = range(8, 65_537)
WORD, PAIR, GRAMS = 1.0, 0.5, 1.0
"""Squared weight of a word, of a pair of words, and of a word's n-grams together."""


class Hashing:
    """The Embedder of hashed features, `dim` wide. Raises InvalidInputError for a `dim` outside 8 to 65,536."""

    has_tokens = False

    def __init__(self, dim: int = 384) -> None:
        if dim not in DIMENSIONS:
            raise InvalidInputError(f"The hashing embedder cannot be {dim} wide.", "Choose 8 to 65,536.")
        self.name = f"hashing:{dim}"
        self.dim = dim
        self.fingerprint = f"hashing/1:{dim}"

    def count_tokens(self, text: str) -> int:
        """Words and marks, one each."""
        return len(_words(text))

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:  # noqa: ARG002 - the protocol's
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for (feature, weight), count in sorted(Counter(_features(text)).items()):
                digest = int.from_bytes(
                    blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
                )
                row[(digest >> 1) % self.dim] += (1 if digest & 1 else -1) * weight * (1 + math.log(count))
            length = math.sqrt(float(np.square(row, dtype=np.float64).sum()))
            if length > 0:
                row /= np.float32(length)
            else:
                row[0] = 1.0  # no feature, or all cancelled out: some unit vector, the same every time
        return Encoded(vectors, None)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", unicodedata.normalize("NFKC", text).casefold())


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _words(text)
    for word in words:
        yield f"w {word}", math.sqrt(WORD)
        framed = f"<{word}>"
        grams = [framed[start : start + n] for n in (3, 4, 5) for start in range(len(framed) - n + 1)]
        for gram in grams:
            yield f"g {gram}", math.sqrt(GRAMS / len(grams))
    for left, right in pairwise(words):
        yield f"p {left} {right}", math.sqrt(PAIR)

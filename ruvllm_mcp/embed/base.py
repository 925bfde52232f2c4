"""The joint between text and everything that works on vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TokenVectors:
    """What the encoder saw of one text, token by token, special tokens left out.

    `ids`: int32 (t,), the tokenizer's ids. `vectors`: float32 (t, d), unit length after subtracting the embedder's
    mean token vector. A text longer than one window has its windows' tokens one after another, the overlap once.
    """

    ids: npt.NDArray[np.int32]
    vectors: FloatArray


@dataclass(frozen=True)
class Encoded:
    """`vectors`: float32 (n, d), unit length. `tokens`: one entry a text, or None where not asked for or not had."""

    vectors: FloatArray
    tokens: tuple[TokenVectors, ...] | None


class Embedder(Protocol):
    """Texts to unit vectors: the same in every process, for ever, alone or in a batch (to 1e-5).

    `fingerprint` names weights and algorithm; vectors of different fingerprints are never compared.
    Thread-safe. Texts are non-empty `str`; overlong ones are split into overlapping windows whose vectors are averaged.
    """

    name: str
    dim: int
    fingerprint: str
    has_tokens: bool

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded: ...

    def count_tokens(self, text: str) -> int: ...

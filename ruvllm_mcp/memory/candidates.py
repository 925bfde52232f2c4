"""What a search knows about each candidate before scores become one number, and what scoring may still ask.

`Candidates` is a table of parallel arrays, one row a memory. `Evidence` answers the questions that are too dear to
ask of every memory: token bits, whole vectors, neighbours, token frequencies, and the same table for memories that
are not in it yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray, TokenVectors

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """A question in all its forms. `vector` is what is searched with (after the teacher moved it), `asked` what was
    embedded; `tokens` is None when the embedder has none. `terms` are its distinct index terms."""

    text: str
    asked: FloatArray
    vector: FloatArray
    tokens: TokenVectors | None
    terms: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Candidates:
    """Parallel arrays (n,), no order promised. `dense`: cosine, 0 where not embedded yet. `lexical`: BM25, 0 where no
    term occurs. `taught`: evidence from feedback on similar questions in [-1, 1]; `confirmed`: on any question, in
    [-1, 1]. `importance` in [0, 1]; `age_seconds` since it was added."""

    ids: IntArray
    dense: FloatArray
    lexical: FloatArray
    taught: FloatArray
    confirmed: FloatArray
    importance: FloatArray
    age_seconds: FloatArray


@dataclass(frozen=True)
class TokenRows:
    """The token bits of some of the memories asked for: those at `places` (n,) among them. `bits` uint8 (t, d / 8), a
    token a row, least significant bit first; memory i has `counts[i]` of them from row `starts[i]` on, int64 (n,)."""

    places: IntArray
    bits: npt.NDArray[np.uint8]
    starts: IntArray
    counts: IntArray


class Evidence(Protocol):
    """The collection as one search sees it: only memories inside its namespaces and filter exist."""

    def token_rows(self, ids: IntArray) -> Sequence[TokenRows]:
        """The sign bits of their tokens; those without any are left out or have a count of 0."""
        ...

    def neighbours(self, ids: IntArray) -> tuple[IntArray, IntArray]:
        """Ids said just before and just after each (same namespace, source and session), 0 where there is none."""
        ...

    def vectors(self, ids: IntArray) -> FloatArray:
        """Their unit vectors, float32 (n, d), good to about 0.001 in a cosine; zeros for those not embedded yet."""
        ...

    def links(self, ids: IntArray) -> npt.NDArray[np.float64]:
        """The links of `ids` as rows (id, id at the other end, weight in [-1, 1]), (l, 3)."""
        ...

    def measure(self, ids: IntArray) -> Candidates:
        """The table for any ids (those that exist, in order)."""
        ...

    def idf(self) -> FloatArray:
        """The idf of each of the question's terms, float32, 0 where none of the memories searched has it."""
        ...

    def token_frequency(self, token_ids: npt.NDArray[np.uint32]) -> tuple[IntArray, int]:
        """In how many memories of the store each token occurs, and how many memories there are."""
        ...

"""What one answered search leaves behind, in memory and as a database row.

A trajectory is all that learning ever sees of a search: the question's vector and the signs of its tokens, the
candidates with their score parts, and what was shown. Numbers are packed as little-endian arrays (ids int64, parts
float32), because a row is written on every search and must cost tens of microseconds. Request ids are "r", ten base-32
digits of the time in milliseconds and sixteen random ones: they sort by time as text, and cannot be guessed or meet in
two processes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.memory.late import TokenSigns

FloatArray = npt.NDArray[np.float32]
IdArray = npt.NDArray[np.int64]

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_ID_LENGTH = 27


def new_request_id(at: float | None = None) -> str:
    """A fresh request id for a request made at `at` (seconds since the epoch; now by default)."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    number = (milliseconds & ((1 << 50) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    return "r" + "".join(_DIGITS[number >> shift & 31] for shift in range(125, -5, -5))


def is_request_id(text: object) -> bool:
    """Whether `text` has the form of a request id (it may still be unknown)."""
    return isinstance(text, str) and len(text) == _ID_LENGTH and text[0] == "r" and set(text[1:]) <= set(_DIGITS)


@dataclass(frozen=True)
class Candidates:
    """Memories that a search considered, best first, with the parts of their scores.

    `ids` int64 (n,); `names` the p parts' names; `parts` float32 (n, p), finite. Raises DimensionError if they differ.
    """

    ids: IdArray
    names: tuple[str, ...]
    parts: FloatArray

    def __post_init__(self) -> None:
        if self.ids.ndim != 1 or self.parts.shape != (len(self.ids), len(self.names)):
            raise DimensionError(
                f"Candidates do not fit together: ids {self.ids.shape}, {len(self.names)} names, "
                f"parts {self.parts.shape}.",
                "Give one id per row and one name per column of the parts.",
            )

    def __len__(self) -> int:
        return len(self.ids)


NO_CANDIDATES = Candidates(np.empty(0, np.int64), (), np.empty((0, 0), np.float32))


@dataclass(frozen=True)
class Trajectory:
    """One answered search. `vector` is the question's unit float32 (d,) before any learned change, made by the
    embedder `fingerprint` names; `shown` are the ids handed to the caller, best first; `at` is UTC seconds since the
    epoch; `namespaces` were searched; `client` names who asked, "" if unknown; `version` is the learned version
    that answered, 0 for none; `tokens` is what is kept of the question's tokens, None if the embedder has none.
    """

    request_id: str
    at: float
    client: str
    namespaces: tuple[str, ...]
    query: str
    fingerprint: str
    vector: FloatArray
    candidates: Candidates
    shown: tuple[int, ...]
    version: int = 0
    tokens: TokenSigns | None = None

    def __post_init__(self) -> None:
        if self.vector.ndim != 1 or not len(self.vector) or not np.isfinite(self.vector).all():
            raise InvalidInputError(
                "A trajectory's vector is empty, not one-dimensional or not finite.",
                "Give the embedder's vector of the question.",
            )


def to_row(trajectory: Trajectory) -> tuple[Any, ...]:
    """The trajectory's database row, in the order of `COLUMNS`."""
    candidates = trajectory.candidates
    return (
        trajectory.request_id,
        trajectory.at,
        trajectory.client,
        json.dumps(trajectory.namespaces, ensure_ascii=False),
        trajectory.query,
        trajectory.fingerprint,
        trajectory.vector.astype("<f4", copy=False).tobytes(),
        " ".join(candidates.names),
        candidates.ids.astype("<i8", copy=False).tobytes(),
        candidates.parts.astype("<f4", copy=False).tobytes(),
        np.array(trajectory.shown, "<i8").tobytes(),
        trajectory.version,
        b"" if trajectory.tokens is None else trajectory.tokens.to_bytes(),
    )


COLUMNS = (
    "request_id, at, client, namespaces, query, fingerprint, vector, part_names, ids, parts, shown, version, tokens"
)


def from_row(row: Sequence[Any]) -> Trajectory:
    """The trajectory that `to_row` wrote."""
    request_id, at, client, namespaces, query, fingerprint, vector, names, ids, parts, shown, version, tokens = row
    columns = tuple(names.split())
    candidate_ids = np.frombuffer(ids, "<i8")
    return Trajectory(
        request_id,
        at,
        client,
        tuple(json.loads(namespaces)),
        query,
        fingerprint,
        np.frombuffer(vector, "<f4"),
        Candidates(candidate_ids, columns, np.frombuffer(parts, "<f4").reshape(len(candidate_ids), len(columns))),
        tuple(np.frombuffer(shown, "<i8").tolist()),
        version,
        TokenSigns.from_bytes(tokens),
    )

"""What is kept of a rated question: small, for there are thousands of them in a process that must not grow for ever."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.memory.late import TokenSigns

Cast = Mapping[tuple[int, int], float]  # memory id and client's number → vote
_VOTE = struct.Struct("<qid")


@dataclass
class Question:
    """Some 200 bytes beside its tokens. `number`: of the feedback that first rated it. `packed`: each client's latest
    vote on each memory. `praised_by`: the clients that named anything right."""

    __slots__ = ("number", "packed", "praised_by", "tokens")
    number: int
    tokens: TokenSigns | None
    packed: bytes
    praised_by: tuple[int, ...]

    def votes(self) -> dict[tuple[int, int], float]:
        """As they were put last."""
        return {(memory, by): vote for memory, by, vote in _VOTE.iter_unpack(self.packed)}

    def put(self, votes: Cast) -> None:
        """Keeps these votes in place of those before."""
        self.packed = b"".join([_VOTE.pack(*key, vote) for key, vote in votes.items()])


class Settled(NamedTuple):
    """What the clients' votes on a question come to: on memories `ids` (n,) to `worth` (n,)."""

    ids: npt.NDArray[np.int64]
    worth: npt.NDArray[np.float64]

"""What a caller may say of an answered request, checked, and what it says of single memories.

A feedback becomes votes in [-1, 1], one a memory. Ids that are named count in full: +1 relevant, -1 irrelevant, and a
correction's own memory +1. What is not named gets at most half a vote: when relevant ones are named, the other shown
ones were passed over; a bare rating or outcome says little about any one memory, so its praise goes to the shown ones
by 1/log2(1 + rank) (the discount of nDCG), its blame to all alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ruvllm_mcp.errors import InvalidInputError

MAX_IDS = 1000
MAX_CORRECTION = 20_000
OPINION = 0.5  # what a memory gets that was not named: at most this share of a vote


@dataclass(frozen=True)
class Feedback:
    """What was said of one request. At least one field is given. Raises InvalidInputError naming what is wrong.

    `rating`: 1 (useless) to 5 (just right). `relevant`, `irrelevant`: memory ids, disjoint. `correction`: what the
    answer should have been; `correction_id`: the memory that now holds it. `task_success`: whether the task the
    memories were for worked out. `client`: who says so.
    """

    rating: int | None = None
    relevant: tuple[int, ...] = ()
    irrelevant: tuple[int, ...] = ()
    correction: str | None = None
    correction_id: int | None = None
    task_success: bool | None = None
    client: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "relevant", _ids(self.relevant, "relevant"))
        object.__setattr__(self, "irrelevant", _ids(self.irrelevant, "irrelevant"))
        if self.rating is not None and (type(self.rating) is not int or not 1 <= self.rating <= 5):
            raise InvalidInputError(f"rating is {self.rating!r}.", "Give a whole number from 1 (useless) to 5 (great).")
        if self.task_success is not None and not isinstance(self.task_success, bool):
            raise InvalidInputError(f"task_success is {self.task_success!r}.", "Give true or false.")
        both = set(self.relevant) & set(self.irrelevant)
        if both:
            raise InvalidInputError(
                f"Memory {min(both)} is given as relevant and as irrelevant.", "Name each id in one of the two."
            )
        if self.correction is not None and not (
            isinstance(self.correction, str) and self.correction.strip() and len(self.correction) <= MAX_CORRECTION
        ):
            raise InvalidInputError(
                "correction is blank, too long or not text.",
                f"Give the right answer in at most {MAX_CORRECTION} characters.",
            )
        if self._is_empty():
            raise InvalidInputError(
                "The feedback says nothing.",
                "Give a rating, relevant or irrelevant ids, a correction, or task_success.",
            )

    def _is_empty(self) -> bool:
        named = self.relevant or self.irrelevant
        return not named and self.rating is None and self.correction is None and self.task_success is None

    @property
    def quality(self) -> float:
        """How good the answer was in [0, 1], by the most direct thing said; 0.5 when nothing says."""
        if self.rating is not None:
            return (self.rating - 1) / 4
        if self.task_success is not None:
            return float(self.task_success)
        if self.relevant or self.irrelevant:
            return len(self.relevant) / (len(self.relevant) + len(self.irrelevant))
        return 0.0 if self.correction is not None else 0.5


def votes(feedback: Feedback, shown: Iterable[int]) -> Mapping[int, float]:
    """Memory id → vote in [-1, 1] that `feedback` casts on a request that showed `shown` (best first)."""
    ranked = list(shown)
    right = {*feedback.relevant, *([feedback.correction_id] if feedback.correction_id is not None else [])}
    cast: dict[int, float] = {}
    if feedback.relevant:
        cast.update(dict.fromkeys(ranked, -OPINION))
    elif not feedback.irrelevant:
        opinion = _opinion(feedback)
        for rank, memory in enumerate(ranked, 1):
            cast[memory] = opinion / math.log2(1 + rank) if opinion > 0 else opinion
    cast.update(dict.fromkeys(feedback.irrelevant, -1.0))
    cast.update(dict.fromkeys(right, 1.0))
    return {memory: vote for memory, vote in cast.items() if vote}


def _opinion(feedback: Feedback) -> float:
    if feedback.rating is not None:
        return OPINION * (feedback.rating - 3) / 2
    if feedback.task_success is not None:
        return OPINION if feedback.task_success else -OPINION
    return -OPINION if feedback.correction is not None else 0.0


def _ids(given: Iterable[int], name: str) -> tuple[int, ...]:
    try:
        ids = tuple(given)
    except TypeError:
        raise InvalidInputError(f"{name} is {given!r}.", "Give a list of memory ids.") from None
    for item in ids:
        if isinstance(item, bool) or not isinstance(item, int) or not 0 < item < 2**63:
            raise InvalidInputError(f"{name} holds {item!r}.", "Memory ids are positive whole numbers.")
    if len(ids) > MAX_IDS:
        raise InvalidInputError(f"{name} holds {len(ids)} ids.", f"Give at most {MAX_IDS}.")
    return tuple(dict.fromkeys(int(item) for item in ids))

"""The numbers that fusion turns on, as data: a version of them can be stored, compared, learned and put back.

The default was fitted on four kinds of collections at once (code search, conversations, lint rules for code, scientific
claims), and judged on each by weights fitted without it. `benchmarks/retrieval.py` prints what each part is worth.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from ruvllm_mcp.errors import InvalidInputError

GREATEST = 100.0


@dataclass(frozen=True)
class FusionWeights:
    """What a candidate's score is made of. Finite numbers from -100 to 100; raises InvalidInputError for others.

    `dense`, `late`, `lexical`: the worth of one standard deviation of each, at least 0; 0 leaves it out. `talk_dense`:
    added to `dense` where the candidates are turns of a conversation. `long_lexical`: added to `lexical` for each
    e-fold that the question is longer than 12 tokens (taken off where it is shorter, but for a single word: a name).
    `foreign_lexical`: added to `lexical` for a question all of whose letters are beyond ASCII, in part for one with
    some: the encoder read English. `two_before` to `two_after`: the share of the score of what was said then that a
    turn of up to 36 tokens gets; where turns are longer, less by the square. `near`, `linked`: the worth of one
    standard deviation that a memory gets from those that say something alike, or that somebody linked it with.
    `taught`, `confirmed`: the worth of full evidence from feedback on similar questions, and on any. `importance` and
    `recency` only break near-ties.
    """

    dense: float = 1.0
    late: float = 0.9
    lexical: float = 0.45
    talk_dense: float = -0.8
    long_lexical: float = 0.4
    foreign_lexical: float = 1.0
    two_before: float = 0.3
    before: float = 0.4
    after: float = 0.2
    two_after: float = 0.3
    near: float = 0.3
    linked: float = 0.5
    taught: float = 20.0
    confirmed: float = 4.0
    importance: float = 0.2
    recency: float = 0.1

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            least = 0 if item.name in ("dense", "late", "lexical") else -GREATEST
            if not is_number or not least <= value <= GREATEST:
                raise InvalidInputError(
                    f"The fusion weight {item.name} is {value!r}.", f"A number from {least:g} to {GREATEST:g}."
                )

    def to_json(self) -> str:
        """JSON text: an object with one number a field."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> FusionWeights:
        """The reverse; what is not named keeps its default. Raises InvalidInputError for what is no such object."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise InvalidInputError(f"Fusion weights are no JSON: {error}.", "Give an object of numbers.") from None
        names = {item.name for item in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not values.keys() <= names:
            raise InvalidInputError(
                "Fusion weights are no object of known names.", f"Known: {', '.join(sorted(names))}."
            )
        return cls(**values)


DEFAULT = FusionWeights()

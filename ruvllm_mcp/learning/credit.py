"""How far a client's feedback is believed, without asking anyone else.

Two signs speak for a client. Its right answers rank above the wrong ones in the untrained system's own order more often
than chance would have it (`agreement`, an area under the curve, 0.5 for chance); or earlier votes foresaw what it says
of shown memories better than chance (`hits` over `expected`). One is enough: a person who only corrects bad rankings is
consistent, one who asks new things every time agrees with the ranking. Random, careless or hostile feedback shows
neither, and its credit falls from 1 to 0 within some dozens of feedbacks, however many it sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PRIOR_AGREEMENT, _PRIOR_COUNT = 0.75, 8.0
_LEAST_AGREEMENT, _FULL_AGREEMENT = 0.54, 0.60
_PRIOR_HITS, _PRIOR_EXPECTED = 2.0, 1.0
_LEAST_LIFT, _FULL_LIFT = 1.3, 1.7


@dataclass(frozen=True)
class Witness:
    """What one feedback says about its client. `agreement` in [0, 1], None where nothing can be compared; `hits` and
    `expected`: of the shown memories that earlier votes spoke for, how many were named right, and by chance."""

    agreement: float | None = None
    hits: float = 0.0
    expected: float = 0.0


@dataclass
class Credit:
    """One client's record."""

    agreements: float = _PRIOR_AGREEMENT * _PRIOR_COUNT
    count: float = _PRIOR_COUNT
    hits: float = _PRIOR_HITS
    expected: float = _PRIOR_EXPECTED

    def hear(self, witness: Witness) -> None:
        """Take one feedback into account."""
        if witness.agreement is not None:
            self.agreements += witness.agreement
            self.count += 1
        self.hits += witness.hits
        self.expected += witness.expected

    @property
    def share(self) -> float:
        """How much the client's votes count, in [0, 1]."""
        agreement = (self.agreements / self.count - _LEAST_AGREEMENT) / (_FULL_AGREEMENT - _LEAST_AGREEMENT)
        lift = (self.hits / self.expected - _LEAST_LIFT) / (_FULL_LIFT - _LEAST_LIFT)
        return max(0.0, min(1.0, max(agreement, lift)))


def agreement(untrained: Sequence[float], right: Sequence[bool]) -> float | None:
    """The share of (right, wrong) pairs that the untrained scores order rightly, ties half; None without a pair."""
    for_right = [score for score, is_right in zip(untrained, right, strict=True) if is_right]
    for_wrong = [score for score, is_right in zip(untrained, right, strict=True) if not is_right]
    if not for_right or not for_wrong:
        return None
    won = sum((a > b) + 0.5 * (a == b) for a in for_right for b in for_wrong)
    return won / (len(for_right) * len(for_wrong))

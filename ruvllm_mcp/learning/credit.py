"""How far a client's feedback is believed, without asking anyone else.

Two signs speak for a client. Its right answers rank above the wrong ones in the untrained system's own order more often
than chance would have it (`agreement`, an area under the curve, 0.5 for chance); or earlier votes foresaw what it says
of shown memories better than chance (`hits` over `expected`). One is enough: a person who only corrects bad rankings is
consistent, one who asks new things every time agrees with the ranking. Random, careless or hostile feedback shows
neither, and its credit falls from 1 to 0 within some dozens of feedbacks, however many it sends.

Between the two is the client that is often wrong: half of what it says is true, and worth having. So each feedback of
its own is believed as far as its agreement speaks for it: the client's agreements are a mixture of what honest feedback
shows, mostly near 1, and of what naming any shown memory shows, the same from 0 to 1. How many are low tells the share
of the latter, and `belief` is the posterior that this one is honest.

A new name costs nothing, so clients that have said little are believed as far as newcomers have proved right so far,
and where they speak of the same thing they count as one voice. What they name that was not even shown proves nothing,
and counts in their record as if named by chance. Blame without any praise cannot be checked against a
ranking, so it counts in full only in proportion to the client's praise, or that of all who have said little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

_PRIOR_AGREEMENT, _PRIOR_COUNT = 0.75, 8.0
_LEAST_AGREEMENT, _FULL_AGREEMENT = 0.54, 0.60
_PRIOR_HITS, _PRIOR_EXPECTED = 2.0, 1.0
_LEAST_LIFT, _FULL_LIFT = 1.3, 1.7
_BY_CHANCE = 0.5  # the agreement of naming anything
_LOW, _HONEST_LOW = 1 / 3, 0.05  # an agreement that is low, and the share of honest feedback that has it
_HONEST_FLOOR, _HONEST_POWER = 0.15, 5  # honest agreement's density: floor + (1 - floor) (power + 1) x^power
_UNDOUBTED = 10.0  # honest feedbacks that a client starts from
_BLAME_PER_PRAISE = 10.0  # feedbacks that only blame, for each one that praises, that count in full
_ESTABLISHED = 5  # feedbacks after which a client is judged by its own record


@dataclass(frozen=True)
class Witness:
    """What one feedback says about its client. `agreement` in [0, 1], None where nothing can be compared; `hits` and
    `expected`: of the shown memories that earlier votes spoke for, how many were named right, and by chance; `missed`:
    whether nothing that it names right was shown."""

    agreement: float | None = None
    hits: float = 0.0
    expected: float = 0.0
    missed: bool = False


@dataclass
class Credit:
    """One client's record."""

    agreements: float = _PRIOR_AGREEMENT * _PRIOR_COUNT
    count: float = _PRIOR_COUNT
    hits: float = _PRIOR_HITS
    expected: float = _PRIOR_EXPECTED
    low: float = _HONEST_LOW * _UNDOUBTED
    judged: float = _UNDOUBTED

    def hear(self, witness: Witness) -> None:
        """Take one feedback into account."""
        if witness.agreement is not None:
            self.low += witness.agreement < _LOW
            self.judged += 1
            self.agreements += witness.agreement
            self.count += 1
        self.hits += witness.hits
        self.expected += witness.expected

    def belief(self, agreement: float | None) -> float:
        """How likely a feedback of that agreement is right, in [0, 1]; of a client that is believed for its consistency
        though it disagrees with the ranking, whatever it is."""
        return max(_honesty(agreement, self.wrong), self.share - self.agreement_share)

    @property
    def wrong(self) -> float:
        """The share of this client's feedback that is about as good as naming anything, in [0, 1]."""
        return max(0.0, min(1.0, (self.low / self.judged - _HONEST_LOW) / (_LOW - _HONEST_LOW)))

    @property
    def share(self) -> float:
        """How much the client's votes count, in [0, 1]."""
        lift = (self.hits / self.expected - _LEAST_LIFT) / (_FULL_LIFT - _LEAST_LIFT)
        return max(self.agreement_share, min(1.0, lift))

    @property
    def agreement_share(self) -> float:
        """The same by agreement alone."""
        agreement = (self.agreements / self.count - _LEAST_AGREEMENT) / (_FULL_AGREEMENT - _LEAST_AGREEMENT)
        return max(0.0, min(1.0, agreement))


class Credits:
    """The records of all clients. Not thread-safe. `epoch` changes whenever votes may come to something else."""

    def __init__(self) -> None:
        self.epoch = 0
        self._clients: dict[str, Credit] = {}
        self._heard: dict[str, int] = {}
        self._newcomers = Credit()
        self._shares: dict[str, float] = {}
        self._praised: dict[str, int] = {}
        self._blamed: dict[str, int] = {}
        self._newcomers_praised, self._newcomers_blamed = 0, 0

    def count(self, client: str, votes: Iterable[float]) -> None:
        """Note whether a feedback praises anything or only blames."""
        before = self._blame_share(client)
        praises = any(vote > 0 for vote in votes)
        counted = self._praised if praises else self._blamed
        counted[client] = counted.get(client, 0) + 1
        if not self.is_established(client):
            self._newcomers_praised += praises
            self._newcomers_blamed += not praises
        self.epoch += self._blame_share(client) != before

    def hear(self, client: str, witness: Witness) -> None:
        """Take one feedback of a client into account."""
        before = self.share(client), self._newcomers.agreement_share, self.is_established(client)
        self._clients.setdefault(client, Credit()).hear(witness)
        self._heard[client] = self._heard.get(client, 0) + 1
        if not self.is_established(client):
            self._newcomers.hear(replace(witness, agreement=_BY_CHANCE) if witness.missed else witness)
            self._shares.clear()
        self._shares.pop(client, None)
        after = self.share(client), self._newcomers.agreement_share, self.is_established(client)
        self.epoch += after != before

    def belief(self, client: str, agreement: float | None) -> float:
        """How likely a feedback of that client is right, in [0, 1], by its agreement; newcomers share one record."""
        own = self._clients.get(client) if self.is_established(client) else None
        return (own or self._newcomers).belief(agreement)

    def is_established(self, client: str) -> bool:
        """Whether the client has said enough to be judged by its own record."""
        return self._heard.get(client, 0) >= _ESTABLISHED

    def share(self, client: str) -> float:
        """How much the client's votes count, in [0, 1]."""
        known = self._shares.get(client)
        if known is None:
            known = self._newcomers.agreement_share
            if client in self._clients:
                own = self._clients[client].share
                known = own if self.is_established(client) else min(own, known)
            self._shares[client] = known
        return known

    def settled(self, votes: Mapping[str, float]) -> float:
        """What clients' votes on one thing come to: their mean by credit, one believed voice enough for its whole."""
        if len(votes) == 1:
            ((client, vote),) = votes.items()
            return self._weighed(client, vote)
        new = [self._weighed(client, vote) for client, vote in votes.items() if not self.is_established(client)]
        total, weight = (sum(new) / len(new), self._newcomers.agreement_share) if new else (0.0, 0.0)
        for client, vote in votes.items():
            if self.is_established(client):
                total += self._weighed(client, vote)
                weight += self.share(client)
        return total / max(1.0, weight)

    def _weighed(self, client: str, vote: float) -> float:
        return vote * self.share(client) * (1.0 if vote >= 0 else self._blame_share(client))

    def _blame_share(self, client: str) -> float:
        own = _fair_share(self._praised.get(client, 0), self._blamed.get(client, 0))
        if self.is_established(client):
            return own
        return min(own, _fair_share(self._newcomers_praised, self._newcomers_blamed))


def _fair_share(praised: int, blamed: int) -> float:
    """How much blame counts, in [0, 1], beside so much praise."""
    return min(1.0, _BLAME_PER_PRAISE * (1 + praised) / max(1, blamed))


def _honesty(agreement: float | None, share_wrong: float) -> float:
    """The posterior that one feedback is honest when that share of all is wrong."""
    density = 1.0
    if agreement is not None:
        density = _HONEST_FLOOR + (1 - _HONEST_FLOOR) * (_HONEST_POWER + 1) * agreement**_HONEST_POWER
    honest = (1 - share_wrong) * density
    return honest / (honest + share_wrong)

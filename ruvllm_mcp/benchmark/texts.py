"""Made-up notes of a programmer, the same on every run: real words, so that they come apart as other people's do."""

from __future__ import annotations

import random

WORDS = (
    "the a to of in is and for we use it on with that when not from by this as at are be all one test build cache "
    "query index release branch merge review server client token session database table column migration schema error "
    "timeout retry queue worker thread lock memory vector search ranking feedback model prompt context window batch "
    "latency throughput invoice customer order payment currency rounding refund login password header parser encoder "
    "fails passes returns raises blocks waits keeps drops reads writes slow fast stable flaky broken missing duplicate"
)


def notes(count: int, words: int, seed: int) -> list[str]:
    """So many different texts of so many words each."""
    chosen, known = random.Random(seed), WORDS.split()
    return [" ".join(chosen.choices(known, k=words)) for _ in range(count)]

"""What calls about learning, state and statistics report: frozen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruvllm_mcp.types import Record


@dataclass(frozen=True)
class FeedbackReceipt(Record):
    """What one feedback changed: how many question-memory associations were strengthened and weakened."""

    request_id: str
    strengthened: int
    weakened: int


@dataclass(frozen=True)
class StateReport(Record):
    """What was written to, or newly taken in from, a state file."""

    path: str
    memories: int
    links: int
    feedbacks: int


@dataclass(frozen=True)
class Stats(Record):
    """What an engine holds and has done. `bytes_per_memory`: mean size of text, index terms, vectors and token bits;
    `indexes` saved beside the store: rows, bytes a vector and, where there are tiers, how many rows each holds;
    `unembedded`: memories that this embedder has not seen yet, found by their words until the background has done them;
    `rated_questions` are the different ones feedback was given on; `learned_version` is the version in force, 0 for
    none; `patterns` the kinds of questions it knows; `operations`: calls, errors and percentiles of each call in this
    process; `store`: the file, or the database's address without its password."""

    version: str
    home: str
    store: str
    namespace: str
    embedder: str
    instruction_set: str
    memories: int
    links: int
    namespaces: Mapping[str, int]
    store_bytes: int
    bytes_per_memory: Mapping[str, float]
    indexes: Sequence[Mapping[str, Any]]
    unembedded: int
    requests: int
    feedbacks: int
    rated_questions: int
    learned_version: int
    patterns: int
    operations: Mapping[str, Any]


@dataclass(frozen=True)
class LearnReport(Record):
    """How one run of a slower loop ended. `kind`: learn or consolidate. `before` and `after`: mean nDCG@10 of the
    `questions` held back for judging, under the version in force and under the new one; `low` and `high`: the 95 %
    interval of the mean difference. `retention`: quality of older requests after, as a share of before. `promoted`:
    whether the new `version` is now in force. `signals`: feedbacks learned from."""

    version: int
    kind: str
    promoted: bool
    questions: int
    before: float
    after: float
    low: float
    high: float
    retention: float
    signals: int
    patterns: int
    seconds: float


@dataclass(frozen=True)
class PatternRecord(Record):
    """A kind of question that was met: mean `quality` of its answers in [0, 1], `uses` (rated questions, older ones
    counting less), and `memories` that were right for them, best supported first."""

    quality: float
    uses: float
    memories: tuple[int, ...]
    created_at: float
    used_at: float


@dataclass(frozen=True)
class RequestRecord(Record):
    """One answered request: what was asked, where, what was `shown` (ids, best first), and by which learned
    `version`."""

    request_id: str
    at: float
    query: str
    namespaces: tuple[str, ...]
    shown: tuple[int, ...]
    version: int

"""Frozen results: what every door (Python, MCP, notebook, shell) hands out.

Plain data without behaviour beyond `to_dict()`, which gives JSON-ready values: times are UTC seconds since the
epoch, durations milliseconds unless the name says otherwise, scores as documented per field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, overload

from ruvllm_mcp.errors import InvalidInputError

SearchMode = Literal["hybrid", "vector", "lexical"]
Trust = Literal["untrusted", "agent", "trusted"]
# Least first. untrusted: text of unknown origin, to be read with care; agent: written by a model through MCP;
# trusted: a person, or a person's program, vouches for it. It never moves a ranking; it is shown and filtered by.
TRUST_LEVELS: tuple[Trust, ...] = ("untrusted", "agent", "trusted")
Metadata = Mapping[str, Any]
EMPTY: Metadata = MappingProxyType({})


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Record:
    """Base of the result types: a JSON-ready view of the fields."""

    def to_dict(self) -> dict[str, Any]:
        return {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}


class MemoryId(int):
    """The id of a stored memory: an `int` that also tells what adding it did.

    `merged`: the very same content was there already in the namespace and kept its id.
    `similar`: ids of near duplicates, most similar first, if they were looked for (`compared`; a large bulk load is not
    slowed down by it). `redacted`: how many secrets were blanked out.
    """

    merged: bool
    similar: tuple[int, ...]
    compared: bool
    redacted: int

    def __new__(
        cls,
        value: int,
        *,
        merged: bool = False,
        similar: Sequence[int] = (),
        compared: bool = True,
        redacted: int = 0,
    ) -> MemoryId:
        self = super().__new__(cls, value)
        self.merged = merged
        self.similar = tuple(similar)
        self.compared = compared
        self.redacted = redacted
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, Any]]:
        return (int(self),), dict(vars(self))


@dataclass(frozen=True)
class NewMemory(Record):
    """What a caller gives to be remembered. `importance` in [0, 1]; `ttl` is seconds to live from now, None for ever;
    `created_at` when it was first known (UTC seconds since the epoch), None for now; `trust` how far its text may be
    relied on (see `TRUST_LEVELS`)."""

    content: str
    metadata: Metadata = field(default_factory=dict)
    namespace: str | None = None
    kind: str = "note"
    importance: float = 0.5
    ttl: float | None = None
    source: str = ""
    client: str = ""
    created_at: float | None = None
    trust: Trust = "trusted"


@dataclass(frozen=True)
class MemoryRecord(Record):
    """One stored memory, whole."""

    id: int
    content: str
    metadata: Metadata
    namespace: str
    kind: str
    importance: float
    source: str
    client: str
    trust: Trust
    created_at: float
    updated_at: float
    expires_at: float | None
    accessed_at: float | None
    access_count: int


@dataclass(frozen=True)
class MemoryResult(Record):
    """One hit. `similarity` is the cosine in [-1, 1]; `score` orders the hits (higher is better, comparable only
    within one search); `explain` names each part's share of the score."""

    id: int
    content: str
    metadata: Metadata
    similarity: float
    score: float
    explain: Mapping[str, float]
    namespace: str
    kind: str
    source: str
    created_at: float
    trust: Trust = "trusted"


@dataclass(frozen=True)
class MemoryHits(Record, Sequence[MemoryResult]):
    """Hits, best first: a sequence of `MemoryResult`. `request_id` is what `feedback` takes."""

    items: tuple[MemoryResult, ...]
    request_id: str
    query: str
    mode: SearchMode
    latency_ms: float

    @overload
    def __getitem__(self, index: int) -> MemoryResult: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MemoryResult, ...]: ...
    def __getitem__(self, index: int | slice) -> MemoryResult | tuple[MemoryResult, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[MemoryResult]:
        return iter(self.items)


@dataclass(frozen=True)
class Context(Record):
    """Memories packed into a token budget. `text` is ready to paste into a prompt and has `tokens` <= `max_tokens`."""

    text: str
    sources: tuple[MemoryResult, ...]
    tokens: int
    max_tokens: int
    request_id: str


@dataclass(frozen=True)
class Page(Record):
    """One page of `list_memories`; hand `next_cursor` back for the next one, None after the last."""

    items: tuple[MemoryRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class Link(Record):
    """One edge of the memory graph as seen from a memory: the other end, the edge's kind and weight."""

    id: int
    kind: str
    weight: float


@dataclass(frozen=True)
class NamespaceInfo(Record):
    """What a namespace holds and may hold. `bytes` is its text: content and metadata as UTF-8. A limit of None is none
    of its own: the settings' holds. `token_bits`: whether late interaction's bits are kept (the larger part of what a
    memory takes on disk)."""

    memories: int
    bytes: int
    max_memories: int | None = None
    max_bytes: int | None = None
    token_bits: bool = True


@dataclass(frozen=True)
class PruneReport(Record):
    """What `prune_memory` removed (or would remove, when `dry_run`), with ids oldest first. `merged`: of those, which
    went into another memory that says nearly the same, and into which."""

    ids: tuple[int, ...]
    dry_run: bool
    merged: Mapping[int, int]


@dataclass(frozen=True)
class Usage(Record):
    """Tokens read and written by one generation."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class GenerationConfig(Record):
    """How to write an answer. All but `max_tokens` is for language models; other backends draw nothing.

    `max_tokens`: at most so many tokens are written, 1 to 4,096. `temperature`, 0 to 5: how freely is chosen, 0 always
    takes the likeliest token. `top_k`: only from so many likeliest tokens, 0 from all. `top_p`, above 0 to 1: only from
    the fewest that together have that probability. `min_p`, 0 to 1: only from those at least that share as likely as
    the likeliest. `repetition_penalty`, above 0 to 10: makes tokens of prompt and answer less likely above 1. `stop`:
    up to 16 texts that end the answer and are left out. `seed`: the same seed gives the same answer; None a new one
    each time. `logprobs`, 0 to 20: tell each token's log probability and those of so many likeliest ones. `json_mode`:
    the answer is one JSON object that ends within `max_tokens`; not together with `stop`.
    """

    max_tokens: int = 512
    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int = 0
    json_mode: bool = False

    def __post_init__(self) -> None:
        for name, most in (("max_tokens", 4096), ("top_k", 1_000_000), ("logprobs", 20), ("seed", 2**64 - 1)):
            value, least = getattr(self, name), int(name == "max_tokens")
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not (is_whole and least <= value <= most) and (name, value) != ("seed", None):
                raise InvalidInputError(f"{name} is {value!r}.", f"It takes a whole number from {least} to {most:,}.")
        for name, limit in (("temperature", 5), ("min_p", 1), ("top_p", 1), ("repetition_penalty", 10)):
            value, is_above = getattr(self, name), name in ("top_p", "repetition_penalty")
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= limit or (is_above and value == 0):
                accepted = f"a number {'above' if is_above else 'from'} 0 {'up ' * is_above}to {limit}"
                raise InvalidInputError(f"{name} is {value!r}.", f"It takes {accepted}.")
        given: Any = self.stop
        stops = (given,) if isinstance(given, str) else given
        is_list = isinstance(stops, (list, tuple)) and len(stops) <= 16
        if not is_list or not all(isinstance(text, str) and text for text in stops):
            raise InvalidInputError(f"stop is {self.stop!r}.", "It takes up to 16 texts, none empty.")
        object.__setattr__(self, "stop", tuple(stops))
        if not isinstance(self.json_mode, bool):
            raise InvalidInputError(f"json_mode is {self.json_mode!r}.", "It takes True or False.")
        if self.json_mode and stops:
            raise InvalidInputError(
                "stop could cut a JSON object short.", "Leave stop out: json_mode ends with the object."
            )


@dataclass(frozen=True)
class TokenScore(Record):
    """A written token's text, the natural logarithm of the probability the model itself gave it, and the likeliest
    tokens there with theirs, best first."""

    text: str
    logprob: float
    likeliest: tuple[tuple[str, float], ...]


FinishReason = Literal["stop", "length", "context", "cancelled"]
"""Why an answer ended: it was complete or a stop text came; `max_tokens` were written; the model can read no more; it
was cancelled."""


@dataclass(frozen=True)
class QueryResponse(Record):
    """An answer with the memories it rests on. `confidence` in [0, 1]; `request_id` is what `feedback` takes;
    `context_size` is the tokens of memory that were given to the backend; `cost` is in US dollars."""

    text: str
    confidence: float
    model: str
    backend: str
    sources: tuple[MemoryResult, ...]
    context_size: int
    latency_ms: float
    request_id: str
    usage: Usage
    cost: float
    finish_reason: FinishReason = "stop"


@dataclass(frozen=True)
class GenerationResponse(Record):
    """What a language model wrote. Times are in milliseconds from the call; `first_token_ms` None if nothing was
    written; `scores` of each token, when asked for by `logprobs`."""

    text: str
    model: str
    backend: str
    finish_reason: FinishReason
    usage: Usage
    latency_ms: float
    first_token_ms: float | None
    scores: tuple[TokenScore, ...] = ()


@dataclass(frozen=True)
class Chunk(Record):
    """A piece of text as it was written; the last one is empty and has the whole `response`."""

    text: str
    response: GenerationResponse | None

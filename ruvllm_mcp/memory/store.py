"""The joint between memory and what keeps it: the `Store` protocol and the rows that cross it.

A store is the system of record. Every change takes the next sequence number, in commit order; a searcher catches up by
reading the changes after the last number it saw, so any number of processes share one store without talking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.filters import Filter
from ruvllm_mcp.types import Link, MemoryRecord, NamespaceInfo


@dataclass(frozen=True)
class Limits:
    """What a namespace without limits of its own may hold: memories, and bytes of content and metadata; None is no
    limit."""

    max_memories: int | None = None
    max_bytes: int | None = None


NO_LIMITS = Limits()


class Embedding(NamedTuple):
    """One memory as an embedder sees it. `vector`: float32 (d,). `token_ids`: uint32 (t,) and `token_bits`: uint8
    (t, d/8), the sign bits of the token vectors, least significant first; both empty for embedders without tokens."""

    vector: FloatArray
    token_ids: npt.NDArray[np.uint32]
    token_bits: npt.NDArray[np.uint8]


class Draft(NamedTuple):
    """A memory that was checked, redacted, analysed and embedded, ready to be written. `metadata` is JSON text;
    `trust` is an index into `TRUST_LEVELS`."""

    content: str
    content_hash: bytes
    metadata: str
    namespace: str
    kind: str
    importance: float
    source: str
    client: str
    trust: int
    created_at: float
    expires_at: float | None
    terms: bytes
    embedding: Embedding | None


class Change(NamedTuple):
    """A memory as searching needs it: everything but its text. `chain` names what it is a successive part of (source
    and session), empty where the metadata has no session; `vector` and `token_ids` are None until this embedder has
    seen it."""

    id: int
    namespace: str
    chain: str
    importance: float
    trust: int
    created_at: float
    expires_at: float | None
    analysis: int
    terms: bytes
    vector: bytes | None
    token_ids: bytes | None


@dataclass(frozen=True)
class Text:
    """What a memory's derived data is made from. `metadata` is JSON text."""

    id: int
    content_hash: bytes
    content: str
    metadata: str


@dataclass(frozen=True)
class Changes:
    """Part of what happened after a sequence number: memories as they are now and ids gone. `seq` is how far a reader
    has come that took in this and all parts before it."""

    seq: int
    changed: Sequence[Change]
    deleted: Sequence[int] = field(default_factory=tuple)


class Store(Protocol):
    """Thread-safe. Writes are durable and visible to every process when the call returns; a failed one changes
    nothing. Raises the StoreError family."""

    def sequence(self) -> int:
        """The number of the last change. Cheap: asked at every search."""
        ...

    def identity(self) -> str:
        """A name that no other store has, nor this one after a backup was restored into it."""
        ...

    def changes(self, since: int, embedder: str) -> Iterator[Changes]:
        """All changes after `since`, ascending in id, with vectors of that embedder fingerprint, in parts of one
        consistent view; `seq` moves with the last."""
        ...

    def insert(self, drafts: Sequence[Draft], embedder: str, now: float) -> list[tuple[int, bool]]:
        """Writes all in one transaction; (id, was there already) in order. A duplicate of a kept memory (same
        namespace, same text) refreshes it: metadata keys are added (and replaced, unless it is trusted less),
        importance, trust and expiry raised. NamespaceFullError when a namespace would outgrow its limits."""
        ...

    def known(self, namespace: str, hashes: Sequence[bytes]) -> set[bytes]:
        """Which of the content hashes are stored in the namespace."""
        ...

    def update(
        self, memory_id: int, columns: Mapping[str, Any], draft: Draft | None, embedder: str, now: float
    ) -> None:
        """Sets columns; with a draft also text, terms and embedding. NotFoundError when there is no such memory,
        NamespaceFullError as for `insert`."""
        ...

    def delete(self, ids: Sequence[int]) -> list[int]:
        """Deletes what is there of `ids` and returns it."""
        ...

    def merge(self, into: Mapping[int, int], now: float) -> dict[int, int]:
        """Deletes each key after giving its value what it has beyond it: links, accesses, and metadata keys unless it
        is trusted less. Returns the pairs of which both were there."""
        ...

    def records(self, ids: Sequence[int]) -> dict[int, MemoryRecord]:
        """The memories among `ids` that exist."""
        ...

    def token_bits(self, ids: Sequence[int], embedder: str) -> dict[int, bytes]:
        """The token bits of those among `ids` that have them for this embedder, as in `Embedding`, row after row."""
        ...

    def vectors(self, ids: Sequence[int], embedder: str) -> dict[int, FloatArray]:
        """Their vectors alone."""
        ...

    def store_embeddings(self, embeddings: Mapping[int, tuple[bytes, Embedding]], embedder: str) -> None:
        """Adds embeddings by memory id, each with the content hash it was made from; skips memories changed since."""
        ...

    def unembedded(self, embedder: str, limit: int) -> list[Text]:
        """Memories this embedder has not seen, oldest first."""
        ...

    def out_of_date(self, analysis: int, limit: int) -> list[Text]:
        """Memories whose terms another version of the analysis made."""
        ...

    def store_terms(self, terms: Mapping[int, bytes], analysis: int) -> None:
        """Replaces the index terms of memories."""
        ...

    def page(
        self,
        after: int,
        limit: int,
        namespaces: Sequence[str] | None,
        keep: Filter | None,
        now: float,
    ) -> list[MemoryRecord]:
        """Up to `limit` unexpired memories with id > `after`, by id, whose metadata passes `keep`. One page after the
        other gives all that were there when the first was asked for; ids are not in commit order where many write."""
        ...

    def matching(self, keep: Filter, ids: Sequence[int] | None = None) -> list[int]:
        """Which memories (of `ids`, None: of all that are in the feed) have metadata that passes `keep`."""
        ...

    def touch(self, counts: Mapping[int, tuple[int, float]]) -> None:
        """Adds to access counts and sets the time of the last access; no change in the feed."""
        ...

    def accesses(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Of the memories ever found: ids, ascending, how often, and when last."""
        ...

    def link(self, a: int, b: int, kind: str, weight: float) -> None:
        """Adds the edge or sets its weight. NotFoundError when either end is missing."""
        ...

    def unlink(self, a: int, b: int, kind: str) -> bool:
        """Removes the edge; False when there was none."""
        ...

    def links(self, ids: Sequence[int]) -> dict[int, list[Link]]:
        """Edges that touch each id, either way, heaviest first."""
        ...

    def namespaces(self) -> dict[str, NamespaceInfo]:
        """Every namespace that holds memories or has settings of its own, by name. Cheap: the counts are kept."""
        ...

    def configure(self, namespace: str, changes: Mapping[str, Any]) -> None:
        """Sets any of `max_memories`, `max_bytes` (None: no limit of its own) and `token_bits`. Switching the bits off
        deletes them; switching them on forgets the vectors too, so that both are made anew."""
        ...

    def stats(self) -> dict[str, Any]:
        """Counts and bytes, for people. `bytes_per_memory`: mean bytes of text, terms, vectors and token bits, from a
        sample where the store is large."""
        ...

    def close(self) -> None:
        """Frees files; further calls are errors."""
        ...

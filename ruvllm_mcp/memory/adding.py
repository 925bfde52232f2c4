"""Adding memories: draft, embed what is new, look for near duplicates, write all or none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import checks, drafting
from ruvllm_mcp.memory.live import LiveReplica
from ruvllm_mcp.memory.store import Draft, Store
from ruvllm_mcp.types import MemoryId, NewMemory

COMPARE_AT_ONCE = 64


def add(
    items: Sequence[NewMemory],
    store: Store,
    live: LiveReplica,
    embedder: Embedder,
    namespace: str,
    progress: drafting.Progress | None,
) -> list[MemoryId]:
    """See `Memory.add`."""
    if not isinstance(items, (list, tuple)) or len(items) > checks.MAX_ITEMS:
        raise InvalidInputError("items must be a list of at most 100,000 memories.", "Add them in parts.")
    now = time.time()
    drafts = [drafting.draft(item, namespace, now) for item in items]
    if not drafts:
        return []
    ready = _embed_new(drafts, store, embedder, progress)
    similar = _near_duplicates(ready, live) if len(ready) <= COMPARE_AT_ONCE else [()] * len(ready)
    written = store.insert(ready, embedder.fingerprint, now)
    return [
        MemoryId(number, merged=merged, similar=[near for near in close if near != number], redacted=item.redacted)
        for (number, merged), close, item in zip(written, similar, drafts, strict=True)
    ]


def _embed_new(
    drafts: Sequence[drafting.Redacted], store: Store, embedder: Embedder, progress: drafting.Progress | None
) -> Sequence[Draft]:
    """The drafts with embeddings, made once for each text that the store does not have."""
    known: set[tuple[str, bytes]] = set()
    for namespace in {item.draft.namespace for item in drafts}:
        hashes = [item.draft.content_hash for item in drafts if item.draft.namespace == namespace]
        known |= {(namespace, found) for found in store.known(namespace, hashes)}
    fresh = {
        item.draft.content_hash: item for item in drafts if (item.draft.namespace, item.draft.content_hash) not in known
    }
    made = dict(zip(fresh, drafting.embedded(list(fresh.values()), embedder, progress), strict=True))
    return [
        replace(item.draft, embedding=made[item.draft.content_hash].embedding)
        if item.draft.content_hash in made
        else item.draft
        for item in drafts
    ]


def _near_duplicates(drafts: Sequence[Draft], live: LiveReplica) -> Sequence[Sequence[int]]:
    """For each freshly embedded draft, ids in its namespace that say nearly the same, most similar first."""
    with live.lock:
        replica = live.current()
        now = time.time()
        return [
            () if draft.embedding is None else replica.near(draft.embedding.vector, draft.namespace, now)
            for draft in drafts
        ]

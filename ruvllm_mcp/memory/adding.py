"""Adding memories: draft, embed what is new, look for near duplicates, write all or none."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from ruvllm_mcp.embed.base import Embedder, FloatArray
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import checks, drafting
from ruvllm_mcp.memory.live import LiveReplica
from ruvllm_mcp.memory.replica import NEAR_DUPLICATE
from ruvllm_mcp.memory.store import Draft, Store
from ruvllm_mcp.simd import cross_dot
from ruvllm_mcp.types import MemoryId, NewMemory

Near = Sequence[tuple[float, int]]
COMPARE_AT_ONCE = 64  # so many are always compared with what is there,
COMPARE_PAIRS = 5_000_000  # more of them up to so many cosines: some tenths of a second
BLOCK = 256


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
    stored = _near_in_store(ready, live)
    together = _near_in_batch(ready) if stored is not None else {}
    written = store.insert(ready, embedder.fingerprint, now)
    return [
        MemoryId(
            number,
            merged=merged,
            similar=_closest(row, stored, together, written) if stored is not None else [],
            compared=stored is not None,
            redacted=item.redacted,
        )
        for row, ((number, merged), item) in enumerate(zip(written, drafts, strict=True))
    ]


def _closest(
    row: int, stored: Sequence[Near], together: Mapping[int, Near], written: Sequence[tuple[int, bool]]
) -> list[int]:
    """Ids of what is near the row's memory, in the store before and among those written with it, nearest first."""
    beside = [(cosine, written[other][0]) for cosine, other in together.get(row, ())]
    near = sorted([*stored[row], *beside], key=lambda near: (-near[0], near[1]))
    return [memory_id for memory_id in dict.fromkeys(item for _, item in near) if memory_id != written[row][0]]


def _embed_new(
    drafts: Sequence[drafting.Redacted], store: Store, embedder: Embedder, progress: drafting.Progress | None
) -> Sequence[Draft]:
    """The drafts with embeddings, made once for each text that the store does not have."""
    hashes: dict[str, list[bytes]] = {}
    for item in drafts:
        hashes.setdefault(item.draft.namespace, []).append(item.draft.content_hash)
    known = {namespace: store.known(namespace, given) for namespace, given in hashes.items()}
    fresh = {
        item.draft.content_hash: item.indexed
        for item in drafts
        if item.draft.content_hash not in known[item.draft.namespace]
    }
    made = dict(zip(fresh, drafting.embeddings(list(fresh.values()), embedder, progress), strict=True))
    return [item.draft._replace(embedding=made.get(item.draft.content_hash)) for item in drafts]


def _near_in_store(drafts: Sequence[Draft], live: LiveReplica) -> Sequence[Near] | None:
    """For each freshly embedded draft, cosine and id of what says nearly the same in its namespace; None when that
    would be too much work."""
    with live.lock:
        replica = live.current()
        if len(drafts) > COMPARE_AT_ONCE and len(drafts) * (replica.alive + len(drafts)) > COMPARE_PAIRS:
            return None
        now = time.time()
        return [
            () if draft.embedding is None else live.near(draft.embedding.vector, draft.namespace, now)
            for draft in drafts
        ]


def _near_in_batch(drafts: Sequence[Draft]) -> Mapping[int, Near]:
    """The same among the drafts themselves, by row."""
    found: dict[int, list[tuple[float, int]]] = {}
    spaces: dict[str, dict[bytes, tuple[int, FloatArray]]] = {}
    for row, draft in enumerate(drafts):
        if draft.embedding is not None:  # the very same text once: its copies are merged into it
            spaces.setdefault(draft.namespace, {}).setdefault(draft.content_hash, (row, draft.embedding.vector))
    for members in spaces.values():
        if len(members) == 1:
            continue
        rows = [row for row, _ in members.values()]
        vectors = np.array([vector for _, vector in members.values()])
        for start in range(0, len(rows), BLOCK):
            cosines = cross_dot(vectors[start : start + BLOCK], vectors)
            for place, other in np.argwhere(cosines >= NEAR_DUPLICATE).tolist():
                if other != start + place:
                    found.setdefault(rows[start + place], []).append((float(cosines[place, other]), rows[other]))
    return found

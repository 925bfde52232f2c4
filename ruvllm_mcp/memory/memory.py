"""The front desk of the memory room: add, search, context and the id operations, over a store and its searchable
replica.

Synchronous and thread-safe; every call catches up with what other processes wrote before it answers. Embedding happens
outside locks and transactions, so a slow model never blocks a reader.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.embed.base import Embedder, FloatArray, TokenVectors
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.memory import adding, analysis, checks, drafting, packing, snapshot, transfer, upkeep
from ruvllm_mcp.memory.access import AccessLog
from ruvllm_mcp.memory.candidates import IntArray, Question
from ruvllm_mcp.memory.filters import compile_filter
from ruvllm_mcp.memory.late import TokenSigns, rarity
from ruvllm_mcp.memory.lexical import pack
from ruvllm_mcp.memory.lifecycle import PrunePolicy, chosen
from ruvllm_mcp.memory.live import LiveReplica
from ruvllm_mcp.memory.opening import open_store
from ruvllm_mcp.memory.pushdown import Sight
from ruvllm_mcp.memory.searching import Collection, Found, rank, results
from ruvllm_mcp.memory.sets import distinct
from ruvllm_mcp.memory.store import NO_LIMITS, Limits, Store
from ruvllm_mcp.memory.teacher import Teacher
from ruvllm_mcp.memory.weights import DEFAULT, FusionWeights
from ruvllm_mcp.types import (
    TRUST_LEVELS,
    Link,
    MemoryId,
    MemoryRecord,
    NamespaceInfo,
    NewMemory,
    Page,
    PruneReport,
    SearchMode,
    Trust,
)

MemoryIds = list[MemoryId]  # named here, for inside the class `list` is a method
MODES = ("hybrid", "vector", "lexical")
UNSET: Any = object()


class Memory:
    """Memories in the folder `path`, or in the database at the address `store`. `embedder` is called at first need;
    `namespace` is where unnamed ones go; `fusion` is how a hybrid search adds its scores up; `limits` bound namespaces
    that have no limits of their own; `index` is fast (graph over int8) or small (tiers by use)."""

    def __init__(
        self,
        path: Path,
        embedder: Callable[[], Embedder],
        *,
        namespace: str,
        fusion: FusionWeights = DEFAULT,
        limits: Limits = NO_LIMITS,
        store: str = "",
        index: str = "fast",
    ) -> None:
        self.fusion = fusion
        self.namespace = checks.label(namespace, "namespace")
        self._folder = Path(path)
        self._store: Store = open_store(self._folder, store, limits)
        self._make_embedder = embedder
        self._embedder: Embedder | None = None
        self._lock = threading.Lock()
        self._live = LiveReplica(self._store, self._folder, lambda: self.embedder, index)
        self._access = AccessLog(self._store)

    @property
    def embedder(self) -> Embedder:
        """The embedder, made on first use."""
        with self._lock:
            if self._embedder is None:
                self._embedder = self._make_embedder()
            return self._embedder

    def add(self, items: Sequence[NewMemory], progress: drafting.Progress | None = None) -> MemoryIds:
        """Ids in order; all or none are written, durably, when this returns. A text already in its namespace keeps its
        id (`merged`); `similar` names memories with a cosine of at least 0.95, among those added with it too, unless
        that is too much work for a bulk load (`compared` tells). What `progress` raises ends the call with nothing
        written."""
        return adding.add(items, self._store, self._live, self.embedder, self.namespace, progress)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        namespaces: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        mode: SearchMode = "hybrid",
        min_trust: Trust = TRUST_LEVELS[0],
        teacher: Teacher | None = None,
    ) -> Found:
        """The best `k` memories for `query` that are trusted at least so far. Raises InvalidInputError for what it
        cannot understand."""
        checks.text(query, "query", checks.MAX_QUERY_BYTES)
        checks.count(k, "k")
        if mode not in MODES:
            raise InvalidInputError(f"mode is {mode!r}.", f"It takes one of {', '.join(MODES)}.")
        spaces = checks.namespaces(namespaces)
        keep = None if not where else compile_filter(where)
        least = checks.trust(min_trust, "min_trust")
        asked, question = self._question(query, teacher)
        self.catch_up()
        tokens = self.signs(question.tokens)
        taught = teacher.taught(asked, spaces, tokens) if teacher is not None and mode == "hybrid" else {}
        weights = teacher.weights(asked) if teacher is not None and mode == "hybrid" else {}
        now = time.time()
        confirmed = None if teacher is None else teacher.confirmed
        sight = Sight(spaces, keep, least, taught, now, confirmed)
        pushed = self._live.pushed_down(spaces)
        fingerprint = self.embedder.fingerprint
        if pushed is not None:
            ranked = rank(question, pushed.collection(question, sight, fingerprint), k, mode, weights, self.fusion)
        else:
            with self._live.lock:
                seen = Collection(self._live.latest(), self._store, fingerprint, question, sight)
                ranked = rank(question, seen, k, mode, weights, self.fusion)
        hits = results(ranked, k, self._store)
        self._access.note([hit.id for hit in hits], now)
        return Found(hits, asked, ranked, tokens)

    def _question(self, query: str, teacher: Teacher | None) -> tuple[FloatArray, Question]:
        encoded = self.embedder.encode([query], tokens=self.embedder.has_tokens)
        asked = encoded.vectors[0]
        vector = asked if teacher is None else teacher.adapt(asked)
        tokens = None if encoded.tokens is None else encoded.tokens[0]
        return asked, Question(query, asked, vector, tokens, distinct(analysis.question_terms(query)))

    def signs(self, tokens: TokenVectors | None) -> TokenSigns | None:
        """What is kept of a question's tokens, weighted by how rare they are here."""
        if tokens is None:
            return None
        with self._live.lock:
            frequency = self._live.latest().frequency_of(tokens.ids.astype(np.uint32))
        return TokenSigns.of(tokens, rarity(*frequency))

    def catch_up(self) -> None:
        """Takes in what was committed so far, so that the next search need not."""
        with self._live.lock:
            self._live.current()

    def reembed(self, progress: drafting.Progress | None = None) -> int:
        """Embeds every memory that this embedder has not seen (another one wrote them); returns how many. Searches see
        to it by themselves, in the background; until then such memories are found by their words only. `progress` is
        called with how many are done and of how many; what it raises ends the call, what is done stays."""
        return upkeep.reembed(self._store, self.embedder, progress=progress, total=self.unembedded())

    def unembedded(self) -> int:
        """How many memories this embedder has not seen yet."""
        with self._live.lock:
            return self._live.current().unembedded

    def context(self, query: str, max_tokens: int, k: int = 50, **search: Any) -> tuple[packing.Packed, Found]:
        """The best memories packed into at most `max_tokens` of the embedder's tokens, without repetition; `search`
        takes what `search()` takes. Sources are the hits quoted, in the order quoted."""
        checks.count(max_tokens, "max_tokens")
        found = self.search(query, k, **search)
        rows = self._store.vectors([hit.id for hit in found.hits], self.embedder.fingerprint)
        blank = np.zeros(self.embedder.dim, np.float32)
        vectors = np.array([rows.get(hit.id, blank) for hit in found.hits]).reshape(-1, self.embedder.dim)
        return packing.pack(found.hits, vectors, max_tokens, self.embedder.count_tokens), found

    def get(self, memory_id: int) -> MemoryRecord:
        """The memory, whole. NotFoundError when there is none or it has expired."""
        record = self._store.records([checks.memory_id(memory_id)]).get(memory_id)
        if record is None or (record.expires_at is not None and record.expires_at <= time.time()):
            raise NotFoundError(f"There is no memory {memory_id}.", "It may have been deleted or have expired.")
        return record

    def vectors(self, ids: IntArray) -> FloatArray:
        """The unit vectors of memories, float32 (n, d), as the index keeps them; zeros for those without one."""
        with self._live.lock:
            replica = self._live.current()
            table = np.zeros((len(ids), self.embedder.dim), np.float32)
            rows = replica.find(ids.tolist())
            known = np.isin(ids, replica.rows("ids")[rows])
            table[known] = replica.vectors.rows(rows)
        for memory_id, vector in self._store.vectors(ids[~known].tolist(), self.embedder.fingerprint).items():
            table[ids == memory_id] = vector
        return table

    def existing(self, ids: Sequence[int]) -> set[int]:
        """Which of `ids` are stored memories."""
        return set(self._store.records(ids))

    def update(
        self,
        memory_id: int,
        *,
        content: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        importance: float | None = None,
        kind: str | None = None,
        source: str | None = None,
        namespace: str | None = None,
        ttl: float | None = UNSET,
        trust: Trust | None = None,
        by: Trust = TRUST_LEVELS[-1],
    ) -> MemoryRecord:
        """Changes what is given and returns the memory as it is now. `metadata` replaces the old as a whole; `ttl`
        counts from now, None for ever. `by` is how far the one who makes the change is trusted: a memory whose text,
        metadata, kind, source or trust it changes is trusted no further."""
        now = time.time()
        old = self.get(memory_id)
        item = NewMemory(
            content=old.content if content is None else content,
            metadata=old.metadata if metadata is None else metadata,
            namespace=old.namespace if namespace is None else namespace,
            kind=old.kind if kind is None else kind,
            importance=old.importance if importance is None else importance,
            source=old.source if source is None else source,
            ttl=None if ttl is UNSET else ttl,
            trust=old.trust if trust is None else trust,
        )
        new = drafting.draft(item, self.namespace, now)
        columns = {name: getattr(new.draft, name) for name in ("metadata", "namespace", "kind", "importance", "source")}
        level = new.draft.trust
        said = (content, metadata, kind, source, namespace, trust)
        columns["trust"] = min(level, checks.trust(by, "by")) if any(item is not None for item in said) else level
        if ttl is not UNSET:
            columns["expires_at"] = new.draft.expires_at
        terms = pack(analysis.memory_terms(old.content, old.metadata))
        is_reworded = new.draft.terms != terms or new.indexed != analysis.indexed_text(old.content, old.metadata)
        draft = None
        if is_reworded:
            draft = new.draft._replace(embedding=next(drafting.embeddings([new.indexed], self.embedder)))
        self._store.update(memory_id, columns, draft, self.embedder.fingerprint, now)
        return self.get(memory_id)

    def delete(self, memory_id: int) -> None:
        """Forgets it. NotFoundError when there is none."""
        if not self._store.delete([checks.memory_id(memory_id)]):
            raise NotFoundError(f"There is no memory {memory_id}.", "It may have been deleted already.")

    def list(
        self,
        cursor: str | None = None,
        limit: int = 100,
        *,
        namespaces: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Page:
        """Memories by id, `limit` (1 to 1,000) at a time; hand `next_cursor` back for the next page."""
        checks.count(limit, "limit")
        after = 0 if cursor is None else _read_cursor(cursor)
        keep = None if not where else compile_filter(where)
        wanted = min(limit, 1_000)
        items = self._store.page(after, wanted + 1, checks.namespaces(namespaces), keep, time.time())
        more = len(items) > wanted
        return Page(tuple(items[:wanted]), _write_cursor(items[wanted - 1].id) if more else None)

    def prune(
        self, policy: PrunePolicy, *, namespaces: Sequence[str] | None = None, dry_run: bool = False
    ) -> PruneReport:
        """Deletes what breaks the policy, or only tells what it would delete. What goes because another memory says
        nearly the same hands its links, accesses and metadata to that one."""
        self._access.flush()
        now = time.time()
        records = self._records(checks.namespaces(namespaces), 0.0)
        ids, into = chosen(records, policy, now, lambda record: self._near(record, policy.similar_above or 1.0))
        if not dry_run and ids:
            into = self._store.merge(into, now) if into else into
            ids = sorted([*into, *self._store.delete([memory_id for memory_id in ids if memory_id not in into])])
        return PruneReport(tuple(ids), dry_run, into)

    def _near(self, record: MemoryRecord, threshold: float) -> Sequence[int]:
        """Ids in the record's namespace, its own included, whose cosine with it reaches the threshold."""
        vector = self._store.vectors([record.id], self.embedder.fingerprint).get(record.id)
        if vector is None:
            return ()
        with self._live.lock:
            self._live.current()
            near = self._live.near(vector, record.namespace, time.time(), threshold, limit=100)
        return [memory_id for _, memory_id in near]

    def records(self, namespaces: Sequence[str] | None = None) -> Iterator[MemoryRecord]:
        """Every unexpired memory, by id."""
        return self._records(checks.namespaces(namespaces), time.time())

    def _records(self, namespaces: Sequence[str] | None, now: float) -> Iterator[MemoryRecord]:
        after = 0
        while page := self._store.page(after, 1_000, namespaces, None, now):
            yield from page
            after = page[-1].id

    def link(self, a: int, b: int, kind: str = "related", weight: float = 1.0) -> None:
        """Adds an edge from `a` to `b`, or sets its weight (in [-1, 1])."""
        if checks.memory_id(a) == checks.memory_id(b):
            raise InvalidInputError(f"Memory {a} cannot be linked to itself.", "Name two memories.")
        self._store.link(a, b, checks.kind(kind), checks.number(weight, "weight", -1, 1))

    def unlink(self, a: int, b: int, kind: str = "related") -> None:
        """Removes an edge. NotFoundError when there is none."""
        if not self._store.unlink(checks.memory_id(a), checks.memory_id(b), checks.kind(kind)):
            raise NotFoundError(f"{a} and {b} have no link of kind {kind!r}.", "See `neighbours`.")

    def neighbours(self, memory_id: int) -> tuple[Link, ...]:
        """The edges that touch a memory, either way, heaviest first."""
        return tuple(self._store.links([self.get(memory_id).id])[memory_id])

    def namespaces(self) -> dict[str, NamespaceInfo]:
        """Every namespace that holds memories or has settings of its own, by name."""
        return self._store.namespaces()

    def configure(
        self,
        namespace: str,
        *,
        max_memories: int | None = UNSET,
        max_bytes: int | None = UNSET,
        token_bits: bool = UNSET,
    ) -> NamespaceInfo:
        """Changes what is given of a namespace and returns how it is now. A limit of None is the settings' one; a limit
        lower than what is there only stops growth. Without `token_bits` a memory takes a fraction of the disk and late
        interaction leaves it out; switched on again, they and the vectors are made anew."""
        name = checks.label(namespace, "namespace")
        changes: dict[str, Any] = {}
        for key, value in (("max_memories", max_memories), ("max_bytes", max_bytes)):
            if value is not UNSET:
                changes[key] = None if value is None else checks.count(value, key, 0)
        if token_bits is not UNSET:
            changes["token_bits"] = checks.flag(token_bits, "token_bits")
        self._store.configure(name, changes)
        return self.namespaces().get(name, NamespaceInfo(0, 0))

    def stats(self) -> dict[str, Any]:
        """Counts and bytes of the store."""
        counts = {name: info.memories for name, info in self.namespaces().items()}
        described = snapshot.described(self._folder)
        return {**self._store.stats(), "namespaces": counts, "unembedded": self.unembedded(), "indexes": described}

    def export_jsonl(self, path: Path, *, namespaces: Sequence[str] | None = None) -> int:
        """Writes every unexpired memory to a JSON Lines file; returns how many."""
        return transfer.write_lines((record.to_dict() for record in self.records(namespaces)), Path(path))

    def import_jsonl(self, path: Path) -> MemoryIds:
        """Adds the memories of such a file, all or none; those already here keep their ids."""
        now = time.time()
        read = (transfer.read_memory(item, place, now) for place, item in transfer.read_lines(Path(path)))
        return self.add(list(islice((item for item in read if item is not None), checks.MAX_ITEMS + 1)))

    def close(self) -> None:
        """Writes what was only noted (access counts, the index of a large store) and frees the files."""
        self._access.flush()
        self._live.close()
        self._store.close()


def _write_cursor(after: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"after": after}).encode()).decode()


def _read_cursor(cursor: Any) -> int:
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor))["after"]
        return checks.count(after, "cursor", 0)
    except (TypeError, ValueError, KeyError, binascii.Error, RecursionError):
        raise InvalidInputError(f"cursor {str(cursor)[:80]!r} is none of ours.", "Pass a page's next_cursor.") from None

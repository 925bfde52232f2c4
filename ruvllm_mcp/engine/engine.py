"""RuvLLM: the whole journey of a question, one call a step.

    text ─▶ embed ─▶ memory.search ─▶ backend ─▶ response ─▶ feedback ─▶ (better search)

Every method is async at the edge and plain inside: the work runs on a worker thread, over parts that are opened by the
first call that needs them (`parts.py`). Many engines, in one process or several, may share one home.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from ruvllm_mcp.engine.generation import GenerationCalls
from ruvllm_mcp.engine.learning import LearningCalls
from ruvllm_mcp.engine.trace import Meter
from ruvllm_mcp.errors import InvalidInputError, RuvLLMError
from ruvllm_mcp.reports import FeedbackReceipt, StateReport, Stats
from ruvllm_mcp.settings import Settings
from ruvllm_mcp.types import (
    Context,
    Link,
    MemoryHits,
    MemoryId,
    MemoryRecord,
    Metadata,
    NamespaceInfo,
    NewMemory,
    Page,
    PruneReport,
    SearchMode,
    Trust,
)

if TYPE_CHECKING:
    from ruvllm_mcp.embed.base import FloatArray
    from ruvllm_mcp.engine.parts import Parts
    from ruvllm_mcp.memory.lifecycle import PrunePolicy

T = TypeVar("T")
Where = Mapping[str, Any]
Namespaces = str | Sequence[str] | None
EVERYWHERE = "*"
SHARED_NAMESPACE = "global"


class RuvLLM(GenerationCalls, LearningCalls):
    """A memory that answers, and improves with feedback: `async with RuvLLM() as llm: ...`.

    `settings` are taken as given; without them `Settings.load(**overrides)` reads environment and files. Opening
    loads nothing. A `namespace` argument is one name, several, `"*"` for all, or None: the project's own and `global`.
    Raises errors of the RuvLLMError family only; a call that raises has changed nothing.
    """

    def __init__(self, settings: Settings | None = None, **overrides: Any) -> None:
        if settings is not None and overrides:
            raise InvalidInputError("Both settings and overrides were given.", "Give one of them.")
        self.settings = settings or Settings.load(**overrides)
        self._parts: Parts | None = None
        self._opening = threading.Lock()
        self._meter = Meter()
        self._closed = False

    async def __aenter__(self) -> RuvLLM:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close store and workers. Calling it again does nothing; other calls then raise."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    async def warm_up(self) -> None:
        """Open the store and load the embedder now, so that the first search is as quick as the next ones."""
        await self._run("warm_up", lambda parts: parts.warm_up())

    # Memory

    async def add_memory(
        self,
        content: str,
        metadata: Metadata | None = None,
        *,
        namespace: str | None = None,
        kind: str = "note",
        importance: float = 0.5,
        ttl: float | None = None,
        source: str = "",
        client: str = "",
        trust: Trust = "trusted",
    ) -> MemoryId:
        """Remember one text; durable when it returns. See `add_memories`."""
        item = NewMemory(content, metadata or {}, namespace, kind, importance, ttl, source, client, trust=trust)
        return (await self.add_memories([item]))[0]

    async def add_memories(
        self,
        items: Sequence[str | Mapping[str, Any] | NewMemory],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[MemoryId]:
        """Remember texts, all or none; ids in order, durable when it returns.

        The very same content in the same namespace is kept once (its id comes back with `merged`); near duplicates
        are reported in `similar`; secrets are blanked out before anything is written and counted in `redacted`.
        `progress` is called in the worker's thread with how many texts are embedded and of how many; what it raises
        ends the call with nothing written.
        """
        given = [new_memory(item) for item in _listed(items)]
        return await self._run("add_memories", lambda parts: parts.memory.add(given, progress))

    async def search_memory(
        self,
        query: str,
        k: int = 10,
        *,
        namespace: Namespaces = None,
        where: Where | None = None,
        mode: SearchMode = "hybrid",
        min_trust: Trust = "untrusted",
    ) -> MemoryHits:
        """The `k` best memories for `query`, best first.

        `mode`: hybrid (all that is known), vector (cosine alone), lexical (BM25 alone). `where` filters on metadata,
        e.g. `{"framework": "pytest", "priority": {"$in": ["high"]}}`; `min_trust` leaves out what is trusted less.
        Hand `request_id` to `feedback`.
        """
        started = time.perf_counter()
        scope = self._scope(namespace)

        def search(parts: Parts) -> MemoryHits:
            found = parts.search(query, k, namespaces=scope, where=where, mode=mode, min_trust=min_trust)
            return MemoryHits(found.hits, found.request_id, query, mode, _milliseconds_since(started))

        return await self._run("search_memory", search)

    async def context(
        self,
        query: str,
        max_tokens: int = 1000,
        *,
        namespace: Namespaces = None,
        where: Where | None = None,
        min_trust: Trust = "untrusted",
    ) -> Context:
        """The best memories for `query`, redundancy removed, packed into at most `max_tokens` tokens with sources."""
        scope = self._scope(namespace)
        return await self._run("context", lambda parts: parts.context(query, max_tokens, scope, where, min_trust))

    async def get_memory(self, id: int) -> MemoryRecord:
        """The memory of that id. Raises NotFoundError."""
        return await self._run("get_memory", lambda parts: parts.memory.get(id))

    async def update_memory(self, id: int, **changes: Any) -> MemoryRecord:
        """Change `content`, `metadata` (replaced whole), `kind`, `importance`, `ttl` or `trust`; what is not named
        stays. `by`: how far the one who makes the change is trusted, which bounds the trust of what it changes."""
        return await self._run("update_memory", lambda parts: parts.memory.update(id, **changes))

    async def delete_memory(self, id: int) -> None:
        """Forget one memory, its links and what was learned about it. Raises NotFoundError."""
        await self._run("delete_memory", lambda parts: parts.memory.delete(id))

    async def list_memories(
        self,
        *,
        cursor: str | None = None,
        limit: int = 100,
        namespace: Namespaces = None,
        where: Where | None = None,
    ) -> Page:
        """One page of memories, oldest first; hand `next_cursor` back for the next page."""
        scope = self._scope(namespace)
        return await self._run(
            "list_memories", lambda parts: parts.memory.list(cursor=cursor, limit=limit, namespaces=scope, where=where)
        )

    async def prune_memory(
        self, policy: PrunePolicy, *, namespace: Namespaces = None, dry_run: bool = False
    ) -> PruneReport:
        """Remove what breaks the policy; with `dry_run` only tell what it would be."""
        scope = self._scope(namespace)
        return await self._run(
            "prune_memory", lambda parts: parts.memory.prune(policy, namespaces=scope, dry_run=dry_run)
        )

    async def link_memories(self, a: int, b: int, kind: str = "related", weight: float = 1.0) -> None:
        """Add an edge from `a` to `b`, weight in [-1, 1]; the same link again sets its weight."""
        await self._run("link_memories", lambda parts: parts.memory.link(a, b, kind, weight))

    async def neighbours(self, id: int) -> tuple[Link, ...]:
        """What a memory is linked to, strongest first."""
        return await self._run("neighbours", lambda parts: parts.memory.neighbours(id))

    async def namespaces(self) -> dict[str, NamespaceInfo]:
        """Every namespace by name: what it holds and may hold."""
        return await self._run("namespaces", lambda parts: parts.memory.namespaces())

    async def reembed(self, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Embed now what another embedder wrote, instead of waiting for the background; returns how many memories."""
        return await self._run("reembed", lambda parts: parts.memory.reembed(progress))

    async def configure_namespace(self, namespace: str, **changes: Any) -> NamespaceInfo:
        """Change a namespace's `max_memories`, `max_bytes` (None: the settings' limit) or `token_bits`."""
        return await self._run("configure_namespace", lambda parts: parts.memory.configure(namespace, **changes))

    # Feedback

    async def feedback(
        self,
        request_id: str,
        *,
        rating: int | None = None,
        relevant: Sequence[int] | None = None,
        irrelevant: Sequence[int] | None = None,
        correction: str | None = None,
        task_success: bool | None = None,
        client: str = "",
        trust: Trust = "trusted",
    ) -> FeedbackReceipt:
        """Say what a search or query was worth; the next similar question is ranked by it, in every process.

        `rating` 1 (useless) to 5; `relevant` and `irrelevant` are memory ids; `correction` is remembered as a memory
        of its own, as far as `trust` says; `task_success` tells whether what followed worked. Raises NotFoundError for
        an unknown request.
        """
        from ruvllm_mcp.learning.feedback import Feedback

        said = Feedback(
            rating=rating,
            relevant=tuple(_listed(relevant or ())),
            irrelevant=tuple(_listed(irrelevant or ())),
            correction=correction,
            task_success=task_success,
            client=client,
        )
        return await self._run("feedback", lambda parts: parts.feedback(request_id, said, trust))

    async def embed(self, text: str) -> FloatArray:
        """The unit vector of a text, float32 (d,)."""
        vector: FloatArray = (await self.embed_many([text]))[0]
        return vector

    async def embed_many(self, texts: Sequence[str]) -> FloatArray:
        """The unit vectors of texts, float32 (n, d)."""
        given = _listed(texts)
        return await self._run("embed", lambda parts: parts.embed(given))

    async def similarity(self, a: str, b: str) -> float:
        """Cosine of the two texts' vectors, in [-1, 1]."""
        vectors = await self.embed_many([a, b])
        return float(min(1.0, max(-1.0, vectors[0] @ vectors[1])))

    # State

    async def stats(self) -> Stats:
        """What is stored, what was learned, and how long calls took in this process."""
        return await self._run("stats", lambda parts: parts.stats(self._meter.report()))

    async def export_state(self, path: str | os.PathLike[str]) -> StateReport:
        """Write every memory, link and feedback to one file of JSON lines, readable by its owner alone."""
        from ruvllm_mcp.engine import state

        return await self._run("export_state", lambda parts: state.write(parts.memory, parts.sona, Path(path)))

    async def import_state(self, path: str | os.PathLike[str]) -> StateReport:
        """Add what a file of `export_state` holds; what is known already is kept once. InvalidInputError if damaged."""
        from ruvllm_mcp.engine import state

        return await self._run("import_state", lambda parts: state.read(parts.memory, parts.sona, Path(path)))

    def _check_open(self) -> None:
        if self._closed:
            raise RuvLLMError("This engine is closed.", "Open a new one: async with RuvLLM() as llm.")

    async def _run(self, operation: str, work: Callable[[Parts], T]) -> T:
        self._check_open()
        with self._meter.measure(operation):
            return await anyio.to_thread.run_sync(lambda: work(self._open()))

    def _open(self) -> Parts:
        """The parts, imported and made by the first call: a door can answer its first greeting before that."""
        from ruvllm_mcp.engine.parts import Parts

        with self._opening:
            if self._parts is None:
                self._parts = Parts(self.settings)
            return self._parts

    def _close(self) -> None:
        with self._opening:
            if self._parts is not None:
                self._parts.close()

    def _scope(self, namespace: Namespaces) -> tuple[str, ...] | None:
        if namespace is None:
            return tuple(dict.fromkeys((self.settings.namespace, SHARED_NAMESPACE)))
        if namespace == EVERYWHERE:
            return None
        return (namespace,) if isinstance(namespace, str) else tuple(_listed(namespace))


def new_memory(item: str | Mapping[str, Any] | NewMemory) -> NewMemory:
    """A `NewMemory` from what `add_memories` accepts. Raises InvalidInputError naming the unknown field."""
    if isinstance(item, NewMemory):
        return item
    if isinstance(item, Mapping):
        unknown = sorted(str(key) for key in item if key not in NewMemory.__dataclass_fields__)
        if unknown or "content" not in item:
            problem = f"Unknown field {unknown[0]!r}." if unknown else "A memory has no content."
            raise InvalidInputError(problem, f"Fields: {', '.join(NewMemory.__dataclass_fields__)}.")
        return NewMemory(**item)
    return NewMemory(item)


def _listed(items: Sequence[T]) -> list[T]:
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Sequence):
        raise InvalidInputError(f"A list was expected, not {type(items).__name__}.", "Put a single item into a list.")
    return list(items)


def _milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3

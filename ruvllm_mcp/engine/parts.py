"""The engine's rooms, opened by the first call that needs them and closed together.

Opening is cheap and happens once, under a lock; the embedder's weights are read only when a text is to be embedded.
Everything here is plain and thread-safe: the engine calls it from worker threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ruvllm_mcp import __version__, embed
from ruvllm_mcp.embed.base import Embedder, FloatArray
from ruvllm_mcp.engine.trace import Latency
from ruvllm_mcp.engine.workers import Caretaker
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.sona import SonaEngine
from ruvllm_mcp.learning.trajectory import Candidates, Trajectory, new_request_id
from ruvllm_mcp.llm.backends.registry import Backends
from ruvllm_mcp.memory import checks
from ruvllm_mcp.memory.journal import open_journal
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.opening import journal_place
from ruvllm_mcp.memory.searching import Found
from ruvllm_mcp.memory.store import Limits
from ruvllm_mcp.reports import FeedbackReceipt, Stats
from ruvllm_mcp.settings import Settings
from ruvllm_mcp.simd import simd_info
from ruvllm_mcp.types import Context, MemoryResult, NewMemory, SearchMode, Trust

KEPT_CANDIDATES = 100
CORRECTION_IMPORTANCE = 0.8


@dataclass(frozen=True)
class Recalled:
    """A recorded search: what was found, and the id by which feedback names it."""

    hits: tuple[MemoryResult, ...]
    request_id: str


class Parts:
    """Memory, learning and backends of one engine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._memory: Memory | None = None
        self._sona: SonaEngine | None = None
        self._caretaker: Caretaker | None = None
        self.backends = Backends(
            self.embedder,
            settings.home,
            warm=settings.warm_pool_size,
            most_bytes=settings.model_memory * 1_000_000,
            threads=settings.threads,
        )

    def embedder(self) -> Embedder:
        return embed.load(self._settings.embedder, self._settings.threads)

    @property
    def memory(self) -> Memory:
        with self._lock:
            if self._memory is None:
                settings = self._settings
                self._memory = Memory(
                    settings.home,
                    self.embedder,
                    namespace=settings.namespace,
                    limits=Limits(settings.max_memories or None, settings.max_bytes or None),
                    store=settings.store,
                    index=settings.index,
                )
            return self._memory

    @property
    def sona(self) -> SonaEngine:
        with self._lock:
            if self._sona is None:
                settings, embedder = self._settings, self.memory.embedder
                journal = open_journal(journal_place(settings.home, settings.store))
                self._sona = SonaEngine(
                    journal,
                    embedder.fingerprint,
                    embedder.dim,
                    self.memory.existing,
                    self.memory.vectors,
                    micro_lora=settings.micro_lora,
                )
                after = self._settings.auto_consolidate_interval
                if self._settings.learning_enabled and after:
                    self._caretaker = Caretaker(partial(self._sona.run_if_due, after))
            return self._sona

    def warm_up(self) -> None:
        self.embedder().encode(["warm up"])
        self.memory.catch_up()
        self.sona.stats()

    def close(self) -> None:
        with self._lock:
            if self._caretaker is not None:
                self._caretaker.stop()
            self.backends.close()
            for part in (self._sona, self._memory):
                if part is not None:
                    part.close()

    def search(
        self,
        query: str,
        k: int,
        *,
        namespaces: Sequence[str] | None,
        where: Mapping[str, Any] | None,
        mode: SearchMode,
        min_trust: Trust,
    ) -> Recalled:
        """Search, and keep what feedback will need of it."""
        found = self.memory.search(
            query, k, namespaces=namespaces, where=where, mode=mode, min_trust=min_trust, teacher=self._teacher()
        )
        return Recalled(found.hits, self._recorded(query, namespaces, found, found.hits))

    def context(
        self,
        query: str,
        max_tokens: int,
        namespaces: Sequence[str] | None,
        where: Mapping[str, Any] | None,
        min_trust: Trust,
    ) -> Context:
        packed, found = self.memory.context(
            query, max_tokens, namespaces=namespaces, where=where, min_trust=min_trust, teacher=self._teacher()
        )
        request_id = self._recorded(query, namespaces, found, packed.sources)
        return Context(packed.text, packed.sources, packed.tokens, max_tokens, request_id)

    def feedback(self, request_id: str, said: Feedback, trust: Trust) -> FeedbackReceipt:
        """Learn from what was said. A correction first becomes a memory of its own, where the question was asked."""
        if said.correction is not None:
            trajectory = self.sona.checked(request_id, said)
            namespace = trajectory.namespaces[0] if trajectory.namespaces else None
            item = NewMemory(
                said.correction,
                {"question": trajectory.query},
                namespace,
                kind="correction",
                importance=CORRECTION_IMPORTANCE,
                source="feedback",
                client=said.client,
                trust=trust,
            )
            said = replace(said, correction_id=int(self.memory.add([item])[0]))
        return self.sona.feedback(request_id, said)

    def embed(self, texts: list[str]) -> FloatArray:
        for text in texts:
            checks.text(text, "text", checks.MAX_CONTENT_BYTES)
        return self.embedder().encode(texts).vectors

    def stats(self, operations: Mapping[str, Latency]) -> Stats:
        stored, learned = self.memory.stats(), self.sona.stats()
        return Stats(
            version=__version__,
            home=str(self._settings.home),
            store=stored["path"],
            namespace=self._settings.namespace,
            embedder=self.memory.embedder.fingerprint,
            instruction_set=str(simd_info()["instruction_set"]),
            memories=stored["memories"],
            links=stored["links"],
            namespaces=stored["namespaces"],
            store_bytes=stored["bytes"],
            bytes_per_memory=stored["bytes_per_memory"],
            indexes=stored["indexes"],
            unembedded=stored["unembedded"],
            requests=learned["trajectories"],
            feedbacks=learned["feedback"],
            rated_questions=learned["rated_questions"],
            learned_version=learned["version"],
            patterns=learned["patterns"],
            operations=operations,
        )

    def _teacher(self) -> SonaEngine | None:
        return self.sona if self._settings.learning_enabled else None

    def _recorded(
        self, query: str, namespaces: Sequence[str] | None, found: Found, shown: tuple[MemoryResult, ...]
    ) -> str:
        ranked, at = found.candidates, time.time()
        names = tuple(ranked.parts)
        parts = np.stack(
            [ranked.parts[name][:KEPT_CANDIDATES] / ranked.weights.get(name, 1.0) for name in names], axis=1
        )
        trajectory = Trajectory(
            request_id=new_request_id(at),
            at=at,
            client="",
            namespaces=tuple(namespaces or ()),
            query=query,
            fingerprint=self.memory.embedder.fingerprint,
            vector=found.query_vector,
            candidates=Candidates(ranked.ids[:KEPT_CANDIDATES], names, parts.astype(np.float32)),
            shown=tuple(hit.id for hit in shown),
            version=self.sona.version_for(found.query_vector),
            tokens=found.tokens,
        )
        self.sona.record(trajectory)
        return trajectory.request_id

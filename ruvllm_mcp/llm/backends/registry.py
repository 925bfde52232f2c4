"""The backends in use, by name: made when first asked for, kept while there is room, the least lately used given up.

`extractive` and `echo` cost nothing. Every other name is a language model's, registered or a path; a model stays
loaded, warm for the next question, until `warm` newer ones are, or all together take more than `most_bytes`. One
that is writing stays until it has finished.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.errors import BackendError
from ruvllm_mcp.llm.backends.base import Backend
from ruvllm_mcp.llm.backends.echo import Echo
from ruvllm_mcp.llm.backends.extractive import Extractive


@dataclass
class _Entry:
    """A backend, how many are using it, and what it takes in memory."""

    backend: Backend
    bytes: int
    users: int = 0


class Backends:
    """Thread-safe; `close` ends all of them."""

    def __init__(
        self, embedder: Callable[[], Embedder], home: Path, *, warm: int, most_bytes: int, threads: int
    ) -> None:
        self._embedder = embedder
        self._home = home
        self._warm = warm
        self._most_bytes = most_bytes
        self._threads = threads
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._is_closed = False

    @contextmanager
    def use(self, name: str) -> Iterator[Backend]:
        """The backend of that name, for the length of the block. Raises ModelError if there is none."""
        entry = self._taken(name)
        try:
            yield entry.backend
        finally:
            with self._lock:
                entry.users -= 1
                given_up = self._given_up()
            for backend in given_up:
                backend.close()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.backend.close()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the models in memory, the least lately used first."""
        with self._lock:
            return tuple(name for name, entry in self._entries.items() if entry.bytes)

    def _taken(self, name: str) -> _Entry:
        with self._loading:  # two that ask for the same model wait for one loading of it
            with self._lock:
                entry = self._entries.pop(name, None)
            if entry is None:
                entry = self._made(name)
            with self._lock:
                if self._is_closed:
                    entry.backend.close()
                    raise BackendError("The engine is closed.", "Open a new one.")
                self._entries[name] = entry
                entry.users += 1
            return entry

    def _given_up(self) -> list[Backend]:
        """Takes out models that are too many or too large together and not in use."""
        given_up = []
        for name, entry in list(self._entries.items()):
            models = [other for other in self._entries.values() if other.bytes]
            is_too_much = len(models) > self._warm or sum(other.bytes for other in models) > self._most_bytes
            if entry.bytes and not entry.users and is_too_much and len(models) > 1:
                given_up.append(self._entries.pop(name).backend)
        return given_up

    def _made(self, name: str) -> _Entry:
        if name == "extractive":
            return _Entry(Extractive(self._embedder), 0)
        if name == "echo":
            return _Entry(Echo(self._embedder), 0)
        from ruvllm_mcp.llm import registry
        from ruvllm_mcp.llm.backends.native import Native
        from ruvllm_mcp.llm.loaded import load
        from ruvllm_mcp.native.lib import nogil

        nogil.rv_llm_set_threads(self._threads)
        loaded = load(registry.find(self._home, name))
        return _Entry(Native(Path(name).stem, loaded), loaded.model.checkpoint.weight_bytes)

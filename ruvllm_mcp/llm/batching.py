"""All answers that one model is writing, advanced together, one token each a step, by one thread.

An answer joins at the next step and leaves as soon as it is complete or cancelled; prompts are read in pieces, so that
a long one does not hold up the others for long. Reading weights from memory is what a step costs, and it is done once
for all of them. Whoever is in the batch, each answer is the one it would be alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import numpy as np

from ruvllm_mcp.errors import BackendError, RuvLLMError
from ruvllm_mcp.llm.model import Cache, CancelledError, Model, Part
from ruvllm_mcp.llm.prefixes import COMPUTED_AGAIN, Prefixes
from ruvllm_mcp.llm.writing import Writing
from ruvllm_mcp.native.lib import nogil_ffi

TOGETHER = 8
PROMPT_PIECE = 512


class Request:
    """One answer on its way. `written` text comes through `wait`."""

    def __init__(self, writing: Writing, cancelled: Callable[[], None]) -> None:
        self.writing = writing
        self.cache: Cache | None = None
        self.is_cancelled = False
        self._pieces: SimpleQueue[str | RuvLLMError | None] = SimpleQueue()
        self._tell = cancelled

    def wait(self, written: Callable[[str], None]) -> None:
        """Calls `written` with each piece of text as it comes, until the answer ends. Raises what ended it early; what
        `written` raises cancels it."""
        try:
            while (piece := self._pieces.get()) is not None:
                if isinstance(piece, RuvLLMError):
                    raise piece
                written(piece)
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Ends the answer within a token, with what is written so far. Thread-safe; too late is no error."""
        self.is_cancelled = True
        self._tell()

    @property
    def next_tokens(self) -> list[int]:
        """What the model has not read yet, or as much of it as is read in one step."""
        assert self.cache is not None
        left = self.writing.tokens[len(self.cache) :]
        if len(left) <= PROMPT_PIECE:
            return left
        return left[: min(PROMPT_PIECE, len(left) - COMPUTED_AGAIN)]

    def put(self, piece: str) -> None:
        if piece:
            self._pieces.put(piece)

    def end(self, error: RuvLLMError | None = None) -> None:
        self._pieces.put(error)


class Batcher:
    """Runs requests on a model. Thread-safe; its thread starts with the first request and ends with `close`."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prefixes = Prefixes(model)
        self._wake = threading.Condition()
        self._waiting: list[Request] = []
        self._running: list[Request] = []
        self._interrupt = nogil_ffi.new("int *")
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def start(self, writing: Writing) -> Request:
        """Begin an answer. Raises BackendError once the batcher is closed."""
        request = Request(writing, self._interrupted)
        with self._wake:
            if self._is_closed:
                raise BackendError("The model was unloaded.", "Ask again.")
            self._waiting.append(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ruvllm-batcher", daemon=True)
                self._thread.start()
            self._wake.notify()
        return request

    def close(self) -> None:
        """Cancel what runs and end the thread."""
        with self._wake:
            self._is_closed = True
            for request in (*self._waiting, *self._running):
                request.is_cancelled = True
            self._interrupt[0] = 1
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_idle(self) -> bool:
        with self._wake:
            return not self._waiting and not self._running

    def _interrupted(self) -> None:
        with self._wake:
            self._interrupt[0] = 1
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._running or self._is_closed):
                    self._wake.wait()
                self._interrupt[0] = 0
                if self._is_closed and not self._waiting and not self._running:
                    return
                self._admit()
            self._step()

    def _admit(self) -> None:
        """Who waited may run, while there is room; who was cancelled meanwhile comes to leave."""
        leaving = [request for request in self._waiting if request.is_cancelled]
        wanting = [request for request in self._waiting if not request.is_cancelled]
        room = TOGETHER - len(self._running)
        self._running += [*leaving, *wanting[:room]]
        self._waiting = wanting[room:]

    def _step(self) -> None:
        """One pass of the model over all running requests; whatever fails ends those it was for."""
        for request in tuple(self._running):
            if request.is_cancelled:
                request.writing.finish_reason = "cancelled"
                self._leave(request)
            elif request.cache is None:
                with self._failing(request):
                    request.cache = self._prefixes.take(request.writing.tokens)
        running = tuple(self._running)
        with self._failing(*running):
            if running:
                self._advance(running)

    def _advance(self, running: Sequence[Request]) -> None:
        parts, finished = [], []
        for request in running:
            assert request.cache is not None
            tokens = request.next_tokens
            is_last = len(request.cache) + len(tokens) == len(request.writing.tokens)
            parts.append(Part(request.cache, np.array(tokens, np.int32), int(is_last)))
            finished += [request] * is_last
        try:
            logits = self._model.forward(parts, self._interrupt)
        except CancelledError:
            return  # the caches are as they were; who asked for it leaves at the next step
        for request, row in zip(finished, logits, strict=True):
            with self._failing(request):
                request.put(request.writing.add(row))
                if request.writing.finish_reason is not None:
                    self._leave(request)

    @contextmanager
    def _failing(self, *requests: Request) -> Iterator[None]:
        """Ends these requests with whatever goes wrong inside."""
        try:
            yield
        except Exception as error:
            known = error if isinstance(error, RuvLLMError) else BackendError(f"Generation failed: {error!r}.")
            for request in requests:
                if request in self._running:
                    self._leave(request, known)

    def _leave(self, request: Request, error: RuvLLMError | None = None) -> None:
        with self._wake:
            self._running.remove(request)
        if request.cache is not None and error is None:
            self._prefixes.give(request.cache, request.writing.tokens)
        request.cache = None
        request.end(error)

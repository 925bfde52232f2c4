"""The engine's calls that write: answers from memory, and plain generation, whole or as they are made.

A call that is cancelled stops its model within one token and returns once it has stopped.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from ruvllm_mcp.errors import InvalidInputError, ModelError, RuvLLMError
from ruvllm_mcp.types import Chunk, GenerationConfig, GenerationResponse, QueryResponse, Trust

if TYPE_CHECKING:
    from ruvllm_mcp.engine.parts import Parts
    from ruvllm_mcp.engine.trace import Meter
    from ruvllm_mcp.llm.backends.base import Output, Prompt
    from ruvllm_mcp.settings import Settings

T = TypeVar("T")
Written = Callable[[str], Awaitable[None] | None]
Messages = Sequence[Mapping[str, str]]
QUERY_MEMORIES = 8
MOST_QUERIES = 1_000


class GenerationCalls:
    """Part of `RuvLLM`; what it needs of the engine is declared here.

    `model` names the backend or the model file to use, the settings' one unless given. `written` is called with each
    piece of text as it is made, in the event loop's thread, and awaited if it is async; what it raises ends the call.
    """

    if TYPE_CHECKING:
        settings: Settings
        _meter: Meter

        def _open(self) -> Parts: ...
        def _check_open(self) -> None: ...
        def _scope(self, namespace: Any) -> tuple[str, ...] | None: ...

    async def query(
        self,
        text: str,
        *,
        namespace: str | Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        min_trust: Trust = "untrusted",
        config: GenerationConfig | None = None,
        model: str | None = None,
        written: Written | None = None,
    ) -> QueryResponse:
        """Answer from memory: embed, recall, let the backend write, record. `sources` are the memories it rests on."""
        started = time.perf_counter()
        scope = self._scope(namespace)

        def answer(parts: Parts, output: Output) -> QueryResponse:
            from ruvllm_mcp.llm.backends.base import one_text

            found = parts.search(
                text, QUERY_MEMORIES, namespaces=scope, where=where, mode="hybrid", min_trust=min_trust
            )
            with parts.backends.use(model or self.settings.model) as backend:
                answered = backend.answer(one_text(text, found.hits), config or GenerationConfig(), output)
            return QueryResponse(
                text=answered.text,
                confidence=answered.confidence,
                model=backend.model,
                backend=backend.name,
                sources=answered.sources,
                context_size=sum(parts.embedder().count_tokens(source.content) for source in answered.sources),
                latency_ms=_milliseconds_since(started),
                request_id=found.request_id,
                usage=answered.usage,
                cost=0.0,
                finish_reason=answered.finish_reason,
            )

        return await self._write("query", answer, written)

    async def batch_query(
        self, queries: Sequence[str], config: GenerationConfig | None = None, parallel: bool = True, **options: Any
    ) -> list[QueryResponse | RuvLLMError]:
        """An answer for each query, in order; one that fails is its error, and the others go on.

        In `parallel`, `batch_size` of them at a time share the model's passes. `options` are those of `query`. Raises
        InvalidInputError for what is no list of at most 1,000.
        """
        if isinstance(queries, (str, bytes)) or not isinstance(queries, Sequence) or len(queries) > MOST_QUERIES:
            raise InvalidInputError("batch_query takes a list.", f"Give at most {MOST_QUERIES:,} texts.")
        answers: dict[int, QueryResponse | RuvLLMError] = {}
        limiter = anyio.CapacityLimiter(self.settings.batch_size if parallel else 1)

        async def one(i: int) -> None:
            async with limiter:
                try:
                    answers[i] = await self.query(queries[i], config=config, **options)
                except RuvLLMError as error:
                    answers[i] = error

        async with anyio.create_task_group() as tasks:
            for i in range(len(queries)):
                tasks.start_soon(one, i)
        return [answers[i] for i in range(len(queries))]

    async def generate(
        self,
        prompt: str,
        config: GenerationConfig | None = None,
        *,
        model: str | None = None,
        raw: bool = False,
        written: Written | None = None,
    ) -> GenerationResponse:
        """What a language model writes to one text, memory left aside.

        A model made to chat answers it; `raw` has it continue the text as it stands, control tokens and all, as other
        models do in any case. Raises ModelError without a language model.
        """
        asked = _one(prompt, raw=raw)
        return await self._write("generate", self._generation(asked, config, model), written)

    async def chat(
        self,
        messages: Messages,
        config: GenerationConfig | None = None,
        *,
        model: str | None = None,
        written: Written | None = None,
    ) -> GenerationResponse:
        """The next message of a chat: `messages` are mappings of `role` (system, user, assistant, …) and `content`.

        What an earlier turn had in common is not computed again. Raises ModelError for models not made to chat.
        """
        return await self._write("chat", self._generation(_many(messages), config, model), written)

    async def stream(
        self,
        prompt: str | Messages,
        config: GenerationConfig | None = None,
        *,
        model: str | None = None,
        raw: bool = False,
    ) -> AsyncIterator[Chunk]:
        """`generate` (for a text) or `chat` (for messages), piece by piece as it is written; the last piece carries the
        whole response. Leaving the loop, or closing the iterator, stops the model."""
        work = self._generation(_one(prompt, raw=raw) if isinstance(prompt, str) else _many(prompt), config, model)
        async with aclosing(self._pieces("stream", work, is_streaming=True)) as pieces:
            async for piece in pieces:
                yield Chunk(piece, None) if isinstance(piece, str) else Chunk("", piece)

    def _generation(
        self, prompt: Prompt, config: GenerationConfig | None, model: str | None
    ) -> Callable[[Parts, Output], GenerationResponse]:
        started = time.perf_counter()
        first: list[float] = []

        def write(parts: Parts, output: Output) -> GenerationResponse:
            from ruvllm_mcp.llm.backends.base import Output
            from ruvllm_mcp.llm.registry import NO_MODEL

            def note(piece: str) -> None:
                if not first:
                    first.append(_milliseconds_since(started))
                output.write(piece)

            timed = Output(note)
            output.on_stop(timed.stop)
            with parts.backends.use(model or self.settings.model) as backend:
                if not backend.writes:
                    raise ModelError(f"{backend.name} quotes memories; it is no language model.", NO_MODEL)
                answered = backend.answer(prompt, config or GenerationConfig(), timed)
            return GenerationResponse(
                text=answered.text,
                model=backend.model,
                backend=backend.name,
                finish_reason=answered.finish_reason,
                usage=answered.usage,
                latency_ms=_milliseconds_since(started),
                first_token_ms=first[0] if first else None,
                scores=answered.scores,
            )

        return write

    async def _write(self, operation: str, work: Callable[[Parts, Output], T], written: Written | None) -> T:
        async with aclosing(self._pieces(operation, work, is_streaming=written is not None)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, str):
                    return piece
                assert written is not None
                told = written(piece)
                if told is not None:
                    await told
        raise AssertionError("a call ends with its result or an error")

    async def _pieces(
        self, operation: str, work: Callable[[Parts, Output], T], *, is_streaming: bool
    ) -> AsyncGenerator[str | T, None]:
        """The text that `work` writes in a thread of its own, if `is_streaming`, then its result, which is no text.

        However this ends, the thread has ended too: a cancel stops it within a token.
        """
        from ruvllm_mcp.llm.backends.base import Output

        pieces: queue.SimpleQueue[str | T | _Failure] = queue.SimpleQueue()
        output = Output(pieces.put if is_streaming else None)

        def run() -> None:
            try:
                with self._meter.measure(operation):
                    pieces.put(work(self._open(), output))
            except BaseException as error:
                pieces.put(_Failure(error))

        self._check_open()
        worker = threading.Thread(target=run, name="ruvllm-writer", daemon=True)
        worker.start()
        try:
            is_last = False
            while not is_last:
                piece = await anyio.to_thread.run_sync(pieces.get, abandon_on_cancel=True)
                if isinstance(piece, _Failure):
                    raise piece.error
                is_last = not isinstance(piece, str)
                yield piece
        finally:
            output.stop()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(worker.join)


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def _one(prompt: str, *, raw: bool) -> Prompt:
    from ruvllm_mcp.llm.backends.base import one_text

    if not isinstance(prompt, str) or not prompt:
        raise InvalidInputError("The prompt is empty or no text.", "Give a text.")
    return one_text(prompt, is_raw=raw)


def _many(messages: Messages) -> Prompt:
    from ruvllm_mcp.llm.backends.base import Prompt
    from ruvllm_mcp.llm.template import checked

    return Prompt(tuple(checked(messages)))


def _milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3

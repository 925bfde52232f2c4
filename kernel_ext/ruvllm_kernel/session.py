"""The one engine of a kernel: opened by the first command that needs it, shared by all cells, closed with the kernel.

Commands may come from several threads (JupyterLab runs some cells in subshells, which no signal reaches), so every
running command is kept in view and can be stopped from another.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ruvllm_mcp.engine.bridge import Bridge
from ruvllm_mcp.errors import RuvLLMError

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM
    from ruvllm_mcp.settings import Settings

T = TypeVar("T")
COMPLETION_SECONDS = 0.5


def _nothing() -> None:
    """What is done while a command runs that shows nothing before its end."""


class StoppedError(RuvLLMError):
    """The command was ended by `%ruvllm stop`."""


class Session:
    """Runs engine calls for magics. Thread-safe; `close()` is idempotent and the next `run` opens anew.

    `last_request` is the request id of the latest search, query or context: what `%ruvllm feedback` rates by default.
    `chat` are the messages of the chat that `%ruvllm chat` goes on with.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: tuple[Bridge, RuvLLM] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self.last_request: str | None = None
        self.chat: list[dict[str, str]] = []

    @property
    def settings(self) -> Settings:
        """The settings in force. Raises SettingsError."""
        return self._opened()[1].settings

    def run(self, call: Callable[[RuvLLM], Awaitable[T]], meanwhile: Callable[[], None] = _nothing) -> T:
        """The result of `call` with the engine; `meanwhile` is called now and then while it runs.

        Raises what either raises, KeyboardInterrupt at the Stop button, or StoppedError when `stop()` ended it.
        """
        bridge, engine = self._opened()
        with _interrupts_raised():
            try:
                return bridge.run(self._tracked(call, engine), meanwhile)
            except concurrent.futures.CancelledError:
                raise StoppedError("Stopped by %ruvllm stop.") from None

    def namespaces(self) -> list[str]:
        """The store's namespaces, for completion: none if there is no file yet, it is in trouble or it is busy."""
        from ruvllm_mcp.memory.sqlite import FILE_NAME

        try:
            if not self.settings.store and not (self.settings.home / FILE_NAME).exists():
                return []
            return sorted(self.run(_namespaces))
        except RuvLLMError:
            return []

    def stop(self) -> int:
        """Cancel what other threads are running; how many commands that were."""
        if self._open is None:
            return 0
        return self._open[0].run(self._cancel_running())

    def close(self) -> None:
        """Stop what runs, close the engine and end its thread."""
        self.stop()
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None:
            bridge, engine = opened
            try:
                bridge.run(engine.close())
            finally:
                bridge.close()

    def _opened(self) -> tuple[Bridge, RuvLLM]:
        with self._lock:
            if self._open is None:
                from ruvllm_mcp.engine.engine import RuvLLM

                engine = RuvLLM()
                self._open = (Bridge(), engine)
            return self._open

    async def _tracked(self, call: Callable[[RuvLLM], Awaitable[T]], engine: RuvLLM) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            return await call(engine)
        finally:
            self._running.discard(task)

    async def _cancel_running(self) -> int:
        return sum(task.cancel() for task in self._running)


async def _namespaces(llm: RuvLLM) -> Iterable[str]:
    listing = asyncio.ensure_future(llm.namespaces())
    done, _ = await asyncio.wait({listing}, timeout=COMPLETION_SECONDS)
    return listing.result() if done else {}


@contextmanager
def _interrupts_raised() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt here. ipykernel replaces that handler while a cell with `await` runs, by one that
    only the event loop acts on, which this very wait blocks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)

"""The engine for callers that are not async: one daemon thread runs one event loop for all of them.

A notebook magic may not be `async` and must stop when the Stop button raises KeyboardInterrupt in the main thread, so
the wait is cut into short slices and an interrupt cancels the coroutine before it is passed on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")
SLICE_SECONDS = 0.05
CANCEL_SECONDS = 2.0


class Bridge:
    """Runs coroutines on a loop of its own. Thread-safe; `close()` ends the loop and is idempotent."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ruvllm-bridge", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], meanwhile: Callable[[], None] | None = None) -> T:
        """The coroutine's result or exception. KeyboardInterrupt cancels it, waits for it to end, and is raised.

        `meanwhile` is called in this thread every 50 ms or so until then; what it raises cancels the coroutine too.
        """
        call = _Call(coroutine)
        try:  # an interrupt may come at any point from here on, also before there is a future to cancel
            future = asyncio.run_coroutine_threadsafe(call.run(), self._loop)
            while True:
                if meanwhile is not None:
                    meanwhile()
                try:
                    return future.result(timeout=SLICE_SECONDS)
                except concurrent.futures.TimeoutError:
                    if future.done():
                        raise  # the coroutine's own TimeoutError, not ours
        except BaseException:
            self._loop.call_soon_threadsafe(call.cancel)
            call.ended.wait(CANCEL_SECONDS)
            raise

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=2)
        if not self._loop.is_running():
            self._loop.close()


class _Call(Generic[T]):
    """One coroutine on its way through the loop; `ended` is set when it is really over. Methods run on the loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.ended = threading.Event()
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._is_cancelled = False

    async def run(self) -> T:
        self._task = asyncio.current_task()
        try:
            if self._is_cancelled:
                self._coroutine.close()
                raise asyncio.CancelledError
            return await self._coroutine
        finally:
            self.ended.set()

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()

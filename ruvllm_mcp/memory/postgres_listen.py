"""Hearing of other machines' writes, so that they are taken in before the next search asks.

Every transaction that changes the feed notifies a channel named after the schema. This is about time, never about
truth: a search still asks for the number of the last change, so a lost notification costs a moment and no freshness.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable

from ruvllm_mcp.errors import StoreError
from ruvllm_mcp.memory.postgres_connection import Connections

log = logging.getLogger(__name__)
AGAIN_SECONDS = 2  # after the server went away


class Listener:
    """A thread, and a connection of its own, that calls `changed` soon after a write by any process."""

    def __init__(self, connections: Connections, changed: Callable[[], object]) -> None:
        self._connections, self._changed = connections, changed
        self._woken, self._wake = os.pipe()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="ruvllm-listen", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread. Calling it again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        os.write(self._wake, b".")
        self._thread.join()
        os.close(self._wake)
        os.close(self._woken)

    def _run(self) -> None:
        wait = select.poll()
        wait.register(self._woken, select.POLLIN)
        while True:
            try:
                if self._listened():
                    return
            except StoreError as error:
                log.debug("not listening: %s", error)
            if wait.poll(AGAIN_SECONDS * 1_000):
                return

    def _listened(self) -> bool:
        """Listens until told to end (True). Raises StoreError when the server goes away."""
        with self._connections.translating(), self._connections.connect() as connection:
            connection.execute(f'LISTEN "ruvllm {self._connections.address.schema}"'.encode())
            wait = select.poll()
            for file in (self._woken, connection.fileno()):
                wait.register(file, select.POLLIN)
            while True:
                if any(file == self._woken for file, _ in wait.poll()):
                    return True
                if list(connection.notifies(timeout=0)):
                    self._changed()

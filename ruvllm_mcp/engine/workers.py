"""A thread that looks after the engine now and then: the slower learning loops run here when they are due."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from ruvllm_mcp.errors import RuvLLMError

logger = logging.getLogger(__name__)

EVERY_SECONDS = 30.0
_NICENESS = 10  # of the thread: training makes way for answers


class Caretaker:
    """Calls `work` every `seconds` until stopped, first after that time has passed.

    What `work` raises is logged and does not end it. The thread does not keep the process alive.
    """

    def __init__(self, work: Callable[[], object], seconds: float = EVERY_SECONDS) -> None:
        self._work, self._seconds = work, seconds
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="ruvllm-caretaker", daemon=True).start()

    def stop(self) -> None:
        """No further call begins. One under way is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        _make_way()
        while not self._stopped.wait(self._seconds):
            try:
                self._work()
            except RuvLLMError as error:
                if not self._stopped.is_set():
                    logger.warning("learning put off: %s", error)
            except Exception:
                logger.exception("learning failed")


def _make_way() -> None:
    """Lower this thread's priority, where threads have one of their own."""
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)

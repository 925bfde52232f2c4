"""Callers that are not async: results, errors and interrupts cross the thread."""

from __future__ import annotations

import _thread
import asyncio
import threading

import pytest

from ruvllm_mcp.engine.bridge import Bridge


@pytest.fixture
def bridge():
    bridge = Bridge()
    yield bridge
    bridge.close()


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


async def failing() -> None:
    raise TimeoutError("the coroutine's own")


def test_result_and_own_timeout_error_cross_over(bridge: Bridge) -> None:
    assert bridge.run(doubled(21)) == 42
    with pytest.raises(TimeoutError, match="the coroutine's own"):
        bridge.run(failing())


def test_interrupt_cancels_the_coroutine_and_leaves_the_loop_usable(bridge: Bridge) -> None:
    started, ended = threading.Event(), []

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    def press_stop() -> None:
        started.wait()
        _thread.interrupt_main()

    stopper = threading.Thread(target=press_stop)
    stopper.start()
    with pytest.raises(KeyboardInterrupt):
        bridge.run(endless())
    stopper.join()
    assert ended == ["cancelled"]
    assert bridge.run(doubled(1)) == 2

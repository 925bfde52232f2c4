"""An engine of its own for each test, and clients for it: in process, and over a real subprocess's stdio."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.mcp_server.app import build_server

PATIENCE_SECONDS = 60.0
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}
Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def connect(home: Path) -> Connect:
    """`async with connect() as client`: the SDK's client in this process; `mode` chooses the protocol era."""

    @asynccontextmanager
    async def connected(mode: str = "legacy", **options: Any) -> AsyncIterator[Client]:
        async with (
            RuvLLM(home=home, namespace="project", embedder="hashing") as llm,
            Client(build_server(llm), mode=mode, **options) as client,
        ):
            yield client

    return connected


def server_command(home: Path, *more: str) -> list[str]:
    command = [sys.executable, "-m", "ruvllm_mcp.mcp_server.server"]
    return [*command, "--home", str(home), "--namespace", "project", "--embedder", "hashing", *more]


class RawClient:
    """Lines of bytes to and from a real `ruvllm-mcp` process; waits are bounded, nothing is parsed for the server."""

    def __init__(self, home: Path, *options: str) -> None:
        command, pipe = server_command(home, *options), subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        self._unread = b""

    def send(self, line: bytes | dict[str, Any]) -> None:
        assert self.process.stdin is not None
        view = memoryview(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        while view:
            view = view[self.process.stdin.write(view) :]

    def receive(self) -> dict[str, Any]:
        """The next message. Anything on stdout that is not one JSON object a line fails here."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "no answer"
            chunk = os.read(self.process.stdout.fileno(), 65_536)
            assert chunk, f"the server ended: {self.process.stderr.read().decode()}"
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def request(self, method: str, params: dict[str, Any], request_id: int | str = 1) -> dict[str, Any]:
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return self.receive()

    def call(self, tool: str, arguments: dict[str, Any], request_id: int | str = 1) -> dict[str, Any]:
        result = self.request("tools/call", {"name": tool, "arguments": arguments}, request_id)["result"]
        assert isinstance(result, dict)
        return result

    def hello(self) -> dict[str, Any]:
        answer = self.request("initialize", HELLO, 0)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def end(self) -> int:
        """Closes stdin; the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """Ends the process, if it still runs, and lets go of its streams."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def raw(home: Path) -> Iterator[RawClient]:
    client = RawClient(home)
    yield client
    client.kill()

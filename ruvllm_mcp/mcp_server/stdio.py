"""The stdio transport: one JSON-RPC message a line, bounded in size and number, orderly at the end.

Ours instead of the SDK's, which reads a line of any length into memory, lets a client wait for ever for the answer to
a message it could not read, and drops requests still in flight when stdin ends. Here a line over 4 MiB is thrown away
as it streams in and refused under its own id, an unreadable one is answered as JSON-RPC 2.0 says, reading pauses while
64 requests wait for an answer, and at the end of stdin what was asked is still answered.

Descriptors are polled, never read by a thread: a thread blocked in read() would keep the process from ending.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
import pydantic_core
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCRequest
from mcp_types.jsonrpc import jsonrpc_message_adapter
from pydantic import ValidationError

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 4 * 2**20
MAX_IN_FLIGHT = 64
DRAIN_SECONDS = 10.0
READ_BYTES = 65_536
# A pipe that polls as writable takes at least this much without blocking (PIPE_BUF on Linux).
WRITE_BYTES = 4_096
EDGE_BYTES = 512

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]


@dataclass(frozen=True)
class Oversized:
    """A line over the limit: only its first and last bytes were kept, to find the id it wants an answer under."""

    head: bytes
    tail: bytes


class LineSplitter:
    """Chunks of bytes in, whole lines out. Holds at most `limit` bytes whatever comes in."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._head: bytes | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes | Oversized]:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._append(end)
            yield self._take()
        self._append(rest)

    def finish(self) -> bytes | Oversized:
        """What came after the last line break."""
        return self._take()

    def _append(self, piece: bytes) -> None:
        self._line += piece
        if len(self._line) > self._limit:
            self._head = self._head or bytes(self._line[:EDGE_BYTES])
        if self._head is not None:
            del self._line[:-EDGE_BYTES]

    def _take(self) -> bytes | Oversized:
        line, head = bytes(self._line), self._head
        self._line.clear()
        self._head = None
        return line if head is None else Oversized(head, line)


# Anchored at the ends of the message, so that an "id" among the arguments is never taken for the request's own.
_STRING = rb'"(?:[^"\\]|\\.)*"'
_ID = rb'(-?\d{1,18}|"[^"\\]{1,200}")'
_ID_FIRST = re.compile(rb"\s*\{(?:\s*" + _STRING + rb"\s*:\s*" + _STRING + rb'\s*,)*\s*"id"\s*:\s*' + _ID + rb"\s*,")
_ID_LAST = re.compile(rb',\s*"id"\s*:\s*' + _ID + rb"\s*\}\s*\Z")


def _refusal(line: bytes | Oversized) -> JSONRPCError:
    """The answer to a line that is no message."""
    if isinstance(line, Oversized):
        found = _ID_FIRST.match(line.head) or _ID_LAST.search(line.tail)
        message = f"The message is larger than {MAX_LINE_BYTES:,} bytes. Send less at a time."
        return _error(_json(found[1]) if found else None, INVALID_REQUEST, message)
    value = _json(line)
    if value is None:
        return _error(None, PARSE_ERROR, "The line is not valid JSON in UTF-8. Send one JSON-RPC message a line.")
    request_id = value.get("id") if isinstance(value, dict) else None
    try:
        pydantic_core.from_json(line)
    except ValueError as error:  # what Python's own parser lets through, half a surrogate pair above all
        problem = f"The message cannot be read: {error}. Strings must be well-formed Unicode."
        return _error(request_id, PARSE_ERROR, problem)
    message = "The line is not a JSON-RPC 2.0 message. Send one object a line; batches are not supported."
    return _error(request_id, INVALID_REQUEST, message)


def _json(text: bytes) -> Any:
    """The value, None if there is none to be had."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _error(request_id: Any, code: int, message: str) -> JSONRPCError:
    is_number = isinstance(request_id, int) and not isinstance(request_id, bool) and abs(request_id) < 2**63
    if not is_number and not (isinstance(request_id, str) and request_id.isprintable()):
        request_id = None
    return JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=message))


class InFlight:
    """Requests that were read and are not yet answered, by id."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._fewer = anyio.Event()

    def read(self, message: Any) -> None:
        if isinstance(message, JSONRPCRequest):
            self._ids.add(str(message.id))
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._done((message.params or {}).get("requestId"))  # a cancelled request is never answered

    def answered(self, message: Any) -> None:
        self._done(getattr(message, "id", None))

    def _done(self, request_id: Any) -> None:
        self._ids.discard(str(request_id))
        self._fewer.set()
        self._fewer = anyio.Event()

    async def below(self, count: int) -> None:
        while len(self._ids) >= count:
            await self._fewer.wait()


@asynccontextmanager
async def stdio_streams(
    wire_in: int, wire_out: int, answered_first: Callable[[], None]
) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """The streams `Server.run` takes, over two descriptors: pipes, sockets, terminals or files.

    `answered_first` is called once, after the first answer was written. A client that no longer reads cancels the
    body.
    """
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    in_flight = InFlight()
    reading = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            async with to_server, outgoing.clone() as refusals:
                with reading:
                    await _read_lines(wire_in, to_server, refusals, in_flight)
                    with anyio.move_on_after(DRAIN_SECONDS):
                        await in_flight.below(1)

        async def write() -> None:
            try:
                await _write_lines(wire_out, from_server, in_flight, answered_first)
            except OSError as error:
                logger.info("The client no longer reads: %s", error)
                tasks.cancel_scope.cancel()

        tasks.start_soon(read)
        tasks.start_soon(write)
        yield incoming, outgoing
        reading.cancel()
        await outgoing.aclose()  # the writer ends by itself, after the last message is out


async def _read_lines(
    wire: int,
    to_server: ObjectSendStream[SessionMessage | Exception],
    refusals: ObjectSendStream[SessionMessage],
    in_flight: InFlight,
) -> None:
    splitter = LineSplitter()
    while True:
        await in_flight.below(MAX_IN_FLIGHT)
        await _ready(anyio.wait_readable, wire)
        chunk = os.read(wire, READ_BYTES)
        for line in splitter.feed(chunk) if chunk else [splitter.finish()]:
            if isinstance(line, bytes) and not line.strip():
                continue
            try:
                if isinstance(line, Oversized):
                    raise ValueError("too long")
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except (ValueError, ValidationError):
                await refusals.send(SessionMessage(_refusal(line)))
                continue
            in_flight.read(message)
            await to_server.send(SessionMessage(message))
        if not chunk:
            return


async def _write_lines(
    wire: int,
    from_server: ObjectReceiveStream[SessionMessage],
    in_flight: InFlight,
    answered_first: Callable[[], None],
) -> None:
    is_first = True
    async with from_server:
        async for item in from_server:
            line = memoryview(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            while line:
                await _ready(anyio.wait_writable, wire)
                line = line[os.write(wire, line[:WRITE_BYTES]) :]
            in_flight.answered(item.message)
            if is_first:
                is_first = False
                answered_first()


async def _ready(wait: Callable[[int], Awaitable[None]], descriptor: int) -> None:
    """Waits until a pipe, socket or terminal can be used; a regular file always can, and cannot be polled."""
    with suppress(PermissionError):
        await wait(descriptor)

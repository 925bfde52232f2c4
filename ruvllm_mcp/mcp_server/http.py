"""Streamable HTTP on loopback: for clients that cannot start a process, and for several at once.

Any local user can reach a loopback port, and any web page can make a browser try, so every request needs the bearer
token, which lies in the home folder readable by its owner alone, and Host and Origin must name this machine. The token
is made once and kept, so that a client's configuration stays valid.
"""

from __future__ import annotations

import gc
import hmac
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.errors import SettingsError, StoreError
from ruvllm_mcp.mcp_server.app import build_server
from ruvllm_mcp.mcp_server.server import stop_on_signal, warm_up
from ruvllm_mcp.mcp_server.stdio import MAX_LINE_BYTES

HOST = "127.0.0.1"
PATH = "/mcp"
TOKEN_FILE = "mcp-token"
SHUTDOWN_SECONDS = 5
MIN_TOKEN = 32
REFUSED = f"Send 'Authorization: Bearer TOKEN'; the token is in the file {TOKEN_FILE} of the home folder.\n"
WELCOME = """\
Serving {url} ; every request needs the token in {file}
Claude Code: claude mcp add --transport http ruvllm {url} --header "Authorization: Bearer $(cat '{file}')"
"""


class BearerToken:
    """ASGI middleware: 401 unless the request carries `Authorization: Bearer TOKEN`; compared in constant time."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_allowed(scope):
            headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSED.encode()})
            return
        await self._app(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        sent: bytes = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = sent.partition(b" ")
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"


def kept_token(home: Path) -> str:
    """The token in `home`, made on first use in a file that only its owner can read."""
    file = home / TOKEN_FILE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _make_token(file)
        file.chmod(0o600)
        token = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise StoreError(f"The token file {file} cannot be used: {error.strerror}.", "Check the folder.") from None
    if len(token) < MIN_TOKEN or not token.isascii():
        raise StoreError(f"The token file {file} is damaged.", "Delete it; a new token is made at the next start.")
    return token


def _make_token(file: Path) -> None:
    """Written whole beside its place, then linked there: of several starting at once, one wins and all agree."""
    draft = file.with_name(f".{TOKEN_FILE}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            file.hardlink_to(draft)
    finally:
        draft.unlink()


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again at its end, which would skip closing the store."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(llm: RuvLLM, port: int) -> None:
    """Serve on 127.0.0.1 until SIGINT or SIGTERM; prints the address and where the token is on stderr."""
    token = kept_token(llm.settings.home)
    listener = _listen(port)
    address = f"{HOST}:{listener.getsockname()[1]}"
    security = TransportSecuritySettings(
        allowed_hosts=[address, address.replace(HOST, "localhost")],
        allowed_origins=[f"http://{address}", f"http://{address.replace(HOST, 'localhost')}"],
    )
    app = build_server(llm).streamable_http_app(
        streamable_http_path=PATH, transport_security=security, max_request_body_size=MAX_LINE_BYTES, host=HOST
    )
    config = uvicorn.Config(
        BearerToken(app, token),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = _Uvicorn(config)
    gc.enable()

    def stop() -> None:
        server.should_exit = True

    async with llm, anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, stop)
        tasks.start_soon(warm_up, llm)
        print(WELCOME.format(url=f"http://{address}{PATH}", file=llm.settings.home / TOKEN_FILE), file=sys.stderr)
        await server.serve(sockets=[listener])
        tasks.cancel_scope.cancel()


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise SettingsError(f"Port {port} does not exist.", "Ports go from 0 (any free one) to 65,535.")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise SettingsError(f"Port {port} cannot be used: {error.strerror}.", "Give another --port, or 0.") from None

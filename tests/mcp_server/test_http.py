"""Streamable HTTP: one real server process; who may talk to it, and that it serves as stdio does."""

from __future__ import annotations

import http.client
import json
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from ruvllm_mcp.errors import StoreError
from ruvllm_mcp.mcp_server.http import TOKEN_FILE, kept_token
from tests.mcp_server.conftest import HELLO, PATIENCE_SECONDS, server_command

INITIALIZE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO})


class Served:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = subprocess.Popen(
            server_command(home, "--http", "--port", "0"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        first = self.process.stderr.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/mcp", first)
        assert match, first + self.process.stderr.read()
        self.url, self.port = match[0], int(match[1])
        self.token = (home / TOKEN_FILE).read_text().strip()

    def status(self, **headers: str | None) -> int:
        """The status of an initialize request; a header of None is left out."""
        given = {
            "host": f"127.0.0.1:{self.port}",
            "authorization": f"Bearer {self.token}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            **headers,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            kept = {name: value for name, value in given.items() if value is not None}
            connection.request("POST", "/mcp", INITIALIZE, kept)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("http") / "home")
    yield server
    server.process.send_signal(signal.SIGTERM)
    out, _ = server.process.communicate(timeout=PATIENCE_SECONDS)
    assert (server.process.returncode, out) == (0, "")


def test_a_request_needs_the_token(served: Served) -> None:
    assert served.status() == 200
    for wrong in (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {served.token}x",
        served.token,
        f"Basic {served.token}",
        "Bearer é",
    ):
        assert served.status(authorization=wrong) == 401, wrong
    assert served.status(authorization=f"bearer {served.token}") == 200, "the scheme's case does not matter"


def test_host_and_origin_must_be_this_machine(served: Served) -> None:
    assert served.status(host=f"localhost:{served.port}") == 200
    assert served.status(host="evil.example") == 421
    assert served.status(host=f"127.0.0.1.evil.example:{served.port}") == 421
    assert served.status(origin=f"http://localhost:{served.port}") == 200
    assert served.status(origin="https://evil.example") == 403
    assert served.status(origin="null") == 403


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_clients_of_both_eras_remember_and_find(served: Served, mode: str) -> None:
    headers = {"Authorization": f"Bearer {served.token}"}
    async with create_mcp_http_client(headers) as http_client:
        transport = streamable_http_client(served.url, http_client=http_client)
        async with Client(transport, mode=mode) as client:
            assert len((await client.list_tools()).tools) == 11
            added = await client.call_tool("memory_add", {"content": f"said over {mode}"})
            found = await client.call_tool("memory_search", {"query": f"said over {mode}", "k": 1})
            assert found.structured_content["memories"][0]["id"] == added.structured_content["memories"][0]["id"]


def test_a_taken_port_is_said(served: Served, tmp_path: Path) -> None:
    ended = subprocess.run(
        server_command(tmp_path, "--http", "--port", str(served.port)), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert f"Port {served.port} cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_token_is_private_kept_and_the_same_for_all_who_start_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: kept_token(home), range(32)))
    assert len(tokens) == 1
    assert len(tokens.pop()) >= 43
    assert stat.S_IMODE((home / TOKEN_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [file.name for file in home.iterdir()] == [TOKEN_FILE]
    (home / TOKEN_FILE).chmod(0o644)
    kept_token(home)
    assert stat.S_IMODE((home / TOKEN_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 50, "é".encode() * 40])
def test_a_damaged_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TOKEN_FILE).write_bytes(content)
    with pytest.raises(StoreError, match="Delete it"):
        kept_token(tmp_path)

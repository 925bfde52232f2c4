"""The stdio transport: what no client may do to the server, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ruvllm_mcp.mcp_server.stdio import MAX_LINE_BYTES, LineSplitter, Oversized
from tests.mcp_server.conftest import HELLO, PATIENCE_SECONDS, RawClient, server_command

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_however_the_bytes_arrive(size: int) -> None:
    text = b'{"a":1}\n\n{"b":"\xc3\xa9"}\r\nlast'
    splitter = LineSplitter()
    lines = [line for start in range(0, len(text), size) for line in splitter.feed(text[start : start + size])]
    assert [*lines, splitter.finish()] == text.split(b"\n")


@pytest.mark.parametrize("size", [1, 5, 64, 4096])
def test_a_line_over_the_limit_leaves_its_ends_and_the_lines_around_it(size: int) -> None:
    long = b"<" + bytes(97 + i % 26 for i in range(2000)) + b">"
    text = b"before\n" + long + b"\nafter\n"
    splitter = LineSplitter(limit=1000)
    lines = [line for start in range(0, len(text), size) for line in splitter.feed(text[start : start + size])]
    assert lines == [b"before", Oversized(long[:512], long[-512:]), b"after"]


def test_a_line_of_exactly_the_limit_passes() -> None:
    splitter = LineSplitter(limit=100)
    assert list(splitter.feed(b"y" * 100 + b"\n")) == [b"y" * 100]


def test_unreadable_lines_are_answered_and_do_not_end_the_server(raw: RawClient) -> None:
    raw.hello()
    for line in (b"not json\n", b"\xff\xfe\n", b'{"jsonrpc":"2.0","id":1,\n', b"[" * 100_000 + b"\n"):
        raw.send(line)
        answer = raw.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, -32700), line[:20]
    for line, request_id in (
        (b'{"id":7,"method":"ping"}\n', 7),
        (b"[]\n", None),
        (b"3\n", None),
        (b'{"id":true}\n', None),
        (b'{"id":' + b"9" * 400 + b"}\n", None),
    ):
        raw.send(line)
        answer = raw.receive()
        assert (answer["id"], answer["error"]["code"]) == (request_id, -32600), line
    raw.send(b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"half":"\\ud83d"}}\n')
    answer = raw.receive()
    assert (answer["id"], answer["error"]["code"]) == (9, -32700)
    raw.send(b'{"jsonrpc":"2.0","id":"\\ud83d","method":"ping"}\n')
    assert raw.receive()["id"] is None
    assert "well-formed Unicode" in answer["error"]["message"]
    raw.send(b"\n \r\n")
    assert raw.request("ping", {}, 8) == {"jsonrpc": "2.0", "id": 8, "result": {}}


@pytest.mark.parametrize("id_first", [True, False], ids=["id first", "id last"])
def test_an_oversized_request_is_refused_under_its_own_id(raw: RawClient, id_first: bool) -> None:
    raw.hello()
    params = {"name": "memory_add", "arguments": {"content": "x" * (MAX_LINE_BYTES + 10), "metadata": {"id": 99}}}
    envelope = {"jsonrpc": "2.0", "id": "large one"}
    body = {"method": "tools/call", "params": params}
    raw.send({**envelope, **body} if id_first else {**body, **envelope})
    answer = raw.receive()
    assert (answer["id"], answer["error"]["code"]) == ("large one", -32600)
    assert "4,194,304 bytes" in answer["error"]["message"]
    assert raw.call("stats", {}, 3)["structuredContent"]["memories"] == 0


def test_an_oversized_request_with_an_id_of_rubbish_is_refused_without_one(raw: RawClient) -> None:
    raw.hello()
    raw.send(b'{"id":"\xff\xfe","method":"' + b"x" * MAX_LINE_BYTES + b'"}\n')
    assert raw.receive()["id"] is None
    assert raw.request("ping", {}, 2)["id"] == 2


def test_a_line_without_end_takes_no_memory(raw: RawClient) -> None:
    raw.hello()
    raw.call("stats", {})
    status = Path(f"/proc/{raw.process.pid}/status")

    def peak_megabytes() -> float:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    before = peak_megabytes()
    for _ in range(64):
        raw.send(b"z" * 2**20)
    raw.send(b"\n")
    assert raw.receive()["id"] is None
    assert peak_megabytes() - before < 32


def test_what_was_asked_before_the_end_of_stdin_is_answered(raw: RawClient) -> None:
    calls = [{"name": "memory_add", "arguments": {"content": f"fact number {i}"}} for i in range(20)]
    lines = [{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}]
    lines += [{"jsonrpc": "2.0", "id": i + 1, "method": "tools/call", "params": call} for i, call in enumerate(calls)]
    raw.send(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    assert raw.process.stdin is not None
    raw.process.stdin.close()
    assert {raw.receive()["id"] for _ in lines} == set(range(21))
    assert raw.process.wait(PATIENCE_SECONDS) == 0


def test_the_last_line_needs_no_line_break(raw: RawClient) -> None:
    raw.hello()
    raw.send(json.dumps({**PING, "id": 5}).encode())
    assert raw.process.stdin is not None
    raw.process.stdin.close()
    assert raw.receive()["id"] == 5


def test_it_ends_cleanly_when_stdin_closes_before_anything_was_said(raw: RawClient) -> None:
    assert raw.end() == 0
    assert raw.process.stderr is not None
    assert raw.process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_on_a_signal(raw: RawClient, number: signal.Signals) -> None:
    raw.hello()
    raw.call("memory_add", {"content": "kept across the signal"})
    raw.process.send_signal(number)
    assert raw.process.wait(PATIENCE_SECONDS) == 0
    assert raw.process.stderr is not None
    assert raw.process.stderr.read() == b""


def test_it_ends_when_the_client_stops_reading(raw: RawClient) -> None:
    raw.hello()
    assert raw.process.stdout is not None
    raw.process.stdout.close()
    raw.send({**PING, "method": "tools/list"})
    assert raw.process.wait(PATIENCE_SECONDS) == 0


CHATTY = """
import os, sys
import ruvllm_mcp.mcp_server.app as app
from mcp_types import RequestParams
from ruvllm_mcp.mcp_server.server import main

build = app.build_server

def chatty(llm):
    print("stray before")
    server = build(llm)
    answer = server.get_request_handler("ping").handler

    async def ping(context, params):
        print("stray print")
        os.write(1, b"stray write\\n")
        return await answer(context, params)

    server.add_request_handler("ping", RequestParams, ping)
    return server

app.build_server = chatty
sys.exit(main(sys.argv[1:]))
"""


def test_a_stray_print_never_reaches_the_client(home: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CHATTY, "--home", str(home)],
        input=json.dumps(PING).encode(),
        capture_output=True,
        check=True,
    )
    assert [json.loads(line)["id"] for line in ended.stdout.splitlines()] == [1]
    assert {b"stray before", b"stray print", b"stray write"} <= set(ended.stderr.splitlines())


def test_files_serve_as_stdin_and_stdout(home: Path, tmp_path: Path) -> None:
    questions, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    questions.write_text("".join(json.dumps({**PING, "id": number}) + "\n" for number in (1, 2)))
    with questions.open() as stdin, answers.open("w") as stdout:
        subprocess.run(server_command(home), stdin=stdin, stdout=stdout, check=True)
    assert [json.loads(line)["id"] for line in answers.read_text().splitlines()] == [1, 2]

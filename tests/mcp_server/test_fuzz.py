"""Messages bent at random: whatever comes in, the server answers on, logs no surprise and ends when told."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

from tests.mcp_server.conftest import PATIENCE_SECONDS, RawClient

MESSAGES: list[dict[str, Any]] = [
    {
        "id": 1,
        "method": "tools/call",
        "params": {"name": "memory_search", "arguments": {"query": "x", "where": {"a": 1}}},
    },
    {"id": 2, "method": "tools/call", "params": {"name": "memory_add", "arguments": {"items": [{"content": "c"}]}}},
    {"id": 3, "method": "prompts/get", "params": {"name": "recall", "arguments": {"task": "t"}}},
    {"id": 4, "method": "resources/read", "params": {"uri": "memory://1"}},
    {
        "id": 5,
        "method": "completion/complete",
        "params": {"ref": {"type": "ref/prompt", "name": "recall"}, "argument": {"name": "namespace", "value": ""}},
    },
    {"id": 6, "method": "tools/list", "params": {"_meta": {"progressToken": 3}}},
    {"id": 7, "method": "initialize", "params": {}},
    {"id": 8, "result": {}},
    {"method": "notifications/cancelled", "params": {"requestId": 1}},
]
VALUES = [None, True, -1, 10**30, 1.5, "", "x" * 3_000, "\ud800", [], {}, [[]], {"a": {"b": 1}}, "memory://99", "*"]


def bent(message: dict[str, Any], chance: random.Random) -> bytes:
    """The message as a line: a value replaced, renamed or removed, now and then a byte that belongs nowhere."""
    whole = json.loads(json.dumps({"jsonrpc": "2.0", **message}))
    part = whole
    while isinstance(part, dict) and part:
        key = chance.choice(list(part))
        if isinstance(part[key], dict) and chance.random() < 0.7:
            part = part[key]
            continue
        part[chance.choice([key, f"not_{key}"])] = chance.choice(VALUES)
        if chance.random() < 0.2:
            del part[key]
        break
    line = bytearray(json.dumps(whole).encode())
    if chance.random() < 0.3:
        line[chance.randrange(len(line))] = chance.randrange(256)
    return bytes(line).replace(b"\n", b" ") + b"\n"


def test_no_bent_message_ends_the_server(raw: RawClient) -> None:
    raw.hello()
    chance = random.Random(5)
    lines = [bent(chance.choice(MESSAGES), chance) for _ in range(500)]
    answers: list[dict[str, Any]] = []

    def read() -> None:
        while not answers or answers[-1].get("id") != "the end":
            answers.append(raw.receive())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for line in lines:
        raw.send(line)
    raw.send({"jsonrpc": "2.0", "id": "the end", "method": "ping"})
    reader.join(PATIENCE_SECONDS)
    assert not reader.is_alive()
    assert len(answers) > 300
    assert raw.end() == 0
    assert raw.process.stderr is not None
    assert b"ERROR" not in raw.process.stderr.read()

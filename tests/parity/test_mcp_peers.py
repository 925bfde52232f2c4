"""MCP clients that others wrote, against a real server: both TypeScript SDKs, the Inspector, the conformance suite."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.mcp_server.app import TOOLS, build_server
from tests.parity.conftest import Node

SERVER = Path(sys.executable).parent / "ruvllm-mcp"
OPTIONS = ("--namespace", "project", "--embedder", "hashing")
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("memory_add", {"content": "Migrations run before the workers start.", "metadata": {"area": "deploy"}}),
    ("memory_add", {"items": [{"content": "Use ruff.", "kind": "convention"}, {"content": "Logs go to stderr."}]}),
    ("memory_search", {"query": "when do migrations run?", "where": {"area": "deploy"}}),
    ("feedback", {"request_id": "$request_id", "relevant": ["$id"], "rating": 5}),
    ("memory_context", {"query": "deploying", "max_tokens": 300}),
    ("query", {"query": "when do migrations run?"}),
    ("memory_get", {"id": "$id"}),
    ("memory_update", {"id": "$id", "importance": 0.9}),
    ("similarity", {"a": "one text", "b": "another text"}),
    ("stats", {}),
    ("learn", {}),
    ("memory_delete", {"id": "$id"}),
]


@pytest.mark.parametrize("package", ["sdk", "client"])
def test_the_typescript_clients_list_and_call_every_tool(node: Node, tmp_path: Path, package: str) -> None:
    ended = node.run("every_tool.mjs", package, json.dumps(CALLS), str(SERVER), "--home", str(tmp_path), *OPTIONS)
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert sorted(printed["tools"]) == sorted(TOOLS)
    assert printed["instructions"].startswith("The long-term memory")
    assert {name for name, _ in CALLS} == set(TOOLS)
    for (name, _), answer in zip(CALLS, printed["answers"], strict=True):
        assert not answer.get("isError"), (name, answer["content"])
    assert printed["answers"][3]["structuredContent"]["strengthened"] == 1
    assert printed["answers"][7]["structuredContent"]["importance"] == 0.9


def inspected(node: Node, home: Path, *arguments: str) -> dict[str, Any]:
    script = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    ended = node.run(script, "--cli", str(SERVER), "--home", str(home), *OPTIONS, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    printed: dict[str, Any] = json.loads(ended.stdout)
    return printed


def test_the_inspector_lists_and_calls_every_tool(node: Node, tmp_path: Path) -> None:
    listed = inspected(node, tmp_path, "--method", "tools/list")["tools"]
    assert sorted(tool["name"] for tool in listed) == sorted(TOOLS)
    assert all(len(tool["annotations"]) == 4 and tool["outputSchema"]["type"] == "object" for tool in listed)
    known: dict[str, Any] = {}
    for name, given in CALLS:
        pairs = [f"{key}={argument(value, known)}" for key, value in given.items()]
        chosen = ["--method", "tools/call", "--tool-name", name]
        answer = inspected(node, tmp_path, *chosen, *(part for pair in pairs for part in ("--tool-arg", pair)))
        assert not answer.get("isError"), (name, answer)
        reply = answer["structuredContent"]
        known["request_id"] = reply.get("request_id", known.get("request_id"))
        known["id"] = reply["memories"][0]["id"] if isinstance(reply.get("memories"), list) else known["id"]
    prompts = inspected(node, tmp_path, "--method", "prompts/list")["prompts"]
    assert [prompt["name"] for prompt in prompts] == ["recall", "remember"]
    templates = inspected(node, tmp_path, "--method", "resources/templates/list")["resourceTemplates"]
    assert [template["uriTemplate"] for template in templates] == ["memory://{id}"]
    read = inspected(node, tmp_path, "--method", "resources/read", "--uri", "memory://2")
    assert read["contents"][0]["text"] == "Use ruff."


def argument(value: Any, known: dict[str, Any]) -> str:
    filled = [known[item[1:]] for item in value] if value == ["$id"] else value
    if isinstance(filled, str) and filled.startswith("$"):
        filled = known[filled[1:]]
    return filled if isinstance(filled, str) else json.dumps(filled)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server over HTTP without the token, which the conformance suite cannot send."""
    llm = RuvLLM(home=tmp_path_factory.mktemp("home"), namespace="project", embedder="hashing")
    listener = socket.create_server(("127.0.0.1", 0))
    app = build_server(llm).streamable_http_app(host="127.0.0.1")
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)  # uvicorn offers nothing to wait on
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    server.should_exit = True
    thread.join(30)
    listener.close()


# The suite's other scenarios call tools, prompts and resources of a test server of its own.
@pytest.mark.parametrize(
    "scenario",
    [
        "server-initialize",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "completion-complete",
        "dns-rebinding-protection",
    ],
)
def test_the_conformance_suite_is_content(node: Node, address: str, scenario: str, tmp_path: Path) -> None:
    script = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    ended = node.run(script, "server", "--url", address, "--scenario", scenario, "--output-dir", str(tmp_path))
    assert ended.returncode == 0, ended.stdout[-3_000:] + ended.stderr[-1_000:]
    assert "0 failed" in ended.stdout, ended.stdout[-3_000:]

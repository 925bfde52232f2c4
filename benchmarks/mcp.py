"""The MCP server as a client meets it: how soon it answers the handshake, and how long a search call takes.

    python benchmarks/mcp.py [--embedder minilm] [--memories 10000] [--home FOLDER]

Ours and a bare server of the same SDK (one tool that adds two numbers) start in turn, from the same interpreter; each
time runs from the process's start to the handshake's answer. Searches run over real stdio, on as many memories taken
from the standard library's docstrings, with a different question each; each time runs from the request's write to the
answer's last byte. Percentiles are nearest-rank. Filling takes minutes with minilm; `--home` keeps the store.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import math
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ruvllm_mcp import RuvLLM

STARTS = 9
UNTIMED, SEARCHES = 10, 300
BARE = """
from mcp.server import MCPServer
server = MCPServer("bare")
@server.tool()
def add(a: int, b: int) -> int:
    return a + b
server.run()
"""
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "1"}}


class Server:
    """A server process; `seconds_to_hello` is the time from its start to the handshake's answer."""

    def __init__(self, command: list[str]) -> None:
        started = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.request("initialize", HELLO)
        self.seconds_to_hello = time.perf_counter() - started
        self._send({"method": "notifications/initialized"})

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._send({"id": 1, "method": method, "params": params})
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.communicate()


def docstrings() -> Iterator[str]:
    """Paragraphs of the standard library's docstrings, each once."""
    seen: set[str] = set()
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "test" in file.parts or "site-packages" in file.parts:
            continue
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(paragraph.split())[:200]
                    if len(text) > 30 and text not in seen:
                        seen.add(text)
                        yield f"{file.stem}.{getattr(node, 'name', '')}: {text}"


def handshakes(ours: list[str], bare: list[str]) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(STARTS):
        for command, seconds in zip((ours, bare), times, strict=True):
            server = Server(command)
            seconds.append(server.seconds_to_hello)
            server.close()
    return times


async def fill(home: str, embedder: str, texts: list[str]) -> None:
    async with RuvLLM(home=home, namespace="benchmark", embedder=embedder) as llm:
        await llm.add_memories(texts)


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far, all its threads (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def searches(ours: list[str], questions: list[str]) -> tuple[list[float], float, int]:
    """Milliseconds of each call, sorted, the server's processor milliseconds per call, and bytes of the last answer."""
    server = Server(ours)
    milliseconds: list[float] = []
    for question in questions:
        if len(milliseconds) == UNTIMED:
            processor = cpu_seconds(server.process.pid)
        started = time.perf_counter()
        answer = server.request("tools/call", {"name": "memory_search", "arguments": {"query": question}})
        milliseconds.append((time.perf_counter() - started) * 1e3)
        assert len(answer["result"]["structuredContent"]["memories"]) == 8, answer
    processor_ms = (cpu_seconds(server.process.pid) - processor) * 1e3 / SEARCHES
    server.close()
    return sorted(milliseconds[UNTIMED:]), processor_ms, len(json.dumps(answer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--home", help="where the filled store is, or is to be kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE)
        home = given.home or str(Path(folder) / "home")
        command = [sys.executable, "-m", "ruvllm_mcp.mcp_server.server", "--home", home, "--namespace", "benchmark"]
        ours = [*command, "--embedder", given.embedder]
        our_starts, bare_starts = handshakes(ours, [sys.executable, str(script)])
        our_start, bare_start = statistics.median(our_starts), statistics.median(bare_starts)
        print(
            f"handshake, median of {STARTS}: ours {our_start:.3f} s, bare SDK {bare_start:.3f} s, "
            f"ratio {our_start / bare_start:.2f} (best: {min(our_starts):.3f} and {min(bare_starts):.3f})"
        )
        texts = list(islice(docstrings(), given.memories))
        started = time.perf_counter()
        asyncio.run(fill(home, given.embedder, texts))
        print(f"filled {len(texts):,} memories in {time.perf_counter() - started:.1f} s ({given.embedder})")
        chosen = random.Random(7).sample(texts, UNTIMED + SEARCHES)
        times, processor_ms, size = searches(ours, [" ".join(text.split()[1:13]) for text in chosen])
        p50, p95 = (times[math.ceil(share * len(times)) - 1] for share in (0.5, 0.95))
        print(
            f"memory_search call, {SEARCHES} questions, 8 hits ({size:,} bytes): p50 {p50:.2f} ms, p95 {p95:.2f} ms, "
            f"best {times[0]:.2f} ms; processor {processor_ms:.2f} ms a call"
        )


if __name__ == "__main__":
    main()

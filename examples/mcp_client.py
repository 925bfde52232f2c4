"""An agent's session with the memory server, over the same stdio that Claude Code, Cursor or VS Code would use.

    python examples/mcp_client.py

It remembers three things about a project, asks a question, says which answer helped, and asks again in other words.
The memory lies in a temporary folder and is gone afterwards.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from typing import Any

from mcp import Client, StdioServerParameters

FACTS = [
    {
        "content": "Releases are cut on Thursdays from the branch `stable`, never from `main`.",
        "kind": "convention",
    },
    {
        "content": "test_upload hung in CI because the fake S3 server was not bound to 127.0.0.1; mended in conftest.",
        "kind": "failure",
        "source": "tests/conftest.py",
    },
    {
        "content": "We chose SQLite over PostgreSQL for the job queue: one writer, no server to run.",
        "kind": "decision",
        "metadata": {"area": "storage"},
    },
]


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise SystemExit(f"{tool}: {result.content[0].text}")
    return dict(result.structured_content)


def show(question: str, found: dict[str, Any]) -> None:
    print(f"\n? {question}")
    for hit in found["memories"]:
        print(f"  [{hit['id']}] {hit['similarity']:.2f}  {hit['content']}")


async def main(*options: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "ruvllm_mcp.mcp_server.server", "--home", home, "--namespace", "example", *options],
        )
        async with Client(server) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            print(f"{len(tools)} tools: {', '.join(tools)}")
            await call(client, "memory_add", items=FACTS)

            question = "why did the upload test never finish?"
            found = await call(client, "memory_search", query=question)
            show(question, found)

            helped = next(hit["id"] for hit in found["memories"] if "test_upload" in hit["content"])
            learned = await call(client, "feedback", request_id=found["request_id"], relevant=[helped], rating=5)
            print(f"\nsaid that [{helped}] helped: {learned['strengthened']} link strengthened")

            question = "upload test hangs again, what was it last time?"
            show(question, await call(client, "memory_search", query=question))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

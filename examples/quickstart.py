"""The Python API on one page: remember, search, ask, say what helped, forget.

python examples/quickstart.py
"""

from __future__ import annotations

import asyncio
import tempfile

from ruvllm_mcp import NewMemory, RuvLLM

NOTES = [
    "Releases go out blue-green from the deploy pipeline every Tuesday.",
    {"content": "Database tests use the `postgres` fixture.", "metadata": {"framework": "pytest", "priority": 2}},
    NewMemory("A flaky test is retried twice, then put into quarantine.", kind="convention", importance=0.8),
]


async def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        async with RuvLLM(home=home, namespace="quickstart") as llm:
            ids = await llm.add_memories(NOTES)
            print(f"remembered {ids}")

            hits = await llm.search_memory("what happens to tests that fail now and then?", k=2)
            for hit in hits:
                print(f"{hit.score:6.2f}  [{hit.id}] {hit.content}")

            only_pytest = await llm.search_memory("tests", where={"framework": "pytest", "priority": {"$gte": 2}})
            print(f"with a filter: {[hit.id for hit in only_pytest]}")

            answer = await llm.query("when do releases go out?")
            print(f"{answer.text}\n({answer.confidence:.2f} close, from {[source.id for source in answer.sources]})")

            receipt = await llm.feedback(answer.request_id, rating=5)
            print(f"learned: {receipt.strengthened} strengthened")

            packed = await llm.context("writing a test for the database", max_tokens=60)
            print(f"{packed.tokens} tokens to paste into a prompt:\n{packed.text}")

            await llm.delete_memory(ids[0])
            print(f"left: {[memory.content for memory in (await llm.list_memories()).items]}")


if __name__ == "__main__":
    asyncio.run(main())

"""The learn tool: train, look at the versions, take one back."""

from __future__ import annotations

import pytest

from tests.mcp_server.conftest import Connect
from tests.mcp_server.test_tools import called

pytestmark = pytest.mark.anyio

TOPICS = ("routing", "caching", "logging", "billing", "search", "export", "login", "mail", "upload", "themes")


async def test_training_status_and_rollback(connect: Connect) -> None:
    async with connect() as client:
        assert await called(client, "learn") == {"active": 0, "feedbacks": 0, "versions": []}
        added = await called(client, "memory_add", items=[{"content": f"How {topic} works."} for topic in TOPICS])
        ids = [entry["id"] for entry in added["memories"]]
        for number, topic in enumerate(TOPICS):
            found = await called(client, "memory_search", query=f"explain {topic}")
            await called(client, "feedback", request_id=found["request_id"], relevant=[ids[number]])
        trained = await called(client, "learn", action="run")
        assert trained["feedbacks"] == 10
        assert trained["promoted"] is (trained["active"] > 0)
        status = await called(client, "learn")
        assert [version.split()[1] for version in status["versions"]] == ["learn"]
        back = await called(client, "learn", action="rollback", version=0)
        assert back["active"] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"action": "rollback"}, "Give version"),
        ({"version": 1}, "only then"),
        ({"action": "rollback", "version": 99}, "status lists the versions"),
        ({"action": "forget"}, "action"),
    ],
)
async def test_bad_arguments_say_what_to_do(connect: Connect, arguments: dict[str, object], expected: str) -> None:
    async with connect() as client:
        result = await client.call_tool("learn", arguments)
        assert result.is_error
        assert expected in result.content[0].text

"""The names a program imports are there, and listed."""

from __future__ import annotations

import ruvllm_mcp


def test_every_listed_name_can_be_fetched() -> None:
    for name in ruvllm_mcp.__all__:
        assert getattr(ruvllm_mcp, name) is not None
    assert dir(ruvllm_mcp) == sorted(ruvllm_mcp.__all__)

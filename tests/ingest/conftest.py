"""An engine over a store of its own, with the embedder that needs no weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruvllm_mcp import Settings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", namespace="shop", embedder="hashing")

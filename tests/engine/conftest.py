"""Engines over stores of their own, with the embedder that needs no weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruvllm_mcp import Settings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of an engine whose store is not there yet: a file, or a database."""
    store = request.getfixturevalue("postgres_store") if request.param == "postgres" else ""
    return Settings(home=tmp_path / "home", store=store, namespace="shop", embedder="hashing")

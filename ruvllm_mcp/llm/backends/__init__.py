"""Generation backends, each one file; `load(name, embedder)` gives the one of that name."""

from __future__ import annotations

from collections.abc import Callable

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.errors import SettingsError
from ruvllm_mcp.llm.backends.base import Backend

BACKENDS = ("extractive", "echo")


def load(name: str, embedder: Callable[[], Embedder]) -> Backend:
    """The backend of that name. SettingsError if there is none."""
    if name == "extractive":
        from ruvllm_mcp.llm.backends.extractive import Extractive

        return Extractive(embedder)
    if name == "echo":
        from ruvllm_mcp.llm.backends.echo import Echo

        return Echo(embedder)
    raise SettingsError(f"There is no backend {name!r}.", f"It takes one of {', '.join(BACKENDS)}.")

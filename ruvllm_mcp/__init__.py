"""A local memory for coding agents and notebooks that improves with feedback.

Start with `async with RuvLLM() as llm: ...`. Importing this package loads nothing but this file: each public name is
fetched when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruvllm_mcp.errors import RuvLLMError as RuvLLMError
    from ruvllm_mcp.settings import Settings as Settings

__version__ = "0.1.0"

_HOMES = {
    "RuvLLMError": "ruvllm_mcp.errors",
    "Settings": "ruvllm_mcp.settings",
}

__all__ = ["RuvLLMError", "Settings", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

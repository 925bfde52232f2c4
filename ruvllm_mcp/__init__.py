"""A local memory for coding agents and notebooks that improves with feedback.

Start with `async with RuvLLM() as llm: ...`. Importing this package loads nothing but this file: each public name is
fetched when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM as RuvLLM
    from ruvllm_mcp.errors import RuvLLMError as RuvLLMError
    from ruvllm_mcp.learning.ewc import EwcPlusPlus as EwcPlusPlus
    from ruvllm_mcp.learning.lora import LoraAdapter as LoraAdapter
    from ruvllm_mcp.learning.manager import LoraManager as LoraManager
    from ruvllm_mcp.learning.patterns import ReasoningBank as ReasoningBank
    from ruvllm_mcp.learning.sona import SonaEngine as SonaEngine
    from ruvllm_mcp.learning.training import TrainingConfig as TrainingConfig
    from ruvllm_mcp.learning.training import TrainingPipeline as TrainingPipeline
    from ruvllm_mcp.learning.trajectory import Trajectory as Trajectory
    from ruvllm_mcp.memory.lifecycle import PrunePolicy as PrunePolicy
    from ruvllm_mcp.settings import Settings as Settings
    from ruvllm_mcp.simd import SimdOps as SimdOps
    from ruvllm_mcp.types import GenerationConfig as GenerationConfig
    from ruvllm_mcp.types import NewMemory as NewMemory

__version__ = "0.1.0"

_HOMES = {
    "EwcPlusPlus": "ruvllm_mcp.learning.ewc",
    "GenerationConfig": "ruvllm_mcp.types",
    "LoraAdapter": "ruvllm_mcp.learning.lora",
    "LoraManager": "ruvllm_mcp.learning.manager",
    "NewMemory": "ruvllm_mcp.types",
    "PrunePolicy": "ruvllm_mcp.memory.lifecycle",
    "ReasoningBank": "ruvllm_mcp.learning.patterns",
    "RuvLLM": "ruvllm_mcp.engine.engine",
    "RuvLLMError": "ruvllm_mcp.errors",
    "Settings": "ruvllm_mcp.settings",
    "SimdOps": "ruvllm_mcp.simd",
    "SonaEngine": "ruvllm_mcp.learning.sona",
    "TrainingConfig": "ruvllm_mcp.learning.training",
    "TrainingPipeline": "ruvllm_mcp.learning.training",
    "Trajectory": "ruvllm_mcp.learning.trajectory",
}

__all__ = [
    "EwcPlusPlus",
    "GenerationConfig",
    "LoraAdapter",
    "LoraManager",
    "NewMemory",
    "PrunePolicy",
    "ReasoningBank",
    "RuvLLM",
    "RuvLLMError",
    "Settings",
    "SimdOps",
    "SonaEngine",
    "TrainingConfig",
    "TrainingPipeline",
    "Trajectory",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext ruvllm_mcp`: brings the magics `%ruvllm` and `%%ruvllm`."""
    importlib.import_module("ruvllm_kernel").load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext ruvllm_mcp`: takes the magics away and closes their engine."""
    importlib.import_module("ruvllm_kernel").unload_ipython_extension(shell)

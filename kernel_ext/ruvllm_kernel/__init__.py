"""The IPython extension: `%load_ext ruvllm_mcp` or `%load_ext ruvllm_kernel` brings `%ruvllm` and `%%ruvllm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by IPython to load the extension. Opens nothing."""
    from ruvllm_kernel.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by IPython to unload the extension; closes the engine."""
    from ruvllm_kernel.magics import unload

    unload(shell)

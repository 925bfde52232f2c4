"""Text to vectors. `load(name)` gives the embedder of that name, made once per process."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from ruvllm_mcp.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from ruvllm_mcp.embed.base import Embedder

REINSTALL = "It came with the package, whose installation is damaged: pip install --force-reinstall ruvllm-mcp."

_making = Lock()


def load(name: str = "minilm", threads: int | None = None) -> Embedder:
    """The embedder `minilm`, `static`, `hashing` or `hashing:DIM` (DIM from 8 to 65,536); the same object every time.

    Raises SettingsError for another name, ModelError when the weights are missing or damaged.
    """
    with _making:
        try:
            return _make(name, threads)
        except ModelError as error:
            raise ModelError(error.message, REINSTALL) from None


@lru_cache
def _make(name: str, threads: int | None) -> Embedder:
    kind, colon, rest = name.partition(":")
    if kind == "hashing" and (not colon or rest.isdecimal()):
        from ruvllm_mcp.embed.hashing import Hashing

        return Hashing(int(rest)) if colon else Hashing()
    if name == "minilm":
        from ruvllm_mcp.embed.minilm import MiniLM

        return MiniLM(threads=threads)
    if name == "static":
        from ruvllm_mcp.embed.static import Static

        return Static()
    raise SettingsError(f"No embedder is called {name!r}.", "Known: minilm, static, hashing, hashing:DIM.")

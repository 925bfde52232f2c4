"""Random models that can be talked to: a tokenizer and, if wanted, a chat template in the same GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.formats.gguf_write import write_gguf
from tests.llm.chat_templates import CHATML
from tests.llm.tiny import HYPERPARAMETERS, WIDTH, gguf_shapes, values
from tests.llm.vocabularies import CHAT, byte_level, sentence_piece

CONTEXT = 512
ENDLESS = 8_192
"""What an endless model has room for: more tokens than one answer may have."""


def write_talker(path: Path, make: str = "qwen2", template: str | None = CHATML, endless: bool = False) -> Path:
    """A model of the `llama` kind in F32 that says random things, the same each time; `endless`: until it is cut."""
    tokenizer = (sentence_piece() if make == "spm" else byte_level(make)).metadata
    shapes = gguf_shapes("llama") | {"token_embd.weight": (len(tokenizer["tokenizer.ggml.tokens"]), WIDTH)}
    parameters = HYPERPARAMETERS | {"context_length": np.uint32(ENDLESS if endless else CONTEXT)}
    metadata: dict[str, Any] = {"general.architecture": "llama", "general.name": "Talker"}
    metadata |= {f"llama.{key}": value for key, value in parameters.items()}
    metadata |= {key: np.uint32(value) if type(value) is int else value for key, value in tokenizer.items()}
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    weights = values(shapes, seed=3)
    if endless:  # a token whose row is zero never has the greatest logit
        controls = [token in CHAT for token in tokenizer["tokenizer.ggml.tokens"]]
        weights["token_embd.weight"][controls] = 0
    write_gguf(path, metadata, {name: ("F32", made.shape, made) for name, made in weights.items()})
    return path

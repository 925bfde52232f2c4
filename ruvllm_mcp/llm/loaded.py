"""A language model ready to write: its weights, its tokenizer, its chat template and the batcher that runs it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.llm.batching import Batcher
from ruvllm_mcp.llm.files import MAX_CONFIG, read_json
from ruvllm_mcp.llm.model import Model, load_model
from ruvllm_mcp.llm.template import ChatTemplate
from ruvllm_mcp.llm.tokenizer import Tokenizer


@dataclass(frozen=True)
class Loaded:
    """One model in memory. `template` is None for models that were not made to chat."""

    model: Model
    tokenizer: Tokenizer
    template: ChatTemplate | None
    batcher: Batcher

    @property
    def context(self) -> int:
        """How many tokens it reads, its answer included."""
        return self.model.architecture.context

    def close(self) -> None:
        """End what it is writing and its thread; the memory goes with the last reference."""
        self.batcher.close()


def load(path: str | os.PathLike[str], context: int | None = None) -> Loaded:
    """The model in a GGUF file or a Hugging Face folder. Raises ModelError."""
    model = load_model(path, context)
    source = model.checkpoint.source
    if isinstance(source, GgufFile):
        tokenizer = Tokenizer.from_gguf(source.metadata)
        found: Any = source.metadata.get("tokenizer.chat_template")
    else:
        tokenizer = Tokenizer.from_folder(source)
        found = _folder_template(source)
    known = tokenizer.vocabulary
    if known.size > model.architecture.vocabulary:
        raise ModelError(
            f"{path}: the tokenizer has {known.size} tokens, the model {model.architecture.vocabulary}.",
            "The files do not belong together; get them anew.",
        )
    names = {"bos_token": known.bos, "eos_token": known.eos}
    tokens = {name: tokenizer.text_of(token) for name, token in names.items() if token is not None}
    template = ChatTemplate(found, tokens) if isinstance(found, str) and found.strip() else None
    return Loaded(model, tokenizer, template, Batcher(model))


def _folder_template(folder: Path) -> Any:
    """The chat template of a folder: a file of its own, or an entry of tokenizer_config.json, maybe of several."""
    own, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        if own.exists():
            return own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ModelError(f"{own} cannot be read.", "Get the folder anew.") from None
    found = read_json(config, MAX_CONFIG).get("chat_template") if config.exists() else None
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        return named.get("default")
    return found

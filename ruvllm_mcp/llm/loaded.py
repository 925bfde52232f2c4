"""A language model ready to write: its weights, its tokenizer, its chat template and the batcher that runs it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.llm.batching import Batcher
from ruvllm_mcp.llm.files import folder_template
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
        found = folder_template(source)
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

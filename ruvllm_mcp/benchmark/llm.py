"""How fast a language model reads a prompt and writes an answer, without tokenizer and sampling."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.llm.model import Cache, Part, load_model
from ruvllm_mcp.native.lib import nogil
from ruvllm_mcp.types import Record


@dataclass(frozen=True)
class Speed(Record):
    """Seconds to open the files; tokens a second while reading a prompt at once, and while writing one by one."""

    open_seconds: float
    prompt_tokens: int
    prompt_tokens_per_second: float
    written_tokens_per_second: float
    threads: int


USUAL_PROMPT = 512


def measure(path: Path, prompt: int | None, tokens: int, threads: int) -> Speed:
    """Random tokens: `prompt` (None: USUAL_PROMPT, or as many as the context has room for) read at once, then `tokens`
    one by one. The first pass, which brings weights into memory, is not counted. Raises ModelError, and
    InvalidInputError if they do not fit the context."""
    began = time.perf_counter()
    model = load_model(path)
    opened = time.perf_counter() - began
    if prompt is None:
        prompt = max(1, min(USUAL_PROMPT, model.architecture.context - tokens))
    if prompt + tokens > model.architecture.context:
        raise InvalidInputError(
            f"{prompt} + {tokens} tokens are more than the context of {model.architecture.context}.", "Ask for fewer."
        )
    taken = int(nogil.rv_llm_set_threads(threads))
    ids = np.random.default_rng(0).integers(0, model.architecture.vocabulary, prompt + tokens).astype(np.int32)
    cache = Cache(model, prompt + tokens)
    model.forward([Part(cache, ids[:prompt])])
    cache.truncate(0)
    began = time.perf_counter()
    model.forward([Part(cache, ids[:prompt])])
    read = time.perf_counter() - began
    began = time.perf_counter()
    for i in range(prompt, prompt + tokens):
        model.forward([Part(cache, ids[i : i + 1])])
    written = time.perf_counter() - began
    return Speed(opened, prompt, prompt / read, tokens / written, taken)

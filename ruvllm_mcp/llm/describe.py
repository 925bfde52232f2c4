"""What a model file is, told from its own words; no weights are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.files import Tensor
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.llm.files import MAX_CONFIG, Checkpoint, Weight, folder_template, open_checkpoint, read_json
from ruvllm_mcp.types import Record


@dataclass(frozen=True)
class Description(Record):
    """A model file or folder. `types` tells how many numbers are stored as which type, most first; `context` is the
    most positions it was made for; `problem` why it cannot be run, or None. What is not known is None.

    Running it takes `weight_bytes`, and `kv_bytes_per_token` for every token that is being read or written.
    """

    path: str
    format: str
    name: str | None
    architecture: str | None
    parameters: int
    types: dict[str, int]
    file_bytes: int
    weight_bytes: int
    context: int | None
    layers: int | None
    width: int | None
    heads: int | None
    kv_heads: int | None
    vocabulary: int | None
    tokenizer: str | None
    has_chat_template: bool
    kv_bytes_per_token: int | None
    problem: str | None


def describe(path: Path) -> Description:
    """Raises ModelError for what is no model file at all. A sound GGUF file that cannot be run is described too."""
    try:
        found = open_checkpoint(path)
    except ModelError as error:
        if path.is_dir():
            raise
        file = GgufFile(path)
        return Description(**_stored(path, file.tensors.values()), **_gguf(file), **_numbers(None), problem=str(error))
    said = _gguf(found.source) if isinstance(found.source, GgufFile) else _folder(found.source)
    return Description(**_stored(path, found.stored.values()), **said, **_numbers(found), problem=None)


def _stored(path: Path, tensors: Iterable[Tensor | Weight]) -> dict[str, Any]:
    types: Counter[str] = Counter()
    size = 0
    for tensor in tensors:
        types[tensor.kind] += int(np.prod(tensor.shape, dtype=np.int64))
        size += tensor.size
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    return {
        "path": str(path),
        "parameters": sum(types.values()),
        "types": dict(types.most_common()),
        "file_bytes": sum(file.stat().st_size for file in files),
        "weight_bytes": size,
    }


def _gguf(file: GgufFile) -> dict[str, Any]:
    values = file.metadata
    tokens, kind = values.get("tokenizer.ggml.tokens"), values.get("tokenizer.ggml.model")
    cut = values.get("tokenizer.ggml.pre")
    return {
        "format": "GGUF",
        "name": _text(values.get("general.name")),
        "architecture": _text(values.get("general.architecture")),
        "tokenizer": f"{kind} ({cut}), {len(tokens):,} tokens" if isinstance(tokens, Strings) else None,
        "has_chat_template": "tokenizer.chat_template" in values,
    }


def _folder(folder: Path) -> dict[str, Any]:
    return {
        "format": "SafeTensors",
        "name": folder.resolve().name,
        "architecture": _text(read_json(folder / "config.json", MAX_CONFIG).get("model_type")),
        "tokenizer": "tokenizer.json" if (folder / "tokenizer.json").exists() else None,
        "has_chat_template": folder_template(folder) is not None,
    }


def _numbers(of: Checkpoint | None) -> dict[str, Any]:
    """What a model's architecture says, None for each if it cannot be run."""
    names = {name: name for name in ("layers", "width", "heads", "kv_heads", "vocabulary")}
    architecture = of.architecture if of else None
    told = {told: getattr(architecture, name, None) for told, name in {**names, "context": "most"}.items()}
    return {**told, "kv_bytes_per_token": of.kv_bytes_per_token if of else None}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None

"""A real model of 260 thousand parameters that tells children's stories, from the files of Karpathy's llama2.c.

The weights are not in this repository. Tests that want them look for `stories260K.bin` and `tok512.bin` in the folder
that RUVLLM_STORIES names; `python -m tests.llm.story FOLDER FILE.gguf` converts them for any other use.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.formats.gguf_write import write_gguf

FIRST_PIECE = 259
"""Of the tokens before: three control tokens, and one for each byte."""
OPENING = "Once upon a time"
BEGINNING = "there was a little girl named Lily. She loved to play outside in the park."
"""What the model says after the opening at temperature 0, as llama2.c does."""


def convert(folder: Path, path: Path) -> Path:
    """Writes the model of `folder` to `path` as a GGUF file in F32."""
    raw = (folder / "stories260K.bin").read_bytes()
    width, inner, layers, heads, kv_heads, vocabulary, context = struct.unpack_from("<7i", raw)
    keys = width // heads * kv_heads
    shapes = {
        "token_embd": (vocabulary, width),
        "attn_norm": (layers, width),
        "attn_q": (layers, width, width),
        "attn_k": (layers, keys, width),
        "attn_v": (layers, keys, width),
        "attn_output": (layers, width, width),
        "ffn_norm": (layers, width),
        "ffn_gate": (layers, inner, width),
        "ffn_down": (layers, width, inner),
        "ffn_up": (layers, inner, width),
        "output_norm": (width,),
    }
    tensors: dict[str, Any] = {}
    place = 28
    for name, shape in shapes.items():
        data = np.frombuffer(raw, np.float32, int(np.prod(shape)), place).reshape(shape)
        place += data.nbytes
        if name in ("token_embd", "output_norm"):
            tensors[f"{name}.weight"] = ("F32", shape, data)
        else:
            tensors |= {f"blk.{i}.{name}.weight": ("F32", shape[1:], data[i]) for i in range(layers)}
    metadata = {
        "general.architecture": "llama",
        "general.name": "stories260K",
        "llama.embedding_length": np.uint32(width),
        "llama.feed_forward_length": np.uint32(inner),
        "llama.block_count": np.uint32(layers),
        "llama.attention.head_count": np.uint32(heads),
        "llama.attention.head_count_kv": np.uint32(kv_heads),
        "llama.context_length": np.uint32(context),
        "llama.attention.layer_norm_rms_epsilon": np.float32(1e-5),
        "llama.rope.freq_base": np.float32(10000),
        "llama.rope.dimension_count": np.uint32(width // heads),
        **_tokenizer((folder / "tok512.bin").read_bytes(), vocabulary),
    }
    write_gguf(path, metadata, tensors)
    return path


def _tokenizer(raw: bytes, count: int) -> dict[str, Any]:
    tokens, scores, place = [], [], 4
    for i in range(count):
        score, length = struct.unpack_from("<fi", raw, place)
        place += 8 + length
        spelt = raw[place - length : place].decode().replace(" ", "▁")
        tokens.append(("<unk>", "<s>", "</s>")[i] if i < 3 else spelt)
        scores.append(score)
    kinds = [2, 3, 3, *[6] * (FIRST_PIECE - 3), *[1] * (count - FIRST_PIECE)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": np.array(scores, np.float32),
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.bos_token_id": np.uint32(1),
        "tokenizer.ggml.eos_token_id": np.uint32(2),
    }


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

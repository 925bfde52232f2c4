"""A real model of 260 thousand parameters that tells children's stories, from the files of Karpathy's llama2.c.

The weights are not in this repository. Tests that want them look for `stories260K.bin` and `tok512.bin` in the folder
that RUVLLM_STORIES names; `python -m tests.llm.story FOLDER NEW` makes a Hugging Face folder NEW and NEW.gguf of them.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from ruvllm_mcp.formats import safetensors
from ruvllm_mcp.llm.convert import convert
from ruvllm_mcp.llm.files import open_checkpoint
from tests.llm.tiny import HF_LAYER

CONTROLS = ("<unk>", "<s>", "</s>")
FIRST_PIECE = 259
"""Of the tokens before: three control tokens, and one for each byte."""
OPENING = "Once upon a time"
BEGINNING = "there was a little girl named Lily. She loved to play outside in the park."
"""What the model says after the opening at temperature 0, as llama2.c does."""


def write_folder(source: Path, folder: Path) -> Path:
    """The model in `source` as a Hugging Face folder: SafeTensors, config.json, tokenizer.json."""
    folder.mkdir()
    raw = (source / "stories260K.bin").read_bytes()
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
        if name in ("attn_q", "attn_k"):  # llama2.c turns neighbours, Hugging Face the halves of a head
            pairs = data.reshape(layers, -1, width // heads // 2, 2, width)
            data = pairs.swapaxes(2, 3).reshape(shape)
        if name in HF_LAYER:
            tensors |= {f"model.layers.{i}.{HF_LAYER[name]}.weight": data[i] for i in range(layers)}
        else:
            tensors[f"model.{'embed_tokens' if name == 'token_embd' else 'norm'}.weight"] = data
    safetensors.save(folder / "model.safetensors", tensors)
    config = {
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    _tokenizer((source / "tok512.bin").read_bytes(), vocabulary).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true}')
    return folder


def _tokenizer(raw: bytes, count: int) -> Tokenizer:
    """SentencePiece's tokens and scores as a tokenizer of Hugging Face: pairs are merged by the score of what they
    make."""
    scores: dict[str, float] = {}
    place = 4
    for i in range(count):
        score, length = struct.unpack_from("<fi", raw, place)
        place += 8 + length
        spelt = f"<0x{i - 3:02X}>" if 3 <= i < FIRST_PIECE else raw[place - length : place].decode().replace(" ", "▁")
        scores[CONTROLS[i] if i < 3 else spelt] = score
    pieces = [piece for i, piece in enumerate(scores) if i >= FIRST_PIECE]
    pairs = [(piece[:cut], piece[cut:]) for piece in pieces for cut in range(1, len(piece))]
    merges = sorted((pair for pair in pairs if scores.keys() >= set(pair)), key=lambda pair: -scores["".join(pair)])
    vocabulary = {piece: i for i, piece in enumerate(scores)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROLS])
    return tokenizer


def write_both(source: Path, folder: Path) -> Path:
    """The folder, and beside it the same as a GGUF file, which is returned."""
    file = folder.with_name(f"{folder.name}.gguf")
    convert(open_checkpoint(write_folder(source, folder)), file, "f32")
    return file


if __name__ == "__main__":
    print(write_both(Path(sys.argv[1]), Path(sys.argv[2])))

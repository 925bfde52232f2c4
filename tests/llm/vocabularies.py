"""Small tokenizers trained on the spot, as a model's `tokenizer.json` has them and as its GGUF metadata have them.

The first are the judges: made of Hugging Face `tokenizers` alone, with the steps that the real models' files name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SAMPLE = (
    """def total(items: list[float]) -> float:
    # it's the sum, we've seen 12345 of these; they're fine
    return sum(item * 1.07 for item in items)  # 3.14159

Once upon a time there was a little girl named Lily. She loved to play outside in the park, didn't she?
They'll say "HTTP/2" isn't HelloWorld's parseHTTPHeader.
Zażółć gęślą jaźń; Ελληνικά, русский текст, العربية, हिन्दी.
今天天气很好，我们去公园吧。日本語のテキストです。한국어 텍스트.
Emoji: 😀 👩‍👩‍👧‍👦 🇩🇪 ❤️‍🔥!  Tabs\tand   spaces\r\n\r\n   end.\n\n\n"""
    * 3
)
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAGS = ("<think>", "</think>")
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Made:
    """A judge and the metadata of the same vocabulary."""

    judge: Tokenizer
    metadata: dict[str, Any]


def _split(pattern: str) -> list[Any]:
    return [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


CUTS: dict[str, Callable[[], list[Any]]] = {
    "gpt-2": lambda: [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)],
    "smollm": lambda: [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ],
    "llama-bpe": lambda: _split(LLAMA3),
    "qwen2": lambda: _split(LLAMA3.replace("{1,3}", "")),
    "tekken": lambda: _split(TEKKEN),
    "gpt-4o": lambda: _split(GPT4O),
}


def byte_level(pre: str, size: int = 700) -> Made:
    """A byte-level BPE of the make that GGUF calls `pre`."""
    judge = Tokenizer(models.BPE(ignore_merges=pre in ("llama-bpe", "tekken")))
    if pre == "qwen2":
        judge.normalizer = normalizers.NFC()
    judge.pre_tokenizer = pre_tokenizers.Sequence(CUTS[pre]())
    judge.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    judge.train_from_iterator([SAMPLE], trainer)
    judge.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CHAT])
    judge.add_tokens([AddedToken(text, special=False, normalized=False) for text in TAGS])
    model = json.loads(judge.to_str())["model"]
    tokens = sorted(judge.get_vocab(), key=judge.get_vocab().__getitem__)
    kinds = [3 if text in CHAT else 4 if text in TAGS else 1 for text in tokens]
    return Made(
        judge,
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": np.array(kinds, np.int32),
            "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
            "tokenizer.ggml.bos_token_id": tokens.index("<|endoftext|>"),
            "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
            "tokenizer.ggml.add_bos_token": False,
        },
    )


def sentence_piece(size: int = 900, *, prefix: bool = True) -> Made:
    """A SentencePiece-like BPE with byte fallback, as Llama 2's."""
    bases = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    learner.train_from_iterator([SAMPLE], trainers.BpeTrainer(vocab_size=size, limit_alphabet=120, show_progress=False))
    learnt = json.loads(learner.to_str())["model"]
    letters = [text for text in sorted(learnt["vocab"], key=learnt["vocab"].__getitem__) if len(text) == 1]
    joined = list(dict.fromkeys("".join(pair) for pair in learnt["merges"]))
    tokens = [*bases, *joined, *letters]
    scores = [0.0] * len(bases) + [-float(i) for i in range(len(joined))] + [-1e6 - i for i in range(len(letters))]
    vocab = {text: i for i, text in enumerate(tokens)}
    ranked = sorted(
        (-scores[vocab[text]], len(text[:cut]), text[:cut], text[cut:])
        for text in joined
        for cut in range(1, len(text))
        if text[:cut] in vocab and text[cut:] in vocab
    )
    judge = Tokenizer(
        models.BPE(vocab, [pair[2:] for pair in ranked], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    steps = [normalizers.Prepend("▁")] if prefix else []
    judge.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    judge.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    judge.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in bases[:3]])
    return Made(
        judge,
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.scores": np.array(scores, np.float32),
            "tokenizer.ggml.token_type": np.array([2, 3, 3, *[6] * 256, *[1] * (len(tokens) - len(bases))], np.int32),
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            **({} if prefix else {"tokenizer.ggml.add_space_prefix": False}),
        },
    )

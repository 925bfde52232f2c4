"""`minilm`: all-MiniLM-L6-v2 from the shipped GGUF file, one pass for sentence and token vectors.

A sentence vector is the mean of the last hidden states of [CLS], the word pieces and [SEP], at unit length, as the
model was trained; a longer text is the mean of its windows' sentence vectors, weighted by their tokens. Windows are
encoded a few at a time, side by side without padding, on `threads` threads; what is beside a text never shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ruvllm_mcp.embed.base import Encoded, FloatArray, TokenVectors
from ruvllm_mcp.embed.bert import Bert
from ruvllm_mcp.embed.windows import Window, windows_of
from ruvllm_mcp.embed.wordpiece import Ids
from ruvllm_mcp.formats.gguf import GgufFile

WEIGHTS = Path(__file__).parent / "weights" / "minilm-q8_0.gguf"
WINDOW, OVERLAP = 254, 64
"""Word pieces of a window beside [CLS] and [SEP] (the model was trained on 256 in all), and shared by neighbours."""
PASS_TOKENS = 192
"""Tokens encoded side by side: enough that weights are read for many, few enough that all stays in the cache."""


class MiniLM:
    """The Embedder of a `bert` GGUF file made by weights/make_minilm.py. Raises ModelError where it is not one.

    `threads` is how many encode at once, None for as many as there are CPUs.
    """

    name = "minilm"
    has_tokens = True

    def __init__(self, path: Path = WEIGHTS, threads: int | None = None) -> None:
        file = GgufFile(path)
        self._bert = Bert(file)
        self._threads = threads or os.cpu_count() or 1
        self._pool: ThreadPoolExecutor | None = None
        self.dim = self._bert.width
        self.fingerprint = f"minilm/2:{file.value('ruvllm.digest', str)}"

    def count_tokens(self, text: str) -> int:
        return len(self._bert.tokenizer.encode([text])[0])

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:
        ids = self._bert.tokenizer.encode(texts)
        if len(ids) == 1 and len(ids[0]) <= WINDOW:  # as questions are: what one pass gives is all there is
            alone, seen = self._bert.encode(ids, tokens=tokens, threads=self._threads)
            return Encoded(alone, None if seen is None else (TokenVectors(ids[0], seen),))
        groups = list(_groups(ids))
        cut = [[ids[text][window.start : window.end] for text, window in group] for group in groups]
        sums = np.zeros((len(texts), self.dim), np.float32)
        parts: list[list[FloatArray]] = [[] for _ in texts]
        for group, (sentences, vectors) in zip(groups, self.run(cut, tokens=tokens), strict=True):
            place = 0
            for (text, window), sentence in zip(group, sentences, strict=True):
                sums[text] += sentence * np.float32(window.end - window.start + 2)
                if vectors is not None:
                    first = place - window.start
                    parts[text].append(vectors[first + window.keep_from : first + window.keep_to])
                place += window.end - window.start
        unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        if not tokens:
            return Encoded(unit, None)
        joined = [found[0].copy() if len(found) == 1 else np.concatenate(found) for found in parts]
        return Encoded(unit, tuple(TokenVectors(*pair) for pair in zip(ids, joined, strict=True)))

    def run(self, passes: list[list[Ids]], *, tokens: bool) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """What `Bert.encode` gives for each pass of windows, in order, as many at once as there are threads; a single
        one is shared among them."""
        if self._threads == 1 or len(passes) == 1:
            return (self._bert.encode(windows, tokens=tokens, threads=self._threads) for windows in passes)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ruvllm-embed")
        return self._pool.map(lambda windows: self._bert.encode(windows, tokens=tokens), passes)


def _groups(ids: Sequence[Ids]) -> Iterator[list[tuple[int, Window]]]:
    """The windows of all texts, in groups of about PASS_TOKENS tokens."""
    group: list[tuple[int, Window]] = []
    size = 0
    for text, found in enumerate(ids):
        for window in windows_of(len(found), WINDOW, OVERLAP):
            group.append((text, window))
            size += window.end - window.start + 2
            if size >= PASS_TOKENS:
                yield group
                group, size = [], 0
    if group:
        yield group

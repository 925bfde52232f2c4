"""How fast the embedders are on this machine: one text at a time, and in batches on all cores."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ruvllm_mcp import embed
from ruvllm_mcp.benchmark.texts import notes
from ruvllm_mcp.embed.base import Embedder

EMBEDDERS = ("minilm", "static", "hashing")
WORDS = (10, 50, 200)
BATCH = 32
SECONDS = 0.6


@dataclass(frozen=True)
class Speed:
    """Of one embedder on texts of so many words: tokens a text, median milliseconds of a text alone, and texts a second
    in batches of 32."""

    embedder: str
    words: int
    tokens: float
    one_text_ms: float
    texts_per_second: float


def run(names: Sequence[str] = EMBEDDERS, progress: Callable[[int, int], None] | None = None) -> list[Speed]:
    """Measures the embedders `names`, in about 12 seconds for all.

    `progress` is told how many steps are done, of how many. Raises SettingsError for an embedder there is not.
    """
    steps = [(name, words) for name in names for words in WORDS]
    measured = []
    for done, (name, words) in enumerate(steps):
        if progress is not None:
            progress(done, len(steps))
        measured.append(_measure(name, embed.load(name), words))
    if progress is not None:
        progress(len(steps), len(steps))
    return measured


def table(measured: Sequence[Speed]) -> str:
    """The figures as text."""
    lines = [f"{'embedder':14} {'words':>6} {'tokens':>7} {'one text':>11} {'in batches of 32':>18}"]
    for row in measured:
        alone, together = f"{row.one_text_ms:.3f} ms", f"{row.texts_per_second:,.0f} a second"
        lines.append(f"{row.embedder:14} {row.words:>6} {row.tokens:>7.0f} {alone:>11} {together:>18}")
    return "\n".join(lines)


def _measure(name: str, embedder: Embedder, words: int) -> Speed:
    texts = notes(BATCH, words, seed=words)
    tokens = statistics.mean(map(embedder.count_tokens, texts))
    embedder.encode(texts[:1])
    alone = _turns(lambda turn: embedder.encode([texts[turn % BATCH]]))
    together = _turns(lambda _turn: embedder.encode(texts))
    return Speed(name, words, tokens, 1e3 * statistics.median(alone), BATCH / min(together))


def _turns(call: Callable[[int], object]) -> list[float]:
    """The seconds of each of as many calls as fit into `SECONDS`, at least one."""
    taken: list[float] = []
    while not taken or sum(taken) < SECONDS:
        start = time.perf_counter()
        call(len(taken))
        taken.append(time.perf_counter() - start)
    return taken

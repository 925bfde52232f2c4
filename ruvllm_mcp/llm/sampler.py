"""From logits to the next token: penalty, temperature, top-k, top-p, min-p, in this order (that of transformers), then
one draw.

Probabilities are float64. What is cut off: all but the `top_k` likeliest tokens; of these all but the fewest that
together reach `top_p`; of these all less likely than `min_p` times the likeliest. Of equal tokens the one of the lower
id comes first. Temperature 0 takes the likeliest and draws nothing, so it gives the same answer every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import BackendError
from ruvllm_mcp.types import GenerationConfig

Logits = npt.NDArray[np.float32]
NEGLIGIBLE = 40.0
"""How far below the best a logit (over the temperature) counts for nothing: e^-40 is less than float64 can add to 1."""
MARGINS = (2.0, 4.0, 8.0, 16.0, np.inf)
"""How far below the best is looked first: passing over a vocabulary a few times is much quicker than sorting it."""


@dataclass(frozen=True)
class Candidates:
    """Tokens that may come next, int64 (n,), with their probabilities, float64 (n,); likeliest first where the
    likeliest had to be found."""

    tokens: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


class Sampler:
    """Draws the tokens of one answer. `seen` are the prompt's tokens, which `repetition_penalty` counts too."""

    def __init__(self, config: GenerationConfig, seen: Iterable[int]) -> None:
        self._config = config
        self._random = np.random.Generator(np.random.PCG64(config.seed))
        self._seen = set(seen) if config.repetition_penalty != 1 else None

    def pick(self, logits: Logits) -> int:
        """The next token for logits (vocabulary,). Raises BackendError if they are no numbers."""
        token = self.draw(logits)
        self.note(token)
        return token

    def draw(self, logits: Logits) -> int:
        """A token that might be the next one; `note` tells which one is."""
        if not np.isfinite(logits.max()):
            raise BackendError("The model computed no numbers.", "Its file may be damaged; get it anew.")
        penalised = self._penalised(logits)
        if self._config.temperature == 0:
            return int(np.argmax(penalised))
        found = candidates(penalised, self._config)
        reached = np.cumsum(found.probabilities)
        place = int(np.searchsorted(reached, self._random.random() * reached[-1], side="right"))
        return int(found.tokens[min(place, len(reached) - 1)])

    def note(self, token: int) -> None:
        if self._seen is not None:
            self._seen.add(token)

    def _penalised(self, logits: Logits) -> Logits:
        if not self._seen:
            return logits
        seen, penalty = np.fromiter(self._seen, np.int64), np.float32(self._config.repetition_penalty)
        changed = logits.copy()
        changed[seen] = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        return changed


def candidates(logits: Logits, config: GenerationConfig) -> Candidates:
    """What may be drawn from logits (vocabulary,) at a temperature above 0."""
    best = float(logits.max())
    if config.top_k:
        tokens = _best_by_count(logits, best, config.top_k)
    else:
        tokens = np.flatnonzero(logits > best - NEGLIGIBLE * config.temperature)
    weights = np.exp((logits[tokens].astype(np.float64) - best) / config.temperature)
    weights /= weights.sum()
    if config.top_p < 1:
        shown = _best_by_mass(weights, config.top_p)
        tokens, weights = tokens[shown], weights[shown]
    if config.min_p > 0:
        is_kept = weights >= config.min_p * weights.max()
        tokens, weights = tokens[is_kept], weights[is_kept]
    return Candidates(tokens, weights / weights.sum())


def _best_by_count(values: npt.NDArray[Any], best: float, count: int) -> npt.NDArray[np.int64]:
    """Places of the `count` greatest values, greatest first."""
    for margin in MARGINS:
        near = np.flatnonzero(values >= best - margin)
        if len(near) >= count:
            break
    if len(near) > 4 * count:  # many are nearly alike
        least = np.partition(values[near], len(near) - count)[len(near) - count]
        near = near[values[near] >= least]
    return near[_descending(values[near])][:count]


def _best_by_mass(weights: npt.NDArray[np.float64], mass: float) -> npt.NDArray[np.int64]:
    """Places of the fewest greatest weights that reach `mass` together, greatest first."""
    best = weights.max()
    for margin in MARGINS:
        near = np.flatnonzero(weights >= best * np.exp(-margin))
        if weights[near].sum() >= mass:
            break
    ordered = near[_descending(weights[near])]
    return ordered[: int(np.searchsorted(np.cumsum(weights[ordered]), mass)) + 1]


def _descending(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Places in order of their values, greatest first; of equal ones the first place first."""
    return np.argsort(-values, kind="stable")


def log_probabilities(logits: Logits, token: int, count: int) -> tuple[float, list[tuple[int, float]]]:
    """Natural logarithm of the model's own probability (before penalty, temperature and cuts) of `token`, and the
    `count` likeliest tokens with theirs."""
    exact = logits.astype(np.float64)
    exact -= exact.max()
    exact -= np.log(np.exp(exact).sum())
    best = _best_by_count(exact, float(exact.max()), count)
    return float(exact[token]), [(int(i), float(exact[i])) for i in best]


class StopFinder:
    """Finds the first of several strings to be complete in a text that comes in pieces, however the pieces fall."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.is_found = False

    def add(self, piece: str) -> str:
        """What may be shown by now: nothing from a stop string on, nothing that may yet become one."""
        text = self._held + piece
        ends = [(place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0]
        if ends:
            self.is_found, self._held = True, ""
            return text[: min(ends)[1]]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """What was held back, once nothing more comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many last characters of the text are the first ones of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)

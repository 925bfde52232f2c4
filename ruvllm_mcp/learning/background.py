"""The background loop: from rated searches to a candidate version.

Fusion weights are fitted first; a BaseLoRA of the question vectors then learns what they leave open (InfoNCE with the
search's own candidates as mined negatives). A fifth of the questions, fixed by a checksum of their vectors so that one
asked again stays on its side, is never trained on by any version: on these, and only these, versions are judged, and a
part that loses there is left out of the candidate. Few steps at a low rate are the regulariser: they need no further
held-back part.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ruvllm_mcp.learning.contrastive import Example, info_nce
from ruvllm_mcp.learning.instant import InstantLoop
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.lora import FloatArray, LoraAdapter
from ruvllm_mcp.learning.objective import Row, Weights, example_of, fit_weights, ndcg
from ruvllm_mcp.learning.training import TrainingConfig, TrainingPipeline

BASE_RANK = 16
BASE_STEPS = 30
BASE_RATE = 1e-3
FEWEST_ROWS = 8
_HELD_BACK = 5  # one request in so many
_SEED = 7

Moved = Callable[[FloatArray], FloatArray]
Measure = Callable[[Row, FloatArray], float]


def is_held_back(question: FloatArray) -> bool:
    """Whether requests with this question vector are for judging alone."""
    return zlib.crc32(question.astype("<f4").tobytes()) % _HELD_BACK == 0


def parted(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """(to train on, held back)."""
    return [row for row in rows if not is_held_back(row.query)], [row for row in rows if is_held_back(row.query)]


def quality(rows: Sequence[Row], weights: Weights, moved: Moved, measure: Measure = ndcg) -> list[float]:
    """nDCG@10, or another measure, of each row under weights and an adaptation of the question vector."""
    return [measure(row, row.scores(weights, moved(row.query))) for row in rows]


def quality_of(
    rows: Sequence[Row], learned: Learned, instant: InstantLoop | None = None, measure: Measure = ndcg
) -> list[float]:
    """The same under a version, with what the instant loop has added to it."""
    if instant is None:
        return quality(rows, learned.weights, learned.moved, measure)
    weights = instant.weights(learned.weights)
    return quality(rows, weights, lambda query: learned.moved(query) + instant.move(query), measure)


def train(rows: Sequence[Row], active: Learned, trained_to: int) -> Learned:
    """A candidate version from all of `rows`: `active`'s patterns and consolidation, new weights, a new base."""
    training, held = parted(rows)
    if len(training) < FEWEST_ROWS:
        return replace(active, trained_to=trained_to)
    best = replace(active, base=None, weights={}, trained_to=trained_to)
    weights = fit_weights(training)
    for weighted in (
        replace(best, weights=weights),
        replace(best, weights=weights, base=_trained_base(training, weights)),
    ):
        if np.mean(quality_of(held, weighted) or [0.0]) >= np.mean(quality_of(held, best) or [0.0]):
            best = weighted
    return best


def _trained_base(rows: Sequence[Row], weights: Weights) -> LoraAdapter | None:
    examples = [example_of(row, weights) for row in rows if row.gain]
    if not examples:
        return None
    start = LoraAdapter(len(examples[0].query), rank=BASE_RANK, alpha=BASE_RANK, seed=_SEED)
    trained = fit_adapter({"a": start.a, "b": start.b}, examples)
    return LoraAdapter.from_factors(trained["a"], trained["b"])


def fit_adapter(
    factors: Mapping[str, FloatArray],
    examples: Sequence[Example],
    penalty: Callable[[Mapping[str, FloatArray]], Mapping[str, FloatArray]] | None = None,
    steps: int = BASE_STEPS,
) -> Mapping[str, FloatArray]:
    """Factors trained on all examples at every step; `penalty` gives gradients to add to the loss's."""

    def loss(parameters: Mapping[str, FloatArray], batch: Sequence[Example]) -> tuple[float, Mapping[str, FloatArray]]:
        value, gradients = info_nce(parameters, batch)
        if penalty is not None:
            held = penalty(parameters)
            gradients = {name: gradients[name] + held[name] for name in gradients}
        return value, gradients

    config = TrainingConfig(
        steps=steps,
        batch_size=len(examples),
        learning_rate=BASE_RATE,
        weight_decay=0.0,
        clip_norm=0.0,
        kind="constant",
        seed=_SEED,
    )
    pipeline = TrainingPipeline(factors, loss, config)
    pipeline.fit(examples)
    return pipeline.parameters

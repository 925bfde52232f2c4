"""The background loop: from rated searches to a candidate version.

Fusion weights are fitted first; a BaseLoRA of the question vectors then learns what they leave open (InfoNCE with the
search's own candidates as mined negatives). Questions are parted into five folds by a checksum of their vectors, so
that one asked again stays on its side. A fifth of them is never trained on by any version, so that all can be judged
by it; the other folds judge candidates made without them. Few steps at a low rate are the regulariser: they need no
further held-back part, and training takes no longer the more there is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ruvllm_mcp.learning.contrastive import Example, info_nce
from ruvllm_mcp.learning.instant import InstantLoop
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.learning.lora import FloatArray, LoraAdapter
from ruvllm_mcp.learning.objective import Row, Weights, example_of, fit_weights, ndcg
from ruvllm_mcp.learning.training import TrainingConfig, TrainingPipeline

BASE_RANK = 16
BASE_STEPS = 30
BASE_RATE = 1e-3
BATCH = 256  # questions a step looks at
WEIGHED = 500  # questions that weights are fitted to, the newest: there are ten weights or so
FEWEST_ROWS = 8
FOLDS = 5
HELD_BACK = 0  # the fold that no version is trained on
_SEED = 7

Moved = Callable[[FloatArray], FloatArray]
Measure = Callable[[Row, FloatArray], float]


def fold_of(question: FloatArray) -> int:
    """Which of the `FOLDS` requests with this question vector belong to."""
    return zlib.crc32(question.astype("<f4").tobytes()) % FOLDS


def parted(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """(to train on, held back)."""
    by_fold = [(fold_of(row.query), row) for row in rows]
    return (
        [row for fold, row in by_fold if fold != HELD_BACK],
        [row for fold, row in by_fold if fold == HELD_BACK],
    )


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


def candidates(rows: Sequence[Row], active: Learned, trained_to: int) -> tuple[Learned, Learned, Learned]:
    """Candidate versions from `rows`, oldest first: `active`'s patterns and consolidation with nothing trained, with
    new weights, and with these and a new base. The same thrice where there is too little to train on."""
    plain = replace(active, base=None, weights={}, trained_to=trained_to)
    if len(rows) < FEWEST_ROWS:
        same = replace(active, trained_to=trained_to)
        return same, same, same
    weighted = replace(plain, weights=fit_weights(rows[-WEIGHED:]))
    return plain, weighted, replace(weighted, base=_trained_base(rows, weighted.weights))


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
    """Factors trained on `BATCH` examples at every step; `penalty` gives gradients to add to the loss's."""

    def loss(parameters: Mapping[str, FloatArray], batch: Sequence[Example]) -> tuple[float, Mapping[str, FloatArray]]:
        value, gradients = info_nce(parameters, batch)
        if penalty is not None:
            held = penalty(parameters)
            gradients = {name: gradients[name] + held[name] for name in gradients}
        return value, gradients

    config = TrainingConfig(
        steps=steps,
        batch_size=BATCH,
        learning_rate=BASE_RATE,
        weight_decay=0.0,
        clip_norm=0.0,
        kind="constant",
        seed=_SEED,
    )
    pipeline = TrainingPipeline(factors, loss, config)
    pipeline.fit(examples)
    return pipeline.parameters

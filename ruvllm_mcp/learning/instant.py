"""The instant loop: one small step per feedback, in effect at the next search.

A MicroLoRA of rank 2 moves question vectors, and each score part's weight is nudged, both against the gradient of the
row's loss (see `objective`). The gradient is taken once, by the process that is told, and stored with the feedback;
every process applies the stored steps in the feedback's order, so all reach the same state without looking at
candidates again. Steps are clipped and the whole is bounded: no run of feedback, however long or wrong, moves a
question by more than `MOST_MOVE` of its length or a weight by more than a factor `e ** MOST_TURN`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ruvllm_mcp.learning.lora import FloatArray, LoraAdapter
from ruvllm_mcp.learning.objective import Row, Weights, gradients

RANK = 2
VECTOR_RATE = 0.05
WEIGHT_RATE = 0.02
LONGEST_GRADIENT = 1.0
STEEPEST_PART = 2.0
MOST_MOVE = 0.3
MOST_TURN = 0.7
_SEED = 20


@dataclass(frozen=True)
class InstantStep:
    """Gradients of one feedback: in the adapted question vector float32 (d,), and in each score part's weight."""

    in_vector: FloatArray
    in_weights: Mapping[str, float]


def step_of(row: Row, weights: Weights, moved: FloatArray) -> InstantStep:
    """The step that `row` asks for when `weights` and the adapted vector `moved` are in force."""
    in_vector, in_weights = gradients(row, weights, moved)
    length = float(np.linalg.norm(in_vector))
    if length > LONGEST_GRADIENT:
        in_vector = in_vector * np.float32(LONGEST_GRADIENT / length)
    bounded = np.clip(np.array(list(in_weights.values()), np.float32), -STEEPEST_PART, STEEPEST_PART)
    return InstantStep(in_vector, dict(zip(in_weights, bounded.tolist(), strict=True)))


class InstantLoop:
    """What feedback since the active version has taught. Not thread-safe; its owner holds a lock."""

    def __init__(self, dim: int) -> None:
        self.micro = LoraAdapter(dim, rank=RANK, alpha=RANK, seed=_SEED)
        self._turns: dict[str, float] = {}
        self.steps = 0

    def move(self, query: FloatArray) -> FloatArray:
        """What the MicroLoRA adds to a question vector."""
        return self.micro.forward(query)

    def weights(self, learned: Weights) -> dict[str, float]:
        """The version's weights with what was learned since."""
        return {
            name: learned.get(name, 1.0) * math.exp(self._turns.get(name, 0.0)) for name in {*learned, *self._turns}
        }

    def apply(self, query: FloatArray, step: InstantStep) -> None:
        """Take one step."""
        self.micro.zero_grad()
        self.micro.backward(query, step.in_vector)
        self.micro.step(VECTOR_RATE)
        size = float(np.linalg.norm(self.micro.a) * np.linalg.norm(self.micro.b))
        if size > MOST_MOVE:
            self.micro.b *= np.float32(MOST_MOVE / size)
        for name, slope in step.in_weights.items():
            turn = self._turns.get(name, 0.0) - WEIGHT_RATE * slope
            self._turns[name] = max(-MOST_TURN, min(MOST_TURN, turn))
        self.steps += 1

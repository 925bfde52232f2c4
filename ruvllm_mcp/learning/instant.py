"""The instant loop: one small step per feedback, in effect at the next search.

Each score part's weight is nudged against the gradient of the row's loss (see `objective`), and follows as far as the
nudges so far agree: a few that point this way and that move nothing. A MicroLoRA of rank 2 moves
question vectors the same way where it is asked for: on none of three kinds of collections did it help questions nobody
rated, at rates up to 1, and it takes most of the time. The gradient is taken once, by the process that is told,
and stored with the feedback; every process applies the stored steps in the feedback's order, so all reach the same
state without looking at candidates again. Steps are clipped and the whole is bounded: no run of feedback, however long
or wrong, moves a question by more than `MOST_MOVE` of its length or a weight by more than a factor `e ** MOST_TURN`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ruvllm_mcp.learning.lora import FloatArray, LoraAdapter
from ruvllm_mcp.learning.objective import Row, Weights, gradients, slopes
from ruvllm_mcp.learning.trajectory import Trajectory
from ruvllm_mcp.simd import lora_descend

RANK = 2
VECTOR_RATE = 0.05
WEIGHT_RATE = 0.01
LONGEST_GRADIENT = 1.0
STEEPEST_PART = 2.0
MOST_MOVE = 0.3
MOST_TURN = 0.7
MOST_CLIENTS = 64  # whose steps are kept apart
_SEED = 20


@dataclass(frozen=True)
class InstantStep:
    """Gradients of one feedback: in the adapted question vector float32 (d,), or (0,) where it is not to move, and in
    each score part's weight."""

    in_vector: FloatArray
    in_weights: Mapping[str, float]


def step_of(row: Row, weights: Weights, moved: FloatArray) -> InstantStep:
    """The step that `row` asks for when `weights` and the adapted vector `moved` are in force."""
    in_vector, in_weights = gradients(row, weights, moved)
    length = float(np.linalg.norm(in_vector))
    if length > LONGEST_GRADIENT:
        in_vector = in_vector * np.float32(LONGEST_GRADIENT / length)
    return InstantStep(in_vector, _bounded(in_weights))


def weight_step_of(
    trajectory: Trajectory, votes: Mapping[int, float], weights: Weights, most: int | None = None
) -> InstantStep | None:
    """The step that leaves the vector alone, from the `most` best candidates and the right ones; None where the votes
    say nothing of the ranking."""
    in_weights = slopes(trajectory, votes, weights, most)
    return None if in_weights is None else InstantStep(np.empty(0, np.float32), _bounded(in_weights))


def _bounded(in_weights: Mapping[str, float]) -> dict[str, float]:
    return {name: max(-STEEPEST_PART, min(STEEPEST_PART, slope)) for name, slope in in_weights.items()}


@dataclass
class _Trace:
    """One client's share: its MicroLoRA, and by part the logarithm of its factor, and what the steps and their squares
    sum to."""

    micro: LoraAdapter
    turns: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    squares: dict[str, float] = field(default_factory=dict)
    steps: int = 0


class InstantLoop:
    """What feedback since the active version has taught. Not thread-safe; its owner holds a lock.

    Each client's steps are kept apart and weigh by its `credit` in [0, 1] at the time of asking, so a client that turns
    out not to be believed leaves nothing behind, and none outweighs the bounds.
    """

    def __init__(self, dim: int, credit: Callable[[str], float] = lambda _client: 1.0) -> None:
        self._dim, self._credit = dim, credit
        self._traces: dict[str, _Trace] = {}
        self.steps = 0
        self.moves_vectors = False

    def move(self, query: FloatArray) -> FloatArray:
        """What the MicroLoRA adds to a question vector."""
        added = np.zeros(self._dim, np.float32)
        for weight, trace in self._weighted():
            added += np.float32(weight) * trace.micro.forward(query)
        return added

    def delta_weight(self) -> FloatArray:
        """The same as a matrix, float32 (d, d)."""
        delta = np.zeros((self._dim, self._dim), np.float32)
        for weight, trace in self._weighted():
            delta += np.float32(weight) * trace.micro.delta_weight()
        return delta

    def weights(self, learned: Weights) -> dict[str, float]:
        """The version's weights with what was learned since."""
        turns: dict[str, float] = {}
        sums: dict[str, float] = {}
        squares: dict[str, float] = {}
        for weight, trace in self._weighted():
            for name, turn in trace.turns.items():
                turns[name] = turns.get(name, 0.0) + weight * turn
                sums[name] = sums.get(name, 0.0) + weight * trace.sums[name]
                squares[name] = squares.get(name, 0.0) + weight**2 * trace.squares[name]
        # steps that go either way by chance sum to about the root of their squares (James-Stein shrinkage)
        sure = {name: max(0.0, 1 - squares[name] / sums[name] ** 2) for name in turns if sums[name]}
        return {
            name: learned.get(name, 1.0) * math.exp(sure.get(name, 0.0) * turns.get(name, 0.0))
            for name in {*learned, *turns}
        }

    def apply(self, query: FloatArray, step: InstantStep, client: str = "") -> None:
        """Take one client's step."""
        trace = self._traces.get(client)
        if trace is None:
            self._make_room()
            trace = self._traces[client] = _Trace(LoraAdapter(self._dim, rank=RANK, alpha=RANK, seed=_SEED))
        if len(step.in_vector):
            self._move(trace.micro, query, step.in_vector)
        for name, slope in step.in_weights.items():
            change = -WEIGHT_RATE * slope
            trace.turns[name] = max(-MOST_TURN, min(MOST_TURN, trace.turns.get(name, 0.0) + change))
            trace.sums[name] = trace.sums.get(name, 0.0) + change
            trace.squares[name] = trace.squares.get(name, 0.0) + change**2
        trace.steps += 1
        self.steps += 1

    def _move(self, micro: LoraAdapter, query: FloatArray, in_vector: FloatArray) -> None:
        """A step of gradient descent on a MicroLoRA of scale 1, kept within its bound."""
        self.moves_vectors = True
        lora_descend(micro.a, micro.b, query, in_vector, VECTOR_RATE, MOST_MOVE)

    def _weighted(self) -> list[tuple[float, _Trace]]:
        """The believed clients' shares, each with its weight: their mean by credit, so that together they keep within
        the bounds of one."""
        credits = {client: self._credit(client) for client in self._traces}
        total = max(1.0, sum(credits.values()))
        return [(credits[client] / total, trace) for client, trace in self._traces.items() if credits[client] > 0]

    def _make_room(self) -> None:
        """Let go of the client that has said least, the older of two, when there are too many."""
        if len(self._traces) >= MOST_CLIENTS:
            del self._traces[min(self._traces, key=lambda client: self._traces[client].steps)]

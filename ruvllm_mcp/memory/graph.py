"""What a candidate owes to the memories it is connected with: attention over typed edges, a head for each kind.

After graph attention networks (Veličković et al. 2018, arXiv:1710.10903), with edge features in place of node features
and a null edge of logit 0 in each softmax, so that weak edges give little instead of sharing out a whole:

    said     the turns up to two before and after; what each gives is fixed by its place
    near     the best candidates among themselves; logit (cosine - NEAR_FROM) * NEAR_SHARPNESS
    linked   links somebody made; logit LINK_SHARPNESS * |weight|, and the sign of the weight counts

The last two pass on scores that were layer-normed (Ba et al. 2016, arXiv:1607.06450): their mean and deviation differ
from question to question. How much each head counts is among the fusion weights, and a factor of it is learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.memory.candidates import Evidence, IntArray
from ruvllm_mcp.memory.sets import distinct, located
from ruvllm_mcp.memory.weights import FusionWeights
from ruvllm_mcp.simd import cross_dot

REACH = 32  # of the best candidates bring what they are connected with
NEAREST_OF = 64  # best candidates pay attention to each other
NEAR_FROM, NEAR_SHARPNESS = 0.7, 10.0
LINK_SHARPNESS = 2.0

Links = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Around:
    """`sides` int64 (n, 4): ids said two before, one before, one after and two after each memory; 0 for none."""

    sides: IntArray

    @classmethod
    def of(cls, ids: IntArray, evidence: Evidence) -> Around:
        before, after = evidence.neighbours(ids)
        return cls(np.stack([_step(before, evidence, 0), before, after, _step(after, evidence, 1)], axis=1))

    @property
    def talk(self) -> float:
        """The share of memories that were said before or after another one."""
        return float((self.sides[:, 1:3] > 0).any(axis=1).mean()) if len(self.sides) else 0.0

    def beside(self, best: IntArray) -> IntArray:
        """Ids around the rows `best`."""
        near = distinct(self.sides[best].ravel())
        return near[near > 0]

    def shared(self, scores: FloatArray, ids: IntArray, weights: FusionWeights) -> FloatArray:
        """What each memory gets of the scores around it, float32 (n,)."""
        slot, there = _slots(self.sides, ids)
        given = np.array([weights.two_before, weights.before, weights.after, weights.two_after], np.float32)
        share: FloatArray = np.where(there, scores[slot], np.float32(0)) @ given
        return share


def linked_to(ids: IntArray, evidence: Evidence) -> IntArray:
    """Ids that somebody linked to one of `ids` by a link of positive weight."""
    links = evidence.links(ids)
    return distinct(links[links[:, 2] > 0, 1].astype(np.int64))


def near(scores: FloatArray, ids: IntArray, evidence: Evidence) -> FloatArray:
    """What the best candidates get from those that say something alike, float32 (n,), at most a few deviations."""
    given = np.zeros_like(scores)
    best = np.argsort(-scores, kind="stable")[:NEAREST_OF]
    vectors = evidence.vectors(ids[best])
    logits = (cross_dot(vectors, vectors) - np.float32(NEAR_FROM)) * np.float32(NEAR_SHARPNESS)
    attention = np.exp(logits)
    np.fill_diagonal(attention, 0.0)
    attention[~vectors.any(axis=1)] = 0.0
    given[best] = attention @ _layer_normed(scores[best]) / (1.0 + attention.sum(axis=1))
    return given


def linked(scores: FloatArray, ids: IntArray, evidence: Evidence) -> FloatArray:
    """What candidates get from better ones they are linked with, float32 (n,). A poor one at the other end of a link
    says nothing."""
    best = np.argsort(-scores, kind="stable")[:REACH]
    links = evidence.links(ids[best])
    if not len(links):
        return np.zeros_like(scores)
    values = np.maximum(_layer_normed(scores), 0)
    (giver, _), (taker, there) = _slots(links[:, 0].astype(np.int64), ids), _slots(links[:, 1].astype(np.int64), ids)
    giver, taker, weight = giver[there], taker[there], links[there, 2]
    attention = np.exp(LINK_SHARPNESS * np.abs(weight))
    message = np.bincount(taker, attention * np.sign(weight) * values[giver], len(ids))
    total = np.bincount(taker, attention, len(ids))
    return (message / (1.0 + total)).astype(np.float32)


def _layer_normed(scores: FloatArray) -> FloatArray:
    spread = float(scores.std())
    normed: FloatArray = (scores - scores.mean()) / np.float32(spread if spread > 1e-6 else 1.0)
    return normed


def _slots(wanted: IntArray, ids: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Where each wanted id stands among `ids`, and whether it does."""
    order = np.argsort(ids)
    places, are_there = located(wanted, ids[order])
    return order[places], are_there


def _step(ids: IntArray, evidence: Evidence, side: int) -> IntArray:
    """The neighbours on one side of those `ids` that are not 0."""
    further = np.zeros_like(ids)
    known = np.flatnonzero(ids)
    if len(known):
        further[known] = evidence.neighbours(ids[known])[side]
    return further

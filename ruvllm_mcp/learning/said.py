"""One feedback as a database row: what was said, what it says of single memories, and what learning makes of it.

Votes, lesson and instant step are worked out once, by the process that was told, and stored, so that every other one
takes them in without the search they came from. Arrays are little-endian.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ruvllm_mcp.learning.associations import NO_COUNTS, Lesson
from ruvllm_mcp.learning.credit import Witness
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.instant import InstantStep
from ruvllm_mcp.learning.trajectory import FloatArray
from ruvllm_mcp.memory.late import TokenSigns

INSERT = """INSERT INTO feedback (request_id, at, client, rating, relevant, irrelevant, correction, correction_id,
    task_success, question, voted, votes, counts, shown, "right", step_names, step)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq"""
SINCE = """SELECT f.seq, f.request_id, f.client, t.fingerprint, t.vector, t.tokens, f.question, f.voted, f.votes,
    f.counts, f.shown, f."right", f.step_names, f.step
    FROM feedback f JOIN trajectories t USING (request_id) WHERE f.seq > ? ORDER BY f.seq
    LIMIT ?"""


@dataclass(frozen=True)
class Said:
    """One feedback as learning takes it in. `seq` numbers feedback in commit order; `votes`: memory id → [-1, 1];
    `question`: the number of the feedback that first rated this same question, None when this one did; `step`: the
    instant loop's, None where there is nothing to learn from the ranking."""

    seq: int
    request_id: str
    client: str
    fingerprint: str
    vector: FloatArray
    tokens: TokenSigns | None
    question: int | None
    votes: Mapping[int, float]
    lesson: Lesson
    step: InstantStep | None


def to_columns(said: Said, feedback: Feedback, at: float) -> tuple[Any, ...]:
    """The values of `INSERT`."""
    step = said.step
    slopes = np.array(list(step.in_weights.values()), "<f4") if step is not None else None
    return (
        said.request_id,
        at,
        feedback.client,
        feedback.rating,
        json.dumps(feedback.relevant),
        json.dumps(feedback.irrelevant),
        feedback.correction,
        feedback.correction_id,
        None if feedback.task_success is None else int(feedback.task_success),
        said.question,
        np.array(list(said.votes), "<i8").tobytes(),
        np.array(list(said.votes.values()), "<f8").tobytes(),
        _lesson_bytes(said.lesson) if said.lesson.shown else b"",
        said.lesson.shown,
        said.lesson.right,
        "" if step is None else " ".join(step.in_weights),
        b"" if step is None or slopes is None else slopes.tobytes() + step.in_vector.astype("<f4").tobytes(),
    )


def said_of(row: Sequence[Any]) -> Said:
    """A row of `SINCE`."""
    seq, request_id, client, fingerprint, vector, tokens, question, voted, votes, counts, *rest = row
    shown, right, names, step = rest
    return Said(
        seq,
        request_id,
        client,
        fingerprint,
        np.frombuffer(vector, "<f4"),
        TokenSigns.from_bytes(tokens),
        question,
        dict(zip(np.frombuffer(voted, "<i8").tolist(), np.frombuffer(votes, "<f8").tolist(), strict=True)),
        _lesson(counts, shown, right) if counts else Lesson(NO_COUNTS, 0, 0),
        _step(names.split(), step) if step else None,
    )


def _lesson_bytes(lesson: Lesson) -> bytes:
    witness = lesson.witness
    agreed = np.nan if witness.agreement is None else witness.agreement
    numbers = np.array([agreed, witness.hits, witness.expected], "<f8")
    known = np.array([lesson.known, lesson.known_right], "<f4")
    return numbers.tobytes() + lesson.counts.astype("<f4", copy=False).tobytes() + known.tobytes()


def _lesson(blob: bytes, shown: int, right: int) -> Lesson:
    agreed, hits, expected = np.frombuffer(blob, "<f8", 3).tolist()
    witness = Witness(None if math.isnan(agreed) else agreed, hits, expected, missed=not right)
    counts, known = np.split(np.frombuffer(blob, "<f4", offset=24), [NO_COUNTS.size])
    known_shown, known_right = known.tolist() or (0.0, 0.0)  # nothing in rows of earlier releases
    return Lesson(counts.reshape(NO_COUNTS.shape), shown, right, witness, int(known_shown), int(known_right))


def _step(names: Sequence[str], blob: bytes) -> InstantStep:
    numbers = np.frombuffer(blob, "<f4")
    return InstantStep(numbers[len(names) :], dict(zip(names, numbers[: len(names)].tolist(), strict=True)))


def feedback_of(row: Sequence[Any]) -> Feedback:
    """The feedback as it was given."""
    rating, relevant, irrelevant, correction, correction_id, success, client = row
    succeeded = None if success is None else bool(success)
    ids = (tuple(json.loads(relevant)), tuple(json.loads(irrelevant)))
    return Feedback(rating, *ids, correction, correction_id, succeeded, client)

"""A store's file with its schema, and trajectories to put into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.learning.trajectory import NO_CANDIDATES, Candidates, FloatArray, Trajectory, new_request_id
from ruvllm_mcp.memory.journal import Place
from ruvllm_mcp.memory.opening import journal_place, open_store

DIM = 32
MakeTrajectory = Callable[..., Trajectory]


def unit(*values: float, dim: int = DIM) -> FloatArray:
    """A unit vector that begins with `values`."""
    vector = np.zeros(dim, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def at_cosine(cosine: float, dim: int = DIM) -> FloatArray:
    """A unit vector whose cosine with `unit(1)` is `cosine`."""
    return unit(cosine, float(np.sqrt(1 - cosine**2)), dim=dim)


def trajectory(
    vector: FloatArray,
    shown: Sequence[int] = (),
    *,
    at: float | None = None,
    candidates: Candidates = NO_CANDIDATES,
    fingerprint: str = "test",
    client: str = "",
) -> Trajectory:
    """One answered search for `vector` that showed `shown`."""
    return Trajectory(
        new_request_id(at), at or 1.0, client, ("space",), "a question", fingerprint, vector, candidates, tuple(shown)
    )


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """What `open_journal` takes for a new store, of either kind."""
    address = request.getfixturevalue("postgres_store") if request.param == "postgres" else ""
    open_store(tmp_path, address).close()
    return journal_place(tmp_path, address)

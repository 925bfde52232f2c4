"""What one engine is told, every engine on the store acts on."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import NotFoundError, StorageFullError, StoreBusyError, StoreError
from ruvllm_mcp.learning import log
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.sona import SonaEngine
from ruvllm_mcp.learning.trajectory import new_request_id
from ruvllm_mcp.memory.journal import Place, open_journal
from ruvllm_mcp.memory.postgres_connection import Connections, address_of

from .conftest import DIM, at_cosine, trajectory, unit


def existing(ids: Sequence[int]) -> set[int]:
    return {item for item in ids if item < 100}


def opened(place: Place, fingerprint: str = "test") -> SonaEngine:
    journal = open_journal(place)
    return SonaEngine(journal, fingerprint, DIM, existing, lambda ids: np.zeros((len(ids), DIM), np.float32))


@contextmanager
def another_writer(place: Place) -> Iterator[None]:
    """Holds what a writer holds until it commits."""
    if isinstance(place, Path):
        writer = sqlite3.connect(place, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        yield
        writer.execute("ROLLBACK")
        writer.close()
    else:
        connections = Connections(address_of(place))
        with connections.transaction() as connection:
            connection.execute("UPDATE counters SET value = value + 1")
            yield
        connections.close()


@pytest.fixture
def sona(place: Place) -> Iterator[SonaEngine]:
    engine = opened(place)
    yield engine
    engine.close()


def test_feedback_moves_the_next_similar_search(sona: SonaEngine) -> None:
    asked = trajectory(unit(1), (5, 6))
    sona.record(asked)
    assert not sona.taught(unit(1), None)
    receipt = sona.feedback(asked.request_id, Feedback(relevant=(6,)))
    assert (receipt.strengthened, receipt.weakened) == (1, 1)
    evidence = sona.taught(at_cosine(0.95), None)
    assert evidence[6] > 0.4
    assert evidence[5] < 0
    assert not sona.taught(unit(0, 1), None)


def test_another_engine_on_the_store_sees_it_at_its_next_search(sona: SonaEngine, place: Place) -> None:
    other = opened(place)
    asked = trajectory(unit(1), (5,))
    sona.record(asked)
    assert not other.taught(unit(1), None)
    sona.feedback(asked.request_id, Feedback(relevant=(5,)))
    assert other.taught(unit(1), None) == sona.taught(unit(1), None) != {}
    other.feedback(asked.request_id, Feedback(irrelevant=(5,)))  # the same client thinks again
    assert other.taught(unit(1), None) == sona.taught(unit(1), None)
    assert sona.taught(unit(1), None)[5] < 0
    other.close()


def test_what_was_learned_outlives_the_process(sona: SonaEngine, place: Place) -> None:
    for index in range(2, 12):
        asked = trajectory(at_cosine(0.9 - index / 20), (index, index + 1))
        sona.record(asked)
        sona.feedback(asked.request_id, Feedback(relevant=(index,)))
    later = opened(place)
    assert later.taught(unit(1), None) == sona.taught(unit(1), None) != {}
    later.close()


def test_searches_follow_a_feedback_while_it_is_being_committed(
    sona: SonaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = trajectory(unit(1), (5,))
    sona.record(asked)
    meanwhile: list[float] = []
    write = log.TrajectoryLog.add

    def watched(*given: Any) -> int:
        search = threading.Thread(target=lambda: meanwhile.append(sona.taught(unit(1), None)[5]))
        search.start()
        search.join(10)
        return write(*given)

    monkeypatch.setattr(log.TrajectoryLog, "add", watched)
    sona.feedback(asked.request_id, Feedback(relevant=(5,)))
    assert meanwhile == [sona.taught(unit(1), None)[5]]


def test_searches_follow_a_feedback_that_waits_for_another_writer(sona: SonaEngine, place: Place) -> None:
    asked = trajectory(unit(1), (5, 6))
    sona.record(asked)
    with ThreadPoolExecutor() as threads:
        with another_writer(place):
            telling = threads.submit(sona.feedback, asked.request_id, Feedback(relevant=(6,)))
            while not sona.taught(unit(1), None):
                assert not telling.done()
            early = sona.taught(at_cosine(0.95), None)
            sona.record(trajectory(unit(1), (6, 5)))  # what a search leaves behind need not wait either
            assert not telling.done()
        telling.result(20)
    assert early == pytest.approx(sona.taught(at_cosine(0.95), None))
    assert len(sona.trajectories(10)) == 2


def test_a_feedback_that_gets_no_turn_leaves_nothing_behind(sona: SonaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = trajectory(unit(1), (5, 6))
    sona.record(asked)
    meanwhile: list[dict[int, float]] = []

    def busy() -> None:
        meanwhile.append(dict(sona.taught(unit(1), None)))
        raise StoreBusyError("Held.")

    with monkeypatch.context() as held:
        held.setattr(sona._journal, "write", busy)
        with pytest.raises(StoreBusyError):
            sona.feedback(asked.request_id, Feedback(relevant=(6,)))
    assert meanwhile[0][6] > 0.5
    assert not sona.taught(unit(1), None)


def test_engines_that_are_told_and_asked_at_once_end_up_knowing_the_same(sona: SonaEngine, place: Place) -> None:
    other = opened(place)

    def talk(engine: SonaEngine, turn: int) -> None:
        for index in range(12):
            asked = trajectory(at_cosine(0.99 - index / 15), (5, 6, 7 + turn), client=str(turn))
            engine.record(asked)
            engine.feedback(asked.request_id, Feedback(relevant=(5 + (index + turn) % 3,), client=str(turn)))
            assert engine.taught(asked.vector, None)

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(talk, engine, turn) for turn, engine in enumerate((sona, other, sona, other))]:
            done.result(60)
    later = opened(place)
    assert sona.stats()["feedback"] == 48
    for asked in (unit(1), at_cosine(0.9), at_cosine(0.6)):
        assert later.taught(asked, None) == sona.taught(asked, None) == other.taught(asked, None) != {}
    later.close()
    other.close()


def test_a_feedback_that_cannot_be_committed_is_unlearned(
    sona: SonaEngine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [trajectory(at_cosine(0.9 - index / 20), (index, index + 1), at=float(index)) for index in range(2, 12)]
    for index, one in enumerate(asked, 2):
        sona.record(one)
        sona.feedback(one.request_id, Feedback(relevant=(index,)))
    before = sona.taught(unit(1), None)
    write = log.TrajectoryLog.add

    def failing(*given: Any) -> int:
        write(*given)
        raise StorageFullError("No room.")

    with monkeypatch.context() as broken:
        broken.setattr(log.TrajectoryLog, "add", failing)
        with pytest.raises(StorageFullError):
            sona.feedback(asked[0].request_id, Feedback(relevant=(3, 99)))
    assert sona.taught(unit(1), None) == before
    sona.feedback(asked[1].request_id, Feedback(irrelevant=(3,)))
    later = opened(place)
    assert later.taught(unit(1), None) == sona.taught(unit(1), None) != before
    assert later.stats() == sona.stats()
    later.close()


def test_an_unknown_request_is_not_found(sona: SonaEngine) -> None:
    for request_id in (new_request_id(), "", "nonsense"):
        with pytest.raises(NotFoundError):
            sona.feedback(request_id, Feedback(rating=5))


def test_ids_must_have_been_shown_or_exist(sona: SonaEngine) -> None:
    asked = trajectory(unit(1), (5, 500))
    sona.record(asked)
    with pytest.raises(NotFoundError, match="101"):
        sona.feedback(asked.request_id, Feedback(relevant=(5, 101)))
    assert not sona.taught(unit(1), None)  # nothing is half-done
    sona.feedback(asked.request_id, Feedback(relevant=(99, 500)))  # one missed, one shown that is gone since
    assert {99, 500} <= sona.taught(unit(1), None).keys()


def test_feedback_on_another_embedder_is_kept_but_not_used(sona: SonaEngine, place: Place) -> None:
    asked = trajectory(unit(1), (5,), fingerprint="older")
    sona.record(asked)
    sona.feedback(asked.request_id, Feedback(relevant=(5,)))
    assert not sona.taught(unit(1), None)
    older = opened(place, "older")
    assert older.taught(unit(1), None)[5] > 0.5
    older.close()


def test_a_search_does_not_wait_for_another_writer(sona: SonaEngine, place: Place) -> None:
    asked = trajectory(unit(1), (5,))
    with another_writer(place):
        sona.record(asked)  # would raise, or hang, if it needed the lock
    assert [kept.request_id for kept in sona.trajectories(10)] == [asked.request_id]


def test_unrated_trajectories_make_room_and_rated_ones_stay(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "KEPT_UNRATED", 20)
    engine = opened(place)
    first = trajectory(unit(1), (5,), at=1.0)
    engine.record(first)
    engine.feedback(first.request_id, Feedback(relevant=(5,)))
    for second in range(2, 2 + 256):
        engine.record(trajectory(unit(1), (5,), at=float(second)))
    kept = engine.trajectories(1000)
    assert len(kept) < 20 + 256
    assert kept[-1].request_id == first.request_id
    assert kept[0].at == 257.0
    engine.close()


def test_a_closed_engine_says_so(place: Place) -> None:
    engine = opened(place)
    engine.close()
    with pytest.raises(StoreError, match="closed"):
        engine.taught(unit(1), None)

"""kill -9 at random moments on one store, again and again: what was acknowledged, and what must then be true.

The store is a file in a folder, or a database that each process opens from that folder.

A round forks writers that add, update and delete, each telling through a pipe what it begins and what was
acknowledged, and a keeper that embeds with another embedder and makes backups; small thresholds make all of them build
indexes. All are killed at a random moment. Then a fresh process opens the store and compares: every acknowledged
change is there, nothing else but what was begun, once; the index finds exactly what is stored; `doctor` finds nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from ruvllm_mcp.memory import doctor, live, postgres_doctor
from ruvllm_mcp.memory.backup import backup
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.postgres_connection import address_of
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder

FORK = multiprocessing.get_context("fork")  # imports are paid once
SMALL = 150
Say = Callable[..., None]


class Place(NamedTuple):
    """Where a store is: a folder, and the address of the database that keeps it if it is no file there."""

    folder: Path
    store: str = ""

    def opened(self, fingerprint: str = "words-1") -> Memory:
        live.WORTH_A_GRAPH = live.SAVE_AT = SMALL
        embedder = WordEmbedder(fingerprint)
        return Memory(self.folder, lambda: embedder, namespace="here", store=self.store)

    def settled(self) -> None:
        """Waits until the database is done with what the dead had asked of it."""
        busy = """SELECT 1 FROM pg_stat_activity
            WHERE (state = 'active' OR state LIKE 'idle in transaction%') AND pid <> pg_backend_pid()"""
        with psycopg.connect(address_of(self.store).conninfo, autocommit=True) as connection:
            while connection.execute(busy).fetchone():
                time.sleep(0.01)

    def symptoms(self) -> list[str]:
        found = postgres_doctor.examine(address_of(self.store)) if self.store else doctor.examine(self.folder)
        return [f"{item.name}: {item.detail}" for item in found]


def write(place: Place, name: str, seed: int, say: Say) -> None:
    """Changes memories until killed. `begin` precedes each change, `done` follows what was acknowledged."""
    chosen, memory = random.Random(seed), place.opened()
    own: list[int] = []
    for step in range(10**6):
        what = chosen.random()
        if what < 0.7 or not own:
            texts = [f"{name} wrote number {step} part {n}" for n in range(chosen.randint(1, 40))]
            say("begin", None, texts)
            ids = memory.add([NewMemory(text) for text in texts])
            for number, text in zip(ids, texts, strict=True):
                say("done", int(number), text)
            own += map(int, ids)
        else:
            number = chosen.choice(own)
            text = None if what > 0.85 else f"{name} wrote number {step} anew"
            say("begin", number, [text])
            if text is None:
                memory.delete(number)
                own.remove(number)
            else:
                memory.update(number, content=text)
            say("done", number, text)
        if step % 5 == 0:
            memory.search("wrote number")


def keep(place: Place, name: str, _seed: int, _say: Say) -> None:
    """Background work until killed: another embedder's vectors, and backups. Started like the writers."""
    memory = place.opened("words-2")
    for number in range(10**6):
        memory.search("wrote number")
        if number % 5 == 4:
            target = place.folder / f"copy-{name}.db"
            target.unlink(missing_ok=True)
            backup(place.folder, target, place.store)


def told(start: bytes, reader: int) -> Iterator[list[Any]]:
    """The whole lines of a pipe whose writers are gone, after what was read of it before."""
    with os.fdopen(reader, "rb") as pipe:
        for line in (start + pipe.read()).splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield json.loads(line)


def first_words(reader: int) -> bytes:
    """What comes until something was acknowledged."""
    start = b""
    while b'"done"' not in start and (more := os.read(reader, 65_536)):
        start += more
    return start


class Store:
    """What must be in the store: content by id, as acknowledged. `changes` counts acknowledgements, `halves` the
    rounds whose kill left an unfinished index or backup."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place, self.acknowledged = place, dict[int, str]()
        self.changes = self.halves = 0
        self._chosen = random.Random(seed)
        self._seed = seed

    def round(self, seconds: float = 0.25) -> None:
        """Starts two writers and the keeper, kills all within `seconds` of the first acknowledgement, and checks."""
        self._seed += 1
        begun: list[tuple[int | None, list[str | None]]] = []
        jobs = [self._started(job, name) for job, name in ((write, "anna"), (write, "bert"), (keep, "keeper"))]
        starts = [first_words(jobs[0][1]), b"", b""]
        time.sleep(self._chosen.random() * seconds)
        for process, _ in jobs:
            process.kill()
        for (process, reader), start in zip(jobs, starts, strict=True):
            process.join()
            lines = list(told(start, reader))
            assert process.exitcode == -signal.SIGKILL, f"a process ended by itself: {process.exitcode}"
            last = max((place for place, line in enumerate(lines) if line[0] == "begin"), default=0)
            begun += [(number, texts) for word, number, texts in lines[last:] if word == "begin"]
            for word, number, text in lines:
                if word == "done":
                    self.changes += 1
                    self._take(number, text)
        self.halves += any(self.place.folder.glob("*.partial*"))
        self._check(begun)

    def _take(self, number: int, text: str | None) -> None:
        if text is None:
            self.acknowledged.pop(number, None)
        else:
            self.acknowledged[number] = text

    def _started(self, job: Callable[[Place, str, int, Say], None], name: str) -> tuple[Any, int]:
        reader, writer = os.pipe()

        def run() -> None:
            def say(*words: Any) -> None:
                os.write(writer, json.dumps(words).encode() + b"\n")

            job(self.place, f"{name}{self._seed}", self._seed, say)

        process = FORK.Process(target=run, daemon=True)
        process.start()
        os.close(writer)
        return process, reader

    def _check(self, begun: list[tuple[int | None, list[str | None]]]) -> None:
        reader, writer = FORK.Pipe(duplex=False)
        process = FORK.Process(target=lambda: writer.send(_seen(self.place)), daemon=True)
        process.start()
        writer.close()
        stored, by_words, by_meaning, symptoms = reader.recv()
        process.join()
        assert not symptoms, symptoms
        assert by_words == set(stored), "the index of words and the store differ"
        assert by_meaning == set(stored), "the index of vectors and the store differ"
        assert len(set(stored.values())) == len(stored), "a memory was doubled"
        maybe = {number: text[0] for number, text in begun if number is not None}
        new = {text for number, texts in begun if number is None for text in texts}
        for number, text in self.acknowledged.items():
            now = stored.get(number)
            assert now == text or (number in maybe and now == maybe[number]), f"{number}: {text!r} became {now!r}"
        extra = {text for number, text in stored.items() if number not in self.acknowledged}
        assert extra <= new, "something was stored that nobody wrote"
        self.acknowledged = stored


def _seen(place: Place) -> tuple[dict[int, str], set[int], set[int], list[str]]:
    if place.store:
        place.settled()
    memory = place.opened()
    stored = {record.id: record.content for record in memory.records()}
    found = [{hit.id for hit in memory.search("wrote number", 10**6, mode=mode).hits} for mode in ("lexical", "vector")]
    memory.close()
    return stored, found[0], found[1], place.symptoms()

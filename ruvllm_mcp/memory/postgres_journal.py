"""The journal in the shared database.

Searches of many machines write here, so a commit does not wait for the disk (`synchronous_commit = off`): a server
that loses power loses at most the last second of this log, never a memory. Feedback is numbered by a counter's row,
hence in commit order; every change of a version moves another counter, and the two together are the marker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ruvllm_mcp.memory.postgres_connection import Connections, address_of

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.rows import TupleRow

    from ruvllm_mcp.memory.postgres_connection import Session


class PostgresJournal:
    """A pool of its own on the database at `url`."""

    def __init__(self, url: str) -> None:
        self._connections = Connections(address_of(url), synchronous=False)

    @contextmanager
    def use(self) -> Iterator[_Rows]:
        with self._connections.read() as connection:
            yield _Rows(connection)

    at_once = use  # writers of different rows do not wait for each other here

    @contextmanager
    def write(self) -> Iterator[_Rows]:
        with self._connections.transaction() as connection:
            connection.execute("SELECT next_number('learning')")  # from here to the end it is the only one
            yield _Rows(connection)

    def marker(self) -> int:
        query = "SELECT sum(value)::bigint FROM counters WHERE name IN ('feedback', 'learning')"
        with self._connections.read() as connection:
            return int(connection.execute(query).fetchall()[0][0])

    def close(self) -> None:
        self._connections.close()


class _Rows:
    def __init__(self, connection: Session) -> None:
        self._connection = connection

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> Cursor[TupleRow]:
        return self._connection.execute(query.replace("?", "%s"), parameters)

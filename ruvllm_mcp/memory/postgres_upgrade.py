"""Changing the shared database's schema on purpose, as `upgrade` does a file's.

Opening brings the schema up to date by itself. No copy is kept here: `ruvllm backup` makes one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import postgres_migrations as migrations
from ruvllm_mcp.memory.postgres_connection import CONNECT_SECONDS, Address, Connections, translated
from ruvllm_mcp.memory.upgrade import Change

if TYPE_CHECKING:
    from ruvllm_mcp.memory.postgres_connection import Session


def try_out(address: Address) -> Change:
    """Takes the steps that opening the store would take, in a transaction that is then rolled back: what would fail
    fails here. Raises the StoreError family, InvalidInputError where there is no store."""
    with _reached(address) as connection:
        before = _there(connection, address)
        steps = migrations.try_out(connection, address.schema, time.time())
        return _change(connection, before, before + len(steps), steps)


def migrate(address: Address) -> Change:
    """Brings the store up to date."""
    planned = try_out(address)
    Connections(address).close()
    return planned


def roll_back(address: Address, version: int) -> Change:
    """Takes the store back to an older schema, memories and all. Nothing else may use it; this release brings it up to
    date again at its next opening."""
    with _reached(address) as connection:
        before = _there(connection, address)
        steps = migrations.roll_back(connection, address.schema, version)
        return _change(connection, before, version, steps)


@contextmanager
def _reached(address: Address) -> Iterator[Session]:
    """A connection that leaves the schema as it is."""
    with (
        translated(address),
        psycopg.connect(address.conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection,
    ):
        migrations.reach(connection, address)
        yield connection


def _there(connection: Session, address: Address) -> int:
    version = migrations.version_of(connection, address.schema)
    if not version:
        raise InvalidInputError(f"{address.shown} holds no store.", "Name the address of one.")
    return version


def _change(connection: Session, before: int, after: int, steps: list[str]) -> Change:
    query = """SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"""
    size = int(connection.execute(query).fetchall()[0][0])
    return Change(before, after, tuple(steps), None, size, None)

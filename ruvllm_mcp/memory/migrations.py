"""The store's schema as named steps, applied in order, each in its own transaction and recorded with its time.

A step once released is never edited; a change is a new step at the end. `PRAGMA user_version` counts the steps, so
that a release can tell at a glance that a store is newer than itself. Steps only add what has a default, so that
processes of the older release that have the store open go on working. A step with an `undo` can be taken back without
losing memories; the first ones, older than any release, have none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import spaces

C = TypeVar("C")
APPLICATION_ID = 0x5275764D  # "RuvM", in the file's header: tells our stores from any other SQLite file


def first_schema(connection: sqlite3.Connection) -> None:
    """Memories; per embedder their vectors and tokens; index terms; links; tombstones; counters."""
    for statement in (
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO counters VALUES ('seq', 0)",
        "CREATE TABLE namespaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        """CREATE TABLE memories (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            seq INTEGER NOT NULL,
            namespace_id INTEGER NOT NULL REFERENCES namespaces (id),
            content_hash BLOB NOT NULL,
            content TEXT NOT NULL,
            metadata TEXT NOT NULL,
            kind TEXT NOT NULL,
            importance REAL NOT NULL,
            source TEXT NOT NULL,
            client TEXT NOT NULL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            expires_at REAL,
            UNIQUE (namespace_id, content_hash))""",
        "CREATE UNIQUE INDEX memories_by_seq ON memories (seq)",
        "CREATE TABLE tombstones (seq INTEGER PRIMARY KEY, memory_id INTEGER NOT NULL)",
        """CREATE TABLE terms (
            memory_id INTEGER PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE,
            analysis INTEGER NOT NULL,
            postings BLOB NOT NULL)""",
        "CREATE TABLE embedders (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE)",
        """CREATE TABLE vectors (
            embedder_id INTEGER NOT NULL REFERENCES embedders (id),
            memory_id INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            vector BLOB NOT NULL,
            UNIQUE (memory_id, embedder_id))""",
        """CREATE TABLE tokens (
            embedder_id INTEGER NOT NULL REFERENCES embedders (id),
            memory_id INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            ids BLOB NOT NULL,
            bits BLOB NOT NULL,
            UNIQUE (memory_id, embedder_id))""",
        """CREATE TABLE access (
            memory_id INTEGER PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE,
            count INTEGER NOT NULL,
            accessed_at REAL NOT NULL)""",
        """CREATE TABLE links (
            a INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            b INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            weight REAL NOT NULL,
            PRIMARY KEY (a, b, kind)) WITHOUT ROWID""",
        "CREATE INDEX links_by_b ON links (b)",
    ):
        connection.execute(statement)


def trajectories_and_feedback(connection: sqlite3.Connection) -> None:
    """What searches leave behind and what was said of them; arrays little-endian (see learning.trajectory and .log)."""
    for statement in (
        """CREATE TABLE trajectories (
            request_id TEXT PRIMARY KEY,
            at REAL NOT NULL,
            client TEXT NOT NULL,
            namespaces TEXT NOT NULL,
            query TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            vector BLOB NOT NULL,
            part_names TEXT NOT NULL,
            ids BLOB NOT NULL,
            parts BLOB NOT NULL,
            shown BLOB NOT NULL,
            version INTEGER NOT NULL)""",
        """CREATE TABLE feedback (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            request_id TEXT NOT NULL REFERENCES trajectories (request_id) ON DELETE CASCADE,
            at REAL NOT NULL,
            client TEXT NOT NULL,
            rating INTEGER,
            relevant TEXT NOT NULL,
            irrelevant TEXT NOT NULL,
            correction TEXT,
            correction_id INTEGER,
            task_success INTEGER,
            question INTEGER,
            voted BLOB NOT NULL,
            votes BLOB NOT NULL,
            counts BLOB NOT NULL,
            shown INTEGER NOT NULL,
            right INTEGER NOT NULL)""",
        "CREATE INDEX feedback_by_request ON feedback (request_id)",
    ):
        connection.execute(statement)


def identity(connection: sqlite3.Connection) -> None:
    """A name for the store, so that an index made for another one (or for a backup of this one) is told apart; and an
    index that finds terms of an older analysis without reading all."""
    connection.execute("CREATE TABLE identity (value TEXT NOT NULL)")
    connection.execute("INSERT INTO identity VALUES (lower(hex(randomblob(16))))")
    connection.execute("CREATE INDEX terms_by_analysis ON terms (analysis)")


def learned_versions(connection: sqlite3.Connection) -> None:
    """Versions of what was learned, which one is in force, and the instant step that each feedback asks for."""
    for statement in (
        "ALTER TABLE feedback ADD COLUMN step_names TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE feedback ADD COLUMN step BLOB NOT NULL DEFAULT x''",
        """CREATE TABLE versions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            created_at REAL NOT NULL,
            kind TEXT NOT NULL,
            label TEXT NOT NULL,
            parent INTEGER NOT NULL,
            status TEXT NOT NULL,
            metrics TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            blob BLOB NOT NULL)""",
        "CREATE TABLE learning_state (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    ):
        connection.execute(statement)


def trust_and_limits(connection: sqlite3.Connection) -> None:
    """How far each memory is trusted (what people's own doors wrote: fully); what each namespace holds and may hold."""
    connection.execute("ALTER TABLE memories ADD COLUMN trust INTEGER NOT NULL DEFAULT 1")
    connection.execute("UPDATE memories SET trust = 2 WHERE client IN ('', 'shell', 'import', 'jupyter')")
    for column in (
        "memories INTEGER NOT NULL DEFAULT 0",
        "bytes INTEGER NOT NULL DEFAULT 0",
        "max_memories INTEGER",
        "max_bytes INTEGER",
        "token_bits INTEGER NOT NULL DEFAULT 1",
    ):
        connection.execute(f"ALTER TABLE namespaces ADD COLUMN {column}")
    spaces.start_counting(connection)


def without_trust_and_limits(connection: sqlite3.Connection) -> None:
    """Undoes `trust_and_limits`."""
    spaces.stop_counting(connection)
    connection.execute("ALTER TABLE memories DROP COLUMN trust")
    for column in ("memories", "bytes", "max_memories", "max_bytes", "token_bits"):
        connection.execute(f"ALTER TABLE namespaces DROP COLUMN {column}")


def question_tokens(connection: sqlite3.Connection) -> None:
    """What is kept of the tokens of each question asked, so that later ones can be compared with it token by token."""
    connection.execute("ALTER TABLE trajectories ADD COLUMN tokens BLOB NOT NULL DEFAULT x''")


def without_question_tokens(connection: sqlite3.Connection) -> None:
    """Undoes `question_tokens`."""
    connection.execute("ALTER TABLE trajectories DROP COLUMN tokens")


@dataclass(frozen=True)
class Step(Generic[C]):
    """One change of the schema, and the change back, over a connection of that kind."""

    apply: Callable[[C], None]
    undo: Callable[[C], None] | None = None

    @property
    def name(self) -> str:
        return self.apply.__name__


STEPS: tuple[Step[sqlite3.Connection], ...] = (
    Step(first_schema),
    Step(trajectories_and_feedback),
    Step(identity),
    Step(learned_versions),
    Step(trust_and_limits, without_trust_and_limits),
    Step(question_tokens, without_question_tokens),
)


def version_of(connection: sqlite3.Connection) -> int:
    """How many steps the store has taken."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, now: float) -> list[str]:
    """Takes the steps the store lacks and returns their names. The caller checked that the store is not newer."""
    taken: list[str] = []
    while version_of(connection) < len(STEPS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            done = version_of(connection)
            if done >= len(STEPS):  # another process was quicker
                break
            _take(connection, done, now)
            connection.execute("COMMIT")
            taken.append(STEPS[done].name)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    return taken


def _take(connection: sqlite3.Connection, done: int, now: float) -> None:
    if done == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at REAL NOT NULL)")
    STEPS[done].apply(connection)
    connection.execute("INSERT INTO migrations VALUES (?, ?)", (STEPS[done].name, now))
    connection.execute(f"PRAGMA user_version = {done + 1}")


def try_out(connection: sqlite3.Connection, now: float) -> list[str]:
    """Takes the steps the store lacks, then undoes it all; returns their names. Raises what `migrate` would."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        first = version_of(connection)
        for done in range(first, len(STEPS)):
            _take(connection, done, now)
        return [step.name for step in STEPS[first:]]
    finally:
        connection.execute("ROLLBACK")


def check_way_back(steps: Sequence[Step[Any]], now_at: int, version: int) -> None:
    """Raises InvalidInputError for a version that a store of schema `now_at` cannot be taken back to."""
    lowest = max((number for number, step in enumerate(steps, start=1) if step.undo is None), default=0)
    if not lowest <= version <= now_at:
        raise InvalidInputError(
            f"The store has schema {now_at} and cannot go to {version}.", f"It takes {lowest} to {now_at}."
        )


def roll_back(connection: sqlite3.Connection, version: int) -> list[str]:
    """Undoes the steps after `version`, latest first, all or none, and returns their names; memories stay.
    InvalidInputError for a version that cannot be reached."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        now_at = version_of(connection)
        check_way_back(STEPS, now_at, version)
        for step in reversed(STEPS[version:now_at]):
            assert step.undo is not None
            step.undo(connection)
            connection.execute("DELETE FROM migrations WHERE name = ?", (step.name,))
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
        return [step.name for step in reversed(STEPS[version:now_at])]
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

"""Versions of what was learned, in the store: candidates, the active one, snapshots, and a trial of two at once.

A version's row is written whole in one transaction with its verdict, and becoming active is a change of one number, so
a process killed at any moment leaves the old version in force. Old blobs make room, but never the active one, one on
trial or a labelled snapshot.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.learning.due import Loop, Run
from ruvllm_mcp.learning.learned import Learned
from ruvllm_mcp.memory.journal import Journal, Rows
from ruvllm_mcp.types import Record

KEPT = 20
CLAIM_SECONDS = 300.0  # after which the claim of a process that died no longer counts
_COLUMNS = "id, created_at, kind, label, parent, status, metrics"


@dataclass(frozen=True)
class Version(Record):
    """One version. `kind`: learn, consolidate or snapshot. `status`: promoted, dropped, or kept (a snapshot). `parent`:
    the version it was made from, 0 for the untrained system. `created_at`: UTC seconds. `metrics`: how it was judged.
    """

    id: int
    created_at: float
    kind: str
    label: str
    parent: int
    status: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Trial(Record):
    """Two versions at once: a `share` in (0, 1) of requests is answered by `b`, the rest by `a`."""

    a: int
    b: int
    share: float


class VersionStore:
    """The versions of one store and embedder. Thread-safe. Version 0 is the untrained system."""

    def __init__(self, journal: Journal, fingerprint: str) -> None:
        self._journal = journal
        self._fingerprint = fingerprint

    def add(
        self, learned: Learned, kind: str, *, label: str = "", parent: int, promote: bool, metrics: Mapping[str, Any]
    ) -> tuple[int, bool]:
        """Store a version and, if it is to be promoted, make it the active one; its id, and whether it is active now.

        All in one transaction. It is not made active when another process has meanwhile replaced its parent.
        """
        blob, text = learned.to_blob(), json.dumps(dict(metrics))
        with self._journal.write() as connection:
            promote = promote and int(self._get(connection, "active") or 0) == parent
            status = "promoted" if promote else "kept" if label else "dropped"
            added = connection.execute(
                """INSERT INTO versions (created_at, kind, label, parent, status, metrics, fingerprint, blob)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                (time.time(), kind, label, parent, status, text, self._fingerprint, blob),
            )
            version = int(added.fetchall()[0][0])
            if promote:
                self._set(connection, "active", version)
                self._set(connection, "trial", None)
            if kind != "snapshot":
                self._set(connection, kind, json.dumps([time.time(), learned.trained_to]))
            self._make_room(connection)
            return version, promote

    def all(self) -> list[Version]:
        """Every version, newest first."""
        query = f"SELECT {_COLUMNS} FROM versions WHERE fingerprint = ? ORDER BY id DESC"
        with self._journal.use() as connection:
            rows = connection.execute(query, (self._fingerprint,)).fetchall()
        return [
            Version(number, at, kind, label, parent, status, json.loads(metrics))
            for number, at, kind, label, parent, status, metrics in rows
        ]

    def learned(self, version: int) -> Learned:
        """What a version knows. Raises NotFoundError, ModelError."""
        if version == 0:
            return Learned()
        with self._journal.use() as connection:
            row = connection.execute(
                "SELECT blob FROM versions WHERE id = ? AND fingerprint = ?", (version, self._fingerprint)
            ).fetchone()
        if row is None:
            raise NotFoundError(f"There is no version {version!r}.", "List them with snapshots().")
        return Learned.from_blob(row[0])

    def active(self) -> int:
        """The version in force, 0 for the untrained system."""
        with self._journal.use() as connection:
            return int(self._get(connection, "active") or 0)

    def activate(self, version: int) -> None:
        """Put a version in force and end a trial. Raises NotFoundError, ModelError if it cannot be read."""
        self.learned(version)
        with self._journal.write() as connection:
            self._set(connection, "active", version)
            self._set(connection, "trial", None)

    def trial(self) -> Trial | None:
        """The trial under way, if any."""
        with self._journal.use() as connection:
            text = self._get(connection, "trial")
        return Trial(**json.loads(text)) if text else None

    def last_run(self, loop: Loop) -> Run | None:
        """When a slower loop last ended here, by whatever process."""
        with self._journal.use() as connection:
            text = self._get(connection, loop)
        return Run(*json.loads(text)) if text else None

    def claim(self) -> bool:
        """Take the right to run a slower loop unasked; False while another process has it."""
        with self._journal.write() as connection:
            now = time.time()
            if float(self._get(connection, "claim") or 0) > now:
                return False
            self._set(connection, "claim", repr(now + CLAIM_SECONDS))
            return True

    def release(self) -> None:
        """Give the right back."""
        with self._journal.write() as connection:
            self._set(connection, "claim", None)

    def start_trial(self, trial: Trial | None) -> None:
        """Answer a share of the requests by another version, or stop doing so. Raises NotFoundError,
        InvalidInputError."""
        if trial is not None:
            if not 0 < trial.share < 1 or trial.a == trial.b:
                raise InvalidInputError("A trial takes two versions and a share between 0 and 1.", "Correct it.")
            self.learned(trial.a)
            self.learned(trial.b)
        with self._journal.write() as connection:
            self._set(connection, "trial", None if trial is None else json.dumps(trial.to_dict()))

    def _make_room(self, connection: Rows) -> None:
        trial = self._get(connection, "trial")
        used = {
            int(self._get(connection, "active") or 0),
            *((json.loads(trial)["a"], json.loads(trial)["b"]) if trial else ()),
        }
        query = "SELECT id FROM versions WHERE fingerprint = ? AND label = '' ORDER BY id DESC LIMIT 1000000 OFFSET ?"
        old = [row[0] for row in connection.execute(query, (self._fingerprint, KEPT)) if row[0] not in used]
        for version in old:
            connection.execute("DELETE FROM versions WHERE id = ?", (version,))

    def _get(self, connection: Rows, name: str) -> Any:
        row = connection.execute(
            "SELECT value FROM learning_state WHERE name = ?", (f"{name}:{self._fingerprint}",)
        ).fetchone()
        return None if row is None else row[0]

    def _set(self, connection: Rows, name: str, value: Any) -> None:
        connection.execute(
            "INSERT INTO learning_state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (f"{name}:{self._fingerprint}", None if value is None else str(value)),
        )

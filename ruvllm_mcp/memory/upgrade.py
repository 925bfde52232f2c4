"""Changing a store's schema on purpose: what would be done, doing it, and going back without losing a memory.

Opening a store brings it up to date by itself, a copy kept first; this is for who wants to see it beforehand, or to go
back to an older release.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import migrations
from ruvllm_mcp.memory.connection import Connections, check_identity, connect, keep_copy, translated
from ruvllm_mcp.memory.sqlite import FILE_NAME


@dataclass(frozen=True)
class Change:
    """A store's schema before and after, the names of the steps between, and the copy kept of the store as it was
    (None when there was nothing to keep, or nothing was done; of a database, `ruvllm backup` keeps one). `bytes` is
    what a copy takes, `free` what the disk has, None where that cannot be known."""

    before: int
    after: int
    steps: tuple[str, ...]
    copy: Path | None
    bytes: int
    free: int | None


def try_out(folder: Path) -> Change:
    """Takes the steps that opening the store would take, in a transaction that is then rolled back: what would fail
    fails here. Raises the StoreError family."""
    path = _store_in(folder)
    with translated(path):
        connection = connect(path)
        try:
            check_identity(connection, path)
            before = migrations.version_of(connection)
            steps = migrations.try_out(connection, time.time())
        finally:
            connection.close()
    return _change(path, before, before + len(steps), tuple(steps), None)


def migrate(folder: Path) -> Change:
    """Brings the store up to date, a copy kept first."""
    planned = try_out(folder)
    path = _store_in(folder)
    there = set(path.parent.glob(f"{path.name}.schema*"))
    Connections(path).close()
    made = sorted(set(path.parent.glob(f"{path.name}.schema*")) - there)
    return _change(path, planned.before, planned.after, planned.steps, made[0] if made else None)


def roll_back(folder: Path, version: int) -> Change:
    """Takes the store back to an older schema, memories and all, a copy kept first. Nothing else may use it; this
    release brings it up to date again at its next opening."""
    path = _store_in(folder)
    with translated(path):
        connection = connect(path)
        try:
            check_identity(connection, path)
            before = migrations.version_of(connection)
            migrations.check_way_back(migrations.STEPS, before, version)
            kept = keep_copy(path, before) if before != version else None
            steps = migrations.roll_back(connection, version)
        finally:
            connection.close()
    return _change(path, before, version, tuple(steps), kept)


def _store_in(folder: Path) -> Path:
    path = folder / FILE_NAME
    if not path.exists():
        raise InvalidInputError(f"{folder} holds no store.", "Name the home of one.")
    return path


def _change(path: Path, before: int, after: int, steps: tuple[str, ...], kept: Path | None) -> Change:
    return Change(before, after, steps, kept, path.stat().st_size, shutil.disk_usage(path.parent).free)

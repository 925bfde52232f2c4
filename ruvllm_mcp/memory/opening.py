"""Which store a memory is kept in: a file in its folder, or the database that an address names."""

from __future__ import annotations

from pathlib import Path

from ruvllm_mcp.memory.journal import Place
from ruvllm_mcp.memory.sqlite import FILE_NAME, SqliteStore
from ruvllm_mcp.memory.store import NO_LIMITS, Limits, Store


def open_store(folder: Path, address: str = "", limits: Limits = NO_LIMITS) -> Store:
    """The store, made if it is not there. `folder` holds the file, or what searches on a database keep beside it.
    Raises the StoreError family, SettingsError for an address that is none."""
    if not address:
        return SqliteStore(folder, limits)
    from ruvllm_mcp.memory.postgres import PostgresStore
    from ruvllm_mcp.memory.postgres_connection import address_of

    store = PostgresStore(address_of(address), limits)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return store


def journal_place(folder: Path, address: str = "") -> Place:
    """What `open_journal` takes for the same store."""
    return address or folder / FILE_NAME

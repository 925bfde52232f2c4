"""What is derived from a memory's text and may be missing or out of date: index terms and embeddings, made anew."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.errors import RuvLLMError
from ruvllm_mcp.memory import analysis, drafting, lexical
from ruvllm_mcp.memory.store import Store

log = logging.getLogger(__name__)
BATCH = 1_000
BATCH_EMBEDDED = 256
BATCH_BEHIND = 32  # of a search's process: small, to make way soon
PAUSE_SECONDS = 1.0
_UNFINISHED = re.compile(r"\.([0-9]{1,18})\.partial(?:-journal|-wal|-shm)?\Z")


def sweep(folder: Path) -> None:
    """Removes unfinished files (`*.<process>.partial`) of processes that are gone."""
    for path in folder.glob("*.partial*"):
        owner = _UNFINISHED.search(path.name)
        if owner is not None and not _is_running(int(owner[1])):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def reanalyse(store: Store) -> int:
    """Writes terms anew where another version of the analysis made them; returns how many memories that were."""
    done = 0
    while batch := store.out_of_date(analysis.VERSION, BATCH):
        terms = {item.id: analysis.memory_terms(item.content, json.loads(item.metadata)) for item in batch}
        store.store_terms({number: lexical.pack(found) for number, found in terms.items()}, analysis.VERSION)
        done += len(batch)
    return done


def reembed(
    store: Store,
    embedder: Embedder,
    limit: int = 2**31,
    batch: int = BATCH_EMBEDDED,
    progress: drafting.Progress | None = None,
    total: int = 0,
) -> int:
    """Embeds up to `limit` memories that this embedder has not seen (another one wrote them), written batch by batch;
    returns how many. Until then they are found by their words only. `progress` is called with how many are done,
    and of how many: the `total` expected."""
    done = 0
    while done < limit:
        unseen = store.unembedded(embedder.fingerprint, min(batch, limit - done))
        if not unseen:
            break
        texts = [analysis.indexed_text(item.content, json.loads(item.metadata)) for item in unseen]
        made = drafting.embeddings(texts, embedder)
        rows = {item.id: (item.content_hash, embedding) for item, embedding in zip(unseen, made, strict=True)}
        store.store_embeddings(rows, embedder.fingerprint)
        done += len(unseen)
        if progress is not None:
            progress(done, max(done, total))
    return done


class Reembedding:
    """Embeds in a background thread, and in one process at a time (a lock file), what this embedder has not seen.

    What is written stays, so a process that is killed loses its last batch at most, and the next one goes on.
    """

    def __init__(self, store: Store, folder: Path, embedder: Callable[[], Embedder]) -> None:
        self._store, self._lock_path, self._embedder = store, folder / "embed.lock", embedder
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._not_before = 0.0

    def start(self) -> None:
        """Begins, unless it is running, or another process does it, or it failed just now."""
        if time.monotonic() < self._not_before or (self._thread is not None and self._thread.is_alive()):
            return
        self._not_before = time.monotonic() + PAUSE_SECONDS
        self._thread = threading.Thread(target=self._run, name="ruvllm-embed", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._lock_path.touch(mode=0o600)
            with self._lock_path.open("r+") as lock_file:
                fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                while not self._closing.is_set() and reembed(self._store, self._embedder(), BATCH_BEHIND):
                    pass
        except BlockingIOError:
            log.debug("Another process is embedding.")
        except (RuvLLMError, OSError) as error:
            log.warning("Memories of another embedder could not be embedded: %s", error)

    def close(self) -> None:
        """Ends after the batch at hand."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

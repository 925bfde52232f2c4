"""The replica that searches use: begun from the snapshot, kept current, and given a graph in the background.

`current()` is the only way to it, under `lock`. When enough rows have no graph, a thread extends the graph over a copy
of the arrays, saves both as the new snapshot and swaps the replica: searches go on meanwhile, by scan. One process
builds at a time (a lock file); the others take its snapshot over when they would have built themselves.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.embed.base import Embedder, FloatArray
from ruvllm_mcp.errors import StoreError
from ruvllm_mcp.memory import hnsw, snapshot, tokens, upkeep
from ruvllm_mcp.memory.index import WORTH_A_GRAPH, VectorIndex
from ruvllm_mcp.memory.pushdown import Near, PushDown
from ruvllm_mcp.memory.replica import NEAR_DUPLICATE, Replica
from ruvllm_mcp.memory.snapshot import Identity
from ruvllm_mcp.memory.store import Store
from ruvllm_mcp.memory.tiers import TieredIndex, levels, tiers_of
from ruvllm_mcp.native.lib import nogil_ffi

log = logging.getLogger(__name__)
EMBED_AT_ONCE = 64  # within a search; more of them behind it
SAVE_AT = 5_000
DEAD_SHARE = 0.3
DEAD_ROWS = 1_000
RESETTLE_SECONDS = 86_400.0
RETRY_SECONDS = 60.0  # after a build that failed, as on a full disk


class LiveReplica:
    """One process's replica of one store for one embedder. `lock` is held around `current()` and the use of its
    result."""

    def __init__(self, store: Store, folder: Path, embedder: Callable[[], Embedder], index: str = "fast") -> None:
        self.lock = threading.RLock()
        self._store, self._folder, self._embedder, self._index = store, folder, embedder, index
        self._pushing = store if isinstance(store, PushDown) else None
        self._replica: Replica | None = None
        self._saved_rows = 0
        self._builder: threading.Thread | None = None
        self._retry_at = 0.0  # of the monotonic clock
        self._reembedding = upkeep.Reembedding(store, folder, embedder)
        self._cancel = nogil_ffi.new("int *", 0)

    def current(self) -> Replica:
        """The replica, after taking in every change committed so far."""
        replica = self._replica
        if replica is None:
            upkeep.sweep(self._folder)
            upkeep.reanalyse(self._store)
            replica = self._replica = self._opened()
            if self._pushing is not None:
                self._pushing.watch(self._hear)
        if self._store.sequence() != replica.seq:
            self._follow(replica)
            if 0 < replica.unembedded <= EMBED_AT_ONCE and upkeep.reembed(self._store, self._embedder(), EMBED_AT_ONCE):
                self._follow(replica)
        if replica.unembedded > EMBED_AT_ONCE:
            self._reembedding.start()
        if len(replica) - replica.alive > max(DEAD_ROWS, replica.alive) and replica.alive < WORTH_A_GRAPH // 2:
            replica = self._replica = self._empty(replica.dim)  # quick to read again; dead rows would only pile up
            self._follow(replica)
        is_building = self._builder is not None and self._builder.is_alive()
        if not is_building and time.monotonic() >= self._retry_at and self._is_build_due(replica):
            self._builder = threading.Thread(target=self._build, name="ruvllm-index", daemon=True)
            self._builder.start()
        return replica

    def latest(self) -> Replica:
        """The replica as of the last `current()`."""
        return self._replica or self.current()

    def _hear(self) -> None:
        """Takes in what another process wrote, before a search has to."""
        with self.lock:
            if not self._cancel[0]:
                self.current()

    def pushed_down(self, namespaces: Sequence[str] | None) -> PushDown | None:
        """The store, where one of the namespaces (None: all) is too large for a replica: then it is to be asked."""
        if self._pushing is None:
            return None
        self._store.sequence()
        large = self._pushing.large()
        return self._pushing if (large if namespaces is None else large.intersection(namespaces)) else None

    def near(
        self, vector: FloatArray, namespace: str, now: float, threshold: float = NEAR_DUPLICATE, limit: int = 10
    ) -> Sequence[Near]:
        """Cosine and id of up to `limit` memories of the namespace whose cosine with `vector` reaches the threshold,
        most similar first, as of the last `current()`. The lock is held."""
        if self._pushing is not None and namespace in self._pushing.large():
            return self._pushing.near(vector, namespace, self._embedder().fingerprint, now, threshold, limit)
        assert self._replica is not None
        return self._replica.near(vector, namespace, now, threshold, limit)

    def _identity(self) -> Identity:
        embedder = self._embedder()
        return Identity(self._store.identity(), embedder.fingerprint, embedder.dim, self._index)

    def _opened(self) -> Replica:
        identity = self._identity()
        try:
            loaded = snapshot.load(self._folder, identity, self._store.sequence(), self._whole)
        except StoreError as error:
            log.warning("%s", error)
            loaded = None
        saved, is_worded = loaded or (None, True)
        if saved and not is_worded:
            saved.reword(self._store.changes(0, identity.embedder))
        in_use = self._replica
        if saved and saved.tokens.file and in_use and in_use.tokens.damaged == saved.tokens.file.name:
            saved.tokens.give_up(in_use.tokens.damaged)
        self._saved_rows = len(saved) if saved and is_worded else 0
        return saved or self._empty(identity.dim)

    def _empty(self, dim: int) -> Replica:
        replica = Replica(dim)
        if self._index == "small":
            replica.vectors = TieredIndex(dim, lambda rows: self._whole(replica.rows("ids")[rows]))
        return replica

    def _whole(self, ids: npt.NDArray[np.int64]) -> FloatArray:
        """The vectors of memories, zeros for those that are gone."""
        embedder = self._embedder()
        found = self._store.vectors(ids.tolist(), embedder.fingerprint)
        blank = np.zeros(embedder.dim, np.float32)
        return np.array([found.get(item, blank) for item in ids.tolist()], np.float32).reshape(-1, embedder.dim)

    def _follow(self, replica: Replica) -> None:
        for changes in self._store.changes(replica.seq, self._embedder().fingerprint):
            replica.apply(changes)

    @staticmethod
    def _is_build_due(replica: Replica) -> bool:
        index, rows = replica.vectors, len(replica)
        if (
            isinstance(index, TieredIndex)
            and rows > WORTH_A_GRAPH
            and time.time() - index.settled_at > RESETTLE_SECONDS
        ):
            return True
        return bool(replica.tokens.damaged) or index.unsettled > max(WORTH_A_GRAPH, rows // 8)

    def _build(self) -> None:
        """Runs in its own thread: makes a replica with a graph over all rows, saves it and puts it in place."""

        def work() -> None:
            if not self._swapped_for_saved():
                self._build_and_save()
                self._swapped_for_saved()

        self._alone(work)

    def _alone(self, work: Callable[[], object]) -> None:
        """Does it unless another process writes index files now; a failure is a warning."""
        try:
            lock_path = self._folder / "index.lock"
            lock_path.touch(mode=0o600)
            with lock_path.open("r+") as lock_file:
                fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                work()
        except BlockingIOError:
            log.debug("Another process is writing the index.")
        except (StoreError, OSError) as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            log.warning("The index could not be saved: %s", error)

    def _build_and_save(self) -> None:
        identity = self._identity()
        writer = snapshot.Writer(identity.path(self._folder))
        try:
            if self._index == "small":
                base = self._settled(identity.dim)
                if not self._cancel[0]:
                    self._save(base, writer, identity)
                return
            base = self._opened()  # not the replica in use: nobody else touches this one
            self._follow(base)
            if len(base) - base.alive > DEAD_SHARE * max(len(base), 1):
                base = self._empty(identity.dim)
                self._follow(base)
            index = base.vectors
            assert isinstance(index, VectorIndex)
            snapshot.write_codes(index, writer)
            codes = writer.mapped("codes")
            graph = hnsw.extended(index.graph or hnsw.empty(), codes, index.scales.rows, self._cancel)
            if graph is not None:
                self._save(base, writer, identity, graph)
        finally:
            writer.discard()

    def _save(
        self, replica: Replica, writer: snapshot.Writer, identity: Identity, graph: hnsw.Graph | None = None
    ) -> None:
        """Writes a replica that nobody else changes, its token bits first. The index lock is held."""
        path, known, bits = identity.path(self._folder), replica.tokens.file, None
        if self._embedder().has_tokens:
            if known is not None and (len(known.counts), known.name) != snapshot.saved(self._folder, identity):
                known = None  # another process has saved since; its file is not ours to go on with
            living = np.where(replica.rows("alive") & replica.rows("embedded"), replica.rows("ids"), 0)
            bits = tokens.written(
                path, known, living, replica.tokens.width, lambda ids: self._store.token_bits(ids, identity.embedder)
            )
        snapshot.save(replica, writer, identity, bits, graph)
        tokens.remove_others(path, "" if bits is None else bits.name)

    def _settled(self, dim: int) -> Replica:
        """A replica made anew from the store, each row in the tier that its use so far earns it."""
        ids, counts, last = self._store.accesses()
        now = time.time()
        tiers = levels(counts, last, now, int(self._store.stats()["memories"]))
        replica = self._empty(dim)
        index = replica.vectors
        assert isinstance(index, TieredIndex)
        index.settled_at = now
        for changes in self._store.changes(0, self._embedder().fingerprint):
            replica.apply(changes)
            if self._cancel[0]:
                break
            index.settle(tiers_of(replica.rows("ids")[index.settled :], ids, tiers))
        return replica

    def _swapped_for_saved(self) -> bool:
        """Takes the saved replica over if that spares building one."""
        fresh = self._opened()
        self._follow(fresh)
        if self._is_build_due(fresh):
            return False
        with self.lock:
            self._follow(fresh)
            self._replica = fresh
        return True

    def close(self) -> None:
        """Stops building; saves the replica if reading it again from the store would be slow."""
        self._cancel[0] = 1
        self._reembedding.close()
        if self._builder is not None:
            self._builder.join()
        with self.lock:
            replica = self._replica
            if replica is not None and len(replica) >= self._saved_rows + SAVE_AT:
                self._alone(lambda: self._save_last(replica))

    def _save_last(self, replica: Replica) -> None:
        """Saves what is in use, unless another process has saved as much meanwhile."""
        identity = self._identity()
        if len(replica) < snapshot.saved(self._folder, identity)[0] + SAVE_AT:
            return
        writer = snapshot.Writer(identity.path(self._folder))
        try:
            self._save(replica, writer, identity, getattr(replica.vectors, "graph", None))
        finally:
            writer.discard()

"""Our dense index and others' behind one face, for `vectors.py`: build into a folder, open, ask at an effort.

HNSW graphs all have 16 links a row (32 on the ground) and are built with a beam of 100, on one thread where that can be
said; what an effort means is each engine's own: `ef`, or the number of partitions probed. Databases are asked as their
users ask them, with text and metadata left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.memory import codes, hnsw
from ruvllm_mcp.memory.codes import Query
from ruvllm_mcp.memory.hnsw import Graph, Walker

Rows = npt.NDArray[np.float32]
Ask = Callable[[np.ndarray, int], Any]  # a unit vector (d,) and an effort; the 10 row numbers found
BEAM, DEGREE = 100, 16


class Ours:
    """int8 codes under a graph; the best of the beam ranked anew by float vectors, as a search does."""

    def __init__(self, again: int = 30) -> None:
        self._again = again

    def build(self, rows: Rows, folder: Path) -> None:
        coded, scales = codes.quantised(rows)
        graph = hnsw.extended(hnsw.empty(DEGREE), coded, scales, ef=BEAM)
        assert graph is not None
        np.save(folder / "codes.npy", coded)
        np.save(folder / "scales.npy", scales)
        np.savez(folder / "graph.npz", **vars(graph))

    def open(self, rows: Rows, folder: Path) -> Ask:
        saved = np.load(folder / "graph.npz")
        graph = Graph(*(saved[name] for name in ("near", "far", "far_at", "levels")), int(saved["entry"]))
        walker = Walker(graph, np.load(folder / "codes.npy", mmap_mode="r"), np.load(folder / "scales.npy"))
        keep = np.ones(len(graph), np.uint8)

        def ask(query: np.ndarray, effort: int) -> npt.NDArray[np.int32]:
            near = walker.search(Query(query), keep, max(effort, 10))[0][: self._again]
            return near[np.argsort(-(rows[near] @ query))[:10]]

        return ask


class Hnswlib:
    def build(self, rows: Rows, folder: Path) -> None:
        import hnswlib

        index = hnswlib.Index("ip", rows.shape[1])
        index.init_index(len(rows), M=DEGREE, ef_construction=BEAM)
        index.add_items(rows, num_threads=1)
        index.save_index(str(folder / "index"))

    def open(self, rows: Rows, folder: Path) -> Ask:
        import hnswlib

        index = hnswlib.Index("ip", rows.shape[1])
        index.load_index(str(folder / "index"))

        def ask(query: np.ndarray, effort: int) -> Any:
            index.set_ef(effort)
            return index.knn_query(query, 10, num_threads=1)[0][0]

        return ask


class Faiss:
    """`kind` as faiss.index_factory names it; `effort` is the name of what an effort sets, empty for exact ones."""

    def __init__(self, kind: str, effort: str = "efSearch") -> None:
        self._kind, self._effort = kind, effort

    def build(self, rows: Rows, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.index_factory(rows.shape[1], self._kind, faiss.METRIC_INNER_PRODUCT)
        if hasattr(index, "hnsw"):
            index.hnsw.efConstruction = BEAM
        index.train(rows[:100_000])
        index.add(rows)
        faiss.write_index(index, str(folder / "index"))

    def open(self, rows: Rows, folder: Path) -> Ask:  # noqa: ARG002
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.read_index(str(folder / "index"))

        def ask(query: np.ndarray, effort: int) -> Any:
            if self._effort:
                index.hnsw.efSearch = effort
            return index.search(query[None], 10)[1][0]

        return ask


class Usearch:
    def __init__(self, dtype: str) -> None:
        self._dtype = dtype

    def build(self, rows: Rows, folder: Path) -> None:
        from usearch.index import Index

        index = Index(ndim=rows.shape[1], metric="ip", dtype=self._dtype, connectivity=DEGREE, expansion_add=BEAM)
        index.add(np.arange(len(rows)), rows, threads=1)
        index.save(str(folder / "index"))

    def open(self, rows: Rows, folder: Path) -> Ask:  # noqa: ARG002
        from usearch.index import Index

        index = Index.restore(str(folder / "index"))

        def ask(query: np.ndarray, effort: int) -> Any:
            index.expansion_search = effort
            return index.search(query, 10, threads=1).keys

        return ask


class Chroma:
    def build(self, rows: Rows, folder: Path) -> None:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        hnsw_settings = {"space": "ip", "ef_construction": BEAM, "max_neighbors": DEGREE, "num_threads": 1}
        collection = chromadb.PersistentClient(str(folder), settings).create_collection(
            "bench", configuration={"hnsw": hnsw_settings}, embedding_function=None
        )
        for at in range(0, len(rows), 5_000):
            numbers = range(at, min(at + 5_000, len(rows)))
            collection.add([str(number) for number in numbers], embeddings=rows[at : at + 5_000])

    def open(self, rows: Rows, folder: Path) -> Ask:  # noqa: ARG002
        import chromadb
        from chromadb.api.client import SharedSystemClient

        settings = chromadb.Settings(anonymized_telemetry=False)
        opened: dict[int, Any] = {}

        def ask(query: np.ndarray, effort: int) -> Any:
            if effort not in opened:  # an open collection keeps the effort it was opened with
                for is_first in (True, False):
                    SharedSystemClient.clear_system_cache()
                    collection = chromadb.PersistentClient(str(folder), settings).get_collection("bench", None)
                    if is_first:
                        collection.modify(configuration={"hnsw": {"ef_search": effort}})
                opened.clear()
                opened[effort] = collection
            found = opened[effort].query(query_embeddings=query[None], n_results=10, include=[])["ids"][0]
            return [int(number) for number in found]

        return ask


class Lance:
    def build(self, rows: Rows, folder: Path) -> None:
        import lancedb
        import pyarrow

        vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.reshape(-1)), rows.shape[1])
        data = pyarrow.table({"id": pyarrow.array(np.arange(len(rows))), "vector": vectors})
        table = lancedb.connect(folder).create_table("bench", data)
        table.create_index(metric="dot", index_type="IVF_HNSW_SQ", num_partitions=1, m=DEGREE, ef_construction=BEAM)

    def open(self, rows: Rows, folder: Path) -> Ask:  # noqa: ARG002
        import lancedb

        table = lancedb.connect(folder).open_table("bench")

        def ask(query: np.ndarray, effort: int) -> Any:
            search = table.search(query).distance_type("dot").ef(max(effort, 30)).refine_factor(3).limit(10)
            return search.select(["id", "_distance"]).to_arrow()["id"].to_numpy()

        return ask


ENGINES: dict[str, tuple[str, Any]] = {
    "ours": ("ruvllm_mcp", Ours()),
    "hnswlib": ("hnswlib", Hnswlib()),
    "faiss HNSW": ("faiss", Faiss("HNSW16,Flat")),
    "faiss HNSW int8": ("faiss", Faiss("HNSW16_SQ8")),
    "faiss flat": ("faiss", Faiss("Flat", "")),
    "usearch f32": ("usearch", Usearch("f32")),
    "usearch i8": ("usearch", Usearch("i8")),
    "chromadb": ("chromadb", Chroma()),
    "lancedb": ("lancedb", Lance()),
}


def installed() -> dict[str, Any]:
    """The engines that can be asked here, by name."""
    return {name: engine for name, (module, engine) in ENGINES.items() if importlib.util.find_spec(module)}

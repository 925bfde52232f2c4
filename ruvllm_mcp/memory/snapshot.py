"""A replica in one file beside the store, mapped at the next opening: `index-<embedder>.snap`.

Arrays lie one after another on 64-byte boundaries, each with its CRC-32; a JSON footer names them, its length and a
mark end the file. A file is written whole, synced and renamed into place, so it is complete or absent. It is taken
only if it belongs to this very store, embedder and format, and is not ahead of the store; otherwise it is made anew:
everything in it can be. Terms of another analysis alone are left out (but by the tiers, which are made anew whole).
Token bits lie in a file of their own, which it names (see `tokens`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import StorageFullError, StoreCorruptError, StoreError
from ruvllm_mcp.memory import analysis
from ruvllm_mcp.memory.hnsw import Graph
from ruvllm_mcp.memory.index import Index, VectorIndex
from ruvllm_mcp.memory.lexical import EMPTY, Segment
from ruvllm_mcp.memory.replica import COLUMNS, Replica
from ruvllm_mcp.memory.tiers import NAMES, Codebook, Fetch, TieredIndex
from ruvllm_mcp.memory.tokens import TokenFile

FORMAT = 5
GRAPH = ("near", "far", "far_at", "levels")
POSTINGS = ("terms", "starts", "rows", "counts")
_MARK = b"RuvLLMsn"
_ALIGN = 64
_CHUNK = 1 << 24
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Identity:
    """What a snapshot must agree with to be of use."""

    store: str
    embedder: str
    dim: int
    index: str = "fast"
    analysis: int = field(default_factory=lambda: analysis.VERSION)
    format: int = FORMAT

    def path(self, folder: Path) -> Path:
        """Where the snapshot for this embedder lies."""
        suffix = "" if self.index == "fast" else f"-{self.index}"
        return folder / f"index-{hashlib.blake2b(self.embedder.encode(), digest_size=6).hexdigest()}{suffix}.snap"


class Writer:
    """Writes the file part by part under a temporary name; `finish` puts it in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        self._parts: dict[str, Any] = {}
        self._partial.unlink(missing_ok=True)
        self._partial.touch(mode=0o600)
        self._file: BinaryIO = self._partial.open("r+b")

    def write(self, name: str, *pieces: npt.NDArray[Any]) -> None:
        """Adds an array made of `pieces`, one after another along the first axis."""
        self._file.write(b"\0" * (-self._file.tell() % _ALIGN))
        start, crc = self._file.tell(), 0
        for piece in pieces:
            data = _bytes(np.ascontiguousarray(piece))
            for at in range(0, len(data), _CHUNK):
                crc = zlib.crc32(data[at : at + _CHUNK], crc)
                self._file.write(data[at : at + _CHUNK])
        shape = [sum(len(piece) for piece in pieces), *pieces[0].shape[1:]]
        self._parts[name] = {"dtype": pieces[0].dtype.str, "shape": shape, "start": start, "crc": crc}

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def mapped(self, name: str) -> npt.NDArray[Any]:
        """An array already written, read-only."""
        self._file.flush()
        return _mapped(self._partial, self._parts[name])

    def finish(self, identity: Identity, details: Mapping[str, Any]) -> None:
        footer = json.dumps({"identity": asdict(identity), "parts": self._parts, **details}).encode()
        self._file.write(footer)
        self._file.write(zlib.crc32(footer).to_bytes(4, "little") + len(footer).to_bytes(8, "little") + _MARK)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Leaves nothing behind, unless finished."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


def save(
    replica: Replica, writer: Writer, identity: Identity, tokens: TokenFile | None, graph: Graph | None = None
) -> None:
    """Writes all of a replica that nobody changes meanwhile. `tokens` has the bits of all its rows; `graph` may cover
    its first rows only."""
    index = replica.vectors
    details: dict[str, Any] = {"seq": replica.seq, "namespaces": replica.namespaces}
    if isinstance(index, TieredIndex):
        _write_tiers(index, writer)
        details.update(settled_at=index.settled_at, tiers=index.sizes)
    elif isinstance(index, VectorIndex):
        write_codes(index, writer)
        writer.write("scales", index.scales.rows)
        for name in GRAPH if graph is not None else ():
            writer.write(f"graph_{name}", getattr(graph, name))
        details["entry"] = graph.entry if graph else None
    replica.relink()
    for name in COLUMNS:
        writer.write(name, replica.rows(name))
    writer.write("tokens", replica.token_frequency)
    if tokens is not None:
        details["token_file"] = tokens.name
        writer.write("token_counts", tokens.counts)
        writer.write("token_digests", tokens.digests)
    postings = replica.postings.whole()
    for name in POSTINGS:
        writer.write(f"postings_{name}", getattr(postings, name))
    bytes_each = (index.bytes + (graph.bytes if graph else 0)) / max(len(index), 1)
    writer.finish(identity, {**details, "rows": len(index), "bytes_per_vector": bytes_each})


def write_codes(index: VectorIndex, writer: Writer) -> None:
    """The part that a graph is built over, which may be written first."""
    if "codes" not in writer:
        writer.write("codes", index.fixed, index.recent.rows)


def _write_tiers(index: TieredIndex, writer: Writer) -> None:
    for name, tier in zip(NAMES, index.tiers, strict=True):
        writer.write(f"tier_{name}", tier.codes.rows)
    writer.write("tier_of_row", index.level)
    writer.write("unsettled", index.recent.rows)
    if index.codebook is not None:
        writer.write("codebook", index.codebook.points)


def load(folder: Path, identity: Identity, store_seq: int, fetch: Fetch) -> tuple[Replica, bool] | None:
    """The replica saved in `folder` and whether it has its terms (not those of another analysis), None when there is
    none of use; `fetch` reads vectors of memories by id. Raises StoreCorruptError for a damaged file."""
    path = identity.path(folder)
    footer = read_footer(path)
    if footer is None or footer["seq"] > store_seq:
        return None
    is_worded = footer["identity"] == asdict(identity)
    if not is_worded and (
        {**footer["identity"], "analysis": identity.analysis} != asdict(identity) or identity.index == "small"
    ):
        return None
    arrays = _checked(path, footer)
    replica = Replica(identity.dim, footer["seq"], footer["namespaces"])
    index = _read_tiers if identity.index == "small" else _read_codes
    replica.begin(
        {name: arrays[name] for name in COLUMNS},
        index(arrays, footer, lambda rows: fetch(replica.rows("ids")[rows])),
        Segment(*(arrays[f"postings_{name}"] for name in POSTINGS)) if is_worded else EMPTY,
        arrays["tokens"],
    )
    if "token_file" in footer:
        file = _token_file(path, footer, arrays)
        if file is None:
            replica.tokens.give_up(footer["token_file"])
        else:
            replica.tokens.begin(file)
    return replica, is_worded


def _token_file(path: Path, footer: Mapping[str, Any], arrays: Arrays) -> TokenFile | None:
    counts, digests = arrays["token_counts"], arrays["token_digests"]
    return TokenFile.mapped(path.with_name(footer["token_file"]), footer["identity"]["dim"] // 8, counts, digests)


def _read_codes(arrays: Arrays, footer: Mapping[str, Any], _: Fetch) -> Index:
    graph = None
    if footer["entry"] is not None:
        graph = Graph(**{name: arrays[f"graph_{name}"] for name in GRAPH}, entry=footer["entry"])
    return VectorIndex(arrays["codes"], np.array(arrays["scales"]), graph)


def _read_tiers(arrays: Arrays, footer: Mapping[str, Any], fetch: Fetch) -> Index:
    book = Codebook(arrays["codebook"]) if "codebook" in arrays else None
    index = TieredIndex(arrays["unsettled"].shape[1], fetch, book, footer["settled_at"])
    index.put([arrays[f"tier_{name}"] for name in NAMES], arrays["tier_of_row"])
    index.append(arrays["unsettled"])
    return index


def described(folder: Path) -> list[dict[str, Any]]:
    """What each index saved in `folder` says of itself; those that cannot be read or used are left out."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("index-*.snap")):
        with contextlib.suppress(StoreError):
            footer = read_footer(path)
            if footer is not None and footer["identity"].get("format") == FORMAT:
                found.append({name: footer[name] for name in ("rows", "bytes_per_vector", "tiers") if name in footer})
                found[-1]["index"] = footer["identity"]["index"]
    return found


def verify(path: Path) -> None:
    """Reads the whole file and its token bits. Raises StoreCorruptError when any of it is damaged."""
    footer = read_footer(path)
    if footer is None:
        return
    arrays = _checked(path, footer)
    if "token_file" in footer:
        file = _token_file(path, footer, arrays)
        if file is None or not file.is_intact():
            raise StoreCorruptError(
                f"{path.with_name(footer['token_file'])} is damaged.", "It is made anew from the store."
            )


def saved(folder: Path, identity: Identity) -> tuple[int, str]:
    """How many rows the snapshot in `folder` has and the name of its token file; 0 and "" when it is of no use."""
    with contextlib.suppress(StoreError):
        footer = read_footer(identity.path(folder))
        if footer is not None and footer["identity"] == asdict(identity):
            return footer["rows"], footer.get("token_file", "")
    return 0, ""


def _checked(path: Path, footer: Mapping[str, Any]) -> Arrays:
    """All arrays of the file. Raises StoreCorruptError when one is damaged."""
    arrays = {name: _mapped(path, part) for name, part in footer["parts"].items()}
    for name, part in footer["parts"].items():
        if _crc(arrays[name]) != part["crc"]:
            raise StoreCorruptError(f"{path} is damaged in {name!r}.", "It is made anew from the store.")
    return arrays


def read_footer(path: Path) -> dict[str, Any] | None:
    """What the file says of itself, None when there is no file. Raises StoreCorruptError when it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 20))
            tail = file.read(20)
            length = int.from_bytes(tail[4:12], "little")
            if tail[12:] != _MARK or length > size - 20:
                raise StoreCorruptError(f"{path} is not complete.", "It is made anew from the store.")
            file.seek(size - 20 - length)
            footer = file.read(length)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageFullError(f"{path} cannot be read ({error}).", "Check the permissions.") from error
    if zlib.crc32(footer) != int.from_bytes(tail[:4], "little"):
        raise StoreCorruptError(f"{path} has a damaged footer.", "It is made anew from the store.")
    read: dict[str, Any] = json.loads(footer)
    return read


def _mapped(path: Path, part: Mapping[str, Any]) -> npt.NDArray[Any]:
    shape: Sequence[int] = part["shape"]
    if not np.prod(shape):
        return np.empty(shape, part["dtype"])
    mapped: npt.NDArray[Any] = np.memmap(path, part["dtype"], "r", part["start"], tuple(shape)).view(np.ndarray)
    return mapped


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


def _crc(values: npt.NDArray[Any]) -> int:
    data, crc = _bytes(values), 0
    for at in range(0, len(data), _CHUNK):
        crc = zlib.crc32(data[at : at + _CHUNK], crc)
    return crc

"""Token bits of a replica's rows where one call into C can read them: mapped from a file beside the snapshot, for the
rows that it has, and in memory for the last some thousand others asked for.

A file (`index-<embedder>.<name>.bits`) is only ever appended to, by who holds the index lock, and what was appended
counts once a snapshot says how many tokens of each row there are and what their digests are. So a file may be longer
than a reader knows, never other than it knows. Bits are compared with their digests when they are first used: what is
damaged is read from the store instead, and the file is made anew. Bits of rows that died stay in the file until the
snapshot leaves those rows out, and it begins a new file.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.memory.candidates import IntArray, TokenRows
from ruvllm_mcp.memory.columns import Column
from ruvllm_mcp.native.lib import nogil, nogil_ffi

log = logging.getLogger(__name__)
BitArray = npt.NDArray[np.uint8]
Fetch = Callable[[Sequence[int]], Mapping[int, bytes]]  # of rows, or of memories: those that have bits
REMEMBERED = 400_000  # tokens outside the file, some 20 MB
AT_ONCE = 1_000  # rows


def laid_out(blobs: Sequence[bytes], width: int) -> tuple[BitArray, IntArray, IntArray]:
    """Bits (t, width) of memories one after another, where each starts, and how many it has; none where its bytes are
    no whole tokens."""
    whole = [blob if len(blob) % width == 0 else b"" for blob in blobs]
    counts = np.array([len(blob) // width for blob in whole], np.int64)
    return np.frombuffer(b"".join(whole), np.uint8).reshape(-1, width), np.cumsum(counts) - counts, counts


def digests_of(bits: BitArray, starts: IntArray, counts: IntArray) -> npt.NDArray[np.uint64]:
    """A number for each run of rows by which damage shows; the runs lie within `bits`."""
    found = np.empty(len(starts), np.uint64)
    nogil.rv_digest_rows(
        nogil_ffi.from_buffer("uint8_t[]", bits),
        bits.shape[1],
        nogil_ffi.from_buffer("int64_t[]", starts),
        nogil_ffi.from_buffer("int64_t[]", counts),
        len(starts),
        nogil_ffi.from_buffer("uint64_t[]", found),
    )
    return found


@dataclass(frozen=True)
class TokenFile:
    """Bits of a snapshot's rows: `counts` int64 (rows,) tokens each, one row's after the other's, and their `digests`
    uint64 (rows,). `bits` uint8 (t, d / 8) is mapped."""

    name: str
    bits: BitArray
    counts: IntArray
    digests: npt.NDArray[np.uint64]

    @classmethod
    def mapped(cls, path: Path, width: int, counts: IntArray, digests: npt.NDArray[np.uint64]) -> TokenFile | None:
        """The file, None where it is missing or shorter than that."""
        tokens = int(counts.sum())
        bits: BitArray = np.empty((0, width), np.uint8)
        try:
            if path.stat().st_size < tokens * width:
                return None
            if tokens:
                bits = np.memmap(path, np.uint8, "r", 0, (tokens, width)).view(np.ndarray)
        except OSError:
            return None
        return cls(path.name, bits, counts, digests)

    def is_intact(self) -> bool:
        """Whether nothing is damaged. Reads all of it."""
        starts = np.cumsum(self.counts) - self.counts
        return bool((digests_of(self.bits, starts, self.counts) == self.digests).all())


class TokenBits:
    """`file` has the bits of the first rows. `damaged` names a file that was found to be so, "" for none."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.file: TokenFile | None = None
        self.damaged = ""
        self._starts, self._intact = np.empty(0, np.int64), np.empty(0, np.bool_)
        self._forget()

    def _forget(self) -> None:
        self._bits = Column(np.uint8, self.width)
        self._runs: dict[int, tuple[int, int]] = {}  # row → start and count in _bits

    def begin(self, file: TokenFile) -> None:
        """Takes the bits of the first rows from a file."""
        self.file = file
        self._starts = np.cumsum(file.counts) - file.counts
        self._intact = np.zeros(len(file.counts), np.bool_)

    def give_up(self, name: str) -> None:
        """Reads all rows from the store from now on: the file of that name is damaged."""
        self.file, self.damaged = None, name
        log.warning("%s is damaged: it is made anew from the store.", name)

    def of(self, rows: IntArray, fetch: Fetch) -> list[TokenRows]:
        """The bits of rows, by their places among `rows`; `fetch` reads those that are not known."""
        file = self.file
        saved = rows < (0 if file is None else len(file.counts))
        places = np.flatnonzero(saved)
        if file is None or not len(places):
            return [self._remembered(np.arange(len(rows)), rows, fetch)]
        wanted = rows[places]
        starts, counts = self._starts[wanted], file.counts[wanted]
        if not self._intact[wanted].all():
            if (digests_of(file.bits, starts, counts) != file.digests[wanted]).any():
                self.give_up(file.name)
                return self.of(rows, fetch)
            self._intact[wanted] = True
        parts = [TokenRows(places, file.bits, starts, counts)]
        if len(places) < len(rows):
            others = np.flatnonzero(~saved)
            parts.append(self._remembered(others, rows[others], fetch))
        return parts

    def _remembered(self, places: IntArray, rows: IntArray, fetch: Fetch) -> TokenRows:
        wanted = rows.tolist()
        missing = [row for row in wanted if row not in self._runs]
        if missing and len(self._bits.rows) > REMEMBERED:
            self._forget()
            missing = wanted
        if missing:
            found = fetch(missing)
            bits, starts, counts = laid_out([found.get(row, b"") for row in missing], self.width)
            starts += len(self._bits.rows)
            self._runs.update(zip(missing, zip(starts.tolist(), counts.tolist(), strict=True), strict=True))
            self._bits.extend(bits)
        runs = np.array([self._runs[row] for row in wanted], np.int64).reshape(-1, 2)
        return TokenRows(places, self._bits.rows, *np.ascontiguousarray(runs.T))


def written(path: Path, old: TokenFile | None, ids: IntArray, width: int, fetch: Fetch) -> TokenFile:
    """A file beside the snapshot `path` with the bits of all its rows, whose memories are `ids` (0: none). `old` has
    those of the first rows; then the others' are appended to it. The caller holds the index lock. Raises OSError."""
    known = 0 if old is None else len(old.counts)
    end = 0 if old is None else len(old.bits) * width
    target = path.with_name(f"{path.stem}.{secrets.token_hex(6)}.bits" if old is None else old.name)
    counts, digests = [] if old is None else [old.counts], [] if old is None else [old.digests]
    with os.fdopen(os.open(target, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        file.seek(end)  # over what was appended for a snapshot that never came
        for bits, starts, sizes in _fetched(ids[known:], width, fetch):
            file.write(bits.data)
            counts.append(sizes)
            digests.append(digests_of(bits, starts, sizes))
        file.flush()
        os.fsync(file.fileno())
    made = TokenFile.mapped(target, width, np.concatenate(counts), np.concatenate(digests))
    if made is None:
        raise OSError(f"{target} could not be read again")
    return made


def _fetched(ids: IntArray, width: int, fetch: Fetch) -> Iterator[tuple[BitArray, IntArray, IntArray]]:
    for start in range(0, max(len(ids), 1), AT_ONCE):
        part = ids[start : start + AT_ONCE].tolist()
        found = fetch(part)
        yield laid_out([found.get(item, b"") for item in part], width)


def remove_others(path: Path, name: str) -> None:
    """Removes the token files of the snapshot `path` but the one of that name. Who has one mapped keeps it."""
    for other in path.parent.glob(f"{path.stem}.*.bits"):
        if other.name != name:
            other.unlink(missing_ok=True)

"""Vectors and index terms on their way to PostgreSQL and back, in its binary forms, so that no number is ever text.

A vector is pgvector's `vector`, an array of term ids an `integer[]` (the unsigned ids reinterpreted as signed: they are
names, only equality counts). Both are read by `vector_send` and `array_send`, which give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo

from ruvllm_mcp.embed.base import FloatArray
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory.analysis import TermArray
from ruvllm_mcp.memory.lexical import CountArray

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

MAX_DIM = 16_000  # pgvector's
INT_ARRAY = 1007  # the type's oid, the same in every PostgreSQL
_HEADER = np.array([1, 0, 23], ">i4").tobytes()  # one dimension, no nulls, of integer
_ELEMENT = np.dtype([("size", ">i4"), ("value", ">u4")])


class VectorBytes(bytes):
    """A `vector` as sent."""


class TermBytes(bytes):
    """An `integer[]` as sent."""


class _AsItIs(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


def register(connection: Connection[TupleRow], vector_oid: int) -> None:
    """Teaches a connection to send both kinds."""
    TypeInfo("vector", vector_oid, 0).register(connection)
    for kind, oid in ((VectorBytes, vector_oid), (TermBytes, INT_ARRAY)):
        connection.adapters.register_dumper(kind, type("_Sent", (_AsItIs,), {"oid": oid}))


def sent_vector(vector: FloatArray) -> VectorBytes:
    """A vector, float32 (d,), 1 <= d <= 16,000, finite."""
    if len(vector) > MAX_DIM:
        raise InvalidInputError(
            f"A vector of {len(vector):,} numbers does not fit into PostgreSQL.",
            f"Its pgvector takes {MAX_DIM:,}: choose a smaller embedder.",
        )
    return VectorBytes(np.array([len(vector), 0], ">i2").tobytes() + vector.astype(">f4").tobytes())


def read_vector(sent: bytes) -> FloatArray:
    """The reverse of `sent_vector`: float32 (d,)."""
    return np.frombuffer(sent, ">f4", offset=4).astype(np.float32)


def sent_terms(packed: bytes) -> tuple[TermBytes, bytes]:
    """What `lexical.pack` made, as the ids' array and the counts, two bytes each."""
    size = len(packed) // 6
    elements = np.empty(size, _ELEMENT)
    elements["size"], elements["value"] = 4, np.frombuffer(packed, np.uint32, size)
    if not size:
        return TermBytes(bytes(8) + _HEADER[8:]), b""
    bounds = np.array([size, 1], ">i4").tobytes()
    return TermBytes(_HEADER + bounds + elements.tobytes()), packed[4 * size :]


def read_terms(sent: bytes) -> TermArray:
    """Term ids from an `integer[]`."""
    return np.frombuffer(sent, _ELEMENT, offset=20)["value"].astype(np.uint32) if len(sent) > 20 else EMPTY


def read_packed(sent: bytes, counts: bytes) -> bytes:
    """What `lexical.pack` made."""
    return read_terms(sent).tobytes() + counts


def read_occurrences(rows: Sequence[tuple[bytes, bytes]]) -> tuple[npt.NDArray[np.int64], TermArray, CountArray]:
    """The terms of many memories, given as sent: of each occurrence the memory's place in `rows`, the term, and how
    often."""
    sizes = [len(counts) // 2 for _, counts in rows]
    elements = np.frombuffer(b"".join(ids[20:] for ids, counts in rows if counts), _ELEMENT)
    times = np.frombuffer(b"".join(counts for _, counts in rows), np.uint16)
    return np.repeat(np.arange(len(rows)), sizes), elements["value"].astype(np.uint32), times


def read_counts(counts: bytes) -> CountArray:
    """How often each term occurs."""
    return np.frombuffer(counts, np.uint16)


EMPTY: TermArray = np.empty(0, np.uint32)

"""Arrays that grow at the end, and the marks of what a search may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


class Column:
    """An array that grows at the end; `rows` is the filled part. What was handed out stays as it was."""

    def __init__(self, dtype: Any, width: int | None = None) -> None:
        self._data: npt.NDArray[Any] = np.zeros((64,) if width is None else (64, width), dtype)
        self._size = 0

    def extend(self, values: npt.NDArray[Any]) -> None:
        size = self._size + len(values)
        if size > len(self._data):
            capacity = size if not self._size else max(size, len(self._data) * 3 // 2)
            grown = np.zeros((capacity, *self._data.shape[1:]), self._data.dtype)
            grown[: self._size] = self._data[: self._size]
            self._data = grown
        self._data[self._size : size] = values
        self._size = size

    @property
    def rows(self) -> npt.NDArray[Any]:
        return self._data[: self._size]


@dataclass
class Scope:
    """The rows one search may see: `keep` (n,) 1 where it may, how many, and the terms they hold altogether. Good until
    `until`, when the next of them expires."""

    keep: Column
    kept: int
    terms: float
    until: float

    @property
    def mean_length(self) -> float:
        return self.terms / self.kept if self.kept else 0.0


@dataclass
class Scopes:
    """Scopes by namespace, kept up to date row by row instead of being made anew for every search."""

    limit: int = 16
    _known: dict[tuple[int, ...] | None, Scope] = field(default_factory=dict)

    def get(self, codes: tuple[int, ...] | None, columns: dict[str, Column], now: float) -> Scope:
        """The scope of those namespace codes (None: all)."""
        scope = self._known.pop(codes, None)
        if scope is None or scope.until <= now:
            scope = _made(codes, columns, now)
        self._known[codes] = scope  # last used last
        if len(self._known) > self.limit:
            del self._known[next(iter(self._known))]
        return scope

    def added(self, first: int, columns: dict[str, Column]) -> None:
        """Takes in the rows from `first` on, all alive and unexpired."""
        spaces = columns["namespace"].rows[first:]
        lengths, expires = columns["lengths"].rows[first:], columns["expires_at"].rows[first:]
        for codes, scope in self._known.items():
            inside = np.ones(len(spaces), np.bool_) if codes is None else _among(spaces, codes)
            scope.keep.extend(inside.astype(np.uint8))
            scope.kept += int(np.count_nonzero(inside))
            scope.terms += float(lengths[inside].sum(dtype=np.float64))
            scope.until = min(scope.until, float(expires[inside].min(initial=np.inf)))

    def removed(self, rows: Sequence[int], columns: dict[str, Column]) -> None:
        """Lets go of rows that died."""
        for scope in self._known.values():
            for row in rows:
                if scope.keep.rows[row]:
                    scope.keep.rows[row] = 0
                    scope.kept -= 1
                    scope.terms -= float(columns["lengths"].rows[row])


def _among(spaces: npt.NDArray[np.int32], codes: Sequence[int]) -> npt.NDArray[np.bool_]:
    """As `np.isin`, which takes long to begin: a memory added alone, or a first search, pays for that."""
    inside = np.zeros(len(spaces), np.bool_)
    for code in codes:
        inside |= spaces == code
    return inside


def _made(codes: tuple[int, ...] | None, columns: dict[str, Column], now: float) -> Scope:
    expires = columns["expires_at"].rows
    inside = columns["alive"].rows & (expires > now)
    if codes is not None:
        inside &= _among(columns["namespace"].rows, codes)
    keep = Column(np.uint8)
    keep.extend(inside.astype(np.uint8))
    terms = float(columns["lengths"].rows.dot(inside)) if len(inside) else 0.0
    return Scope(keep, int(np.count_nonzero(inside)), terms, float(expires[inside].min(initial=np.inf)))

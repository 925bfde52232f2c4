"""Sets as sorted arrays. NumPy's own set functions import its masked arrays at their first call, which took half of the
time from opening a store to its first answer."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)


def distinct(values: npt.NDArray[T]) -> npt.NDArray[T]:
    """The values, ascending, each once."""
    ordered = np.sort(values)
    return ordered[is_first(ordered)]


def is_first(ordered: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of the values, of which equal ones stand together, are the first of theirs."""
    marks = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=marks[1:])
    return marks


def located(values: npt.NDArray[Any], known: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Where in `known`, ascending, each value stands, and whether it does; where not, the place means nothing, but is
    one of `known` unless that is empty."""
    if not len(known):
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return places, known[places] == values

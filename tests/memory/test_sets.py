"""Sets as sorted arrays against NumPy's own set functions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ruvllm_mcp.memory.sets import distinct, located

NUMBERS = st.lists(st.integers(-5, 5), max_size=12).map(lambda items: np.array(items, np.int64))


@settings(deadline=None)  # NumPy imports more at its first call
@given(NUMBERS, NUMBERS)
def test_sets_are_those_of_numpy(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(distinct(a), np.unique(a))
    places, are_known = located(a, np.unique(b))
    np.testing.assert_array_equal(are_known, np.isin(a, b))
    np.testing.assert_array_equal(np.unique(b)[places[are_known]], a[are_known])

"""Sets as sorted arrays against NumPy's own set functions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ruvllm_mcp.memory.sets import among, distinct

NUMBERS = st.lists(st.integers(-5, 5), max_size=12).map(lambda items: np.array(items, np.int64))


@settings(deadline=None)  # NumPy imports more at its first call
@given(NUMBERS, NUMBERS)
def test_sets_are_those_of_numpy(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(distinct(a), np.unique(a))
    np.testing.assert_array_equal(among(a, np.unique(b)), np.isin(a, b))

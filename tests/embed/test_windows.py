"""Windows cover every token once, overlap enough and have one length."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ruvllm_mcp.embed.windows import windows_of


@pytest.mark.parametrize("tokens", [0, 1, 254, 255, 256, 400, 444, 445, 1000, 10_007])
def test_windows_tile_the_tokens_and_overlap(tokens: int) -> None:
    windows = windows_of(tokens, 254, 64)
    assert windows[0].start == windows[0].keep_from == 0
    assert windows[-1].end == windows[-1].keep_to == tokens
    assert all(window.end - window.start == min(tokens, 254) for window in windows)
    assert all(window.start <= window.keep_from <= window.keep_to <= window.end for window in windows)
    for left, right in pairwise(windows):
        assert left.keep_to == right.keep_from
        assert left.end - right.start >= 64
        assert abs((left.keep_to - right.start) - (left.end - left.keep_to)) <= 1

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.errors import DimensionError, InvalidInputError
from ruvllm_mcp.learning.contrastive import Example, FloatArray, info_nce, mine_negatives, read_examples


def example(seed: int, dim: int = 6, count: int = 5) -> Example:
    random = np.random.default_rng(seed)
    targets = np.zeros(count, np.float32)
    targets[[0, 2]] = 0.5
    return Example(
        random.normal(size=dim).astype(np.float32),
        random.normal(size=(count, dim)).astype(np.float32),
        targets,
        random.normal(size=count).astype(np.float32),
        1.5,
    )


def loss_in_float64(a: np.ndarray, b: np.ndarray, examples: list[Example], scale: float, temperature: float) -> float:
    total = 0.0
    for item in examples:
        moved = item.query + scale * b @ (a @ item.query)
        scores = (item.offsets + item.gain * item.candidates.astype(np.float64) @ moved) / temperature
        total -= float(item.targets @ (scores - np.log(np.exp(scores).sum())))
    return total / len(examples)


def test_loss_and_gradients_agree_with_central_differences() -> None:
    random = np.random.default_rng(9)
    factors = {"a": random.normal(size=(2, 6)).astype(np.float32), "b": random.normal(size=(6, 2)).astype(np.float32)}
    examples = [example(seed) for seed in range(4)]
    loss, gradients = info_nce(factors, examples, 0.5, 2.0)
    exact = {name: value.astype(np.float64) for name, value in factors.items()}
    assert loss == pytest.approx(loss_in_float64(exact["a"], exact["b"], examples, 0.5, 2.0), rel=1e-6)
    for name, gradient in gradients.items():
        expected = np.empty(gradient.shape)
        for index in np.ndindex(gradient.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = {key: value.copy() for key, value in exact.items()}
                moved[name][index] += step
                sides.append(loss_in_float64(moved["a"], moved["b"], examples, 0.5, 2.0))
            expected[index] = (sides[0] - sides[1]) / 2e-5
        assert np.allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_huge_scores_do_not_overflow() -> None:
    item = example(0)
    huge = Example(item.query, item.candidates, item.targets, item.offsets * 1e6, 1e6)
    loss, gradients = info_nce({"a": np.ones((1, 6), np.float32), "b": np.ones((6, 1), np.float32)}, [huge])
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_examples_that_do_not_fit_are_refused() -> None:
    good = example(0)
    with pytest.raises(DimensionError):
        Example(good.query[:-1], good.candidates, good.targets, good.offsets)
    with pytest.raises(InvalidInputError):
        Example(good.query, good.candidates, good.targets * 2, good.offsets)
    with pytest.raises(InvalidInputError):
        Example(good.query * np.float32(np.nan), good.candidates, good.targets, good.offsets)


def test_mined_negatives_are_the_nearest_wrong_ones() -> None:
    random = np.random.default_rng(0)
    queries, corpus = random.normal(size=(3, 8)).astype(np.float32), random.normal(size=(40, 8)).astype(np.float32)
    positives = [[1], [2, 3], []]
    for query, right, mined in zip(queries, positives, mine_negatives(queries, corpus, positives, 6), strict=True):
        order = [index for index in np.argsort(-(corpus @ query)) if index not in right]
        assert mined.tolist() == order[:6]
    everything = mine_negatives(queries[:1], corpus[:3], [[0]], 10)
    assert sorted(everything[0].tolist()) == [1, 2]


def encode(texts: Sequence[str]) -> FloatArray:
    return np.array([[len(text), 1.0] for text in texts], np.float32)


def test_examples_are_read_from_texts_and_vectors(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    rows = [
        {"query": "abc", "positives": ["ab"], "negatives": ["a", "abcd"]},
        {"query": [1.0, 0.0], "positives": [[0.0, 1.0], "xx"]},
    ]
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    first, second = read_examples(path, encode)
    assert first.query.tolist() == [3, 1]
    assert first.candidates.tolist() == [[2, 1], [1, 1], [4, 1]]
    assert first.targets.tolist() == [1, 0, 0]
    assert second.candidates.tolist() == [[0, 1], [2, 1]]
    assert second.targets.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "not json",
        '{"query": "a"}',
        '{"query": "a", "positives": []}',
        '{"query": " ", "positives": ["a"]}',
        '{"query": [1, 2, 3], "positives": [[1, 2]]}',
        '{"query": [NaN, 1], "positives": [[1, 2]]}',
        '{"query": "a", "positives": [{"b": 1}]}',
        '{"query": "a", "positives": 3}',
    ],
)
def test_a_line_that_is_no_example_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(line)
    with pytest.raises(InvalidInputError, match=r"set\.jsonl"):
        read_examples(path, encode)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_examples(tmp_path / "x", encode)
    with pytest.raises(InvalidInputError, match="read"):
        read_examples(tmp_path / "none", encode)

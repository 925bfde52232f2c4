"""What adapters are trained for: to lift the right candidates of a question over the wrong ones.

The loss is InfoNCE (van den Oord et al. 2018) with several right answers allowed, over each question's own candidates
as mined negatives. With q' = q + scale * B A q, and per candidate c an offset o_c (what other score parts already
say of it) and a gain g (how much a unit of cosine counts beside them):

    score_c = o_c + g * (q' . d_c)        loss = - sum_c t_c * log softmax(scores / temperature)_c

so that the adapter learns what the other parts leave open. Scores are summed in float64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError

FloatArray = npt.NDArray[np.float32]
Parameters = Mapping[str, FloatArray]
Places = EllipsisType | npt.NDArray[np.int64]
Encode = Callable[[Sequence[str]], FloatArray]

MAX_LINE_BYTES = 10_000_000


@dataclass(frozen=True)
class Example:
    """One question: `query` float32 (d,), candidates (n, d), `targets` (n,) >= 0 summing to 1, `offsets` (n,) and
    `gain` in score units. Candidates are all of `table`, or the rows of it that `places` names: examples that share
    candidates share a table. Raises DimensionError or InvalidInputError."""

    query: FloatArray
    table: FloatArray
    targets: FloatArray
    offsets: FloatArray
    gain: float = 1.0
    places: Places = ...

    def __post_init__(self) -> None:
        count, candidates = len(self.targets), self.candidates
        if candidates.shape != (count, len(self.query)) or self.offsets.shape != (count,) or not count:
            raise DimensionError(
                f"An example has candidates {candidates.shape}, targets {self.targets.shape}, "
                f"offsets {self.offsets.shape} and a query of {len(self.query)}.",
                "They take (n, d), (n,), (n,) and (d,).",
            )
        total = float(self.targets.sum())
        arrays = (self.query, candidates, self.targets, self.offsets)
        if not all(np.isfinite(array).all() for array in arrays) or abs(total - 1) > 1e-4 or self.targets.min() < 0:
            raise InvalidInputError("An example holds numbers that are not finite, or targets that are no shares.")

    @property
    def candidates(self) -> FloatArray:
        """The candidates' vectors, float32 (n, d)."""
        return self.table[self.places]


def info_nce(
    parameters: Parameters, examples: Sequence[Example], scale: float = 1.0, temperature: float = 1.0
) -> tuple[float, dict[str, FloatArray]]:
    """The mean loss of `examples` under an adapter's factors `a` (r, d) and `b` (d, r), and its gradients in them."""
    a, b = parameters["a"], parameters["b"]
    queries = np.stack([example.query for example in examples])
    inner = queries @ a.T
    moved = queries + (inner @ b.T) * np.float32(scale)
    upstream = np.empty(queries.shape, np.float64)
    loss = 0.0
    for row, example in enumerate(examples):
        candidates = example.candidates
        scores = (example.offsets + example.gain * (candidates @ moved[row]).astype(np.float64)) / temperature
        scores -= scores.max()
        log_total = np.log(np.exp(scores).sum())
        loss -= float(example.targets @ (scores - log_total))
        surplus = (np.exp(scores - log_total) - example.targets) * (example.gain / temperature)
        upstream[row] = surplus @ candidates
    outer = (upstream * (scale / len(examples))).astype(np.float32)
    return loss / len(examples), {"a": (outer @ b).T @ queries, "b": outer.T @ inner}


def mine_negatives(
    queries: FloatArray, corpus: FloatArray, positives: Sequence[Sequence[int]], count: int
) -> list[npt.NDArray[np.int64]]:
    """For each query (m, d) the `count` nearest rows of `corpus` (n, d) by dot product that are not its positives."""
    mined = []
    for query, right in zip(queries, positives, strict=True):
        scores = corpus @ query
        scores[list(right)] = -np.inf
        size = min(count, len(corpus) - len(set(right)))
        nearest = np.argpartition(-scores, size - 1)[:size] if size > 0 else np.empty(0, np.int64)
        mined.append(nearest[np.argsort(-scores[nearest], kind="stable")].astype(np.int64))
    return mined


def read_examples(path: Path, encode: Encode, gain: float = 20.0) -> list[Example]:
    """Examples from a JSON Lines file: `{"query": ..., "positives": [...], "negatives": [...]}` a line, each entry a
    text (`encode` turns texts into unit vectors) or a vector. Blank lines are passed over.

    `gain` turns cosines into logits (20 is the field's usual 1/0.05). Raises InvalidInputError naming the line.
    """
    examples = []
    for number, line in _lines(path):
        try:
            row = json.loads(line)
            positives, negatives = list(row["positives"]), list(row.get("negatives", []))
            vectors = _vectors([row["query"], *positives, *negatives], encode)
            if not positives:
                raise ValueError("no positives")
            targets = np.zeros(len(positives) + len(negatives), np.float32)
            targets[: len(positives)] = 1 / len(positives)
            examples.append(Example(vectors[0], vectors[1:], targets, np.zeros_like(targets), gain))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidInputError(
                f"Line {number} of {path} is no example ({error}).",
                'Give {"query": ..., "positives": [...], "negatives": [...]} a line, of texts or vectors.',
            ) from None
    if not examples:
        raise InvalidInputError(f"{path} holds no examples.", "Give one JSON object a line.")
    return examples


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
                if len(line) > MAX_LINE_BYTES:
                    raise InvalidInputError(f"Line {number} of {path} is longer than {MAX_LINE_BYTES} bytes.")
                if line.strip():
                    yield number, line.decode("utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None


def _vectors(entries: Sequence[Any], encode: Encode) -> FloatArray:
    texts = [entry for entry in entries if isinstance(entry, str)]
    if any(not text.strip() for text in texts):
        raise ValueError("a blank text")
    encoded = iter(encode(texts)) if texts else iter(())
    return np.stack([next(encoded) if isinstance(entry, str) else np.asarray(entry, np.float32) for entry in entries])

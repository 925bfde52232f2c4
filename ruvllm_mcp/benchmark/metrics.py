"""What a ranking is worth against graded judgements: nDCG with gains as they are (Järvelin & Kekäläinen 2002, the form
of trec_eval's `ndcg_cut`), recall and reciprocal rank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ruvllm_mcp.errors import InvalidInputError

DEPTH = 10


@dataclass(frozen=True)
class Quality:
    """Means over questions, each in [0, 1], and over how many. `mrr` counts the first right one within ten."""

    ndcg_at_10: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    questions: int


def ndcg(ranked: Sequence[int], grades: Mapping[int, int], depth: int = DEPTH) -> float:
    """Discounted gain of the first `depth` over that of the best order, 0 where no grade (above 0) is given."""
    ideal = _gain(sorted(grades.values(), reverse=True)[:depth])
    return _gain([grades.get(item, 0) for item in ranked[:depth]]) / ideal if ideal else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades))


def recall(ranked: Sequence[int], grades: Mapping[int, int], depth: int) -> float:
    """The share of what is right that is among the first `depth`."""
    return sum(item in grades for item in ranked[:depth]) / len(grades) if grades else 0.0


def reciprocal_rank(ranked: Sequence[int], grades: Mapping[int, int], depth: int = DEPTH) -> float:
    """One over the place of the first that is right, 0 beyond `depth`."""
    return next((1 / place for place, item in enumerate(ranked[:depth], start=1) if item in grades), 0.0)


def quality(rankings: Sequence[Sequence[int]], judgements: Sequence[Mapping[int, int]]) -> Quality:
    """Means over questions that have something right. Raises InvalidInputError where there is none, or one of them is
    missing its ranking."""
    if len(rankings) != len(judgements):
        raise InvalidInputError(f"{len(rankings)} rankings, {len(judgements)} judgements.", "Give one each.")
    judged = [(ranked, grades) for ranked, grades in zip(rankings, judgements, strict=True) if grades]
    if not judged:
        raise InvalidInputError("No question has a judgement above 0.", "Add rows to qrels.tsv.")
    size = len(judged)
    return Quality(
        ndcg_at_10=sum(ndcg(ranked, grades) for ranked, grades in judged) / size,
        recall_at_5=sum(recall(ranked, grades, 5) for ranked, grades in judged) / size,
        recall_at_10=sum(recall(ranked, grades, 10) for ranked, grades in judged) / size,
        mrr=sum(reciprocal_rank(ranked, grades) for ranked, grades in judged) / size,
        questions=size,
    )

"""Fusion against its formula written out in float64, over a collection whose every answer is given by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from ruvllm_mcp.embed.base import TokenVectors
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory.candidates import Candidates, Question, TokenRows
from ruvllm_mcp.memory.fusion import fuse
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.weights import DEFAULT, FusionWeights
from ruvllm_mcp.types import NewMemory

DIM = 16
RELEVANCE = ("dense", "late", "lexical")


class Shelf:
    """Memories 1 to n of so many tokens, in `talks`: runs of successive ids; the others stand alone."""

    def __init__(self, size: int, talks: Sequence[range] = (), seed: int = 0, tokens: int = 3) -> None:
        random = np.random.default_rng(seed)
        self.talks = talks
        self.dense, self.lexical = random.random((2, size + 1))
        self.tokens = random.standard_normal((size + 1, tokens, DIM))
        self.units = random.standard_normal((size + 1, DIM)).astype(np.float32)
        self.units /= np.linalg.norm(self.units, axis=1, keepdims=True)
        self.linked: list[tuple[int, int, float]] = []
        self.measured: list[int] = []

    def table(self, ids: Sequence[int]) -> Candidates:
        numbers = np.array(ids, np.int64)
        zeros = np.zeros(len(numbers), np.float32)
        columns = (self.dense[numbers].astype(np.float32), self.lexical[numbers].astype(np.float32))
        return Candidates(numbers, *columns, zeros, zeros, zeros + 0.5, zeros + 1e9)

    def measure(self, ids: np.ndarray) -> Candidates:
        self.measured += ids.tolist()
        return self.table(ids.tolist())

    def token_rows(self, ids: np.ndarray) -> list[TokenRows]:
        bits = np.packbits(self.tokens > 0, axis=2, bitorder="little").reshape(-1, DIM // 8)
        tokens = self.tokens.shape[1]
        return [TokenRows(np.arange(len(ids)), bits, tokens * ids, np.full(len(ids), tokens))]

    def beside(self, number: int, step: int) -> int:
        return next((number + step for talk in self.talks if number in talk and number + step in talk), 0)

    def neighbours(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before, after = ([self.beside(n, step) for n in ids.tolist()] for step in (-1, 1))
        return np.array(before, np.int64), np.array(after, np.int64)

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        return self.units[ids]

    def links(self, ids: np.ndarray) -> np.ndarray:
        rows = [row for a, b, weight in self.linked for row in ((a, b, weight), (b, a, weight))]
        table = np.array(rows, np.float64).reshape(-1, 3)
        return table[np.isin(table[:, 0], ids)]

    def idf(self) -> np.ndarray:
        return np.ones(1, np.float32)

    def token_frequency(self, token_ids: np.ndarray) -> tuple[np.ndarray, int]:
        return np.full(len(token_ids), 2), 50


def asked(tokens: int, has_tokens: bool = True, text: str = "a question") -> Question:
    rows = np.random.default_rng(9).standard_normal((tokens, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = TokenVectors(np.arange(tokens, dtype=np.int32), rows) if has_tokens else None
    unit = np.eye(DIM, dtype=np.float32)[0]
    return Question(text, unit, unit, vectors, np.arange(tokens, dtype=np.uint32))


def late_of(shelf: Shelf, question: Question, ids: Sequence[int]) -> np.ndarray:
    assert question.tokens is not None
    signs = np.where(shelf.tokens > 0, 1.0, -1.0)
    pairs = np.einsum("qd,ntd->nqt", question.tokens.vectors.astype(np.float64), signs[list(ids)]) / math.sqrt(DIM)
    return pairs.max(axis=2).mean(axis=1)


def expected(shelf: Shelf, question: Question, first: Sequence[int], every: Sequence[int], talk: float) -> np.ndarray:
    """Scores of `every`, scaled over `first`, by the formula in the documentation of the weights."""
    w = DEFAULT
    length = math.log(len(question.terms) / 12)
    if " " not in question.text:
        length = max(length, 0.0)
    letters = [char for char in question.text if char.isalpha()]
    foreign = sum(ord(char) > 127 for char in letters) / max(len(letters), 1)
    lexical = w.lexical + length * w.long_lexical + foreign * w.foreign_lexical
    counts = (w.dense + talk * w.talk_dense, w.late, lexical)
    total = np.zeros(len(every))
    columns = (shelf.dense, late_of(shelf, question, range(len(shelf.dense))), shelf.lexical)
    for count, column in zip(counts, columns, strict=True):
        total += count * (column[list(every)] - column[list(first)].mean()) / column[list(first)].std()
    by_id = dict(zip(every, total, strict=True))
    shares = ((-2, w.two_before), (-1, w.before), (1, w.after), (2, w.two_after))
    near = [sum(share * by_id.get(shelf.beside(n, step), 0.0) for step, share in shares) for n in every]
    if talk:
        total += np.array(near) * min(1.0, 36 / shelf.tokens.shape[1]) ** 2
    return total + w.near * near_by_loops(shelf, every, total)


def near_by_loops(shelf: Shelf, every: Sequence[int], total: np.ndarray) -> np.ndarray:
    """The near head as its documentation says it, one pair at a time."""
    best = sorted(range(len(every)), key=lambda row: -total[row])[:64]
    normed = (total - total[best].mean()) / total[best].std()
    given = np.zeros(len(every))
    for row in best:
        logits = {
            other: (float(shelf.units[every[row]] @ shelf.units[every[other]]) - 0.7) * 10
            for other in best
            if other != row
        }
        weights = {other: math.exp(logit) for other, logit in logits.items()}
        given[row] = sum(weight * normed[other] for other, weight in weights.items()) / (1 + sum(weights.values()))
    return given


@pytest.mark.parametrize(
    ("tokens", "text"), [(6, "so short"), (6, "a_name"), (12, "plain"), (40, "as long"), (12, "Ключ 7 a")]
)
def test_memories_outside_sessions_score_by_their_own_merits(tokens: int, text: str) -> None:
    shelf, ids = Shelf(30), range(1, 31)
    question = asked(tokens, text=text)
    fused = fuse(question, shelf.table(ids), shelf)
    np.testing.assert_allclose(fused.scores, expected(shelf, question, ids, ids, 0.0), atol=2e-2)
    assert not fused.parts["neighbours"].any()
    assert shelf.measured == []


@pytest.mark.parametrize("tokens", [3, 64])
def test_turns_get_a_share_of_what_was_said_around_them_the_less_the_longer_they_are(tokens: int) -> None:
    shelf, ids = Shelf(40, [range(1, 21), range(21, 41)], tokens=tokens), range(1, 41)
    fused = fuse(asked(12), shelf.table(ids), shelf)
    np.testing.assert_allclose(fused.scores, expected(shelf, asked(12), ids, ids, 1.0), atol=4e-2)


def test_turns_beside_the_best_join_the_candidates() -> None:
    shelf = Shelf(40, [range(1, 41)])
    first = range(2, 41, 2)
    fused = fuse(asked(12), shelf.table(first), shelf)
    every = fused.candidates.ids.tolist()
    assert sorted(every) == list(range(1, 41))
    assert sorted(shelf.measured) == list(range(1, 41, 2))
    # Half of the pool has no turn right beside it among the candidates, yet all of it is talk.
    np.testing.assert_allclose(fused.scores, expected(shelf, asked(12), first, every, 1.0), atol=4e-2)


@pytest.mark.parametrize("has_tokens", [True, False])
def test_parts_add_up_to_the_score(has_tokens: bool) -> None:
    shelf = Shelf(30, [range(1, 16)])
    fused = fuse(asked(5, has_tokens), shelf.table(range(1, 31)), shelf)
    names = {*RELEVANCE, "neighbours", "near", "linked", "taught", "confirmed", "importance", "recency"}
    assert fused.parts.keys() == names
    np.testing.assert_allclose(sum(fused.parts[name].astype(np.float64) for name in names), fused.scores, atol=1e-4)


def test_without_tokens_a_conversation_keeps_the_weight_of_meaning() -> None:
    talk, alone = Shelf(30, [range(1, 31)]), Shelf(30)
    shares = [fuse(asked(12, False), shelf.table(range(1, 31)), shelf).parts for shelf in (talk, alone)]
    np.testing.assert_array_equal(shares[0]["dense"], shares[1]["dense"])
    assert not shares[0]["late"].any()


def test_one_candidate_and_candidates_all_alike_have_finite_scores() -> None:
    shelf = Shelf(5)
    shelf.dense[:] = shelf.lexical[:] = 0.25
    for ids in ([1], [1, 2, 3]):
        assert np.isfinite(fuse(asked(3), shelf.table(ids), shelf).scores).all()


@pytest.mark.parametrize("name", RELEVANCE)
def test_a_part_of_no_weight_has_no_share(name: str) -> None:
    shelf = Shelf(30)
    fused = fuse(asked(12), shelf.table(range(1, 31)), shelf, dataclasses.replace(DEFAULT, **{name: 0.0}))
    assert not fused.parts[name].any()
    assert all(fused.parts[other].any() for other in RELEVANCE if other != name)


def test_weights_survive_json_and_what_is_not_named_keeps_its_default() -> None:
    changed = FusionWeights(dense=0.25, before=-1.5)
    assert FusionWeights.from_json(changed.to_json()) == changed
    assert FusionWeights.from_json('{"late": 2}') == dataclasses.replace(DEFAULT, late=2)
    assert json.loads(DEFAULT.to_json())["dense"] == DEFAULT.dense


@pytest.mark.parametrize(
    "text", ["", "[]", '{"denser": 1}', '{"dense": "1"}', '{"dense": NaN}', '{"dense": 101}', '{"late": -1}', "{"]
)
def test_weights_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        FusionWeights.from_json(text)


def test_the_answer_beside_the_words_of_the_question_is_found(memory: Memory) -> None:
    talk = ["which instrument does your sister play", "the cello every single day", "rain again", "soup for lunch"]
    filler = [f"note {number} on topic {number * 7}" for number in range(40)]
    ids = memory.add([NewMemory(text, {"session": 1}) for text in talk] + [NewMemory(text) for text in filler])
    hits = memory.search("instrument your sister play", k=2).hits
    assert [hit.id for hit in hits] == ids[:2]
    assert hits[1].explain["neighbours"] > 0

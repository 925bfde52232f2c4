"""Lexical scores against SQLite's FTS5 and against the formula written out; the index against brute force."""

from __future__ import annotations

import math
import random
import sqlite3
from collections import Counter

import numpy as np
import pytest

from ruvllm_mcp.memory import lexical
from ruvllm_mcp.memory.lexical import Postings

from .plain_analysis import term_id

WORDS = [f"word{n}" for n in range(200)]


def texts(count: int, seed: int) -> list[list[str]]:
    chosen = random.Random(seed)
    weights = [1 / (n + 1) for n in range(len(WORDS))]
    return [chosen.choices(WORDS, weights, k=chosen.randint(1, 60)) for _ in range(count)]


def packed_words(words: list[str]) -> bytes:
    return lexical.pack(np.array([term_id(word) for word in words], np.uint32))


def built(documents: list[list[str]], step: int) -> tuple[Postings, np.ndarray]:
    postings = Postings()
    for start in range(0, len(documents), step):
        part = documents[start : start + step]
        postings.add(range(start, start + len(part)), list(map(packed_words, part)))
    return postings, np.array([len(words) for words in documents], np.float32)


def ask(postings: Postings, lengths: np.ndarray, query: list[str], keep: np.ndarray) -> lexical.Asked:
    terms = np.array(sorted({term_id(word) for word in query}), np.uint32)
    kept = int(keep.sum())
    return postings.ask(terms, lengths, keep, kept, float(lengths[keep > 0].mean()) if kept else 0.0)


def written_out(documents: list[list[str]], query: list[str], keep: np.ndarray) -> np.ndarray:
    inside = [words for words, kept in zip(documents, keep, strict=True) if kept]
    mean = sum(map(len, inside)) / max(len(inside), 1)
    scores = np.zeros(len(documents))
    for word in set(query):
        frequency = sum(word in words for words in inside)
        idf = math.log(1 + (len(inside) - frequency + 0.5) / (frequency + 0.5))
        for row, words in enumerate(documents):
            count = words.count(word)
            if count and frequency:
                scores[row] += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(words) / mean))
    return scores


@pytest.mark.parametrize("step", [7, 600, 2_000])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_scores_are_the_formula_whatever_the_segments(step: int, share: float) -> None:
    documents = texts(2_000, seed=1)
    postings, lengths = built(documents, step)
    keep = (np.random.default_rng(2).random(len(documents)) < share).astype(np.uint8)
    for seed in range(5):
        query = texts(1, seed=100 + seed)[0][:8]
        expected = written_out(documents, query, keep)
        asked = ask(postings, lengths, query, keep)
        assert asked.at(np.arange(len(documents))) == pytest.approx(expected, rel=1e-5, abs=1e-6)
        rows, scores = asked.top(50, keep)
        best = np.lexsort((np.arange(len(documents)), -(expected * keep)))[:50]
        best = best[(expected * keep)[best] > 0]
        assert scores == pytest.approx(expected[best], rel=1e-5)
        assert (keep[rows] > 0).all()
        assert expected[rows] == pytest.approx(scores, rel=1e-5)


def test_one_word_ranks_as_fts5_does() -> None:
    documents = texts(500, seed=3)
    postings, lengths = built(documents, 500)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE f USING fts5(content)")
    connection.executemany(
        "INSERT INTO f (rowid, content) VALUES (?, ?)", [(row, " ".join(words)) for row, words in enumerate(documents)]
    )
    for word in ("word30", "word80", "word150"):
        theirs = dict(connection.execute("SELECT rowid, -bm25(f) FROM f WHERE f MATCH ?", (word,)).fetchall())
        rows, scores = ask(postings, lengths, [word], np.ones(500, np.uint8)).top(500, np.ones(500, np.uint8))
        assert set(rows.tolist()) == set(theirs)
        ratios = scores / np.array([theirs[row] for row in rows.tolist()])
        assert ratios == pytest.approx(np.full(len(ratios), ratios[0]), rel=1e-4), "they differ by the idf alone"
    connection.close()


def test_looking_frequent_terms_up_changes_nothing() -> None:
    """A rare word beside common ones: the case where common postings are not scanned."""
    documents = [["common", "usual", "word"] * (1 + row % 3) + ["filler"] * (row % 7) for row in range(3_000)]
    for row in range(0, 3_000, 10):
        documents[row].append("rare")
    postings, lengths = built(documents, 3_000)
    keep = np.ones(3_000, np.uint8)
    query = ["rare", "common", "usual"]
    expected = written_out(documents, query, keep)
    rows, scores = ask(postings, lengths, query, keep).top(20, keep)
    best = np.lexsort((np.arange(3_000), -expected.astype(np.float32)))[:20]
    assert set(rows.tolist()) <= set(range(0, 3_000, 10))
    assert scores == pytest.approx(expected[best], rel=1e-5)


def test_merging_renames_and_drops_rows() -> None:
    documents = texts(1_500, seed=5)
    postings, _ = built(documents, 500)
    renamed = np.full(1_500, -1, np.int32)
    kept = [row for row in range(1_500) if row % 3]
    renamed[kept] = np.arange(len(kept), dtype=np.int32)
    merged = lexical.merge(postings.settled(), renamed)
    expected = Counter(
        (term_id(word), new, count) for new, row in enumerate(kept) for word, count in Counter(documents[row]).items()
    )
    found = Counter(
        (int(term), int(row), int(count))
        for slot, term in enumerate(merged.terms)
        for row, count in zip(
            merged.rows[merged.starts[slot] : merged.starts[slot + 1]],
            merged.counts[merged.starts[slot] : merged.starts[slot + 1]],
            strict=True,
        )
    )
    assert found == expected
    assert (np.diff(merged.terms.astype(np.int64)) > 0).all()


def test_a_damaged_segment_reads_nothing_out_of_bounds() -> None:
    rows = np.array([5, -3, 2**31 - 1, 2], np.int32)
    broken = lexical.Segment(np.array([7], np.uint32), np.array([0, 4], np.int64), rows, np.ones(4, np.uint16))
    keep, lengths = np.ones(8, np.uint8), np.ones(8, np.float32)
    asked = Postings(broken).ask(np.array([7], np.uint32), lengths, keep, 8, 1.0)
    assert set(asked.top(8, keep)[0].tolist()) == {5, 2}
    assert len(asked.at(np.arange(8))) == 8


def test_terms_of_one_id_are_counted_together() -> None:
    assert term_id("plumless") == term_id("buckeroo"), "CRC-32 takes these two for one"
    packed = packed_words(["plumless", "other", "buckeroo", "plumless"])
    ids, counts = lexical.unpack(packed)
    assert dict(zip(ids.tolist(), counts.tolist(), strict=True)) == {
        term_id("plumless"): 3,
        term_id("other"): 1,
    }
    assert lexical.length(packed) == 4
    assert lexical.length(b"") == 0

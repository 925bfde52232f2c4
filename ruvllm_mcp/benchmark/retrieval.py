"""How good search is on judged collections: BEIR-style folders go through the real memory, in a temporary home.

A folder holds `corpus.jsonl` (`_id`, `title`, `text`, `metadata`), `queries.jsonl` (`_id`, `text`) and `qrels.tsv`
(query, document, grade). Documents become memories in file order, the title on a line before the text, and are embedded
once. Folders whose names agree up to `-conv` are one family: conversations are small, so their figures are means over
all their questions together; the mean over families counts each family once.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruvllm_mcp.benchmark.metrics import DEPTH, Quality, quality
from ruvllm_mcp.embed.base import Embedder, Encoded
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.weights import DEFAULT, FusionWeights
from ruvllm_mcp.types import NewMemory, SearchMode

MODES: tuple[SearchMode, ...] = ("vector", "lexical", "hybrid")


@dataclass(frozen=True)
class Collection:
    """A folder read. `documents` by position; `questions[i]` has `judgements[i]`: document position → grade above 0."""

    name: str
    documents: tuple[NewMemory, ...]
    questions: tuple[str, ...]
    judgements: tuple[Mapping[int, int], ...]


class Remembering:
    """An embedder that keeps the vectors of texts that come alone, as questions do: each is asked many times."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._known: dict[str, Encoded] = {}
        self.name, self.dim, self.has_tokens = inner.name, inner.dim, inner.has_tokens
        self.fingerprint = inner.fingerprint

    def encode(self, texts: Sequence[str], *, tokens: bool = False) -> Encoded:
        if len(texts) > 1:
            return self._inner.encode(texts, tokens=tokens)
        (text,) = texts
        if text not in self._known:
            self._known[text] = self._inner.encode([text], tokens=self.has_tokens)
        return self._known[text]

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)


@dataclass(frozen=True)
class Loaded:
    """A collection in a memory: `judgements` by memory id (documents with the very same text are one memory)."""

    collection: Collection
    memory: Memory
    judgements: tuple[Mapping[int, int], ...]


def family_of(name: str) -> str:
    """The family a folder belongs to: its name up to `-conv`."""
    return name.partition("-conv")[0]


def read(folder: Path) -> Collection:
    """The collection in `folder`. Raises InvalidInputError for what cannot be read as one."""
    try:
        corpus = _rows(folder / "corpus.jsonl")
        queries = _rows(folder / "queries.jsonl")
        position = {str(row["_id"]): at for at, row in enumerate(corpus)}
        grades: dict[str, dict[int, int]] = {}
        for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            question, document, grade = line.split("\t")
            if int(grade) > 0:
                grades.setdefault(question, {})[position[document]] = int(grade)
        return Collection(
            folder.name,
            tuple(_memory(row) for row in corpus),
            tuple(str(row["text"]) for row in queries),
            tuple(grades.get(str(row["_id"]), {}) for row in queries),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{folder} holds no judged collection: {type(error).__name__}: {error}.",
            "It takes corpus.jsonl, queries.jsonl and qrels.tsv as BEIR lays them out.",
        ) from None


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def _memory(row: Mapping[str, Any]) -> NewMemory:
    title = row.get("title") or ""
    return NewMemory(f"{title}\n{row['text']}" if title else row["text"], row.get("metadata") or {})


@contextmanager
def loaded(collection: Collection, embedder: Embedder, cache: Path | None = None) -> Iterator[Loaded]:
    """The collection added to a memory of its own, which is gone afterwards; or stays in `cache`, where adding it again
    embeds nothing."""
    with ExitStack() as stack:
        if cache is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ruvllm-benchmark-")))
        else:
            home = cache / collection.name
        memory = Memory(home, lambda: embedder, namespace="benchmark")
        try:
            ids = [int(number) for number in memory.add(collection.documents)]
            judgements = tuple({ids[at]: grade for at, grade in row.items()} for row in collection.judgements)
            yield Loaded(collection, memory, judgements)
        finally:
            memory.close()


def rankings(store: Loaded, mode: SearchMode = "hybrid", fusion: FusionWeights = DEFAULT) -> list[list[int]]:
    """The ids of the ten best memories for each question."""
    store.memory.fusion = fusion
    return [
        [hit.id for hit in store.memory.search(question, DEPTH, mode=mode).hits]
        for question in store.collection.questions
    ]


@dataclass(frozen=True)
class Table:
    """Figures by variant (a mode, or a name given to fusion weights), then by family."""

    families: Mapping[str, Mapping[str, Quality]]

    def mean(self, variant: str) -> Quality:
        """The mean over families, each counted once; `questions` is their sum."""
        rows = list(self.families[variant].values())
        size = len(rows)
        return Quality(
            sum(row.ndcg_at_10 for row in rows) / size,
            sum(row.recall_at_5 for row in rows) / size,
            sum(row.recall_at_10 for row in rows) / size,
            sum(row.mrr for row in rows) / size,
            sum(row.questions for row in rows),
        )


def measure(
    folders: Sequence[Path],
    embedder: Embedder,
    ablations: Mapping[str, FusionWeights] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    cache: Path | None = None,
) -> Table:
    """The table for `folders`: the three modes, and hybrid with each of `ablations`' weights. `progress` is told each
    folder's name before it is loaded; `cache` as in `loaded`. Raises InvalidInputError for a folder that is no judged
    collection."""
    if not folders:
        raise InvalidInputError("No folder was given.", "Name one or more judged collections.")
    embedder = Remembering(embedder)
    collections = [read(Path(folder)) for folder in folders]
    variants: dict[str, tuple[SearchMode, FusionWeights]] = {mode: (mode, DEFAULT) for mode in MODES}
    variants |= {name: ("hybrid", fusion) for name, fusion in (ablations or {}).items()}
    found: dict[str, dict[str, tuple[list[list[int]], list[Mapping[int, int]]]]] = {name: {} for name in variants}
    for collection in collections:
        progress(collection.name)
        with loaded(collection, embedder, cache) as store:
            for name, (mode, fusion) in variants.items():
                ranked, judged = found[name].setdefault(family_of(collection.name), ([], []))
                ranked += rankings(store, mode, fusion)
                judged += store.judgements
    return Table({name: {family: quality(*rows) for family, rows in by.items()} for name, by in found.items()})

"""What learning is worth on questions that nobody rated, with its price in forgetting and under wrong feedback.

    python benchmarks/learning.py uplift DIR... [--seeds 5] [--cache DIR] [--replay]
    python benchmarks/learning.py noise DIR...
    python benchmarks/learning.py retention DIR,DIR,DIR

Each DIR is a BEIR-style folder (corpus.jsonl, queries.jsonl with a `split` of feedback or test, qrels.tsv); folders
joined with commas become namespaces of one store. A simulated user asks the feedback half in an order the seed decides,
and names what was right for each question; the test half is asked before and after and never rated. Everything goes
through the memory and the learning engine as a server would use them. The folder `--cache` keeps the stores before any
feedback, from run to run: embedding takes most of the time, and always gives the same.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ruvllm_mcp import embed
from ruvllm_mcp.benchmark.retrieval import Remembering
from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.sona import SonaEngine
from ruvllm_mcp.learning.trajectory import Candidates, FloatArray, Trajectory, new_request_id
from ruvllm_mcp.memory.journal import open_journal
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.searching import Found
from ruvllm_mcp.memory.sqlite import FILE_NAME
from ruvllm_mcp.memory.weights import DEFAULT
from ruvllm_mcp.types import NewMemory

DEPTH = 10
KEPT_CANDIDATES = 100
IDS = "ids.json"


@dataclass(frozen=True)
class Question:
    """One judged question; `right`: memory id → grade."""

    text: str
    namespace: str
    right: dict[int, int]


def build(folders: Sequence[Path], embedder: Embedder, home: Path) -> None:
    """Put each folder's documents into a store of its own namespace at `home`; `IDS` there says which became which."""
    ids: dict[str, dict[str, int]] = {}
    memory = Memory(home, lambda: embedder, namespace="benchmark")
    for folder in folders:
        rows = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
        texts = [f"{row['title']} {row['text']}".strip() for row in rows]
        items = [
            NewMemory(text, row.get("metadata") or {}, folder.name, source=folder.name)
            for text, row in zip(texts, rows, strict=True)
        ]
        print(f"embedding {folder.name}", file=sys.stderr, flush=True)
        added = memory.add(items)
        ids[folder.name] = {row["_id"]: int(memory_id) for row, memory_id in zip(rows, added, strict=True)}
    memory.close()
    (home / IDS).write_text(json.dumps(ids))


def built(folders: Sequence[Path], embedder: Embedder, cache: Path | None, home: Path) -> None:
    """The same, copied from `cache` where an earlier run has left it."""
    if cache is None:
        build(folders, embedder, home)
        return
    name = "+".join([*(folder.name for folder in folders), embedder.fingerprint.replace("/", "-")])
    if not (cache / name).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            build(folders, embedder, Path(fresh))
            Path(fresh).rename(cache / name)
            Path(fresh).mkdir()
    shutil.copytree(cache / name, home, dirs_exist_ok=True)


class System:
    """A store of one or more folders, its questions, and an engine that learns on it."""

    def __init__(self, folders: Sequence[Path], cache: Path | None, home: Path, *, micro_lora: bool = False) -> None:
        self.micro_lora = micro_lora
        self.embedder = Remembering(embed.load("minilm"))
        built(folders, self.embedder, cache, home)
        self.memory = Memory(home, lambda: self.embedder, namespace="benchmark")
        self.questions: dict[str, list[Question]] = {"feedback": [], "test": []}
        ids = json.loads((home / IDS).read_text())
        for folder in folders:
            self._read(folder, ids[folder.name])
        self.path = home / FILE_NAME
        self.sona = self.opened()

    def opened(self) -> SonaEngine:
        self.memory.namespaces()
        return SonaEngine(
            open_journal(self.path),
            self.embedder.fingerprint,
            self.embedder.dim,
            self.memory.existing,
            self.memory.vectors,
            micro_lora=self.micro_lora,
        )

    def _read(self, folder: Path, ids: Mapping[str, int]) -> None:
        right: dict[str, dict[int, int]] = {}
        for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
            question, document, grade = line.split("\t")
            if int(grade) > 0:
                right.setdefault(question, {})[ids[document]] = int(grade)
        for row in map(json.loads, (folder / "queries.jsonl").open()):
            self.questions[row["split"]].append(Question(row["text"], folder.name, right[row["_id"]]))

    def ask(self, question: Question, sona: SonaEngine | None) -> Trajectory:
        """Search as a server would."""
        found = self.memory.search(question.text, DEPTH, namespaces=[question.namespace], teacher=sona)
        return self._trajectory(question, found, list(found.candidates.parts), sona)

    def _trajectory(
        self, question: Question, found: Found, names: Sequence[str], sona: SonaEngine | None
    ) -> Trajectory:
        ranked = found.candidates
        parts = [ranked.parts[name][:KEPT_CANDIDATES] / ranked.weights.get(name, 1.0) for name in names]
        return Trajectory(
            new_request_id(),
            time.time(),
            "user",
            (question.namespace,),
            question.text,
            self.embedder.fingerprint,
            found.query_vector,
            Candidates(ranked.ids[:KEPT_CANDIDATES], tuple(names), np.stack(parts, axis=1).astype(np.float32)),
            tuple(ranked.ids[:DEPTH].tolist()),
            sona.version_for(found.query_vector) if sona is not None else 0,
            found.tokens,
        )

    def rate(self, question: Question, wrong: np.random.Generator | None, sona: SonaEngine) -> None:
        """Ask, and say what was right; with `wrong`, name a shown memory that was not."""
        trajectory = self.ask(question, sona)
        sona.record(trajectory)
        right = tuple(question.right)
        if wrong is not None:
            others = [memory for memory in trajectory.shown if memory not in question.right]
            right = (int(wrong.choice(others)),)
        sona.feedback(trajectory.request_id, Feedback(relevant=right, client="user"))

    def scores(self, split: str, sona: SonaEngine | None, namespaces: Sequence[str] = ()) -> list[float]:
        asked = [q for q in self.questions[split] if not namespaces or q.namespace in namespaces]
        return [ndcg(self.ask(question, sona).shown, question.right) for question in asked]

    def forget(self) -> None:
        """Back to the untrained system."""
        self.sona.close()
        connection = sqlite3.connect(self.path)
        for table in ("feedback", "trajectories", "versions", "learning_state"):
            connection.execute(f"DELETE FROM {table}")
        connection.commit()
        connection.close()
        self.sona = self.opened()


class Replay(System):
    """The same, but each question is searched once, untrained. What was learned then orders its candidates anew, by the
    score that learning itself assumes (see `learning/objective.py`); memories only feedback knows of come in as the
    last candidate did. Some three times faster, and within half a point of searching."""

    def __init__(self, folders: Sequence[Path], cache: Path | None, home: Path, *, micro_lora: bool = False) -> None:
        super().__init__(folders, cache, home, micro_lora=micro_lora)
        self._asked: dict[tuple[str, str], tuple[Found, FloatArray, float]] = {}
        self._members: dict[str, set[int]] = {}

    def ask(self, question: Question, sona: SonaEngine | None) -> Trajectory:
        found, table, gain = self._untrained(question)
        parts, names = dict(found.candidates.parts), list(found.candidates.parts)
        if sona is None:
            return self._trajectory(question, found, names, None)
        ids, weights = found.candidates.ids, sona.weights(found.query_vector)
        evidence = sona.taught(found.query_vector, [question.namespace], found.tokens)
        here, listed = self._members[question.namespace], set(ids.tolist())
        added = [memory for memory, worth in evidence.items() if worth > 0 and memory in here - listed]
        moved = sona.adapt(found.query_vector) - found.query_vector
        parts["dense"] = parts["dense"] + np.float32(gain) * (table @ moved)
        parts = {
            name: np.append(part, np.full(len(added), part[-1])).astype(np.float32) for name, part in parts.items()
        }
        ids = np.append(ids, np.array(added, np.int64))
        worth = np.array([evidence.get(memory, 0.0) for memory in ids.tolist()], np.float32)
        parts["taught"] = np.float32(DEFAULT.taught) * worth
        parts["confirmed"] = np.float32(DEFAULT.confirmed) * sona.confirmed(ids.tolist())
        parts = {name: part * np.float32(weights.get(name, 1.0)) for name, part in parts.items()}
        scores = np.stack(list(parts.values())).sum(axis=0)
        order = np.lexsort((ids, -scores))
        parts = {name: part[order] for name, part in parts.items()}
        ranked = replace(found.candidates, ids=ids[order], scores=scores[order], parts=parts, weights=weights)
        return self._trajectory(question, replace(found, candidates=ranked), names, sona)

    def _untrained(self, question: Question) -> tuple[Found, FloatArray, float]:
        key = question.text, question.namespace
        if key not in self._asked:
            found = self.memory.search(question.text, DEPTH, namespaces=[question.namespace])
            table = self.memory.vectors(found.candidates.ids)
            gain = max(0.0, float(np.polyfit(table @ found.query_vector, found.candidates.parts["dense"], 1)[0]))
            self._asked[key] = found, table, gain
            self._members.setdefault(question.namespace, set()).update(found.candidates.ids.tolist())
        return self._asked[key]


def ndcg(shown: Sequence[int], right: dict[int, int]) -> float:
    gained = sum(right.get(memory, 0) / math.log2(rank + 2) for rank, memory in enumerate(shown[:DEPTH]))
    best = sum(grade / math.log2(rank + 2) for rank, grade in enumerate(sorted(right.values(), reverse=True)[:DEPTH]))
    return gained / best


def interval(values: Sequence[float]) -> str:
    """Mean and 95 % interval over seeds (Student's t)."""
    quantile = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(len(values), 1.96)
    half = quantile * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{np.mean(values):+.1%} ± {half:.1%}"


class Arm:
    """One way of learning: which loops act; `adapters`: whether adapters may move the question."""

    def __init__(
        self, name: str, *, taught: bool, instant: bool, learn: bool, deep: bool = False, adapters: bool = True
    ) -> None:
        self.name, self.taught, self.instant, self.learn, self.deep = name, taught, instant, learn, deep
        self.adapters = adapters

    @contextmanager
    def on(self, sona: SonaEngine) -> Iterator[SonaEngine]:
        """The engine with the other parts silenced, for asking."""
        silenced: dict[str, Callable[..., object]] = {}
        if not self.taught:
            silenced["taught"] = lambda _vector, _namespaces, _tokens: {}
            silenced["confirmed"] = lambda ids: np.zeros(len(ids), np.float32)
        if not self.instant and not self.learn:
            silenced["weights"] = lambda _vector: {}
        if not self.adapters or "weights" in silenced:
            silenced["adapt"] = lambda vector: vector
        for name, silent in silenced.items():
            setattr(sona, name, silent)
        if not self.instant:
            sona._known._step = lambda _trajectory, _cast: None  # type: ignore[method-assign]  # that loop off
        try:
            yield sona
        finally:
            vars(sona._known).pop("_step", None)
            for name in silenced:
                delattr(sona, name)


ARMS = (
    Arm("associations", taught=True, instant=False, learn=False),
    Arm("instant", taught=False, instant=True, learn=False),
    Arm("background, weights alone", taught=False, instant=False, learn=True, adapters=False),
    Arm("background", taught=False, instant=False, learn=True),
    Arm("associations + instant", taught=True, instant=True, learn=False),
    Arm("all", taught=True, instant=True, learn=True),
    Arm("all without adapters", taught=True, instant=True, learn=True, adapters=False),
    Arm("all, then deep", taught=True, instant=True, learn=True, deep=True),
)


def run_arm(system: System, arm: Arm, seed: int, points: Sequence[int], noise: float = 0.0) -> list[list[float]]:
    """Test scores after each number of feedbacks."""
    system.forget()
    random = np.random.default_rng(seed)
    order = random.permutation(len(system.questions["feedback"])).tolist()
    curve, given = [], 0
    with arm.on(system.sona) as sona:
        for point in points:
            for index in order[given:point]:
                is_wrong = random.random() < noise
                system.rate(system.questions["feedback"][index], random if is_wrong else None, sona)
            given = point
            if arm.learn:
                sona.learn()
            if arm.deep and point == points[-1]:
                sona.consolidate()
            curve.append(system.scores("test", sona))
    return curve


def uplift(system: System, name: str, seeds: int, arms: Sequence[Arm]) -> None:
    everything = len(system.questions["feedback"])
    base = system.scores("test", None)
    print(f"\n{name}: {everything} feedback, {len(base)} test questions; untrained nDCG@10 {np.mean(base):.4f}")
    points = [*[point for point in (10, 50, 100) if point < everything], everything]
    print(f"{'':28s}" + "".join(f"{point:>16d}" for point in points))
    for arm in arms:
        curves = []
        for seed in range(seeds):
            print(f"{arm.name}: order {seed + 1} of {seeds}", file=sys.stderr, flush=True)
            curves.append([float(np.mean(point)) for point in run_arm(system, arm, seed, points)])
        cells = [interval([curve[place] / np.mean(base) - 1 for curve in curves]) for place in range(len(points))]
        print(f"{arm.name:28s}" + "".join(f"{cell:>16s}" for cell in cells), flush=True)


def noise(system: System, name: str, seeds: int) -> None:
    base, count = float(np.mean(system.scores("test", None))), len(system.questions["feedback"])
    arm = next(arm for arm in ARMS if arm.name == "all")
    for share in (0.2, 0.5):
        gains = [float(np.mean(run_arm(system, arm, seed, [count], share)[0])) / base - 1 for seed in range(seeds)]
        print(f"{name}: {share:4.0%} wrong feedback: {interval(gains)}", flush=True)


def retention(system: System, seeds: int) -> None:
    """Rate and consolidate one namespace after the other; what is left of the first at the end."""
    names = list(dict.fromkeys(question.namespace for question in system.questions["test"]))
    first = names[:1]
    base = float(np.mean(system.scores("test", None, first)))
    print(f"{' then '.join(names)}; untrained nDCG@10 on the first {base:.4f}")
    for taught in (False, True):
        for against in ("nothing", "ewc", "replay"):
            kept, above, promoted = [], [], 0
            for seed in range(seeds):
                system.forget()
                after = []
                with Arm("", taught=taught, instant=True, learn=True).on(system.sona) as sona:
                    for name in names:
                        asked = [q for q in system.questions["feedback"] if q.namespace == name]
                        for index in np.random.default_rng(seed).permutation(len(asked)):
                            system.rate(asked[index], None, sona)
                        promoted += sona.consolidate(against).promoted  # type: ignore[arg-type]  # one of the three
                        after.append(float(np.mean(system.scores("test", sona, first))))
                kept.append(after[-1] / after[0] - 1)
                above.append(after[-1] / base - 1)
            label = f"{'with' if taught else 'without'} associations, {against}"
            print(
                f"{label:36s} after the last, against after the first: {interval(kept)}; "
                f"against untrained: {interval(above)}; promoted {promoted} of {seeds * len(names)}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("uplift", "noise", "retention"))
    parser.add_argument("folders", nargs="+", help="one store each; join folders of one store with commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--replay", action="store_true", help="search once a question, then order its candidates anew")
    parser.add_argument("--micro-lora", action="store_true", help="let single feedbacks move question vectors, too")
    parser.add_argument("--arms", nargs="*", default=None, help="only arms whose name holds one of these")
    options = parser.parse_args()
    for given in options.folders:
        folders = [Path(folder) for folder in given.split(",")]
        with tempfile.TemporaryDirectory() as home:
            system = (Replay if options.replay else System)(
                folders, options.cache, Path(home), micro_lora=options.micro_lora
            )
            arms = [arm for arm in ARMS if options.arms is None or any(part in arm.name for part in options.arms)]
            if options.what == "uplift":
                uplift(system, folders[0].name, options.seeds, arms)
            elif options.what == "noise":
                noise(system, folders[0].name, options.seeds)
            else:
                retention(system, options.seeds)
            system.sona.close()
            system.memory.close()


if __name__ == "__main__":
    main()

"""What a result shows, in blocks that `render.py` writes as HTML and as plain text: one description, two twins."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ruvllm_kernel.commands import Info
from ruvllm_kernel.learning import Learning
from ruvllm_kernel.writing import Partial
from ruvllm_mcp.reports import FeedbackReceipt, Stats
from ruvllm_mcp.types import (
    Context,
    FinishReason,
    GenerationResponse,
    MemoryHits,
    MemoryId,
    MemoryRecord,
    MemoryResult,
    Page,
    QueryResponse,
    Record,
)

LONGEST_VALUE = 80
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Line:
    """One line about the result."""

    text: str


@dataclass(frozen=True)
class Body:
    """A text to be shown word for word."""

    text: str


@dataclass(frozen=True)
class Fields:
    """Names and values, one a row."""

    rows: Pairs


@dataclass(frozen=True)
class Grid:
    """A table of short cells; all but the first column are numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Row:
    """One memory. `score` as shown, or ""; `share` of the best score in [0, 1]; `why` explains it; `notes` are shown
    under the content."""

    id: int
    content: str
    notes: Pairs
    score: str = ""
    share: float = 0.0
    why: Pairs = ()


@dataclass(frozen=True)
class Memories:
    """Memories, one a row; `brief` ones only back up what was shown before."""

    rows: tuple[Row, ...]
    brief: bool = False


@dataclass(frozen=True)
class Curve:
    """How a measure went: `points` are (x, y) with x ascending; `x` and `y` name the axes."""

    x: str
    y: str
    points: tuple[tuple[float, float], ...]


Block = Line | Body | Fields | Grid | Memories | Curve


def view(result: Any) -> tuple[Block, ...]:
    """The blocks that show `result`, whose type is one of `SHOWN`."""
    for shown, describe in _VIEWS.items():
        if isinstance(result, shown):
            return tuple(describe(result))
    raise TypeError(f"There is no view of {type(result).__name__}.")


def _hits(hits: MemoryHits) -> Iterable[Block]:
    found = (
        f"{_count(len(hits), 'memory', 'memories')} for “{clipped(hits.query)}”"
        if len(hits)
        else (f"Nothing found for “{clipped(hits.query)}”")
    )
    yield Line(" · ".join([found, hits.mode, milliseconds(hits.latency_ms), f"request {hits.request_id}"]))
    if len(hits):
        yield _results(hits.items)


def _answer(response: QueryResponse) -> Iterable[Block]:
    yield Body(response.text)
    yield Line(
        " · ".join(
            [
                response.backend if response.model == response.backend else f"{response.backend} {response.model}",
                f"confidence {response.confidence:.2f}",
                milliseconds(response.latency_ms),
                *_cut(response.finish_reason),
                f"request {response.request_id}",
            ]
        )
    )
    if response.sources:
        yield dataclasses.replace(_results(response.sources), brief=True)


def _generated(response: GenerationResponse) -> Iterable[Block]:
    yield Body(response.text)
    said = [
        response.model,
        _count(response.usage.completion_tokens, "token", "tokens"),
        milliseconds(response.latency_ms),
    ]
    yield Line(" · ".join([*said, *_cut(response.finish_reason)]))


def _cut(reason: FinishReason) -> list[str]:
    told = {"length": "cut at --max-tokens", "context": "cut: the model can read no more", "cancelled": "stopped"}
    return [told[reason]] if reason in told else []


def _packed(context: Context) -> Iterable[Block]:
    yield Body(context.text)
    sources = _count(len(context.sources), "memory", "memories")
    ids = ", ".join(str(source.id) for source in context.sources)
    yield Line(
        f"{context.tokens:,} of {context.max_tokens:,} tokens · {sources}{f' ({ids})' * bool(ids)} · "
        f"request {context.request_id}"
    )


def _page(page: Page) -> Iterable[Block]:
    yield Line(f"{_count(len(page.items), 'memory', 'memories')}" if page.items else "No memories here.")
    if page.items:
        yield Memories(tuple(Row(item.id, item.content, _record_notes(item)) for item in page.items))
    if page.next_cursor is not None:
        yield Line(f"More: %ruvllm list --cursor {page.next_cursor}")


def _memory(memory: MemoryRecord | MemoryResult) -> Iterable[Block]:
    yield Body(memory.content)
    yield Fields(tuple(_fields(memory, without=("content",))))


def _info(info: Info) -> Iterable[Block]:
    yield Fields(
        (*_fields(info, without=("settings",)), *((name, _text(value)) for name, value in info.settings.items()))
    )


def _receipt(receipt: FeedbackReceipt) -> Iterable[Block]:
    counts = [f"{name.replace('_', ' ')} {value}" for name, value in receipt.to_dict().items() if name != "request_id"]
    yield Line(f"Learned from feedback on request {receipt.request_id} · {' · '.join(counts)}")


def _learning(learning: Learning) -> Iterable[Block]:
    if learning.report is not None:
        report = learning.report
        outcome = "is in force" if report.promoted else "was dropped: no better, or too little feedback to judge by"
        yield Line(
            f"Version {report.version} {outcome} · {report.questions} held-back requests, nDCG@10 "
            f"{report.before:.3f} → {report.after:.3f} · {report.seconds:.1f} s"
        )
    if learning.verdict is not None:
        verdict = learning.verdict
        yield Line(
            f"{verdict.questions} held-back requests, nDCG@10 {verdict.before:.3f} → {verdict.after:.3f} · 95 % "
            f"interval of the difference {verdict.low:+.3f} to {verdict.high:+.3f}"
        )
    yield Fields(
        (
            ("version in force", str(learning.active) if learning.active else "0 (untrained)"),
            *_fields(learning, without=("active", "versions", "report", "verdict")),
        )
    )
    judged = [version for version in learning.versions if version.metrics.get("questions")]
    promoted = [version for version in judged if version.status == "promoted"]
    if promoted:
        start = (0.0, float(promoted[0].metrics["before"]))
        points = ((float(version.metrics["signals"]), float(version.metrics["after"])) for version in promoted)
        yield Curve("feedbacks", "nDCG@10 of held-back requests", (start, *points))
    if judged:
        rows = (
            (
                f"{version.id} {version.kind} {version.status} {version.label}".rstrip(),
                *(_number(version.metrics[name]) for name in ("signals", "questions", "before", "after")),
            )
            for version in judged
        )
        yield Grid(("version", "feedbacks", "judged on", "before", "after"), tuple(rows))


def _stats(stats: Stats) -> Iterable[Block]:
    yield Fields(tuple(_fields(stats, without=("operations",))))
    calls: dict[str, dict[str, Any]] = stats.to_dict()["operations"]
    if calls:
        names = tuple(next(iter(calls.values())))
        header = ("call", *(name.replace("_ms", " ms") for name in names))
        rows = tuple((call, *(_number(row[name]) for name in names)) for call, row in calls.items())
        yield Grid(header, rows)


def _added(memory: MemoryId) -> Iterable[Block]:
    said = [
        f"Already there as memory {int(memory)}, kept once" if memory.merged else f"Remembered as memory {int(memory)}"
    ]
    if memory.similar:
        said.append("near duplicates: " + ", ".join(map(str, memory.similar)))
    if memory.redacted:
        said.append(f"{_count(memory.redacted, 'secret', 'secrets')} blanked out before writing")
    yield Line(" · ".join(said))


_VIEWS: Mapping[type, Callable[[Any], Iterable[Block]]] = {
    MemoryHits: _hits,
    QueryResponse: _answer,
    GenerationResponse: _generated,
    Partial: lambda partial: [Body(partial.text)],
    Context: _packed,
    Page: _page,
    MemoryRecord: _memory,
    MemoryResult: _memory,
    FeedbackReceipt: _receipt,
    Stats: _stats,
    Learning: _learning,
    Info: _info,
    MemoryId: _added,
}
SHOWN = tuple(_VIEWS)


def _results(results: tuple[MemoryResult, ...]) -> Memories:
    best = max(result.score for result in results)
    with_namespace = len({result.namespace for result in results}) > 1
    return Memories(tuple(_scored(result, best, with_namespace=with_namespace) for result in results))


def _scored(result: MemoryResult, best: float, *, with_namespace: bool) -> Row:
    share = min(1.0, max(0.0, result.score / best)) if best > 0 else 0.0
    why = [("cosine", f"{result.similarity:.3f}"), *((name, f"{part:.3f}") for name, part in result.explain.items())]
    namespace = (("namespace", result.namespace),) if with_namespace else ()
    return Row(result.id, result.content, (*namespace, *_notes(result)), f"{result.score:.3f}", share, tuple(why))


def _record_notes(record: MemoryRecord) -> Pairs:
    return (("namespace", record.namespace), *_notes(record))


def _notes(memory: MemoryRecord | MemoryResult) -> Pairs:
    notes = [("kind", memory.kind)] if memory.kind != "note" else []
    notes += [("source", memory.source)] if memory.source else []
    return tuple(notes + [(str(name), clipped(_text(value))) for name, value in memory.metadata.items()])


def _fields(record: Record, without: tuple[str, ...] = ()) -> Iterable[tuple[str, str]]:
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        if item.name in without or value is None or value == "" or value == {}:
            continue
        name = item.name.replace("_", " ")
        if item.name.endswith("_at"):
            yield name, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
        elif item.name.endswith("_bytes"):
            yield name.removesuffix(" bytes") + " size", _size(value)
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return _number(value)
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False, default=str)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _size(count: int) -> str:
    unit = min(3, max(0, count.bit_length() - 1) // 10)
    return f"{count / 1024**unit:,.4g} {('bytes', 'KiB', 'MiB', 'GiB')[unit]}"


def milliseconds(duration: float) -> str:
    return f"{duration:.1f} ms" if duration < 100 else f"{duration:,.0f} ms"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def clipped(text: str) -> str:
    """`text` on one line of at most 80 characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_VALUE else line[: LONGEST_VALUE - 1] + "…"

"""A store's whole state as one file of JSON lines, out and in.

First a header with the format's version, then memories, links, and the requests that feedback was given on with that
feedback. Vectors are not in it: they are made again from the texts, so a state may move to another embedder. Importing
adds to what is there: a memory or a request that the store knows already is kept once, and ids are translated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.learning.feedback import Feedback
from ruvllm_mcp.learning.sona import SonaEngine
from ruvllm_mcp.learning.trajectory import NO_CANDIDATES, Trajectory, is_request_id
from ruvllm_mcp.memory import checks, transfer
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.reports import StateReport
from ruvllm_mcp.types import NewMemory

FORMAT, VERSION = "ruvllm-state", 1
MAX_LINES = 1_000_000
AT_ONCE = 5_000


@dataclass
class _State:
    """A file's lines, read and checked; ids are those of the store that wrote it."""

    memories: dict[int, NewMemory] = field(default_factory=dict)
    links: list[tuple[int, int, str, float]] = field(default_factory=list)
    requests: dict[str, Trajectory] = field(default_factory=dict)
    feedbacks: list[tuple[str, Feedback]] = field(default_factory=list)


def write(memory: Memory, sona: SonaEngine, path: Path) -> StateReport:
    """Writes the state to `path`, readable by its owner alone; an existing file is replaced once all is written."""
    counts = {"memory": 0, "link": 0, "feedback": 0}

    def counted() -> Iterator[Mapping[str, Any]]:
        yield {"format": FORMAT, "version": VERSION, "exported_at": time.time()}
        for line in _lines(memory, sona):
            for kind in counts.keys() & line.keys():
                counts[kind] += 1
            yield line

    transfer.write_lines(counted(), path)
    return StateReport(str(path), counts["memory"], counts["link"], counts["feedback"])


def _lines(memory: Memory, sona: SonaEngine) -> Iterator[Mapping[str, Any]]:
    linked = memory.stats()["links"] > 0
    links: list[Mapping[str, Any]] = []
    for record in memory.records():
        yield {"memory": record.to_dict()}
        for link in memory.neighbours(record.id) if linked else ():
            if link.id > record.id:
                links.append({"link": {"a": record.id, "b": link.id, "kind": link.kind, "weight": link.weight}})
    yield from links
    trajectories, feedbacks = sona.rated()
    for item in trajectories:
        yield {
            "request": {
                "request_id": item.request_id,
                "at": item.at,
                "client": item.client,
                "namespaces": list(item.namespaces),
                "query": item.query,
                "shown": list(item.shown),
            }
        }
    for request_id, said in feedbacks:
        yield {"feedback": {"request_id": request_id, **vars(said)}}


def read(memory: Memory, sona: SonaEngine, path: Path) -> StateReport:
    """Adds the file's state to the store. The whole file is checked first. Raises InvalidInputError naming the line."""
    state = _checked(memory, path)
    items = list(state.memories.values())
    added = [new for start in range(0, len(items), AT_ONCE) for new in memory.add(items[start : start + AT_ONCE])]
    ids = {old: int(new) for old, new in zip(state.memories, added, strict=True)}
    for a, b, kind, weight in state.links:
        memory.link(ids[a], ids[b], kind, weight)
    unknown = [item for item in state.requests.values() if not sona.knows(item.request_id)]
    for item in unknown:
        sona.record(replace(item, shown=_translated(item.shown, ids)))
    new = {item.request_id for item in unknown}
    feedbacks = [(request_id, _renamed(said, ids)) for request_id, said in state.feedbacks if request_id in new]
    for request_id, said in feedbacks:
        if said is not None:
            sona.feedback(request_id, said)
    fresh = sum(not item.merged for item in added)
    return StateReport(str(path), fresh, len(state.links), len(feedbacks))


def _checked(memory: Memory, path: Path) -> _State:
    state, now = _State(), time.time()
    lines = transfer.read_lines(path)
    _check_header(next(lines, ("", {}))[1], path)
    for count, (place, line) in enumerate(lines):
        if count >= MAX_LINES:
            raise InvalidInputError(f"{path} has more than {MAX_LINES:,} lines.", "Import it in parts.")
        try:
            _take_in(state, line, place, now, memory)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InvalidInputError) and error.message.startswith(place):
                raise
            problem = error.message if isinstance(error, InvalidInputError) else f"{type(error).__name__}: {error}"
            raise InvalidInputError(f"{place} is damaged ({problem})", "Nothing was imported; mend the file.") from None
    return state


def _check_header(header: Mapping[str, Any], path: Path) -> None:
    if header.get("format") != FORMAT:
        raise InvalidInputError(f"{path} is not a state file.", "Name a file that export_state wrote.")
    if header.get("version") != VERSION:
        raise InvalidInputError(
            f"{path} has state format {header.get('version')!r}, this release reads {VERSION}.", "Upgrade ruvllm-mcp."
        )


def _take_in(state: _State, line: Mapping[str, Any], place: str, now: float, memory: Memory) -> None:
    ((kind, item),) = line.items()
    if kind == "memory":
        read_memory = transfer.read_memory(item, place, now)
        if read_memory is not None:
            state.memories[checks.memory_id(item["id"])] = read_memory
    elif kind == "link":
        if item["a"] in state.memories and item["b"] in state.memories:
            weight = checks.number(item["weight"], "weight", -1, 1)
            state.links.append((item["a"], item["b"], checks.kind(item["kind"]), weight))
    elif kind == "request":
        state.requests[item["request_id"]] = _trajectory(item, memory)
    elif kind == "feedback":
        fields = dict(item)
        request_id = fields.pop("request_id")
        if request_id not in state.requests:
            raise InvalidInputError("It speaks of a request that is not in the file.", "Mend the file.")
        state.feedbacks.append((request_id, Feedback(**fields)))
    else:
        raise InvalidInputError(f"Unknown kind {kind!r}.", "Mend the file.")


def _trajectory(item: Mapping[str, Any], memory: Memory) -> Trajectory:
    if not is_request_id(item["request_id"]):
        raise InvalidInputError(f"{str(item['request_id'])[:40]!r} is no request id.", "Mend the file.")
    query = checks.text(item["query"], "query", checks.MAX_QUERY_BYTES)
    encoded = memory.embedder.encode([query], tokens=memory.embedder.has_tokens)
    return Trajectory(
        request_id=item["request_id"],
        at=checks.number(item["at"], "at", 0, 1e12),
        client=checks.origin(item["client"], "client"),
        namespaces=tuple(checks.namespaces(item["namespaces"] or None) or ()),
        query=query,
        fingerprint=memory.embedder.fingerprint,
        vector=encoded.vectors[0],
        candidates=NO_CANDIDATES,
        shown=tuple(checks.memory_id(shown) for shown in item["shown"]),
        tokens=None if encoded.tokens is None else memory.signs(encoded.tokens[0]),
    )


def _translated(old: tuple[int, ...], ids: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(ids[item] for item in old if item in ids)


def _renamed(said: Feedback, ids: Mapping[int, int]) -> Feedback | None:
    """The feedback in this store's ids, without memories that are gone; None when nothing is left of it."""
    try:
        return replace(
            said,
            relevant=_translated(said.relevant, ids),
            irrelevant=_translated(said.irrelevant, ids),
            correction_id=None if said.correction_id is None else ids.get(said.correction_id),
        )
    except InvalidInputError:
        return None

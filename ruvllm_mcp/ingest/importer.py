"""A folder or file into memory, and again: what is there already is left alone.

Every passage carries in its metadata which collection (the project) and path it was cut from. A second import cuts the
files again and compares: passages whose text is stored are kept (their line numbers brought up to date), new ones are
added, and only then those of the same file that are gone are deleted, so that stopping anywhere loses nothing and the
next run goes on from there. Passages are added in batches; each batch is durable before the next is cut.

The path and title stand in the text as its first line: they say what a passage is about, keep equal passages of two
files apart, and so let one file's passages be replaced without touching another's.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread

from ruvllm_mcp.engine.engine import RuvLLM
from ruvllm_mcp.errors import InvalidInputError, NotFoundError
from ruvllm_mcp.ingest.files import Selection, Skipped, SourceFile, find_files, named_file, read_text
from ruvllm_mcp.ingest.ignore import Ignores
from ruvllm_mcp.ingest.languages import PROSE_LANGUAGES
from ruvllm_mcp.ingest.passages import Passage
from ruvllm_mcp.ingest.records import read_records
from ruvllm_mcp.ingest.split import split
from ruvllm_mcp.memory import checks
from ruvllm_mcp.memory.redact import redact
from ruvllm_mcp.project import namespace_of, root_of
from ruvllm_mcp.types import TRUST_LEVELS, NewMemory, Record, Trust

BATCH = 64
LISTED_AT_ONCE = 500


@dataclass(frozen=True)
class ImportReport(Record):
    """What an import did. `added`, `unchanged`, `moved` (only their lines changed) and `merged` (the very same text was
    in the namespace before) count passages or records, `removed` those deleted; `redacted` counts secrets blanked out;
    `skipped` counts paths left out by reason, `examples` shows some. `missing_files` were imported once and are gone
    from the folder; their passages stay unless pruned."""

    collection: str
    namespace: str
    files: int
    added: int
    unchanged: int
    moved: int
    merged: int
    removed: int
    redacted: int
    missing_files: int
    skipped: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]


@dataclass
class Progress:
    """How far an import is; bytes of the files that were found. Updated in place, handed over after every batch."""

    bytes_done: int = 0
    bytes_total: int = 0
    current: str = ""
    files: int = 0
    added: int = 0
    unchanged: int = 0
    moved: int = 0
    merged: int = 0
    removed: int = 0
    redacted: int = 0


@dataclass(frozen=True)
class _Stored:
    """A passage in the store: enough to tell whether it still stands in its file."""

    id: int
    digest: bytes
    metadata: Mapping[str, Any]


@dataclass
class _Pending:
    """Additions not yet written, and deletions that wait until these are."""

    additions: list[NewMemory] = field(default_factory=list)
    deletions: list[int] = field(default_factory=list)


async def import_path(
    llm: RuvLLM,
    path: Path,
    *,
    namespace: str | None = None,
    selection: Selection | None = None,
    prune: bool = False,
    trust: Trust = "trusted",
    on_progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Remember the files of a folder, or one file, as passages; see the module for what importing again does.

    `namespace` defaults to the engine's. `prune` also deletes the passages of files that are gone from the folder.
    `trust` is how far what is new may be relied on; a record of JSON lines may say less of itself, never more. Raises
    InvalidInputError for a path that is not there or too much at once, and what `add_memories` raises.
    """
    target = await anyio.to_thread.run_sync(_existing, path)
    run = _Import(llm, target, namespace or llm.settings.namespace, trust, on_progress or _unseen)
    return await run.everything(selection or Selection(), prune=prune)


async def import_records(
    llm: RuvLLM,
    stream: BinaryIO,
    *,
    namespace: str | None = None,
    trust: Trust = "trusted",
    on_progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Remember the JSON lines of an open stream; see `records.py`, for `trust` see `import_path`. Raises
    InvalidInputError naming the bad line; the batches before it stay."""
    here = await anyio.to_thread.run_sync(Path.cwd)
    run = _Import(llm, here, namespace or llm.settings.namespace, trust, on_progress or _unseen)
    return await run.records(stream)


def _existing(path: Path) -> Path:
    path = Path(path).expanduser().absolute()
    if not path.exists():
        raise InvalidInputError(f"There is no {path}.", "Name a file or a folder.")
    return path.resolve()


def _base(folder: Path) -> Path:
    """What paths are relative to: the repository, or the folder itself when no repository holds it as its own."""
    root = root_of(folder)
    return folder if Ignores.leave_out_folder(root, folder) else root


def _collection(base: Path) -> str:
    """The repository's name; that of another folder with a digest of its path, so that two called `docs` stay apart."""
    if root_of(base) == base:
        return namespace_of(base)
    return f"{base.name}~{hashlib.sha256(str(base).encode()).hexdigest()[:6]}"


def _unseen(_progress: Progress) -> None:
    return None


class _Import:
    """One run over one folder or file: the counts, the waiting additions, and the store they go to."""

    def __init__(
        self, llm: RuvLLM, target: Path, namespace: str, trust: Trust, on_progress: Callable[[Progress], None]
    ) -> None:
        self._llm = llm
        self._target = target
        self._root = _base(target if target.is_dir() else target.parent)
        self._collection = _collection(self._root)
        self._namespace = namespace
        self._trust = checks.trust(trust)
        self._on_progress = on_progress
        self._progress = Progress()
        self._skipped = Skipped()
        self._pending = _Pending()

    async def everything(self, selection: Selection, *, prune: bool) -> ImportReport:
        files = await anyio.to_thread.run_sync(self._files, selection)
        self._progress.bytes_total = sum(file.size for file in files)
        stored = await self._stored() if any(file.language != "jsonl" for file in files) or prune else {}
        read: set[str] = set()
        for file in files:
            self._progress.current = file.name
            if file.language == "jsonl":
                with file.path.open("rb") as stream:
                    await self._records(stream, file.name)
            elif await self._file(file, stored.get(file.name, [])):
                read.add(file.name)
        await self._flush()
        gone = [name for name in stored if name not in read and self._covers(name)]
        if prune:
            await self._delete([passage.id for name in gone for passage in stored[name]])
        return self._report(0 if prune else len(gone))

    def _files(self, selection: Selection) -> list[SourceFile]:
        if self._target.is_dir():
            return find_files(self._root, self._target, selection, self._skipped)
        return [named_file(self._root, self._target)]

    def _covers(self, name: str) -> bool:
        """Whether the run looked at the place where the file `name` would be."""
        return self._target.is_dir() and (self._root / name).is_relative_to(self._target)

    async def _stored(self) -> dict[str, list[_Stored]]:
        """The passages of this collection by path."""
        found: dict[str, list[_Stored]] = defaultdict(list)
        cursor: str | None = None
        while True:
            page = await self._llm.list_memories(
                cursor=cursor,
                limit=LISTED_AT_ONCE,
                namespace=self._namespace,
                where={"collection": self._collection},
            )
            for memory in page.items:
                passage = _Stored(memory.id, _digest(memory.content), memory.metadata)
                found[str(memory.metadata.get("path"))].append(passage)
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def _file(self, file: SourceFile, stored: Sequence[_Stored]) -> bool:
        """Bring one file's passages up to date; False when it holds nothing to read any more."""
        text, reason = await anyio.to_thread.run_sync(read_text, file)
        self._progress.bytes_done += file.size
        if reason:
            self._skipped.note(reason, file.name)
        if reason not in ("", "empty"):
            return reason == "unreadable"  # it may be readable again: what is known of it stays
        self._progress.files += 1
        known = {passage.digest: passage for passage in stored}
        seen: set[bytes] = set()
        passages = await anyio.to_thread.run_sync(split, text, file.language)
        for item, secrets in self._items(file, passages):
            digest = _digest(item.content)
            if digest in seen:
                continue  # the same words twice under one title
            seen.add(digest)
            if digest not in known:
                self._pending.additions.append(item)
                self._progress.redacted += secrets
            elif known[digest].metadata != item.metadata:
                await self._llm.update_memory(known[digest].id, metadata=item.metadata)
                self._progress.moved += 1
            else:
                self._progress.unchanged += 1
        self._pending.deletions += [passage.id for passage in stored if passage.digest not in seen]
        if len(self._pending.additions) >= BATCH:
            await self._flush()
        self._on_progress(self._progress)
        return True

    def _items(self, file: SourceFile, passages: Sequence[Passage]) -> Iterator[tuple[NewMemory, int]]:
        is_prose = file.language in PROSE_LANGUAGES
        for passage in passages:
            where = f"{passage.first}-{passage.last}" if passage.last > passage.first else str(passage.first)
            metadata = {
                "collection": self._collection,
                "path": file.name,
                "cell" if file.language == "notebook" else "lines": where,
                "language": file.language,
            }
            if passage.title:
                metadata["title"] = passage.title
            head = f"{file.name} › {passage.title}" if passage.title else file.name
            content, secrets = redact(f"{head}\n{passage.text}")
            item = NewMemory(
                content,
                metadata,
                namespace=self._namespace,
                kind="document" if is_prose else "code",
                source=file.name,
                client="import",
                trust=TRUST_LEVELS[self._trust],
            )
            yield item, secrets

    async def records(self, stream: BinaryIO) -> ImportReport:
        """Remember the records of an open stream."""
        await self._records(stream, "")
        await self._flush()
        return self._report(0)

    async def _records(self, stream: BinaryIO, name: str) -> None:
        for item, size in read_records(stream, name, self._namespace):
            self._progress.bytes_done += size
            trust = TRUST_LEVELS[min(self._trust, checks.trust(item.trust))]
            self._pending.additions.append(replace(item, trust=trust))
            if len(self._pending.additions) >= BATCH:
                await self._flush()
        self._progress.files += 1

    async def _flush(self) -> None:
        """Write the additions, then delete what they replace."""
        pending, self._pending = self._pending, _Pending()
        for start in range(0, len(pending.additions), BATCH):
            for added in await self._llm.add_memories(pending.additions[start : start + BATCH]):
                self._progress.merged += added.merged
                self._progress.added += not added.merged
            self._on_progress(self._progress)
        await self._delete(pending.deletions)

    async def _delete(self, ids: Sequence[int]) -> None:
        for memory_id in ids:
            try:
                await self._llm.delete_memory(memory_id)
            except NotFoundError:
                continue  # another process was quicker
            self._progress.removed += 1

    def _report(self, missing: int) -> ImportReport:
        progress = self._progress
        self._on_progress(progress)
        return ImportReport(
            collection=self._collection,
            namespace=self._namespace,
            files=progress.files,
            added=progress.added,
            unchanged=progress.unchanged,
            moved=progress.moved,
            merged=progress.merged,
            removed=progress.removed,
            redacted=progress.redacted,
            missing_files=missing,
            skipped=dict(sorted(self._skipped.counts.items())),
            examples=dict(sorted(self._skipped.examples.items())),
        )


def _digest(content: str) -> bytes:
    return hashlib.blake2b(content.encode(), digest_size=16).digest()

"""From what a caller gives to what is written: check, redact, hash, analyse, embed. In that order, so that no secret
reaches the embedder, the index terms or the hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ruvllm_mcp.embed.base import Embedder, Encoded
from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.memory import analysis, checks, lexical
from ruvllm_mcp.memory.redact import redact, redact_json
from ruvllm_mcp.memory.store import Draft, Embedding
from ruvllm_mcp.types import Metadata, NewMemory

BATCH = 256
# Smaller, for a caller who watches: often enough to show progress and to stop soon when asked to.
BATCH_IN_SIGHT = 8
# Called with how many texts are embedded, and of how many.
Progress = Callable[[int, int], None]
_NO_TOKENS = np.empty(0, np.uint32), np.empty((0, 0), np.uint8)
CLOCK_SKEW = 86_400.0  # seconds that another machine's clock may be ahead


class Redacted(NamedTuple):
    """A draft without its embedding, the text to embed, and how many secrets were blanked out."""

    draft: Draft
    indexed: str
    redacted: int


def draft(item: NewMemory, namespace: str, now: float) -> Redacted:
    """Checks and cleans one memory; `namespace` is used when the item names none."""
    if not isinstance(item, NewMemory):
        raise InvalidInputError(f"A memory must be a NewMemory, not {type(item).__name__}.", "Wrap it.")
    content, in_content = redact(checks.text(item.content, "content"))
    metadata, described, in_metadata = clean_metadata(item.metadata)
    source, in_source = redact(checks.origin(item.source, "source"))
    ttl = checks.seconds_to_live(item.ttl)
    indexed = analysis.indexed_text(content, described)
    cleaned = Draft(
        content=content,
        content_hash=content_hash(content),
        metadata=metadata,
        namespace=namespace if item.namespace is None else checks.label(item.namespace, "namespace"),
        kind=checks.kind(item.kind),
        importance=checks.number(item.importance, "importance", 0, 1),
        source=source,
        client=checks.origin(item.client, "client"),
        trust=checks.trust(item.trust),
        created_at=now
        if item.created_at is None
        else checks.number(item.created_at, "created_at", 0, now + CLOCK_SKEW),
        expires_at=None if ttl is None else now + ttl,
        terms=lexical.pack(analysis.memory_terms(content, described)),
        embedding=None,
    )
    return Redacted(cleaned, indexed, in_content + in_metadata + in_source)


def clean_metadata(metadata: Metadata) -> tuple[str, dict[str, Any], int]:
    """Checked, redacted: as JSON text, as an object, and how many secrets it held."""
    given, encoded = checks.metadata(metadata)
    cleaned, count = redact_json(given)
    return checks.json_text(cleaned) if count else encoded, cleaned, count


def content_hash(content: str) -> bytes:
    """What makes two contents the same: 16 bytes of BLAKE2b over the text."""
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


def embeddings(texts: Sequence[str], embedder: Embedder, progress: Progress | None = None) -> Iterator[Embedding]:
    """What `embedder` makes of each text, in order, computed in batches; `progress` is called after each."""
    size = BATCH if progress is None else BATCH_IN_SIGHT
    for start in range(0, len(texts), size):
        batch = texts[start : start + size]
        encoded = embedder.encode(batch, tokens=embedder.has_tokens)
        for row in range(len(batch)):
            yield _embedding(encoded, row)
        if progress is not None:
            progress(start + len(batch), len(texts))


def _embedding(encoded: Encoded, row: int) -> Embedding:
    if encoded.tokens is None:
        return Embedding(encoded.vectors[row], *_NO_TOKENS)
    tokens = encoded.tokens[row]
    bits = np.packbits(tokens.vectors > 0, axis=1, bitorder="little")
    return Embedding(encoded.vectors[row], tokens.ids.astype(np.uint32), bits)

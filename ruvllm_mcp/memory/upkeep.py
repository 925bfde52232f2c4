"""What is derived from a memory's text and may be missing or out of date: index terms and embeddings, made anew."""

from __future__ import annotations

import json

from ruvllm_mcp.embed.base import Embedder
from ruvllm_mcp.memory import analysis, drafting, lexical
from ruvllm_mcp.memory.store import Store

BATCH = 1_000


def reanalyse(store: Store) -> int:
    """Writes terms anew where another version of the analysis made them; returns how many memories that were."""
    done = 0
    while batch := store.out_of_date(analysis.VERSION, BATCH):
        terms = {item.id: analysis.memory_terms(item.content, json.loads(item.metadata)) for item in batch}
        store.store_terms({number: lexical.pack(found) for number, found in terms.items()}, analysis.VERSION)
        done += len(batch)
    return done


def reembed(store: Store, embedder: Embedder, limit: int = 2**31) -> int:
    """Embeds up to `limit` memories that this embedder has not seen (another one wrote them); returns how many. Until
    then they are found by their words only."""
    done = 0
    while done < limit:
        batch = store.unembedded(embedder.fingerprint, min(drafting.BATCH, limit - done))
        if not batch:
            break
        texts = [analysis.indexed_text(item.content, json.loads(item.metadata)) for item in batch]
        made = drafting.embeddings(texts, embedder)
        rows = {item.id: (item.content_hash, embedding) for item, embedding in zip(batch, made, strict=True)}
        store.store_embeddings(rows, embedder.fingerprint)
        done += len(batch)
    return done

"""Metadata as stored: JSON text of one object."""

from __future__ import annotations

import json

from ruvllm_mcp.memory import checks


def joined(under: str, over: str) -> str:
    """Two metadata objects' JSON as one, `over` winning; `over` alone when both together are too large."""
    merged = json.dumps({**json.loads(under), **json.loads(over)}, ensure_ascii=False, separators=(",", ":"))
    return merged if len(merged.encode()) <= checks.MAX_METADATA_BYTES else over

"""`ruvllm stats|info`: what is stored and learned, and what this installation is made of."""

from __future__ import annotations

import dataclasses
import platform
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Session, current

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM


@click.command(cls=Command)
@current
def stats(session: Session) -> None:
    """Show what is stored and what was learned."""

    async def work(llm: RuvLLM) -> Any:
        return await llm.stats()

    found = session.run(work)
    if session.as_json:
        output.emit_json(found.to_dict())
        return
    values = {
        "home": found.home,
        "store": output.size(found.store_bytes),
        "memories": f"{found.memories:,} in {len(found.namespaces):,} namespaces",
        "a memory takes": ", ".join(
            f"{output.size(mean)} {name.replace('_', ' ')}" for name, mean in found.bytes_per_memory.items()
        ),
        "links": f"{found.links:,}",
        "searches kept": f"{found.requests:,}",
        "feedback": f"{found.feedbacks:,} on {found.rated_questions:,} questions",
        "embedder": found.embedder + (f" ({found.unembedded:,} memories to go)" if found.unembedded else ""),
        "instruction set": found.instruction_set,
    }
    output.fields(values)


@click.command(cls=Command)
@current
def info(session: Session) -> None:
    """Show version, settings and where things are. Opens no store and loads no model."""
    from ruvllm_mcp import __version__
    from ruvllm_mcp.memory.sqlite import FILE_NAME
    from ruvllm_mcp.simd import simd_info

    settings = session.settings()
    store = settings.home / FILE_NAME
    simd = simd_info()
    exists = store.is_file()
    document = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "instruction_set": simd["instruction_set"],
        "available": simd["available"],
        "store": str(store),
        "store_bytes": store.stat().st_size if exists else None,
        "settings": {item.name: _plain(getattr(settings, item.name)) for item in dataclasses.fields(settings)},
    }
    if session.as_json:
        output.emit_json(document)
        return
    available = simd["available"]
    assert isinstance(available, (list, tuple))
    output.fields(
        {
            "version": f"{__version__} on Python {document['python']}, {document['platform']}",
            "instruction set": f"{simd['instruction_set']} (this CPU has {', '.join(map(str, available))})",
            "store": f"{store} ({output.size(store.stat().st_size) if exists else 'not made yet'})",
            **{item.name: getattr(settings, item.name) for item in dataclasses.fields(settings)},
        }
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)

"""`ruvllm stats|info`: what is stored and learned, and what this installation is made of."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import models, output
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
        "store": f"{found.store}, {output.size(found.store_bytes)}",
        "memories": f"{found.memories:,} in {len(found.namespaces):,} namespaces",
        "a memory takes": ", ".join(
            f"{output.size(mean)} {name.replace('_', ' ')}" for name, mean in found.bytes_per_memory.items()
        ),
        "index": "; ".join(map(_index, found.indexes)) or "in memory",
        "links": f"{found.links:,}",
        "searches kept": f"{found.requests:,}",
        "feedback": f"{found.feedbacks:,} on {found.rated_questions:,} questions",
        "embedder": found.embedder + (f" ({found.unembedded:,} memories to go)" if found.unembedded else ""),
        "instruction set": found.instruction_set,
    }
    output.fields(values)


def _index(saved: Mapping[str, Any]) -> str:
    tiers = ", ".join(f"{rows:,} {name}" for name, rows in saved.get("tiers", {}).items())
    described = f"{saved['index']}, {saved['rows']:,} vectors of {output.size(saved['bytes_per_vector'])}"
    return described + (f" ({tiers})" if tiers else "")


@click.command(cls=Command)
@click.argument("model", metavar="[MODEL]", required=False)
@current
def info(session: Session, model: str | None) -> None:
    """Show version and settings, or what MODEL is.

    MODEL is the name of a registered model, or a path. Opens no store and loads no model.
    """
    if model is not None:
        from ruvllm_mcp.llm import registry

        models.show(session, registry.find(session.settings().home, model))
        return
    from ruvllm_mcp import __version__
    from ruvllm_mcp.memory.sqlite import FILE_NAME
    from ruvllm_mcp.simd import simd_info

    settings = session.settings()
    file = settings.home / FILE_NAME
    simd, shown = simd_info(), settings.shown()
    layers = dict(Counter(simd["kernels"].values()))
    size = file.stat().st_size if not settings.store and file.is_file() else None
    store = shown.pop("store") or str(file)
    document = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "instruction_set": simd["instruction_set"],
        "available": simd["available"],
        "kernels": layers,
        "store": store,
        "store_bytes": size,
        "settings": shown,
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
            "kernels": ", ".join(f"{count} on {layer}" for layer, count in layers.items()),
            "store": store if settings.store else f"{store} ({'not made yet' if size is None else output.size(size)})",
            **shown,
        }
    )

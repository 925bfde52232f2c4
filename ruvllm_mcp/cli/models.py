"""`ruvllm models`: language models by name, what they are, made smaller, and timed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.session import Command, Group, Session, current
from ruvllm_mcp.errors import InvalidInputError

if TYPE_CHECKING:
    from ruvllm_mcp.llm.describe import Description
    from ruvllm_mcp.llm.registry import Registered

models = Group("models", help="Manage language models: GGUF files and Hugging Face folders.", no_args_is_help=True)
RECIPES = ("q8_0", "q5_k_m", "q4_k_m", "q4_0", "f16", "bf16", "f32")


@models.command("list", cls=Command)
@current
def list_(session: Session) -> None:
    """Show the registered models."""
    from ruvllm_mcp.llm import registry

    found = registry.models(session.settings().home)
    if session.as_json:
        output.emit_json({"models": [_plain(model) for model in found]})
        return
    if not found:
        click.echo("No models yet: `ruvllm models add PATH` registers a GGUF file or a Hugging Face folder.")
    rows = []
    for model in found:
        about = "gone" if not model.is_there else "copy" if model.is_copy else ""
        rows.append([output.bold(model.name), output.shown(str(model.path)), about])
    output.table(rows, dim_last=True)


@models.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What to call it. Default: the file's own name.")
@click.option("--copy", is_flag=True, help="Copy the files into the home folder instead of linking to them.")
@current
def add(session: Session, path: Path, name: str | None, copy: bool) -> None:
    """Register a GGUF file or a Hugging Face folder. It is checked; it stays where it is."""
    from ruvllm_mcp.llm import registry

    model = registry.add(session.settings().home, path, name, copy=copy)
    if session.as_json:
        output.emit_json(_plain(model))
        return
    click.echo(f"{output.bold(model.name)}  {output.shown(str(model.path))}")


@models.command(cls=Command)
@click.argument("model", metavar="MODEL")
@current
def info(session: Session, model: str) -> None:
    """Tell what a model is: MODEL is a name or a path."""
    from ruvllm_mcp.llm import registry

    show(session, registry.find(session.settings().home, model))


@models.command(cls=Command)
@click.argument("name")
@current
def remove(session: Session, name: str) -> None:
    """Forget a model. Its files stay, unless it was added with --copy."""
    from ruvllm_mcp.llm import registry

    model = registry.remove(session.settings().home, name)
    if session.as_json:
        output.emit_json(_plain(model))
        return
    what = "its copy is deleted" if model.is_copy else f"{output.shown(str(model.path))} stays"
    click.echo(f"Forgot {model.name}; {what}.")


@models.command(cls=Command)
@click.argument("source", metavar="SOURCE")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--type", "kind", type=click.Choice(RECIPES), default="q8_0", show_default=True, help="What to make.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@current
def quantize(session: Session, source: str, destination: Path, kind: str, force: bool) -> None:
    """Make a GGUF file of fewer bits from an F32, F16 or BF16 model.

    SOURCE is a name, a Hugging Face folder or a GGUF file. llama.cpp reads what comes of it, too.
    """
    from ruvllm_mcp.llm import registry
    from ruvllm_mcp.llm.convert import convert
    from ruvllm_mcp.llm.files import open_checkpoint

    if destination.exists() and not force:
        raise InvalidInputError(f"{destination} is there already.", "Give another name, or --force.")
    checkpoint = open_checkpoint(registry.find(session.settings().home, source))
    line = output.ProgressLine(silent=session.as_json)
    convert(checkpoint, destination, kind, lambda done, total: line.show(done / total, f"{done / 1e6:,.0f} M numbers"))
    line.clear()
    show(session, destination)


@models.command(cls=Command)
@click.argument("model", metavar="MODEL")
@click.option(
    "--prompt", type=click.IntRange(1, 100_000), help="Tokens to read. Default: 512, or what the context has room for."
)
@click.option("--tokens", type=click.IntRange(1, 100_000), default=64, show_default=True, help="Tokens to write.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads. Default: the setting.")
@current
def bench(session: Session, model: str, prompt: int | None, tokens: int, threads: int | None) -> None:
    """Time how fast a model reads and writes. MODEL is a name or a path."""
    from ruvllm_mcp.benchmark.llm import measure
    from ruvllm_mcp.llm import registry

    settings = session.settings()
    found = measure(registry.find(settings.home, model), prompt, tokens, threads or settings.threads)
    if session.as_json:
        output.emit_json(found.to_dict())
        return
    output.fields(
        {
            "opened in": f"{1000 * found.open_seconds:.0f} ms",
            f"reading {found.prompt_tokens} tokens": f"{found.prompt_tokens_per_second:,.1f} a second",
            f"writing {tokens} tokens": f"{found.written_tokens_per_second:,.1f} a second",
            "threads": str(found.threads),
        }
    )


def _plain(model: Registered) -> dict[str, Any]:
    return {**dataclasses.asdict(model), "path": str(model.path)}


def show(session: Session, path: Path) -> None:
    """What the model file is, as JSON or as text."""
    from ruvllm_mcp.llm.describe import describe

    found = describe(path)
    if session.as_json:
        output.emit_json(found.to_dict())
        return
    output.fields({name: value for name, value in _told(found).items() if value is not None})


def _told(found: Description) -> dict[str, Any]:
    total = max(found.parameters, 1)
    shares = ", ".join(f"{kind} {100 * count / total:.3g} %" for kind, count in found.types.items())
    memory = None
    if found.kv_bytes_per_token:
        context = output.size(1000 * found.kv_bytes_per_token)
        memory = f"{output.size(found.weight_bytes)}, shared between processes, and {context} for 1,000 tokens"
    size = f"{found.layers} layers of {found.width}, {found.heads} heads, {found.kv_heads} of keys and values"
    return {
        "path": found.path,
        "name": found.name,
        "format": f"{found.format}, {output.size(found.file_bytes)}",
        "architecture": found.architecture,
        "parameters": f"{found.parameters:,}",
        "types": shares,
        "size": size if found.layers else None,
        "context": f"{found.context:,} tokens" if found.context else None,
        "tokenizer": found.tokenizer or "none",
        "chat template": "yes" if found.has_chat_template else "no",
        "memory": memory,
        "cannot be run": found.problem,
    }

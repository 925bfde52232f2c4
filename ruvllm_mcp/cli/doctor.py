"""`ruvllm doctor`: is everything as it should be, and if not, what to do.

Each check is a function that returns what it saw; one that raises is a failed check, never a failed doctor.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ruvllm_mcp.cli import output
from ruvllm_mcp.cli.errors import FAILED
from ruvllm_mcp.cli.session import Command, Session, current
from ruvllm_mcp.errors import RuvLLMError
from ruvllm_mcp.settings import Settings

if TYPE_CHECKING:
    from ruvllm_mcp.engine.engine import RuvLLM

LOW_DISK_BYTES = 500_000_000
# Symptoms of things that are made anew when they are missing.
HARMLESS = ("leftover", "snapshot")


@dataclass(frozen=True)
class Finding:
    """What a check saw. `status`: ok, warning (it works, but), failed."""

    status: str
    detail: str
    advice: str = ""


@click.command(cls=Command)
@click.option("--repair", is_flag=True, help="Put right what can be. Nothing else may use the store meanwhile.")
@current
def doctor(session: Session, repair: bool) -> None:
    """Check that everything works, and say what to do. Exit code 1 when something is wrong.

    --repair makes derived data anew and saves what can be read from damaged pages; the file as it was is kept.
    """
    settings = session.settings()
    if repair:
        _repair(settings)
    checks: dict[str, Callable[[], Finding]] = {
        "home": lambda: _home(settings),
        "disk": lambda: _disk(settings),
        "kernels": _kernels,
        "embedder": lambda: _embedder(settings),
        "store": lambda: _store(session, settings),
        "integrity": lambda: _integrity(settings),
    }
    findings = {name: _checked(check) for name, check in checks.items()}
    healthy = all(finding.status != "failed" for finding in findings.values())
    if session.as_json:
        output.emit_json(
            {
                "healthy": healthy,
                "checks": [{"name": name, **vars(finding)} for name, finding in findings.items()],
            }
        )
    else:
        _print(findings)
    if not healthy:
        raise click.exceptions.Exit(FAILED)


def _repair(settings: Settings) -> None:
    if settings.store:
        from ruvllm_mcp.memory import postgres_doctor
        from ruvllm_mcp.memory.postgres_connection import address_of

        postgres_doctor.repair(address_of(settings.store))
    else:
        from ruvllm_mcp.memory import doctor as physician

        physician.repair(settings.home)


def _print(findings: dict[str, Finding]) -> None:
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    for name, finding in findings.items():
        status = click.style(f"{finding.status:<7}", fg=colours[finding.status])
        click.echo(f"{status}  {output.bold(f'{name:<9}')}  {output.shown(finding.detail)}")
        if finding.advice:
            click.echo(f"{'':20}{output.shown(finding.advice)}")


def _checked(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except RuvLLMError as error:
        return Finding("failed", error.message, error.hint)
    except Exception as error:
        return Finding("failed", f"{type(error).__name__}: {error}", "Please report this.")


def _home(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        above = next(folder for folder in home.parents if folder.exists())
        if os.access(above, os.W_OK):
            return Finding("ok", f"{home} will be made when something is remembered")
        return Finding("failed", f"{home} cannot be made", "Name another one with --home or RUVLLM_HOME.")
    if not home.is_dir():
        return Finding("failed", f"{home} is not a folder", "Name another one with --home or RUVLLM_HOME.")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding("failed", f"{home} cannot be read and written", f"chmod u+rwx '{home}', or name another one.")
    loose = [path for path in (home, *home.iterdir()) if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    if loose:
        advice = f"chmod -R go-rwx '{home}'"
        return Finding("warning", f"{loose[0]} can be reached by other users of this machine", advice)
    return Finding("ok", f"{home}, readable by you alone")


def _disk(settings: Settings) -> Finding:
    above = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(above).free
    if free < LOW_DISK_BYTES:
        return Finding("warning", f"{output.size(free)} free", "Free some space; writes fail when it is gone.")
    return Finding("ok", f"{output.size(free)} free")


def _kernels() -> Finding:
    import numpy as np

    from ruvllm_mcp import simd

    generator = np.random.default_rng(2)
    for length in (1, 15, 384, 1001):
        a, b = generator.standard_normal((2, length), dtype=np.float32)
        exact = float(a.astype(np.float64) @ b.astype(np.float64))
        if abs(simd.dot_product(a, b) - exact) > 1e-5 * float(np.abs(a) @ np.abs(b)):
            return Finding(
                "failed", f"the dot product of {length} numbers is wrong", "Try RUVLLM_SIMD=scalar; report it."
            )
    return Finding("ok", f"{simd.simd_info()['instruction_set']}, agrees with NumPy")


def _embedder(settings: Settings) -> Finding:
    import numpy as np

    from ruvllm_mcp import embed

    embedder = embed.load(settings.embedder)
    cat, kitten, tax = embedder.encode(["a cat on the mat", "a cat on a mat", "tax law of 1987"]).vectors
    if not np.isclose(np.linalg.norm(cat), 1, atol=1e-4) or cat @ kitten <= cat @ tax:
        return Finding("failed", f"{embedder.name} gives vectors that make no sense", "Reinstall ruvllm-mcp.")
    return Finding("ok", f"{embedder.name}, {embedder.dim} dimensions")


def _integrity(settings: Settings) -> Finding:
    if settings.store:
        from ruvllm_mcp.memory import postgres_doctor
        from ruvllm_mcp.memory.postgres_connection import address_of

        symptoms = postgres_doctor.examine(address_of(settings.store))
    else:
        from ruvllm_mcp.memory.doctor import examine

        symptoms = examine(settings.home)
    if not symptoms:
        return Finding("ok", "every page and record is sound")
    status = "warning" if all(symptom.name in HARMLESS for symptom in symptoms) else "failed"
    advice = "With nothing else using the store, run `ruvllm doctor --repair`."
    if not any(symptom.is_repairable for symptom in symptoms):
        advice = "Put a backup back with `ruvllm restore FILE`."
    return Finding(status, "; ".join(symptom.detail for symptom in symptoms), advice)


def _store(session: Session, settings: Settings) -> Finding:
    from ruvllm_mcp.memory.sqlite import FILE_NAME

    if not settings.store and not (settings.home / FILE_NAME).exists():
        return Finding("ok", "not made yet")

    async def work(llm: RuvLLM) -> Finding:
        found = await llm.stats()
        where = f" in {found.store}" if settings.store else ""
        return Finding("ok", f"{found.memories:,} memories, {output.size(found.store_bytes)}{where}")

    return session.run(work)

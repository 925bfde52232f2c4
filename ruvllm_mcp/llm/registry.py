"""The models a home folder knows by name.

A name is an entry of `models/` in the home folder: a link to a GGUF file or a Hugging Face folder that stays where it
is, or a copy. There is nothing beside it to fall out of step, and any number of processes may add and remove.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ruvllm_mcp.errors import InvalidInputError, ModelError, NotFoundError, StorageFullError
from ruvllm_mcp.llm.files import open_checkpoint

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NO_MODEL = (
    "Register a GGUF file or a Hugging Face folder with `ruvllm models add PATH`, then name it: --model NAME in the "
    'shell, RUVLLM_MODEL=NAME in the environment, model = "NAME" in the home folder\'s ruvllm.toml. Or give its path.'
)
TAKEN = ("extractive", "echo")
"""Names of what answers without a model."""


@dataclass(frozen=True)
class Registered:
    """A model by name. `path` is where its files are; `is_copy`: they belong to the home folder; `is_there`: they
    exist."""

    name: str
    path: Path
    is_copy: bool
    is_there: bool


def models(home: Path) -> tuple[Registered, ...]:
    """All that are registered, by name."""
    try:
        entries = sorted((home / "models").iterdir())
    except FileNotFoundError:
        return ()
    return tuple(_registered(entry) for entry in entries if _NAME.fullmatch(entry.name))


def add(home: Path, path: Path, name: str | None = None, *, copy: bool = False) -> Registered:
    """Registers a GGUF file or a Hugging Face folder, by default under its own name, where it is or as a copy.

    Raises ModelError where it cannot be run, InvalidInputError for a name that is no name or taken, StorageFullError.
    """
    source = find(home, str(path)).resolve()
    open_checkpoint(source)
    chosen = name if name is not None else re.sub(r"[^A-Za-z0-9._-]+", "-", source.name.removesuffix(".gguf"))
    if not _NAME.fullmatch(chosen) or chosen in TAKEN:
        raise InvalidInputError(
            f"A model cannot be called {chosen!r}.", "Give a name of up to 100 letters, digits, '.', '_' and '-'."
        )
    entry = home / "models" / chosen
    try:
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _placed(entry, lambda draft: _copied(source, draft) if copy else draft.symlink_to(source))
    except FileExistsError:
        raise InvalidInputError(
            f"There is a model {chosen!r} already.", f"Give another name, or `ruvllm models remove {chosen}` first."
        ) from None
    except OSError as error:
        raise StorageFullError(f"{entry} cannot be written: {error.strerror}.", "Look at the disk.") from None
    return _registered(entry)


def remove(home: Path, name: str) -> Registered:
    """Forgets a name. The files stay unless they are a copy. Raises NotFoundError."""
    found = next((model for model in models(home) if model.name == name), None)
    if found is None:
        raise NotFoundError(f"There is no model {name!r}.", _known(home))
    entry = home / "models" / name
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
    return found


def find(home: Path, name: str) -> Path:
    """Where the model of that name is, or of that path. Raises ModelError."""
    for model in models(home):
        if model.name == name:
            if not model.is_there:
                raise ModelError(f"The files of {name!r} are gone: {model.path}.", f"`ruvllm models remove {name}`.")
            return model.path
    try:
        path = Path(name).expanduser()
        is_there = path.exists()
    except (OSError, RuntimeError):  # a name too long for a path, an unknown ~user
        is_there = False
    if not is_there:
        is_path = "/" in name or name.lower().endswith(".gguf")
        raise ModelError(f"There is no {'file' if is_path else 'model'} {name!r}.", _known(home))
    return path


def _known(home: Path) -> str:
    names = ", ".join(model.name for model in models(home))
    return f"Registered are {names}." if names else NO_MODEL


def _registered(entry: Path) -> Registered:
    path = entry.parent / entry.readlink() if entry.is_symlink() else entry
    return Registered(entry.name, path, not entry.is_symlink(), path.exists())


def _placed(entry: Path, write: Callable[[Path], None]) -> None:
    """Makes `entry` whole or not at all. Raises FileExistsError if there is one."""
    draft = entry.with_name(f".{entry.name}.{os.getpid()}.tmp")
    try:
        write(draft)
        if os.path.lexists(entry):
            raise FileExistsError
        draft.rename(entry)
    finally:
        if draft.is_dir() and not draft.is_symlink():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)


def _copied(source: Path, draft: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, draft)
        draft.chmod(0o700)
        return
    draft.touch(mode=0o600)
    shutil.copyfile(source, draft)

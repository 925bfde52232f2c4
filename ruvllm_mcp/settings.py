"""One settings object: arguments > environment (`RUVLLM_*`) > `ruvllm.toml` > defaults.

`ruvllm.toml` is read twice: the user's own in `home`, then the project's (the nearest one from the working directory
up to the repository root). The project's file may only set what cannot send memories elsewhere (`project=True`
below): a repository you cloned must not be able to move your store.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ruvllm_mcp.errors import SettingsError

T = TypeVar("T")


def _home(value: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ValueError("a folder's path")
    return Path(value).expanduser().absolute()


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            number = int(str(value)) if not isinstance(value, bool) else low - 1
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return read


def _flag(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ValueError("true or false")
    return text in ("true", "1", "yes", "on")


def _namespace(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise ValueError("1 to 200 printable characters")
    return text.strip()


def _index(value: Any) -> str:
    if value not in ("fast", "small"):
        raise ValueError("fast or small")
    return str(value)


def _embedder(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"minilm|static|hashing(:[1-9][0-9]{0,4})?", value):
        raise ValueError("minilm, static, hashing or hashing:DIM")
    return value


def _store(value: Any) -> str:
    if value != "" and (not isinstance(value, str) or not re.match(r"postgres(ql)?://.", value)):
        raise ValueError("postgresql://USER@HOST:PORT/DATABASE, or nothing for a file in home")
    return str(value)


def _model(value: Any) -> str:
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(text, str) or not text.strip() or len(text) > 4096 or not text.isprintable():
        raise ValueError("extractive, echo, or a model's name or path")
    return text


def _total_megabytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000


def _setting(
    read: Callable[[Any], T], default: Callable[[], T], doc: str, *, project: bool = False, shown: bool = True
) -> T:
    metadata = {"read": read, "doc": doc, "project": project}
    value: T = dataclasses.field(default_factory=default, metadata=metadata, repr=shown)
    return value


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("ruvllm", appauthor=False)


def _project_namespace() -> str:
    from ruvllm_mcp.project import namespace_of

    return namespace_of(Path.cwd())


@dataclass(frozen=True)
class Settings:
    """Every setting, checked. Raises SettingsError naming the setting and what it accepts.

    `Settings(...)` takes the values as given; `Settings.load(**overrides)` adds environment and files.
    """

    home: Path = _setting(_home, _default_home, "folder of the store and its files")
    store: str = _setting(_store, str, "address of a shared database; none: a file in home", shown=False)
    namespace: str = _setting(_namespace, _project_namespace, "where memories go when none is named", project=True)
    embedder: str = _setting(_embedder, lambda: "minilm", "what turns text into vectors")
    index: str = _setting(_index, lambda: "fast", "vectors searched by a graph, or kept small by use")
    model: str = _setting(_model, lambda: "extractive", "what writes answers: extractive, echo, a model's name or path")
    warm_pool_size: int = _setting(_integer(1, 64), lambda: 2, "language models that stay loaded", project=True)
    model_memory: int = _setting(
        _integer(1, 10**9), lambda: max(1, _total_megabytes() // 2), "megabytes that loaded models may take together"
    )
    batch_size: int = _setting(_integer(1, 64), lambda: 4, "answers of batch_query written at a time", project=True)
    threads: int = _setting(_integer(1, 256), lambda: os.cpu_count() or 1, "worker threads for long work", project=True)
    max_memories: int = _setting(_integer(0, 10**12), lambda: 0, "memories a namespace may hold, 0 for any number")
    max_bytes: int = _setting(_integer(0, 10**15), lambda: 0, "bytes of text a namespace may hold, 0 for any number")
    learning_enabled: bool = _setting(_flag, lambda: True, "whether feedback moves rankings", project=True)
    micro_lora: bool = _setting(_flag, lambda: False, "whether single feedbacks move question vectors", project=True)
    auto_consolidate_interval: int = _setting(
        _integer(0, 1_000_000), lambda: 50, "feedbacks after which learning runs unasked; 0: never", project=True
    )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _read(item, getattr(self, item.name), "argument"))

    def shown(self) -> dict[str, Any]:
        """Every setting in plain values, for people to see: no password among them."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**values, "home": str(self.home), "store": _without_password(self.store)}

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Arguments over environment over files over defaults. An override of None counts as not given."""
        known = {item.name: item for item in dataclasses.fields(cls)}
        given = {name: value for name, value in overrides.items() if value is not None}
        for name in given:
            _known(name, known, "argument")
        values: dict[str, Any] = {}
        environment = {
            name: os.environ[f"RUVLLM_{name.upper()}"] for name in known if os.environ.get(f"RUVLLM_{name.upper()}")
        }
        home = _read(known["home"], given.get("home", environment.get("home", _default_home())), "argument")
        for file, whole in ((home / "ruvllm.toml", True), (_project_file(), False)):
            if file is not None:
                values.update(_from_file(file, known, whole=whole))
        for name, value in environment.items():
            values[name] = _read(known[name], value, f"environment variable RUVLLM_{name.upper()}")
        return cls(**{**values, **given})


def _known(name: str, known: Mapping[str, Any], where: str) -> None:
    if name not in known:
        raise SettingsError(f"Unknown setting {name!r} ({where}).", f"Known: {', '.join(sorted(known))}.")


def _read(item: dataclasses.Field[Any], value: Any, where: str) -> Any:
    try:
        return item.metadata["read"](value)
    except ValueError as error:
        given = repr(value) if item.repr else "not one"  # what is not shown may hold a password
        raise SettingsError(f"Setting {item.name!r} ({where}) is {given}.", f"It takes {error}.") from None


def _project_file() -> Path | None:
    from ruvllm_mcp.project import root_of

    root, here = root_of(Path.cwd()), Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "ruvllm.toml").is_file():
            return folder / "ruvllm.toml"
        if folder == root:
            break
    return None


def _from_file(file: Path, known: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    if not file.is_file():
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}.", "Mend or remove it.") from None
    for name in table:
        _known(name, known, str(file))
        if not whole and not known[name].metadata["project"]:
            raise SettingsError(
                f"A project's ruvllm.toml may not set {name!r} ({file}).",
                "Set it in the ruvllm.toml of your home folder, or in the environment.",
            )
    return {name: _read(known[name], value, str(file)) for name, value in table.items()}


def _without_password(address: str) -> str:
    return re.sub(r"(?i)(password=)[^&]*", r"\1***", re.sub(r"(://[^/?#:]*:).*@", r"\1***@", address))

"""Which project a folder belongs to, and the namespace its memories go to by default.

A repository with an `origin` remote is named by it (`owner/name`), so that a team's checkouts share one name; any
other folder by its own name and a short digest of its path, so that two folders called `app` stay apart.
"""

from __future__ import annotations

import configparser
import hashlib
import re
from pathlib import Path


def root_of(folder: Path) -> Path:
    """The nearest folder at or above `folder` that holds `.git`, else `folder` itself."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return folder


def namespace_of(folder: Path) -> str:
    """The default namespace for work done in `folder`; at most 200 characters. Linked worktrees share one."""
    root = root_of(folder.absolute())
    repository = _repository(root)
    remote = _origin(repository)
    if remote:
        return remote
    home = repository.parent if repository.name == ".git" else root
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:6]
    name = "".join(char for char in home.name if char.isprintable())
    return f"{name or 'root'}~{digest}"[-200:]


def _repository(root: Path) -> Path:
    """The repository's own folder: `.git`, or what a linked worktree's `.git` file leads to."""
    pointer = root / ".git"
    try:
        linked = root / pointer.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        return (linked / (linked / "commondir").read_text(encoding="utf-8").strip()).resolve()
    except (OSError, UnicodeDecodeError):
        return pointer


def _origin(repository: Path) -> str | None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string((repository / "config").read_text(encoding="utf-8"))
        url = parser['remote "origin"']["url"]
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        return None
    match = re.search(r"[:/]([^/:@\s]+/[^/:@\s]+?)(?:\.git)?/?$", url)
    return match[1][:200] if match and match[1].isprintable() else None

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
    """The default namespace for work done in `folder`; at most 200 characters."""
    root = root_of(folder.absolute())
    remote = _origin(root)
    if remote:
        return remote
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:6]
    name = "".join(char for char in root.name if char.isprintable())
    return f"{name or 'root'}~{digest}"[-200:]


def _origin(root: Path) -> str | None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string((root / ".git" / "config").read_text(encoding="utf-8"))
        url = parser['remote "origin"']["url"]
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        return None
    match = re.search(r"[:/]([^/:@\s]+/[^/:@\s]+?)(?:\.git)?/?$", url)
    return match[1][:200] if match and match[1].isprintable() else None

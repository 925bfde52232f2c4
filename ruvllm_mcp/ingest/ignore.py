"""What `.gitignore` files leave out, without running git (which would obey the configuration of a folder that nobody
has vetted).

Git's rule: the file nearest to a path speaks last, within a file the last matching line does, and nothing inside an
ignored folder can be taken back in. The walk asks for each folder before it enters it, which gives the last part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

MAX_IGNORE_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Ignores:
    """The rules in force in one folder: (folder, rules) pairs, nearest folder first."""

    rules: tuple[tuple[Path, GitIgnoreSpec], ...] = ()

    @classmethod
    def above(cls, root: Path, folder: Path) -> Ignores:
        """The rules in force at `folder`, gathered from `root` (which holds it) downwards."""
        ignores = cls()
        exclude = root / ".git" / "info" / "exclude"
        if exclude.is_file() and (spec := _read(exclude)) is not None:
            ignores = cls(((root, spec),))
        here = root
        ignores = ignores.entering(here)
        for part in folder.relative_to(root).parts:
            here = here / part
            ignores = ignores.entering(here)
        return ignores

    @classmethod
    def leave_out_folder(cls, root: Path, folder: Path) -> bool:
        """Whether the rules of `root` leave out `folder` or one that holds it."""
        ignores, here = cls.above(root, root), root
        for part in folder.relative_to(root).parts:
            here = here / part
            if ignores.leaves_out(here, is_folder=True):
                return True
            ignores = ignores.entering(here)
        return False

    def entering(self, folder: Path) -> Ignores:
        """These rules with those of the folder's own `.gitignore` in front."""
        file = folder / ".gitignore"
        spec = _read(file) if file.is_file() and not file.is_symlink() else None
        return self if spec is None else Ignores(((folder, spec), *self.rules))

    def leaves_out(self, path: Path, *, is_folder: bool) -> bool:
        """Whether git would leave out `path`, whose folders are all known to be kept."""
        for folder, spec in self.rules:
            name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
            decision = spec.check_file(name).include
            if decision is not None:
                return decision
        return False


def _read(file: Path) -> GitIgnoreSpec | None:
    if file.stat().st_size > MAX_IGNORE_FILE_BYTES:
        return None
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    return GitIgnoreSpec.from_lines([line.rstrip("\r") for line in lines if _is_pattern(line.rstrip("\r"))])


def _is_pattern(line: str) -> bool:
    """Git passes over a line it cannot read; pathspec would refuse the file."""
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True

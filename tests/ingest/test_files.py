"""Which files are read: git is the judge of ignore rules; nothing outside, secret, binary or endless is opened."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.ingest.files import Selection, Skipped, decoded, find_files, named_file, read_text
from ruvllm_mcp.ingest.ignore import Ignores


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def found(root: Path, target: Path | None = None, **selection: object) -> tuple[list[str], Skipped]:
    skipped = Skipped()
    files = find_files(root, target or root, Selection(**selection), skipped)  # type: ignore[arg-type] # by name
    return [file.name for file in files], skipped


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge")
@pytest.mark.parametrize("seed", range(6))
def test_ignore_rules_are_those_of_git(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    names = ["a", "b", "build", "keep", "log"]
    folders = [""] + ["/".join(generator.choices(names, k=generator.randint(1, 3))) + "/" for _ in range(12)]
    write(tmp_path, {f"{folder}{name}.{end}": "x" for folder in folders for name in names for end in ("py", "txt")})
    patterns = ["*.txt", "!keep.txt", "build/", "/log.py", "a/**/b", "**/keep", "b/*", "!b/a.py", "# c", "", "k*p.py",
                "!", "[ab].py", "a/b/", "\\!x", "*/log.txt", "  ", "keep.txt ", "a.py\r"]  # fmt: skip
    for folder in generator.sample(folders, 5):
        lines = generator.sample(patterns, 6)
        write(tmp_path, {f"{folder}.gitignore": "\n".join(lines)})
    run = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    subprocess.run(["git", "init", "-q", "."], **run)  # type: ignore[call-overload] # shared arguments
    write(tmp_path, {".git/info/exclude": "log.txt\n"})
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], **run)  # type: ignore[call-overload] # same
    ours = []
    for folder, folder_names, file_names in os.walk(tmp_path):
        here = Path(folder)
        rules = Ignores.above(tmp_path, here)
        folder_names[:] = [n for n in folder_names if n != ".git" and not rules.leaves_out(here / n, is_folder=True)]
        ours += [
            (here / name).relative_to(tmp_path).as_posix()
            for name in file_names
            if not rules.leaves_out(here / name, is_folder=False)
        ]
    assert sorted(ours) == sorted(listed.stdout.split("\n")[:-1])


def test_secrets_binaries_tool_output_and_links_are_left_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, {"private.md": "not yours"})
    root = tmp_path / "root"
    kept = {"a.md": "x", "src/b.py": "x", ".github/c.yml": "x", "Makefile": "x", "secrets.py": "x"}
    secret = {".env": "x", ".env.local": "x", "server.pem": "x", "deep/id_rsa": "x", "credentials.json": "x"}
    tool = {"node_modules/d.js": "x", "env/pyvenv.cfg": "", "env/lib.py": "x", "yarn.lock": "x", "e.min.js": "x"}
    write(root, {**kept, **secret, **tool, ".cache/f.py": "x", "photo.png": "x", "big.md": "x" * 1_000_001})
    (root / "link").symlink_to(outside)
    (root / "g.md").symlink_to(outside / "private.md")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "h.md")
    names, skipped = found(root)
    assert set(names) == set(kept)
    assert skipped.counts == {
        "looks like a secret": 5,
        "made by a tool": 2,
        "machine-written": 2,
        "hidden folder": 1,
        "unknown type": 1,
        "too big": 1,
        "symbolic link": 3,
        "not a regular file": 1,
    }


def test_include_exclude_and_the_bound_on_files(tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "x", "b.dat": "x", "docs/c.md": "x", "docs/.env": "x"})
    assert found(tmp_path)[0] == ["a.md", "docs/c.md"]
    assert found(tmp_path, include=("*.dat", ".env"))[0] == ["a.md", "b.dat", "docs/c.md"]
    assert found(tmp_path, exclude=("docs",))[0] == ["a.md"]
    assert found(tmp_path, exclude=("docs/*.md",))[0] == ["a.md"]
    with pytest.raises(InvalidInputError, match="more than 1 files"):
        found(tmp_path, max_files=1)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("ä\r\nb\rc\n".encode(), "ä\nb\nc\n"),
        (b"\xef\xbb\xbfbom", "bom"),
        ("utf-16 ü".encode("utf-16"), "utf-16 ü"),
        ("Müller".encode("latin-1"), "Müller"),
        (b"a\0b", None),
        (bytes(range(1, 256)), None),
        (b"\xff\xfe\x00", None),
        (b"", ""),
    ],
)
def test_bytes_are_read_as_text_or_not_at_all(data: bytes, text: str | None) -> None:
    assert decoded(data) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"fine", ""),
        (b" \n\t\n", "empty"),
        (b"\x7fELF\0\0", "binary"),
        (b"x" * 6000, "machine-written"),
        (b"# key\n-----BEGIN RSA PRIVATE KEY-----\nabc\n", "holds a private key"),
    ],
)
def test_why_a_file_was_not_read(tmp_path: Path, content: bytes, reason: str) -> None:
    write(tmp_path, {"file.md": content})
    text, why = read_text(named_file(tmp_path, tmp_path / "file.md"))
    assert (why, bool(text)) == (reason, reason == "")


def test_a_file_swapped_for_a_link_or_pipe_after_the_walk_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "x", "secret": "y"})
    file = named_file(tmp_path, tmp_path / "a.md")
    (tmp_path / "a.md").unlink()
    (tmp_path / "a.md").symlink_to(tmp_path / "secret")
    assert read_text(file) == ("", "unreadable")
    (tmp_path / "a.md").unlink()
    os.mkfifo(tmp_path / "a.md")
    assert read_text(file) == ("", "not a regular file")

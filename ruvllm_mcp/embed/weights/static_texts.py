"""The texts that word pieces are counted in: WordNet's glosses for English, installed packages for prose and code.

WordNet's data files come with Debian's wordnet-base (usr/share/wordnet); the rest is the standard library and whatever
else this Python has installed. Order and choice depend on nothing but those files.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

LONGEST = 1000
"""Characters of a passage: no text shall count for many."""


def texts(wordnet: Path, *, glosses: int = 45_000, passages: int = 14_000, functions: int = 9_000) -> list[str]:
    """At most so many of each kind, spread evenly over what there is."""
    prose, code = _installed()
    return [*_spread(list(_glosses(wordnet)), glosses), *_spread(prose, passages), *_spread(code, functions)]


def _glosses(wordnet: Path) -> Iterator[str]:
    """A synset's words with their meaning, and each example."""
    for path in sorted(wordnet.glob("data.*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line[:1].isdigit():
                fields, _, gloss = line.partition(" | ")
                words = fields.split()
                names = [words[4 + 2 * i].replace("_", " ") for i in range(int(words[3], 16))]
                meaning, *examples = (part.strip(' "') for part in gloss.split('; "'))
                yield f"{', '.join(names)}: {meaning}"
                yield from (example for example in examples if len(example) > 20)


def _installed() -> tuple[list[str], list[str]]:
    """Docstrings and functions of every importable source file."""
    prose: dict[str, None] = {}
    code: dict[str, None] = {}
    paths = sysconfig.get_paths()
    for folder in (paths["stdlib"], paths["purelib"]):
        for path in sorted(Path(folder).rglob("*.py")):
            if "test" in str(path) or (folder == paths["stdlib"] and "site-packages" in str(path)):
                continue
            try:
                source = path.read_text(encoding="utf-8")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(source)
            except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError):
                continue
            lines = source.splitlines()
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    text = ast.get_docstring(node) or ""
                    if len(text) > 60:
                        prose[text[:LONGEST]] = None
                    if isinstance(node, ast.FunctionDef) and len(node.body) >= 4:
                        code["\n".join(lines[node.lineno - 1 : node.end_lineno])[:LONGEST]] = None
    return list(prose), list(code)


def _spread(items: list[str], count: int) -> list[str]:
    return [items[place * len(items) // count] for place in range(count)] if len(items) > count else items

"""Cutting: every line in exactly one passage, word for word, and cuts where a reader would make them."""

from __future__ import annotations

import json
import random
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from ruvllm_mcp.ingest.files import decoded
from ruvllm_mcp.ingest.languages import language_of
from ruvllm_mcp.ingest.passages import MAX_CHARACTERS, Passage
from ruvllm_mcp.ingest.split import split

HERE = Path(__file__).parents[2]
STDLIB = Path(sysconfig.get_path("stdlib"))
REAL_FILES = [
    HERE / "README.md",
    *sorted((HERE / "csrc").glob("*.[ch]")),
    *sorted((HERE / "ruvllm_mcp").rglob("*.py")),
    *(STDLIB / name for name in ("argparse.py", "ast.py", "asyncio/locks.py", "LICENSE.txt", "turtle.py", "types.py")),
]
LANGUAGES = ("python", "markdown", "restructuredtext", "text", "c", "go", "yaml")


def assert_every_line_once(text: str, passages: list[Passage]) -> None:
    """The judge: rebuild the text from the passages and their line numbers alone."""
    lines = text.split("\n")
    rebuilt: dict[int, str] = {}
    seen: Counter[int] = Counter()
    for passage in passages:
        body = passage.text.split("\n")
        assert passage.last - passage.first + 1 == len(body)
        if len(body) == 1 and passage.first in rebuilt:  # a piece of one giant line
            rebuilt[passage.first] += passage.text
            continue
        for offset, line in enumerate(body):
            rebuilt[passage.first + offset] = line
            seen[passage.first + offset] += 1
    for number, line in enumerate(lines, start=1):
        if line.strip():
            assert seen[number] == 1, f"line {number} is in {seen[number]} passages"
            assert rebuilt[number].replace(" ", "") == line.replace(" ", "")
            if len(line) <= MAX_CHARACTERS:
                assert rebuilt[number] == line


@pytest.mark.parametrize("path", [path for path in REAL_FILES if path.exists()], ids=lambda path: path.name)
def test_real_files_are_covered_line_by_line(path: Path) -> None:
    text, language = decoded(path.read_bytes()), language_of(path.name)
    assert text is not None
    assert language is not None
    passages = split(text, language)
    assert_every_line_once(text, passages)
    assert max((len(passage.text) for passage in passages), default=0) <= MAX_CHARACTERS


@pytest.mark.parametrize("language", LANGUAGES)
def test_random_texts_are_covered_line_by_line(language: str) -> None:
    generator = random.Random(11)
    pieces = [
        "def f(x):",
        "class A:",
        "    return x",
        "  @property",
        "# Title",
        "## Deeper",
        "```",
        "~~~py",
        "---",
        "=====",
    ]
    pieces += [
        "",
        "",
        "   ",
        "}",
        "{",
        "x = 1",
        "- item",
        "word " * 30,
        "y" * 5000,
        "key: value",
        '"""doc',
        "\t\tdeep",
        "é›界",
    ]
    pieces += [" " * depth + "nested" for depth in range(0, 120, 7)]
    for _ in range(150):
        text = "\n".join(generator.choice(pieces) for _ in range(generator.randrange(1, 120)))
        assert_every_line_once(text, split(text, language))


def test_markdown_sections_carry_the_path_of_their_headings() -> None:
    text = (
        "intro\n\n# Guide\n\n## Install\n\nRun `make`.\n\n```sh\n# not a heading\n```\n\n"
        "Windows\n-------\n\nUse WSL.\n\n# [End](x.md)\n\nBye.\n"
    )
    found = [(passage.first, passage.last, passage.title) for passage in split(text, "markdown")]
    assert found == [
        (1, 1, ""),
        (3, 11, "Guide › Install"),
        (13, 16, "Guide › Windows"),
        (18, 20, "End"),
    ]


def test_front_matter_is_no_heading() -> None:
    assert [p.title for p in split("---\ntitle: x\n---\n\ntext\n", "markdown")] == [""]


def test_restructured_headings_take_their_level_from_the_order_of_their_marks() -> None:
    text = "=====\nTitle\n=====\n\nA.\n\nFirst\n-----\n\nB.\n\nDeep\n~~~~\n\nC.\n\nSecond\n------\n\nD.\n"
    titles = [passage.title for passage in split(text, "restructuredtext")]
    assert titles == ["Title", "Title › First", "Title › First › Deep", "Title › Second"]


def test_long_prose_is_cut_between_paragraphs() -> None:
    paragraphs = [f"Paragraph {number}. " + "Some words follow here. " * 15 for number in range(12)]
    passages = split("\n\n".join(paragraphs), "text")
    assert len(passages) > 3
    assert [paragraph for passage in passages for paragraph in passage.text.split("\n\n")] == [
        paragraph.rstrip("\n") for paragraph in paragraphs
    ]


def test_a_giant_line_is_cut_after_sentences() -> None:
    text = "This is a sentence of nine words, no more. " * 200
    passages = split(text, "text")
    assert all(passage.text.rstrip().endswith("more.") for passage in passages)
    assert {(passage.first, passage.last) for passage in passages} == {(1, 1)}


PYTHON = '''"""Module."""

import os
{padding}

# Why it is here.
@decorated
def first(x):
    """First."""
    return x
{padding}

class Small:
    def method(self):
        return 1
{padding}

class Large:
    """A large class."""

    def one(self):
        return """{filler}"""

    async def two(self):
        return """{filler}"""
'''.format(padding="\nPADDING = '''\n" + "p" * 600 + "\n'''\n", filler="\n        ".join(["words " * 15] * 12))


def test_python_is_cut_along_its_definitions() -> None:
    passages = split(PYTHON, "python")
    by_title = {passage.title: passage.text.strip() for passage in passages if passage.title}
    assert by_title["first"].startswith("# Why it is here.\n@decorated\ndef first")
    assert by_title["Small"].startswith("class Small:")
    assert by_title["Large"].startswith("class Large:")
    assert "def one" not in by_title["Large"]
    assert by_title["Large.one"].startswith("def one")
    assert by_title["Large.two"].startswith("async def two")


def test_small_neighbours_share_a_passage() -> None:
    text = "\n".join(f"def f{number}():\n    return {number}\n\n" for number in range(4))
    assert [passage.title for passage in split(text, "python")] == ["f0, f1, f2, f3"]


@pytest.mark.parametrize("text", ["print 'two'\n\ndef f(:\n", "(" * 5000, "x = '\\d'\n" * 3, "\x0c\ndef f(): pass\n"])
def test_python_that_does_not_parse_is_still_read(text: str) -> None:
    assert_every_line_once(text, split(text, "python"))


BRACES = """package main

import "fmt"

// Area tells how large a square is.
func Area(side int) int {
{body}
}
func Next(x int) int {
{body}
}

type Square struct {
\tside int
}
""".replace("{body}", "\n\n".join([f"\tline{number} := compute(side, {number})" for number in range(20)]))


def test_other_languages_are_cut_at_the_left_margin_first() -> None:
    passages = split(BRACES, "go")
    starts = [passage.text.split("\n")[0] for passage in passages]
    assert "// Area tells how large a square is." in starts
    assert "func Next(x int) int {" in starts
    assert not any(start.startswith("\t") for start in starts)
    assert {"Area", "Next", "Square"} <= {passage.title for passage in passages}


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("static inline int add_two(int a, int b)\n{\n    return a + b;\n}", "add_two"),
        ("export async function fetchAll(urls) {\n}", "fetchAll"),
        ("const handler = async (event) => {\n}", "handler"),
        ("pub(crate) fn parse<'a>(text: &'a str) -> Ast {\n}", "parse"),
        ("impl<T> Display for Ast {\n}", "Display"),
        ("public final class Engine extends Base {\n}", "Engine"),
        ("CREATE TABLE IF NOT EXISTS users (id INT);", "users"),
        ("[tool.ruff]\nline-length = 120", "tool.ruff"),
        ("return add(1, 2);", ""),
        ("if (x) { y(); }", ""),
    ],
)
def test_code_is_titled_by_what_it_defines(code: str, title: str) -> None:
    assert [passage.title for passage in split(code, "c")] == [title]


def test_notebooks_give_their_cells_without_outputs() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Loading\n", "\n", "Read the data."]},
        {"cell_type": "code", "source": "frame = read()\nframe.head()", "outputs": [{"text": "SECRET OUTPUT"}]},
        {"cell_type": "code", "source": []},
        "no cell",
    ]
    passages = split(json.dumps({"cells": cells}), "notebook")
    assert [(p.first, p.title, p.text) for p in passages] == [
        (1, "Loading", "# Loading\n\nRead the data."),
        (2, "Loading", "frame = read()\nframe.head()"),
    ]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"cells": 3}', "[" * 100_000, '{"cells": [[], null, {"source": {"a": 1}}]}']
)
def test_what_is_no_notebook_gives_no_passage_or_its_text(text: str) -> None:
    assert all(isinstance(passage.text, str) for passage in split(text, "notebook"))


def test_adversarial_indentation_is_cut_in_reasonable_time() -> None:
    text = "\n\n".join(" " * depth + "x" for depth in range(3000))
    assert_every_line_once(text, split(text, "c"))

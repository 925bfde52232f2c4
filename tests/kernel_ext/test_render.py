"""Results look right in both twins, and what memories hold can do nothing but be read."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from ruvllm_kernel.render import html, plain, summary, visible
from ruvllm_kernel.views import SHOWN
from ruvllm_mcp.reports import FeedbackReceipt
from ruvllm_mcp.types import Context, MemoryHits, MemoryId, MemoryRecord, MemoryResult, Page, QueryResponse, Usage

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">\' "quoted" </td></table>&lt; \x1b[31m \u202egnp.exe'


def result(content: str, score: float = 0.5, **changes: object) -> MemoryResult:
    fields: dict[str, object] = {
        "id": 7,
        "content": content,
        "metadata": {},
        "similarity": 0.5,
        "score": score,
        "explain": {"vector": 0.5},
        "namespace": "tests",
        "kind": "note",
        "source": "",
        "created_at": 1.8e9,
    }
    return MemoryResult(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name


def record(content: str) -> MemoryRecord:
    return MemoryRecord(
        7, content, {content: content}, content, content, 0.5, content, content, "agent", 1.8e9, 1.8e9, *[None] * 2, 0
    )


def hits(*items: MemoryResult, query: str = "why") -> MemoryHits:
    return MemoryHits(items, "r1", query, "hybrid", 1.25)


def hostile_results() -> list[object]:
    labels = dict.fromkeys(("kind", "source", "namespace"), HOSTILE)
    found = result(HOSTILE, metadata={HOSTILE: {"nested": HOSTILE}}, explain={HOSTILE: 1.0}, **labels)
    return [
        hits(found, result("x"), query=HOSTILE),
        hits(result(HOSTILE * 20)),
        QueryResponse(HOSTILE, 0.5, HOSTILE, HOSTILE, (found,), 1, 1.0, HOSTILE, Usage(1, 1), 0.0),
        Context(HOSTILE, (found,), 1, 2, HOSTILE),
        Page((record(HOSTILE),), HOSTILE),
        record(HOSTILE),
        FeedbackReceipt(HOSTILE, 1, 0),
    ]


class Reader(HTMLParser):
    """What a browser would make of a fragment: its elements, their attributes, its text."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(fragment)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("shown", hostile_results(), ids=lambda shown: type(shown).__name__)
def test_hostile_content_is_text_and_nothing_else(shown: object) -> None:
    page = Reader(html(shown))
    assert page.open == []
    assert page.tags <= {"style", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "details", "summary"}
    assert page.attributes <= {"class", "style", "dir", "title"}
    assert "<script>alert(1)</script>" in page.text
    for twin in (html(shown), plain(shown), summary(shown)):
        assert "\x1b" not in twin
        assert "\u202e" not in twin


def test_control_characters_and_overrides_are_shown_by_code() -> None:
    assert visible("a\x1b[2Jb\x07\x9b\u202e\ud800") == r"a\u001b[2Jb\u0007\u009b\u202e\ud800"
    plainly = "tabs\tlines\nümläut 漢字 👩‍👩‍👧 می‌خواهم"
    assert visible(plainly) == plainly


def test_search_table_has_every_hit_best_first_in_both_twins() -> None:
    found = hits(result("first", 1.5, id=12, metadata={"priority": "high"}), result("second", -0.25, id=3))
    text = plain(found)
    assert text.splitlines()[0] == "2 memories for “why” · hybrid · 1.2 ms · request r1"
    assert [line.split()[:3] for line in text.splitlines() if re.match(r" +\d", line)] == [
        ["12", "1.500", "first"],
        ["3", "-0.250", "second"],
    ]
    assert "priority: high" in text
    page = html(found)
    assert page.index("first") < page.index("second")
    assert "width:100%" in page
    assert "width:0%" in page
    assert 'title="cosine 0.500 · vector 0.500"' in page
    assert "namespace" not in text


def test_namespaces_are_told_apart_when_there_are_several() -> None:
    text = plain(hits(result("one"), result("two", namespace="global")))
    assert "namespace: tests" in text
    assert "namespace: global" in text


def test_nothing_found_says_so() -> None:
    assert plain(hits(query="lost")).startswith("Nothing found for “lost”")


def test_long_content_is_folded_in_html_and_whole_inside() -> None:
    content = "word " * 400
    assert "<details>" in html(hits(result(content)))
    assert content.strip() in Reader(html(hits(result(content)))).text


def test_code_is_set_in_fixed_width_and_prose_is_not() -> None:
    assert 'class="t c"' in html(hits(result("def f():\n    return 1")))
    assert 'class="t c"' not in html(hits(result("One line.\nAnother line.")))


def test_answer_comes_whole_before_its_sources() -> None:
    text = "line one\n\n    indented " + "long " * 60
    answer = QueryResponse(text, 0.5, "extractive", "extractive", (result("source"),), 9, 2.0, "r1", Usage(1, 1), 0.0)
    shown = plain(answer)
    assert shown.split("extractive · confidence 0.50")[0].replace("\n", "").replace(" ", "") == "".join(text.split())
    assert shown.splitlines()[-1].split() == ["7", "0.500", "source"]


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        (MemoryId(4), "Remembered as memory 4"),
        (MemoryId(4, merged=True), "Already there as memory 4, kept once"),
        (MemoryId(4, similar=(2, 3)), "Remembered as memory 4 · near duplicates: 2, 3"),
        (MemoryId(4, redacted=1), "Remembered as memory 4 · 1 secret blanked out before writing"),
    ],
)
def test_adding_says_what_it_did(memory: MemoryId, said: str) -> None:
    assert plain(memory) == said


def test_page_tells_how_to_go_on() -> None:
    assert "%ruvllm list --cursor abc" in plain(Page((record("x"),), "abc"))
    assert plain(Page((), None)) == "No memories here."


def test_a_view_exists_for_what_is_registered_only() -> None:
    assert object not in SHOWN
    with pytest.raises(TypeError):
        plain(object())

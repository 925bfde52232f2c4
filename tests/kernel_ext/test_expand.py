"""`{name}` and `{expression}` are replaced; JSON and other braces stay."""

from __future__ import annotations

import json

import pytest

from ruvllm_kernel.expand import expand
from ruvllm_mcp.errors import InvalidInputError

NAMES = {"level": "high", "hits": [{"id": 7}], "n": 3, "where": {"priority": "high"}, "brace": "{level}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("about {level} things", "about high things"),
        ("{hits[0]['id']} and {n * 2}", "7 and 6"),
        ("{ level }", "high"),
        ('{f"{n:02d}"}', "03"),
        ("{sorted({n, 1})}", "[1, 3]"),
        ("{where}", '{"priority": "high"}'),
        ('--where {"priority": "{level}", "k": {n}}', '--where {"priority": "high", "k": 3}'),
        ("{{level}} means {level}", "{level} means high"),
        ("{brace}", "{level}"),
    ],
)
def test_expressions_become_their_values(text: str, expected: str) -> None:
    assert expand(text, NAMES) == expected


@pytest.mark.parametrize(
    "text",
    [
        '--where {"priority": "high"}',
        '{"a": {"b": [1, {"c": null}]}, "d": "x}y"}',
        json.dumps({"$or": [{"a": 1}, {"b": {"$in": ["x", "{", "}"]}}]}),
        "empty {} and open { and closed }",
        r"\d{4}-\d{2} and {2,3}",
        "function f() { return 1; }",
        "{" * 5_000,
        "{level\n}",
    ],
)
def test_other_braces_stay(text: str) -> None:
    assert expand(text, NAMES) == text


@pytest.mark.parametrize(("text", "cause"), [("{levle}", "levle"), ("{1 / (n - n)}", "division"), ("{n.x}", "'x'")])
def test_failing_expression_is_an_error_that_names_it(text: str, cause: str) -> None:
    with pytest.raises(InvalidInputError, match=cause) as caught:
        expand(f"before {text} after", NAMES)
    assert text in str(caught.value)
    assert expand(f"before {{{text}}} after", NAMES) == f"before {text} after"


def test_names_are_not_changed_by_what_is_evaluated() -> None:
    names = {"n": 1}
    assert expand("{(m := n + 1)}", names) == "2"
    assert names == {"n": 1}

"""A line splits into options and a text that is taken word for word."""

from __future__ import annotations

import pytest

from ruvllm_kernel.commands import COMMANDS, EXPAND
from ruvllm_kernel.expand import mark
from ruvllm_kernel.options import Given, Option
from ruvllm_kernel.options import parse as parse_marked
from ruvllm_mcp.errors import InvalidInputError

SEARCH = COMMANDS["search"].options
ADD = COMMANDS["add"].options
FEEDBACK = COMMANDS["feedback"].options


def parse(line: str, options: tuple[Option, ...], called: str, **names: object) -> Given:
    return parse_marked(mark(line, names), options, called)


@pytest.mark.parametrize(
    ("line", "options", "text"),
    [
        ("don't retry #12 -- ever", {}, "don't retry #12 -- ever"),
        ("-k 3 how do we retry", {"k": 3}, "how do we retry"),
        ("how do we retry -k 3", {"k": 3}, "how do we retry"),
        ("-k=3 retry --mode vector", {"k": 3, "mode": "vector"}, "retry"),
        ('--where {"a": {"b": "x y"}} retry', {"where": {"a": {"b": "x y"}}}, "retry"),
        ('retry --where {"a": "} -k 9"}', {"where": {"a": "} -k 9"}}, "retry"),
        ("--namespace a --namespace 'my own' x", {"namespace": ["a", "my own"]}, "x"),
        ('"quoted  text"', {}, "quoted  text"),
        ('say "this" aloud', {}, 'say "this" aloud'),
        (r'"he said \"no\""', {}, 'he said "no"'),
        ("what does -k 3 mean here", {}, "what does -k 3 mean here"),
        ("-- -k 3 is an option", {}, "-k 3 is an option"),
        ("retry -- as in -k 3", {}, "retry -- as in -k 3"),
        ("- a bullet, -5 degrees --unknown", {}, "- a bullet, -5 degrees --unknown"),
        ("", {}, ""),
    ],
)
def test_options_stand_before_or_after_the_text(line: str, options: dict[str, object], text: str) -> None:
    assert parse(line, SEARCH, "%ruvllm search") == Given(options, text)


def test_flags_and_ids() -> None:
    given = parse("4 --relevant 3,7 --irrelevant [1, 2] --failure", FEEDBACK, "%ruvllm feedback")
    assert given == Given({"relevant": [3, 7], "irrelevant": [1, 2], "task_success": False}, "4")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--wehre {} x", "no option --wehre"),
        ("-k many x", "-k is 'many'. It takes a whole number"),
        ("x -k", "-k has no value"),
        ("-k 1 -k 2 x", "-k says again"),
        ('--where {"a": 1 x', "It takes a JSON object"),
        ("--where [1] x", "It takes a JSON object"),
        ("--where " + '{"a":' * 100_000 + " x", "It takes a JSON object"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_takes(line: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(line, SEARCH, "%ruvllm search")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--relevant three", "memory ids such as"),
        ("--relevant ,", "memory ids such as"),
        ("--success=yes", "takes no value"),
        ("--success --failure", "says again"),
    ],
)
def test_wrong_feedback_options(line: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse(line, FEEDBACK, "%ruvllm feedback")


def test_an_importance_that_is_no_number() -> None:
    with pytest.raises(InvalidInputError, match=r"--importance is 'big'\. It takes a number"):
        parse("--importance big x", ADD, "%ruvllm add")


def test_cell_body_is_the_text_below_the_line() -> None:
    given = parse("--expand Title", (*ADD, EXPAND), "%%ruvllm add")
    assert given.with_body("{x}\n", lambda body: body.replace("{x}", "1")) == Given({}, "Title\n1")
    assert Given({}, "").with_body("{x}\n", str.upper) == Given({}, "{x}")


def test_values_fill_options_and_text_and_never_become_options() -> None:
    given = parse(
        "--where {wanted} -k {n + 1} --namespace {ns} {text} --mode vector",
        SEARCH,
        "%ruvllm search",
        wanted={"a": "}"},
        n=2,
        ns="my own",
        text='-k 9 "quoted" {n} --mode lexical',
    )
    options = {"where": {"a": "}"}, "k": 3, "namespace": ["my own"], "mode": "vector"}
    assert given == Given(options, '-k 9 "quoted" {n} --mode lexical')


def test_values_inside_json() -> None:
    given = parse('--where {"a": "{word}", "b": {n}, "c": {items}} x', SEARCH, "", word="w", n=3, items=[1, "]"])
    assert given == Given({"where": {"a": "w", "b": 3, "c": [1, "]"]}}, "x")

"""Tab completion for `%ruvllm`: commands, their options, and the values of options that have a known set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import cast

from IPython.core.completer import (
    CompletionContext,
    MatcherAPIv2,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from ruvllm_kernel.commands import CELL_COMMANDS, COMMANDS, EXPAND
from ruvllm_kernel.options import Option

LINE = re.compile(r"^(?P<before>\s*%{0,2}|[^%#]*=\s*%)ruvllm[ \t]+(?P<rest>.*)$")


def matcher(namespaces: Callable[[], Iterable[str]]) -> MatcherAPIv2:
    """The matcher IPython asks, version 2 of its interface. `namespaces` gives those of the store, quickly."""

    def ruvllm_matcher(context: CompletionContext) -> SimpleMatcherResult:
        line = LINE.match(context.text_until_cursor)
        if line is None:
            return {"completions": []}
        fragment, found = completions(line["rest"], namespaces, is_cell=line["before"].endswith("%%"))
        return {
            "completions": [SimpleCompletion(text=text, type="magic") for text in found],
            "matched_fragment": fragment,
            "suppress": bool(found),
            "ordered": True,
        }

    return cast(MatcherAPIv2, context_matcher(identifier="ruvllm")(ruvllm_matcher))


def completions(rest: str, namespaces: Callable[[], Iterable[str]], *, is_cell: bool = False) -> tuple[str, list[str]]:
    """What could stand in place of the last word of `rest`, the line after `%ruvllm `, and that word's typed part."""
    words = rest.split()
    word = words.pop() if words and not rest[-1].isspace() else ""
    commands = CELL_COMMANDS if is_cell else tuple(COMMANDS)
    if not words or words == ["help"]:
        return word, _starting(word, commands)
    if words[0] not in commands:
        return word, []
    options = (*COMMANDS[words[0]].options, *([EXPAND] if is_cell else []))
    by_name = {option.name: option for option in options}
    name, equals, typed = word.partition("=")
    if equals and name in by_name:
        return typed, _starting(typed, _choices(by_name[name], namespaces))
    if words[-1] in by_name and by_name[words[-1]].read is not None:
        return word, _starting(word, _choices(by_name[words[-1]], namespaces))
    unused = [option.name for option in options if option.repeated or option.name not in words]
    return word, _starting(word, unused) if not word or word.startswith("-") else []


def _choices(option: Option, namespaces: Callable[[], Iterable[str]]) -> Iterable[str]:
    if option.key != "namespace":
        return option.choices
    return [f'"{name}"' if any(map(str.isspace, name)) else name for name in namespaces()]


def _starting(word: str, candidates: Iterable[str]) -> list[str]:
    return [candidate for candidate in candidates if candidate.startswith(word)]

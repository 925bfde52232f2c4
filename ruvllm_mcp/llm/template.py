"""A model's own chat template: messages to the text it was trained on, rendered as transformers renders it.

Templates come with model files, from strangers. They run in Jinja's sandbox, see nothing but JSON values, and are kept
to a time and a size: each turn of a loop and each macro call looks at the clock, and whatever makes texts or lists
longer (literals, `+`, `*`, `~`, methods, filters, output) is asked how long they get first.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from ruvllm_mcp.errors import InvalidInputError, ModelError

SECONDS = 2.0
MAX_TEMPLATE = 200_000
MAX_LENGTH = 10_000_000
"""Characters of a text and items of a list while rendering; characters of all output together."""
ROLES = ("system", "developer", "user", "assistant", "tool")
WIDTH = re.compile(r"%[^A-Za-z%]*(\d{4}|\*)|\{[^{}]*:[^{}]*(\d{4}|\{)")
WIDENING = frozenset(("center", "ljust", "rjust", "zfill", "expandtabs"))
UNWANTED = ("batch", "center", "format", "random", "round", "slice", "urlize", "wordwrap", "xmlattr")
"""Filters that make much of little and have no use in a chat template."""


@dataclass
class _Meter:
    """What one rendering has left."""

    ends_at: float
    characters: int = MAX_LENGTH


_meter: ContextVar[_Meter] = ContextVar("_meter")


class ChatTemplate:
    """One template, compiled. `tokens` are the names it may use for its model's own (`bos_token`, `eos_token`, …).

    Raises ModelError if it is no Jinja template. Thread-safe.
    """

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        if len(source) > MAX_TEMPLATE:
            raise ModelError(
                f"The chat template has {len(source):,} characters.", f"At most {MAX_TEMPLATE:,} are read."
            )
        try:
            self._template = _Environment().from_string(source)
        except (TemplateError, RecursionError, SyntaxError) as error:
            raise ModelError(f"The chat template of this model cannot be read: {error}.", "Use another file.") from None
        self._tokens = dict(tokens)

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True) -> str:
        """The messages as the model expects them, ready for its answer.

        A message has a `role` and a `content`. Raises InvalidInputError when the template refuses the messages (some
        take no system message, or want user and assistant in turn), ModelError when it fails or takes too long.
        """
        _meter.set(_Meter(time.monotonic() + SECONDS))
        values = {"messages": checked(messages), "tools": None, "documents": None, **self._tokens}
        try:
            return "".join(self._template.generate(**values, add_generation_prompt=add_generation_prompt))
        except _RefusedError as error:
            raise InvalidInputError(
                f"The model's chat template refuses these messages: {error}.", "Change their roles or their order."
            ) from None
        except Exception as error:  # whatever a stranger's program runs into
            raise ModelError(f"The model's chat template failed: {error}.", "Use raw text, or another file.") from None


def checked(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages as plain data. Raises InvalidInputError for what is no message."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence) or not messages:
        raise InvalidInputError("A chat is a list of messages.", 'Give e.g. [{"role": "user", "content": "Hello"}].')
    found = []
    for message in messages:
        fields = dict(message) if isinstance(message, Mapping) else {}
        role, content = fields.get("role"), fields.get("content")
        if fields.keys() != {"role", "content"} or role not in ROLES or not isinstance(content, str):
            problem = f"{repr(message)[:80]} is no message."
            raise InvalidInputError(problem, f"It has a content, a text, and a role: {', '.join(ROLES)}.")
        found.append({"role": str(role), "content": str(content)})
    return found


class _RefusedError(TemplateError):
    """The template called `raise_exception`."""


class _Generation(Extension):
    """`{% generation %}`, by which templates mark what a model is trained on: here only its contents matter."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class _Namespace(Namespace):
    """Jinja's, without names such as `__class__`, by which it could pass itself off as something else."""

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise SecurityError(f"a namespace cannot have the attribute {name!r}")
        super().__setitem__(name, value)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox of transformers, with a meter on everything that can grow."""

    intercepted_binops = frozenset(("+", "*", "%", "**"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], finalize=pass_context(_output)
        )
        for name in UNWANTED:
            del self.filters[name]
        for name in ("lipsum", "cycler", "joiner"):
            del self.globals[name]
        self.filters |= {"tojson": _tojson, "replace": _replace, "join": _join, "indent": _indent}
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
            "namespace": _Namespace,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _metered(super()._parse(source, name, filename))
        return tree

    def tick(self) -> str:
        _bounded(0)
        return ""

    def joined(self, *values: Any) -> str:
        return _join(values)

    def sized(self, value: Any) -> Any:
        return _sized(value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, (str, bytes, list, tuple)) and isinstance(times, int):
                    _bounded(len(many) * max(times, 0))
        elif operator == "+" and isinstance(left, str) and isinstance(right, str):
            _bounded(len(left) + len(right))
        elif operator == "%" and isinstance(left, str) and WIDTH.search(left):
            raise SecurityError("a format is too wide")
        if (
            isinstance(left, int)
            and isinstance(right, int)
            and (operator == "**" or max(abs(left), abs(right)) > 2**64)
        ):
            raise SecurityError("a number is too large")
        return _sized(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # Jinja's way
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja wraps `format`
        text, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(text, str):
            given = [*args, *(value for key, value in kwargs.items() if not key.startswith("_"))]
            if name in WIDENING:
                _bounded(sum(item for item in given if isinstance(item, int)) * max(1, len(text)))
            elif name in ("format", "format_map") and WIDTH.search(text):
                raise SecurityError("a format is too wide")
            elif name == "replace":
                return _replace(text, *given)
            elif name == "join":
                return _join(given[0] if given else (), text)
        return super().call(__context, __obj, *args, **kwargs)


def _metered(node: Any) -> Any:
    """The tree with a look at the clock in each loop and macro, every `a ~ b` as `joined`, every list, tuple and
    mapping through `sized`."""
    for name, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, name, _metered(value))
        elif isinstance(value, list):
            setattr(node, name, [_metered(item) if isinstance(item, nodes.Node) else item for item in value])
    if isinstance(node, (nodes.For, nodes.Macro)):
        node.body.insert(0, nodes.Output([_call("tick", [])]).set_lineno(node.lineno))
    if isinstance(node, nodes.Concat):
        return _call("joined", node.nodes).set_lineno(node.lineno)
    if isinstance(node, (nodes.List, nodes.Dict)) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
        return _call("sized", [node]).set_lineno(node.lineno)
    return node


def _call(name: str, arguments: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)


def _bounded(length: int) -> None:
    """Raises SecurityError if a text would get longer than allowed, or time is up."""
    if time.monotonic() > _meter.get().ends_at:
        raise SecurityError(f"it takes longer than {SECONDS:.0f} s")
    if length > MAX_LENGTH:
        raise SecurityError(f"it makes more than {MAX_LENGTH:,} characters")


def _sized(value: Any) -> Any:
    """The value, unless spelling it out takes too long: lists within lists may come to far more than they hold."""
    length, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (str, list, tuple, dict)):
            length += len(item)
            _bounded(length)
            if isinstance(item, dict):
                waiting += [*item.keys(), *item.values()]
            elif not isinstance(item, str):
                waiting += item
    return value


def _output(context: Context, value: Any) -> Any:
    """What `{{ value }}` writes: counted, over the whole rendering."""
    del context  # taken so that Jinja does not call this while it compiles
    meter = _meter.get()
    meter.characters -= len(str(value))
    _bounded(MAX_LENGTH - meter.characters)
    return value


def _join(values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    parts = [str(value[attribute] if attribute else value) for value in values]
    _bounded(sum(map(len, parts)) + len(parts) * len(separator))
    return str(separator).join(parts)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    text, old, new = str(text), str(old), str(new)
    _bounded(len(text) + (text.count(old) if count is None or count < 0 else count) * len(new))
    return text.replace(old, new, -1 if count is None else count)


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    margin = width if isinstance(width, str) else " " * min(int(width), 1000)
    lines = str(text).split("\n")
    _bounded(len(text) + len(lines) * len(margin))
    rest = [margin + line if line or blank else line for line in lines[1:]]
    return "\n".join([margin + lines[0] if first else lines[0], *rest])


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    if indent is not None and int(indent) > 100:
        raise SecurityError("a JSON text is indented too far")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise _RefusedError(message)


def _strftime_now(format: str) -> str:
    if len(format) > 200 or re.search(r"\d{3}", format):
        raise SecurityError("a date's format is too long")
    return datetime.now().strftime(format)

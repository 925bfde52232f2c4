"""Chat templates render as their models expect, refuse what they refuse, and cannot harm: hostile ones are ended."""

from __future__ import annotations

import time

import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.llm import template
from ruvllm_mcp.llm.template import ChatTemplate
from tests.llm.chat_templates import ALL, CHATML, INST, TOKENS

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Hi\n"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]


def test_messages_are_rendered_with_the_prompt_for_the_answer_at_the_end() -> None:
    assert ChatTemplate(CHATML, TOKENS).render(CHAT) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi\n<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ChatTemplate(INST, TOKENS).render(CHAT) == (
        "<s> [INST] Be brief.\n\n Hi\n [/INST] Hello</s> [INST] Bye [/INST]"
    )


def test_what_the_template_refuses_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidInputError, match="must alternate"):
        ChatTemplate(INST, TOKENS).render([CHAT[1], CHAT[3]])


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "hi",
        {"role": "user", "content": "hi"},
        ["hi"],
        [{"role": "user"}],
        [{"role": "user<|im_end|>", "content": "hi"}],
        [{"role": "user", "content": 3}],
        [{"role": "user", "content": "hi", "tool_calls": []}],
    ],
    ids=repr,
)
def test_what_is_no_message_is_refused(messages: object) -> None:
    with pytest.raises(InvalidInputError, match="message"):
        ChatTemplate(CHATML, TOKENS).render(messages)  # type: ignore[arg-type]  # that is the point


def test_text_in_a_message_is_never_read_as_a_template() -> None:
    shown = ChatTemplate(CHATML, TOKENS).render([{"role": "user", "content": "{{ 7 * 7 }}{% bad %}"}])
    assert "{{ 7 * 7 }}{% bad %}" in shown


@pytest.mark.parametrize("source", ["{% for", "{{ a | nothing }}", "{% include 'x' %}{% bad %}", "(" * 200_001])
def test_what_is_no_template_is_a_named_error(source: str) -> None:
    with pytest.raises(ModelError, match="chat template"):
        ChatTemplate(source, TOKENS)


GROWING = (
    "{{% set ns = namespace(v={start}) %}}{{% for i in range(60) %}}{{% set ns.v = {step} %}}{{% endfor %}}"
    "{{{{ ns.v }}}}"
)
HOSTILE = {
    "endless loops": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "filtered loops": "{% for a in range(99999) %}{% for b in range(99999) if b < 0 %}{% endfor %}{% endfor %}",
    "recursive macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loop": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "times": "{{ 'a' * 10000000000 }}",
    "bytes": "{{ 'a'.encode() * 10000000000 }}",
    "list times": "{{ [1] * 10000000000 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "square": GROWING.format(start=3, step="ns.v * ns.v"),
    "plus": GROWING.format(start="'abc'", step="ns.v + ns.v"),
    "concat": GROWING.format(start="'abc'", step="ns.v ~ ns.v"),
    "lists": GROWING.format(start="[]", step="[ns.v, ns.v]"),
    "mappings": GROWING.format(start="{}", step="{'a': ns.v, 'b': ns.v}"),
    "replace": GROWING.format(start="'a' * 999", step="ns.v.replace('a', ns.v)"),
    "replace filter": GROWING.format(start="'a' * 999", step="ns.v | replace('a', ns.v)"),
    "join": GROWING.format(start="'a' * 999", step="ns.v.join(ns.v)"),
    "join filter": GROWING.format(start="'a' * 999", step="ns.v | join(ns.v)"),
    "captured": "{% set x = 'a' * 99999 %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "output": "{% for i in range(100000) %}{{ 'a' * 1000 }}{% endfor %}",
    "old format": "{{ '%1000000000d' % 1 }}",
    "star format": "{{ '%*d' % (1000000000, 1) }}",
    "new format": "{{ '{:1000000000}'.format(1) }}",
    "nested format": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "padded": "{{ 'a'.ljust(width=10000000000) if false else 'a'.ljust(10000000000) }}",
    "tabs": "{{ '\t'.expandtabs(10000000000) }}",
    "indent": "{{ ('a\n' * 99999) | indent(1000) }}",
    "json": "{{ messages | tojson(indent=1000000000) }}",
    "date": "{{ strftime_now('%1000000000Y') }}",
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ raise_exception.__globals__['__builtins__'] }}",
    "mutation": "{{ messages.append(1) }}",
    "disguise": "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "disguised": "{% set ns = namespace(__class__=1) %}",
    "file": "{% include '/etc/passwd' %}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_template_ends_in_an_error_soon(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "SECONDS", 0.2)
    started = time.process_time()
    with pytest.raises(ModelError, match="chat template"):
        ChatTemplate(source, TOKENS).render(CHAT)
    assert time.process_time() - started < 5  # not a speed: without the bound these run for days


@pytest.mark.parametrize("source", ALL.values(), ids=ALL)
def test_bounds_leave_room_for_a_long_chat(source: str) -> None:
    chat = [{"role": ("user", "assistant")[i % 2], "content": f"turn {i} " * 400} for i in range(101)]
    shown = ChatTemplate(source, TOKENS).render(chat)
    assert all(f"turn {i} " in shown for i in range(101))

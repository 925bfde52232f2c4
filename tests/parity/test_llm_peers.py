"""Chat templates beside transformers."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from ruvllm_mcp.llm.template import ChatTemplate
from tests.llm.chat_templates import ALL, TOKENS
from tests.llm.vocabularies import byte_level

TURNS = ("Hi\n", " what is\t2 < 3 & 4?\n\n", "<think>\nhm\n</think>\n\n今天 {{ x }}", "ok</think>", "Zażółć 😀")


@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("with_system", [True, False])
@pytest.mark.parametrize("turns", [1, 3, 5])
@pytest.mark.parametrize("name", ALL)
def test_chats_render_as_in_transformers(name: str, turns: int, with_system: bool, add_generation_prompt: bool) -> None:
    messages = [{"role": "system", "content": "Be\nbrief. "}] * with_system
    messages += [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(TURNS[:turns])]
    judge = PreTrainedTokenizerFast(tokenizer_object=byte_level("gpt-2").judge, **TOKENS)
    expected = judge.apply_chat_template(
        messages, chat_template=ALL[name], add_generation_prompt=add_generation_prompt, tokenize=False
    )
    ours = ChatTemplate(ALL[name], TOKENS).render(messages, add_generation_prompt=add_generation_prompt)
    assert ours == expected

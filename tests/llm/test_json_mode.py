"""JSON mode: what may be written, by Python's own reader of JSON; and answers of random models, which always parse."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.llm.json_text import START, ending, follow, is_whole
from ruvllm_mcp.llm.tokenizer import Tokenizer
from ruvllm_mcp.llm.writing import Writing
from ruvllm_mcp.types import GenerationConfig
from tests.llm.vocabularies import byte_level, sentence_piece

CHARACTERS = 'aZ "\\/\n\t\x00\x7fé€߿ࠀ\ud7ff\ue000今😀\U0010ffff'
NUMBERS = (0, -0.0, 1, -17, 10**20, 1.5e-7, -2.25, 1e300)
EDITS = b'{}[]",:\\u01de.-+Etrfn \n\x1f\xc0\xc3\xa9\xff\x80\xed\xf4'


def is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text.decode(), parse_constant=int), dict)  # int refuses NaN and Infinity
    except ValueError:
        return False


def some_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(6 if depth < 3 else 4)
    if kind == 0:
        return chance.choice((True, False, None, *NUMBERS))
    if kind < 4:
        return "".join(chance.choices(CHARACTERS, k=chance.randrange(5)))
    values = [some_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return values if kind == 4 else {str(value): value for value in values}


def documents(count: int) -> list[bytes]:
    chance, made = random.Random(5), []
    while len(made) < count:
        value = {str(i): some_value(chance) for i in range(chance.randrange(4))}
        text = json.dumps(value, ensure_ascii=chance.random() < 0.3, indent=chance.choice((None, 1, "\t")))
        if "\\ud" not in text:  # escapes of surrogates are not begun
            made.append(text.encode())
    return made


def test_every_beginning_of_an_object_is_followed_and_its_ending_completes_it() -> None:
    for text in documents(150):
        for length in range(len(text) + 1):
            place = follow(START, text[:length])
            assert place is not None
            assert is_whole(place) == (length == len(text))
            assert is_object(text[:length] + ending(place))


def test_blanks_come_to_an_end() -> None:
    assert follow(START, b' {"a":\n' + 20 * b" " + b"1}") is not None
    assert follow(START, b"  {") is None
    for before in (b"{", b'{"a":', b'{"a":1', b'{"a":[1,'):
        assert follow(START, before + 100 * b"\n") is None


def test_what_is_no_object_is_not_followed_to_an_end() -> None:
    chance, verdicts = random.Random(6), set()
    for text in documents(400) * 10:
        changed = bytearray(text)
        for _ in range(chance.randrange(1, 3)):
            at, by = chance.randrange(len(changed)), chance.choice(EDITS)
            changed[at : at + chance.randrange(2)] = bytes([by] * chance.randrange(2))
            changed = changed or bytearray(b"x")
        if b"\\ud" in changed.lower():
            continue
        place = follow(START, changed)
        verdicts.add(is_whole(place) if place else None)
        assert (place is not None and is_whole(place)) == is_object(bytes(changed))
    assert verdicts == {True, False, None}


@pytest.fixture(scope="module", params=["byte-level", "spm"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    made = byte_level("qwen2") if request.param == "byte-level" else sentence_piece()
    return Tokenizer.from_gguf(made.metadata)


def written(tokenizer: Tokenizer, config: GenerationConfig, context: int, chance: np.random.Generator) -> Writing:
    """An answer of a model that has no idea."""
    made = Writing(tokenizer, tokenizer.encode("Say it in JSON"), config, context, is_reply=True)
    while made.finish_reason is None:
        made.add(chance.normal(0, 3, tokenizer.vocabulary.size).astype(np.float32))
    return made


@pytest.mark.parametrize(
    "settings", [{"temperature": 0}, {"top_k": 0, "top_p": 1.0}, {"repetition_penalty": 3.0}], ids=str
)
def test_answers_of_random_models_always_parse(tokenizer: Tokenizer, settings: dict[str, Any]) -> None:
    chance, begin = np.random.default_rng(1), len(tokenizer.encode("Say it in JSON"))
    found = []
    for most in (2, 3, 4, 5, 8, 13, 40, 40, 40):
        config = GenerationConfig(max_tokens=most, seed=most, json_mode=True, **settings)
        for context in (1024, begin + most - (most > 2)):
            made = written(tokenizer, config, context, chance)
            assert made.finish_reason == "stop"
            assert made.usage.completion_tokens <= min(most, context - begin)
            found.append(json.loads(made.text))
            assert isinstance(found[-1], dict)
    assert any(found)


def test_a_model_that_writes_json_is_not_disturbed(tokenizer: Tokenizer) -> None:
    wanted = '{"name": "Lily", "age": 3.5, "likes": ["今天", null, {}]}'
    made = Writing(tokenizer, [5], GenerationConfig(json_mode=True), 512, is_reply=False)
    for token in tokenizer.encode(wanted, begins=False):
        assert made.finish_reason is None
        logits = np.zeros(tokenizer.vocabulary.size, np.float32)
        logits[token] = 60
        made.add(logits)
    assert (made.text.strip(), made.finish_reason) == (wanted, "stop")


def test_what_cannot_be_promised_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidInputError, match="room for 1"):
        Writing(tokenizer, [5], GenerationConfig(max_tokens=1, json_mode=True), 512, is_reply=False)
    for settings in ({"json_mode": True, "stop": ("}",)}, {"json_mode": "yes"}):
        with pytest.raises(InvalidInputError, match="json_mode"):
            GenerationConfig(**settings)  # type: ignore[arg-type]

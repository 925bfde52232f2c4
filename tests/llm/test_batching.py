"""Answers are what a plain loop would write, whoever else is in the batch, whatever was kept; a cancel ends them."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from ruvllm_mcp.errors import BackendError, InvalidInputError
from ruvllm_mcp.llm.batching import Batcher, Request
from ruvllm_mcp.llm.model import Cache, Model, Part, load_model
from ruvllm_mcp.llm.tokenizer import Tokenizer
from ruvllm_mcp.llm.writing import Writing
from ruvllm_mcp.native.lib import nogil
from ruvllm_mcp.types import GenerationConfig
from tests.llm.talker import CONTEXT, write_talker

NAMES = ("Lily", "Tom", "今天", "😀", "a", "b", "c", "d")
GREEDY = GenerationConfig(max_tokens=24, temperature=0)
TEXTS = [f"Once upon a time {name} went to the park, and " * (1 + i % 4) for i, name in enumerate(NAMES)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_talker(tmp_path_factory.mktemp("model") / "talker.gguf"))


@pytest.fixture(scope="module")
def tokenizer(model: Model) -> Tokenizer:
    return Tokenizer.from_gguf(model.checkpoint.source.metadata)  # type: ignore[union-attr]  # it is a GGUF file


@pytest.fixture
def batcher(model: Model) -> Iterator[Batcher]:
    batcher = Batcher(model)
    yield batcher
    batcher.close()


def writing(tokenizer: Tokenizer, text: str, config: GenerationConfig = GREEDY, context: int = CONTEXT) -> Writing:
    return Writing(tokenizer, tokenizer.encode(text), config, context, is_reply=False)


def written(batcher: Batcher, made: Writing) -> list[str]:
    pieces: list[str] = []
    batcher.start(made).wait(pieces.append)
    return pieces


def plain_loop(model: Model, tokenizer: Tokenizer, text: str, count: int) -> list[int]:
    """The likeliest token, again and again."""
    cache, tokens = Cache(model, CONTEXT), tokenizer.encode(text)
    given = tokens
    for _ in range(count):
        logits = model.forward([Part(cache, np.array(given, np.int32))])
        given = [int(np.argmax(logits[0]))]
        if given[0] in tokenizer.vocabulary.stops:
            break
        tokens = tokens + given
    return tokens


@pytest.mark.parametrize("text", TEXTS)
def test_greedy_answers_are_those_of_a_plain_loop(
    model: Model, tokenizer: Tokenizer, batcher: Batcher, text: str
) -> None:
    made = writing(tokenizer, text)
    pieces = written(batcher, made)
    assert made.tokens == plain_loop(model, tokenizer, text, 24)
    assert "".join(pieces) == made.text
    prompt = made.usage.prompt_tokens
    assert made.text == tokenizer.decode(made.tokens[prompt:])
    assert made.usage.completion_tokens == len(made.tokens) - prompt


def test_greedy_answers_are_the_same_on_any_number_of_threads(tokenizer: Tokenizer, batcher: Batcher) -> None:
    before, answers = nogil.rv_llm_threads(), set()
    try:
        for threads in (1, 2, 3):
            nogil.rv_llm_set_threads(threads)
            answers.add("".join(written(batcher, writing(tokenizer, TEXTS[0]))))
    finally:
        nogil.rv_llm_set_threads(before)
    assert len(answers) == 1


def test_the_same_seed_writes_the_same_and_another_does_not(tokenizer: Tokenizer, batcher: Batcher) -> None:
    def drawn(seed: int) -> str:
        return "".join(written(batcher, writing(tokenizer, TEXTS[0], GenerationConfig(max_tokens=12, seed=seed))))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_an_answer_ends_by_token_count_stop_text_or_context_and_says_which(
    tokenizer: Tokenizer, batcher: Batcher
) -> None:
    whole = writing(tokenizer, TEXTS[0])
    written(batcher, whole)
    assert (whole.finish_reason, whole.usage.completion_tokens) == ("length", 24)
    stop = whole.text[8:11]
    stopped = writing(tokenizer, TEXTS[0], GenerationConfig(max_tokens=24, temperature=0, stop=(stop,)))
    written(batcher, stopped)
    assert stopped.finish_reason == "stop"
    assert stopped.text == whole.text[: whole.text.index(stop)]
    room = whole.usage.prompt_tokens + 5
    short = writing(tokenizer, TEXTS[0], context=room)
    written(batcher, short)
    assert (short.finish_reason, len(short.tokens)) == ("context", room)
    assert whole.text.startswith(short.text.rstrip("\ufffd"))


def test_the_models_own_end_is_not_shown(tokenizer: Tokenizer) -> None:
    made = writing(tokenizer, "a")
    logits = np.zeros(tokenizer.vocabulary.size, np.float32)
    logits[tokenizer.vocabulary.eos] = 9
    assert made.add(logits) == ""
    assert (made.finish_reason, made.usage.completion_tokens) == ("stop", 0)


def test_prompts_without_text_or_room_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        writing(tokenizer, "")
    with pytest.raises(InvalidInputError, match="10 tokens; the model reads 10"):
        Writing(tokenizer, [1] * 10, GREEDY, 10, is_reply=False)


def test_scores_tell_each_tokens_probability(tokenizer: Tokenizer, batcher: Batcher) -> None:
    made = writing(tokenizer, TEXTS[0], GenerationConfig(max_tokens=6, temperature=0, logprobs=3))
    written(batcher, made)
    assert len(made.scores) == 6
    for score in made.scores:
        assert score.likeliest[0] == (score.text, score.logprob)
        assert 0 > score.likeliest[0][1] >= score.likeliest[1][1] >= score.likeliest[2][1]


class Counting:
    """A model that notes how many tokens it is given."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.handle, self.architecture = model.handle, model.architecture
        self.steps: list[list[int]] = []

    def forward(self, parts: list[Part], cancel: object = None) -> np.ndarray:
        self.steps.append([len(part.tokens) for part in parts])
        return self._model.forward(parts, cancel)


def test_a_chats_next_turn_computes_only_what_is_new(model: Model, tokenizer: Tokenizer) -> None:
    counting = Counting(model)
    batcher = Batcher(counting)  # type: ignore[arg-type]  # all of a model that it needs
    first = writing(tokenizer, TEXTS[0] * 8)
    written(batcher, first)
    turn = tokenizer.encode(" and then? She")
    known = len(first.tokens)
    counting.steps.clear()
    second = Writing(tokenizer, first.tokens + turn, GREEDY, CONTEXT, is_reply=False)
    written(batcher, second)
    assert counting.steps[0] == [len(turn) + 1]  # and the first answer's last token, which nobody had read yet
    counting.steps.clear()
    turn = tokenizer.encode("## Another")
    branch = Writing(tokenizer, first.tokens[: known // 3] + turn, GREEDY, CONTEXT, is_reply=False)
    written(batcher, branch)
    assert counting.steps[0] == [len(turn)]
    batcher.close()
    for made in (second, branch):
        fresh = Batcher(model)
        again = Writing(tokenizer, made.tokens[: made.usage.prompt_tokens], GREEDY, CONTEXT, is_reply=False)
        written(fresh, again)
        fresh.close()
        assert again.tokens == made.tokens


def test_a_long_prompt_does_not_hold_up_the_others(
    model: Model, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ruvllm_mcp.llm.batching.PROMPT_PIECE", 16)
    counting = Counting(model)
    batcher = Batcher(counting)  # type: ignore[arg-type]  # all of a model that it needs
    long, short = writing(tokenizer, TEXTS[0] * 8), writing(tokenizer, "Hi")
    requests = [batcher.start(long), batcher.start(short)]
    for request in requests:
        request.wait(lambda _: None)
    batcher.close()
    assert max(max(step) for step in counting.steps) == 16
    assert [16, 1] in counting.steps
    assert long.tokens == plain_loop(model, tokenizer, TEXTS[0] * 8, 24)


def test_many_at_once_with_random_cancels_write_what_each_would_alone(model: Model, tokenizer: Tokenizer) -> None:
    alone = {}
    for text in TEXTS:
        batcher = Batcher(model)
        alone[text] = writing(tokenizer, text)
        written(batcher, alone[text])
        batcher.close()
    batcher, rng, failures = Batcher(model), random.Random(4), []

    def client(seed: int) -> None:
        mine = random.Random(seed)
        for _ in range(6):
            text, stop_after = mine.choice(TEXTS), mine.choice([0, 1, 5, 99])
            made = writing(tokenizer, text)
            request = batcher.start(made)
            pieces: list[str] = []

            def note(
                piece: str, request: Request = request, pieces: list[str] = pieces, limit: int = stop_after
            ) -> None:
                pieces.append(piece)
                if len(pieces) >= limit:
                    request.cancel()

            if stop_after == 0:
                request.cancel()
            request.wait(note)
            whole = alone[text]
            if not whole.text.startswith("".join(pieces)) or whole.tokens[: len(made.tokens)] != made.tokens:
                failures.append((text, made.tokens, whole.tokens))
            if stop_after == 99 and made.tokens != whole.tokens:
                failures.append((text, made.tokens, whole.tokens))

    threads = [threading.Thread(target=client, args=(rng.randrange(10**6),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert batcher.is_idle
    batcher.close()


def test_a_cancel_ends_an_answer_within_a_token(tokenizer: Tokenizer, batcher: Batcher) -> None:
    made = writing(tokenizer, TEXTS[0], GenerationConfig(max_tokens=300, temperature=0))
    request = batcher.start(made)
    gate = threading.Event()

    def stop(_piece: str) -> None:
        gate.seen = len(made.tokens)  # type: ignore[attr-defined]  # tokens at the time of the cancel
        request.cancel()

    request.wait(stop)
    assert made.finish_reason == "cancelled"
    assert len(made.tokens) <= gate.seen + 1  # type: ignore[attr-defined]


def test_a_cancel_ends_the_reading_of_a_prompt(model: Model, tokenizer: Tokenizer) -> None:
    started = threading.Event()

    class Slow(Counting):
        def forward(self, parts: list[Part], cancel: object = None) -> np.ndarray:
            started.set()
            while not cancel[0]:  # type: ignore[index]  # a C int, which the batcher sets
                pass
            return super().forward(parts, cancel)

    batcher = Batcher(Slow(model))  # type: ignore[arg-type]  # all of a model that it needs
    made = writing(tokenizer, TEXTS[0])
    request = batcher.start(made)
    assert started.wait(30)
    request.cancel()
    request.wait(lambda _: None)
    assert (made.finish_reason, made.text) == ("cancelled", "")
    batcher.close()


def test_a_cancel_need_not_wait_for_a_place(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, model: Model
) -> None:
    monkeypatch.setattr("ruvllm_mcp.llm.batching.TOGETHER", 1)
    batcher = Batcher(model)
    long, queued = (writing(tokenizer, TEXTS[0], GenerationConfig(max_tokens=400, temperature=0)) for _ in range(2))
    first, second = batcher.start(long), batcher.start(queued)
    second.cancel()
    second.wait(lambda _: None)
    assert (queued.finish_reason, long.finish_reason) == ("cancelled", None)
    first.cancel()
    first.wait(lambda _: None)
    batcher.close()


def test_what_the_reader_raises_cancels_the_answer(tokenizer: Tokenizer, batcher: Batcher) -> None:
    request = batcher.start(writing(tokenizer, TEXTS[0], GenerationConfig(max_tokens=300, temperature=0)))
    with pytest.raises(ZeroDivisionError):
        request.wait(lambda _: 1 // 0)  # type: ignore[arg-type, return-value]  # raises instead of returning
    written(batcher, writing(tokenizer, "Hi"))
    assert request.writing.finish_reason == "cancelled"


def test_one_answers_failure_leaves_the_others_alone(model: Model, tokenizer: Tokenizer, batcher: Batcher) -> None:
    good, bad = writing(tokenizer, TEXTS[0]), writing(tokenizer, TEXTS[1])
    bad.add = lambda _: 1 // 0  # type: ignore[method-assign, return-value, assignment]  # fails at its first token
    requests = [batcher.start(bad), batcher.start(good)]
    with pytest.raises(BackendError, match="ZeroDivisionError"):
        requests[0].wait(lambda _: None)
    requests[1].wait(lambda _: None)
    assert good.tokens == plain_loop(model, tokenizer, TEXTS[0], 24)


def test_closing_ends_what_runs_and_refuses_more(model: Model, tokenizer: Tokenizer) -> None:
    batcher = Batcher(model)
    made = [writing(tokenizer, text, GenerationConfig(max_tokens=400, temperature=0)) for text in TEXTS * 2]
    requests = [batcher.start(one) for one in made]
    batcher.close()
    for request in requests:
        request.wait(lambda _: None)
    assert {one.finish_reason for one in made} <= {"cancelled", "length"}
    with pytest.raises(BackendError, match="unloaded"):
        batcher.start(made[0])

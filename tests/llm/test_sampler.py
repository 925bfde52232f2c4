"""The sampler against its definition written out in float64, and stop strings wherever the pieces fall."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ruvllm_mcp.errors import BackendError, InvalidInputError
from ruvllm_mcp.llm.sampler import Sampler, StopFinder, candidates, log_probabilities
from ruvllm_mcp.types import GenerationConfig

SETTINGS = [
    {},
    {"top_k": 0, "top_p": 1.0},
    {"top_k": 1},
    {"top_k": 5, "top_p": 1.0},
    {"top_k": 0, "top_p": 0.5},
    {"top_k": 0, "top_p": 0.999},
    {"top_k": 0, "top_p": 1e-9},
    {"top_k": 0, "top_p": 1.0, "min_p": 0.1},
    {"top_k": 0, "top_p": 1.0, "min_p": 1.0},
    {"top_k": 100, "top_p": 0.9, "min_p": 0.02, "temperature": 1.7},
    {"top_k": 0, "top_p": 1.0, "temperature": 0.01},
    {"top_k": 1_000_000, "top_p": 0.9, "temperature": 5},
]


def reference(logits: np.ndarray, config: GenerationConfig) -> dict[int, float]:
    """Token to probability, by the definition: sort, soften, cut, cut, cut."""
    scaled = logits.astype(np.float64) / config.temperature
    order = sorted(range(len(scaled)), key=lambda i: (-scaled[i], i))
    order = order[: config.top_k or None]
    weights = np.exp(scaled[order] - scaled[order[0]])
    weights /= weights.sum()
    kept, total = [], 0.0
    for i, weight in zip(order, weights, strict=True):
        if config.top_p < 1 and total >= config.top_p:
            break
        total += weight
        if weight >= config.min_p * weights[0]:
            kept.append((i, weight))
    return {i: weight / sum(weight for _, weight in kept) for i, weight in kept}


@pytest.mark.parametrize("shape", ["flat", "normal", "peaked", "ties", "masked"])
@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
def test_candidates_equal_the_definition(settings: dict[str, float], shape: str) -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(0, {"flat": 0.01, "peaked": 12.0}.get(shape, 3.0), 2000).astype(np.float32)
    if shape == "ties":
        logits = np.round(logits)
    if shape == "masked":
        logits[rng.random(2000) < 0.5] = -np.inf
    config = GenerationConfig(**settings)  # type: ignore[arg-type]
    found = candidates(logits, config)
    expected = reference(logits, config)
    likely = [i for i, share in expected.items() if share > 1e-15]
    if config.top_k or config.top_p < 1:
        assert found.tokens.tolist()[: len(likely)] == likely
    ours = dict(zip(found.tokens.tolist(), found.probabilities.tolist(), strict=True))
    assert all(abs(ours[i] - expected[i]) < 1e-12 for i in likely)
    assert sum(share for i, share in ours.items() if i not in expected) < 1e-15


def test_draws_come_as_often_as_their_probability_says() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    sampler = Sampler(GenerationConfig(temperature=1, top_k=0, top_p=1, seed=11), ())
    drawn = Counter(sampler.pick(logits) for _ in range(4000))
    for token, share in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert abs(drawn[token] / 4000 - share) < 4 * np.sqrt(share * (1 - share) / 4000)


def test_a_seed_repeats_its_draws_and_no_seed_does_not() -> None:
    logits = np.zeros(1000, np.float32)

    def drawn(seed: int | None) -> list[int]:
        sampler = Sampler(GenerationConfig(seed=seed, top_k=0, top_p=1), ())
        return [sampler.pick(logits) for _ in range(8)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert drawn(None) != drawn(None)


def test_temperature_zero_takes_the_likeliest_and_of_equals_the_first() -> None:
    logits = np.array([1, 7, 3, 7], np.float32)
    assert Sampler(GenerationConfig(temperature=0), ()).pick(logits) == 1


def test_the_penalty_counts_prompt_and_answer() -> None:
    sampler = Sampler(GenerationConfig(temperature=0, repetition_penalty=2.0), [1])
    assert [sampler.pick(np.array([-1, 4, 3, 1.8], np.float32)) for _ in range(3)] == [2, 1, 1]
    negative = Sampler(GenerationConfig(temperature=0, repetition_penalty=2.0), [0])
    assert negative.pick(np.array([-1, -1.5], np.float32)) == 1


def test_log_probabilities_are_the_models_own() -> None:
    logits = np.random.default_rng(1).normal(0, 3, 500).astype(np.float32)
    exact = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum())
    chosen, best = log_probabilities(logits, 17, 3)
    assert chosen == pytest.approx(exact[17], abs=1e-12)
    assert [i for i, _ in best] == np.argsort(-exact)[:3].tolist()
    assert [value for _, value in best] == pytest.approx(np.sort(exact)[::-1][:3], abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0, 1])
def test_what_is_no_number_is_an_error_and_not_a_token(bad: float, temperature: int) -> None:
    with pytest.raises(BackendError, match="no numbers"):
        Sampler(GenerationConfig(temperature=temperature), ()).pick(np.array([1, bad], np.float32))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("one two\n\nthree", ["\n\n"], "one two"),
        ("aaab", ["aab"], "a"),
        ("abcabd", ["abd"], "abc"),
        ("xENDyEN", ["END", "y"], "x"),
        ("the EN", ["END"], "the EN"),
        ("nothing", [], "nothing"),
        ("abab abac", ["abac", "ac"], "abab "),
        ("END", ["END"], ""),
        ("xabcd", ["abcd", "bc"], "xa"),
    ],
)
def test_a_stop_string_ends_the_text_however_it_is_cut(text: str, stops: list[str], shown: str, size: int) -> None:
    finder = StopFinder(stops)
    given = ""
    for start in range(0, len(text), size):
        given += finder.add(text[start : start + size])
        assert shown.startswith(given)
        if finder.is_found:
            break
    assert given + finder.finish() == shown
    assert finder.is_found == (shown != text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_tokens", value) for value in (0, 4097, 1.0, True)],
        *[("temperature", value) for value in (-0.1, 5.1, "1", float("nan"), True)],
        *[("top_k", value) for value in (-1, 1.5)],
        *[("top_p", value) for value in (0, 1.1)],
        *[("min_p", value) for value in (-0.1, 1.1)],
        *[("repetition_penalty", value) for value in (0, 11)],
        *[("stop", value) for value in ("", [""], [3], ["x"] * 17, {"a"})],
        *[("seed", value) for value in (-1, 2**64, 1.0)],
        *[("logprobs", value) for value in (-1, 21)],
    ],
)
def test_a_setting_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=name):
        GenerationConfig(**{name: value})  # type: ignore[arg-type]

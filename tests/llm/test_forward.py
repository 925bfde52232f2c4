"""The decoder in C against the one in NumPy, and what it promises about batches, threads, cancelling and bad input."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.llm.files import Weight, open_checkpoint
from ruvllm_mcp.llm.model import Cache, CancelledError, Model, Part, load_model
from ruvllm_mcp.native import lib
from ruvllm_mcp.native.lib import nogil
from ruvllm_mcp.simd.batches import Cancel
from tests.llm.reference import logits
from tests.llm.tiny import VOCABULARY, write_gguf_model

TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, 600).astype(np.int32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    return load_model(write_gguf_model(path, context_length=np.uint32(1024)))


@pytest.fixture
def threads() -> Iterator[None]:
    before = nogil.rv_llm_threads()
    yield
    nogil.rv_llm_set_threads(before)


def after(model: Model, tokens: np.ndarray) -> Cache:
    """A cache that holds those tokens."""
    cache = Cache(model, 1024)
    model.forward([Part(cache, tokens, 0)])
    return cache


@pytest.fixture
def instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    lib.use(request.param)
    yield
    lib.use(None)


@pytest.mark.parametrize("instruction_set", lib.available(), indirect=True)
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "phi3"])
@pytest.mark.usefixtures("instruction_set")
def test_prompts_and_single_tokens_give_the_reference_s_logits(tmp_path: Path, architecture: str) -> None:
    model = load_model(write_gguf_model(tmp_path / "tiny.gguf", architecture))
    tokens = TOKENS[:40]
    expected = logits(model.checkpoint, tokens.tolist())
    whole = model.forward([Part(Cache(model, 64), tokens, len(tokens))])
    cache = Cache(model, 64)
    single = np.concatenate([model.forward([Part(cache, tokens[i : i + 1])]) for i in range(len(tokens))])
    near = 5e-6 * np.abs(expected).max()
    assert np.abs(whole - expected).max() < near
    assert np.abs(single - expected).max() < near
    assert np.abs(single - whole).max() < near


def test_a_prompt_gives_the_same_bits_in_one_piece_and_in_several(model: Model) -> None:
    whole = model.forward([Part(Cache(model, 1024), TOKENS, 310)])
    cache = Cache(model, 1024)
    model.forward([Part(cache, TOKENS[:290], 0)])
    rest = [
        model.forward([Part(cache, TOKENS[start:stop], stop - start)])
        for start, stop in ((290, 331), (331, 595), (595, 600))
    ]
    assert np.array_equal(np.concatenate(rest), whole)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_sequence_gives_the_same_bits_whatever_is_beside_it(model: Model, count: int) -> None:
    starts = (5, 33, 64, 100, 17)
    alone = [model.forward([Part(after(model, TOKENS[:n]), TOKENS[n : n + count])])[0] for n in starts]
    parts = [Part(after(model, TOKENS[:n]), TOKENS[n : n + count]) for n in starts]
    parts.insert(2, Part(Cache(model, 1024), TOKENS[200:400], 1))
    together = model.forward(parts)
    assert np.array_equal(np.delete(together, 2, axis=0), np.array(alone))
    assert np.array_equal(together[2], model.forward([Part(Cache(model, 1024), TOKENS[200:400])])[0])


@pytest.mark.usefixtures("threads")
def test_every_number_of_threads_gives_the_same_bits(model: Model) -> None:
    found = []
    for count in (1, 2, 3, 5):
        assert nogil.rv_llm_set_threads(count) == count
        cache = Cache(model, 1024)
        prompt = model.forward([Part(cache, TOKENS[:70], 70)])
        found.append(np.concatenate([prompt, model.forward([Part(cache, TOKENS[70:71])])]))
    assert all(np.array_equal(each, found[0]) for each in found)


def test_a_cache_cut_back_or_copied_goes_on_as_if_nothing_had_been(model: Model) -> None:
    expected = model.forward([Part(after(model, TOKENS[:50]), TOKENS[50:52], 2)])
    cut, copied = after(model, TOKENS[:200]), Cache(model, 100)
    copied.copy_from(cut, 50)
    cut.truncate(50)
    assert len(cut) == len(copied) == 50
    assert np.array_equal(model.forward([Part(cut, TOKENS[50:52], 2)]), expected)
    assert np.array_equal(model.forward([Part(copied, TOKENS[50:52], 2)]), expected)


def test_a_cancelled_call_leaves_caches_as_they_were(model: Model) -> None:
    cache, cancel = after(model, TOKENS[:9]), Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        model.forward([Part(cache, TOKENS[9:99])], cancel.flag)
    assert len(cache) == 9
    expected = model.forward([Part(after(model, TOKENS[:9]), TOKENS[9:20])])
    assert np.array_equal(model.forward([Part(cache, TOKENS[9:20])]), expected)


def test_what_cannot_be_done_is_refused_and_changes_nothing(model: Model, tmp_path: Path) -> None:
    other = load_model(write_gguf_model(tmp_path / "other.gguf"))
    cache, small = after(model, TOKENS[:9]), Cache(model, 3)
    for parts in (
        [Part(cache, np.array([VOCABULARY], np.int32))],
        [Part(cache, np.array([-1], np.int32))],
        [Part(cache, TOKENS[:2]), Part(small, TOKENS[:4])],
        [Part(cache, TOKENS[:2]), Part(cache, TOKENS[:2])],
        [Part(cache, TOKENS[:2]), Part(Cache(other, 8), TOKENS[:2])],
    ):
        with pytest.raises(InvalidInputError):
            model.forward(parts)
    assert (len(cache), len(small)) == (9, 0)
    with pytest.raises(InvalidInputError):
        small.copy_from(cache, 4)


@pytest.mark.parametrize("name", ["token_embd.weight", "blk.1.ffn_down.weight", "blk.0.attn_norm.weight"])
def test_tensors_that_are_not_what_they_say_are_refused_by_name(model: Model, name: str) -> None:
    good = model.checkpoint.weights[name]
    for bad in (
        Weight(good.kind, good.shape, good.data[:-4]),
        Weight(good.kind, (*good.shape[:-1], good.shape[-1] + 1), good.data),
        Weight("Q4_K", good.shape, good.data),
    ):
        weights = {**model.checkpoint.weights, name: bad}
        with pytest.raises(ModelError, match=name.removesuffix(".weight").split(".")[-1]):
            Model(dataclasses.replace(model.checkpoint, weights=weights))


def test_a_forked_child_computes_too(model: Model) -> None:
    script = """if True:
        import os, sys, warnings
        import numpy as np
        from ruvllm_mcp.llm.model import Cache, Part, load_model
        from ruvllm_mcp.native.lib import nogil
        nogil.rv_llm_set_threads(3)
        model = load_model(sys.argv[1])
        tokens = np.arange(40, dtype=np.int32)
        before = model.forward([Part(Cache(model, 64), tokens)])
        warnings.simplefilter("ignore")
        child = os.fork()
        same = np.array_equal(model.forward([Part(Cache(model, 64), tokens)]), before)
        if child:
            same = same and os.waitpid(child, 0)[1] == 0
        os._exit(0 if same else 1)
    """
    command = [sys.executable, "-c", script, str(model.checkpoint.path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_a_model_may_go_before_its_caches(tmp_path: Path) -> None:
    cache = Cache(Model(open_checkpoint(write_gguf_model(tmp_path / "tiny.gguf"))), 16)
    cache.truncate(0)
    assert len(cache) == 0

"""Quantised weights beside the `gguf` package and llama.cpp: the same numbers from the same bytes, the same types for
the same tensors, and no greater error than theirs."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize as dequantize_theirs
from gguf.quants import quantize as quantize_theirs

from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.formats.gguf_write import write_gguf
from ruvllm_mcp.formats.quants import KINDS, dequantize, quantize
from ruvllm_mcp.llm.convert import RECIPES, convert
from ruvllm_mcp.llm.files import open_checkpoint
from tests.llm.tiny import HYPERPARAMETERS
from tests.llm.vocabularies import byte_level

BLOCKS = [kind for kind in KINDS if KINDS[kind].length > 1]


@pytest.mark.parametrize("kind", BLOCKS)
def test_any_bytes_mean_the_same(kind: str) -> None:
    raw = np.random.default_rng(1).integers(0, 256, (400, 8 * KINDS[kind].dtype.itemsize), np.uint8)
    shape = (400, 8 * KINDS[kind].length)
    with np.errstate(all="ignore"):  # random scales may be infinite or NaN
        ours = dequantize(kind, raw.reshape(-1), shape)
        theirs = dequantize_theirs(raw, GGMLQuantizationType[kind])
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q4_0"])
@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_the_error_is_no_greater(kind: str, spread: float) -> None:
    chance = np.random.default_rng(2)
    values = (chance.standard_normal((256, 1024)) * chance.lognormal(0, spread, (256, 1024))).astype(np.float32) / 50
    raw = quantize(kind, values)
    ours = dequantize(kind, raw, values.shape)
    packed = quantize_theirs(values, GGMLQuantizationType[kind])
    theirs = packed.astype(np.float32) if kind == "F16" else dequantize_theirs(packed, GGMLQuantizationType[kind])
    assert np.linalg.norm(ours - values) <= np.linalg.norm(theirs - values)


@pytest.fixture(scope="module", params=[512, 96])
def wide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of F32, nine layers of so many columns, which may be whole blocks of 256 or not."""
    width, inner, tokenizer = request.param, 768, byte_level("qwen2", 300)
    keys, vocabulary = width // 2, tokenizer.judge.get_vocab_size()
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (vocabulary, width), "output_norm": (width,)}
    for layer in (f"blk.{i}" for i in range(9)):
        shapes |= {f"{layer}.attn_{part}": (width, width) for part in ("q", "output")}
        shapes |= {f"{layer}.attn_{part}": (keys, width) for part in "kv"}
        shapes |= {f"{layer}.ffn_{part}": (inner, width) for part in ("gate", "up")}
        shapes |= {f"{layer}.ffn_down": (width, inner), f"{layer}.attn_norm": (width,), f"{layer}.ffn_norm": (width,)}
    numbers = {**HYPERPARAMETERS, "embedding_length": width, "feed_forward_length": inner, "block_count": 9}
    metadata = {f"llama.{key}": value for key, value in {**numbers, "rope.dimension_count": width // 4}.items()}
    chance = np.random.default_rng(4)
    tensors = {name: chance.standard_normal(shape).astype(np.float32) / 30 for name, shape in shapes.items()}
    path = tmp_path_factory.mktemp("wide") / "f32.gguf"
    write_gguf(
        path,
        {"general.architecture": "llama", "general.file_type": 0, **metadata, **tokenizer.metadata},
        {f"{name}.weight": ("F32", values.shape, values) for name, values in tensors.items()},
    )
    return path


@pytest.mark.parametrize("recipe", ["q8_0", "q4_0", "q4_k_m", "q5_k_m"])
def test_files_are_as_good_as_those_that_llama_cpp_makes(wide: Path, tmp_path: Path, recipe: str) -> None:
    convert(open_checkpoint(wide), tmp_path / "ours.gguf", recipe)
    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype = RECIPES[recipe].file_type
    assert (
        llama_cpp.llama_model_quantize(str(wide).encode(), str(tmp_path / "theirs.gguf").encode(), ctypes.byref(how))
        == 0
    )
    if "Q5_1" in {tensor.kind for tensor in GgufFile(tmp_path / "theirs.gguf").tensors.values()}:
        pytest.skip("where rows are no whole blocks of Q5_K, theirs take Q5_1 and ours the finer Q8_0")
    exact, ours, theirs = GgufFile(wide), GgufFile(tmp_path / "ours.gguf"), GgufFile(tmp_path / "theirs.gguf")
    assert {name: tensor.kind for name, tensor in ours.tensors.items()} == {
        name: tensor.kind for name, tensor in theirs.tensors.items()
    }
    for name, tensor in ours.tensors.items():
        values = exact.view(exact.tensors[name]).view("<f4").reshape(tensor.shape)
        errors = [
            np.linalg.norm(dequantize(tensor.kind, file.view(file.tensors[name]), tensor.shape) - values)
            for file in (ours, theirs)
        ]
        assert errors[0] <= errors[1], name

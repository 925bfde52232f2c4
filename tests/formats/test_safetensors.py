"""The format as its specification words it; the `safetensors` package itself judges in tests/parity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.formats import safetensors

TENSORS = {
    "half": np.array([1.5, -2.0], np.float16),
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(7, np.int64),
    "empty": np.empty((0, 4), np.float64),
    "flags": np.array([True, False]),
}


def written(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_tensors_and_metadata_come_back() -> None:
    tensors, metadata = safetensors.loads(safetensors.dumps(TENSORS, {"made": "here", "ü": "ö"}))
    assert metadata == {"made": "here", "ü": "ö"}
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        assert np.array_equal(tensors[name], array)


def test_the_bytes_are_as_the_format_says() -> None:
    blob = safetensors.dumps({"x": np.array([1.0, 2.0], np.float32)}, {"k": "v"})
    length = int.from_bytes(blob[:8], "little")
    assert json.loads(blob[8 : 8 + length]) == {
        "__metadata__": {"k": "v"},
        "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    }
    assert blob[8 + length :] == np.array([1.0, 2.0], "<f4").tobytes()
    assert length % 8 == 0


def test_bfloat16_reads_as_float32() -> None:
    values = np.array([1.0, -3.5, 0.0], np.float32)
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    tensors, _ = safetensors.loads(written({"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}, data))
    assert np.array_equal(tensors["x"], values)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x01",
        (2**63).to_bytes(8, "little") + b"{}",
        written(b"not json", b""),
        written(b"[" * 100_000, b""),
        written([], b""),
        written({"x": 3}, b""),
        written({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}, b"12345678"),
        written({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        written({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"12345"),
        written({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}, b""),
        written({"x": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, b"1234"),
        written({"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 2**47]}}, b""),
        written({"x": {"dtype": "Q4", "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
        written({"x": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        written({"x": {"dtype": "U8", "shape": [4], "data_offsets": [1, 5]}}, b"12345"),
        written({n: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for n in "ab"}, b"1234"),
        written({"__metadata__": {"k": 1}}, b""),
    ],
)
def test_a_wrong_file_is_a_model_error(blob: bytes) -> None:
    with pytest.raises(ModelError):
        safetensors.loads(blob)


def test_no_cut_or_flipped_byte_gives_anything_but_tensors_or_a_model_error() -> None:
    blob = safetensors.dumps(TENSORS, {"made": "here"})
    random = np.random.default_rng(0)
    for cut in range(len(blob)):
        with pytest.raises(ModelError):
            safetensors.loads(blob[:cut])
    for _ in range(3000):
        mutated = bytearray(blob)
        mutated[random.integers(len(blob))] = random.integers(256)
        try:
            safetensors.loads(bytes(mutated))
        except ModelError:
            continue


def test_what_the_format_lacks_is_refused() -> None:
    for tensors in ({"x": np.array(["text"])}, {"x": np.array([1j])}, {"__metadata__": np.zeros(1)}):
        with pytest.raises(InvalidInputError):
            safetensors.dumps(tensors)
    with pytest.raises(InvalidInputError):
        safetensors.dumps({}, {"k": 1})  # type: ignore[dict-item]  # the mistake under test


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.save(path, {"x": np.zeros(2)})
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="space"):
        safetensors.save(path, {"x": np.ones(2)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        safetensors.load(tmp_path / "none")

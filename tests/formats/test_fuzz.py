"""Files made by chance: whatever a reader is given, it answers with a sound file or with a ModelError."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.files import TensorFile
from ruvllm_mcp.formats.gguf import GgufFile
from ruvllm_mcp.formats.safetensors import SafeTensorsFile

NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 8, 31, 32, 33, 256, 2**31, 2**32, 2**63, 2**64 - 1]), st.integers(0, 99)
)
TEXTS = st.one_of(st.binary(max_size=6), st.sampled_from([b"general.alignment", b"a", b"b"]))
MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def text(raw: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(raw) if length is None else length) + raw


@st.composite
def values(draw: st.DrawFn, depth: int = 0) -> bytes:
    """A value's kind and bytes, mostly well formed."""
    kind = draw(st.integers(0, 13))
    if kind == 8:
        return struct.pack("<I", 8) + text(draw(TEXTS), draw(st.none() | NUMBERS))
    if kind != 9 or depth > 5:
        return struct.pack("<I", kind) + draw(st.binary(min_size=4, max_size=8))
    items = draw(st.lists(values(depth + 1), max_size=3))
    return struct.pack("<IIQ", 9, draw(st.integers(0, 10)), draw(NUMBERS)) + b"".join(item[4:] for item in items)


@st.composite
def gguf_files(draw: st.DrawFn) -> bytes:
    pairs = draw(st.lists(st.tuples(TEXTS, values()), max_size=4))
    tensors = draw(st.lists(st.tuples(TEXTS, st.lists(NUMBERS, max_size=5), st.integers(0, 31), NUMBERS), max_size=3))
    counts = len(tensors), len(pairs)
    if draw(st.integers(0, 5)) == 0:
        counts = draw(NUMBERS), draw(NUMBERS)
    head = b"GGUF" + struct.pack("<IQQ", draw(st.sampled_from([2, 3, 3, 3, 1])), *counts)
    head += b"".join(text(key) + value for key, value in pairs)
    for name, shape, kind, offset in tensors:
        lengths = [min(length, 2**64 - 1) for length in shape]
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *lengths) + struct.pack("<IQ", kind, offset)
    return head + draw(st.binary(max_size=40)) + bytes(draw(st.integers(0, 300)))


@st.composite
def safetensors_files(draw: st.DrawFn) -> bytes:
    sizes = st.one_of(NUMBERS, st.none(), st.floats(), st.booleans(), st.text(max_size=2), st.just(10**40))
    kinds = st.sampled_from(["F32", "BF16", "U8", "I64", "F8", "", None, 3])
    tensor = st.fixed_dictionaries(
        {},
        optional={
            "dtype": kinds,
            "shape": st.lists(sizes, max_size=3) | sizes,
            "data_offsets": st.lists(sizes, min_size=1, max_size=3) | sizes,
        },
    )
    header: Any = draw(
        st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), tensor | sizes, max_size=3) | sizes
    )
    raw = json.dumps(header).encode()
    length = len(raw) if draw(st.integers(0, 5)) else draw(NUMBERS)
    return struct.pack("<Q", length) + raw + bytes(draw(st.integers(0, 300)))


def sound_or_refused(reader: type[TensorFile], path: Path) -> None:
    try:
        found = reader(path)  # type: ignore[call-arg]  # both readers take a path
    except ModelError:
        return
    for tensor in found.tensors.values():
        assert found.view(tensor).size == tensor.size <= path.stat().st_size


@MANY
@given(raw=gguf_files())
def test_any_gguf_file_is_sound_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    sound_or_refused(GgufFile, path)


@MANY
@given(raw=safetensors_files())
def test_any_safetensors_file_is_sound_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    sound_or_refused(SafeTensorsFile, path)

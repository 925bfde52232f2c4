"""GGUF files: what is written is read back, the bytes are those of the format, and no damaged file does harm."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.formats.gguf import GgufFile, Strings
from ruvllm_mcp.formats.gguf_write import write_gguf

METADATA = {
    "general.architecture": "bert",
    "a.count": np.uint32(7),
    "a.scale": np.float32(0.5),
    "a.flag": True,
    "a.ids": np.arange(5, dtype=np.int32),
    "a.words": ["", "naïve", "\u2581word"],
}
TENSORS = {
    "small": ("F32", (2, 3), np.arange(6, dtype="<f4")),
    "blocks": ("Q8_0", (2, 64), np.arange(136, dtype=np.uint8)),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    write_gguf(path, METADATA, TENSORS)
    return path


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def by_hand(*, alignment: int = 32, dimensions: tuple[int, ...] = (4, 1), kind: int = 0, offset: int = 0) -> bytes:
    """A file of one key and one tensor, written from the format's description alone."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    head += text("general.alignment") + struct.pack("<II", 4, alignment)
    head += text("t") + struct.pack("<I", len(dimensions)) + struct.pack(f"<{len(dimensions)}Q", *dimensions)
    head += struct.pack("<IQ", kind, offset)
    return head + bytes(-len(head) % 32) + struct.pack("<4f", 1, 2, 3, 4)


def test_what_was_written_is_read(file: Path) -> None:
    found = GgufFile(file)
    assert list(found.metadata) == list(METADATA)
    assert found.metadata["a.count"] == 7
    assert found.metadata["a.scale"] == 0.5
    assert found.metadata["a.flag"] is True
    assert found.metadata["a.ids"].tolist() == [0, 1, 2, 3, 4]
    assert list(found.value("a.words", Strings)) == METADATA["a.words"]
    assert found.metadata["a.words"][1:] == ["naïve", "\u2581word"]
    assert found.tensor("small", "F32", (2, 3)).view("<f4").tolist() == [0, 1, 2, 3, 4, 5]
    assert found.tensor("blocks", "Q8_0", (2, 64)).tolist() == list(range(136))
    assert all(tensor.offset % 32 == 0 for tensor in found.tensors.values())


def test_a_file_written_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hand.gguf"
    path.write_bytes(by_hand())
    assert GgufFile(path).tensor("t", "F32", (1, 4)).view("<f4").tolist() == [1, 2, 3, 4]


def test_version_2_and_nested_arrays_are_read(tmp_path: Path) -> None:
    nested = struct.pack("<IIQ", 9, 9, 2) + 2 * (struct.pack("<IQ", 0, 3) + b"abc")
    path = tmp_path / "two.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 2, 0, 1) + text("n") + nested)
    assert [row.tolist() for row in GgufFile(path).metadata["n"]] == [[97, 98, 99]] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alignment": 0}, "power of two"),
        ({"alignment": 24}, "power of two"),
        ({"dimensions": ()}, "dimensions"),
        ({"dimensions": (1, 1, 1, 1, 1)}, "dimensions"),
        ({"dimensions": (0, 4)}, "shape"),
        ({"dimensions": (2**63, 2**63, 2**63)}, "outside"),
        ({"dimensions": (4,), "kind": 8}, "shape"),
        ({"kind": 99}, "type 99"),
        ({"offset": 7}, "outside"),
        ({"offset": 2**63}, "outside"),
    ],
)
def test_a_lying_tensor_is_refused(tmp_path: Path, changes: dict[str, int], message: str) -> None:
    path = tmp_path / "lie.gguf"
    path.write_bytes(by_hand(**changes))  # type: ignore[arg-type]  # each case sets one of the keywords
    with pytest.raises(ModelError, match=message):
        GgufFile(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (struct.pack("<IQQ", 4, 0, 0), "version 4"),
        (struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (struct.pack("<IQQ", 3, 0, 2**64 - 1), "claims"),
        (struct.pack("<IQQ", 3, 2**64 - 1, 0), "claims"),
        (struct.pack("<IQQ", 3, 0, 9), "ends early"),
        (struct.pack("<IQQ", 3, 9, 0), "ends early"),
        (struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**64 - 1), "name of"),
        (struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 2**61), "strings"),
        (struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 4, 2**62), "ends early"),
        (struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 1) + struct.pack("<Q", 99), "array"),
        (struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 9) + 6 * struct.pack("<IQ", 9, 1), "nests"),
        (struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 13), "kind 13"),
        (struct.pack("<IQQ", 3, 0, 2) + 2 * (text("k") + struct.pack("<IB", 0, 1)), "twice"),
        (struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2) + b"\xff\xfe" + struct.pack("<IB", 0, 1), "UTF-8"),
    ],
)
def test_a_lying_header_is_refused(tmp_path: Path, body: bytes, message: str) -> None:
    path = tmp_path / "lie.gguf"
    path.write_bytes(b"GGUF" + body)
    with pytest.raises(ModelError, match=message):
        GgufFile(path)


def test_tensors_that_share_bytes_are_refused(tmp_path: Path) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 0)
    for name in "ab":
        head += text(name) + struct.pack("<IQIQ", 1, 4, 0, 0)
    path = tmp_path / "twice.gguf"
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(16))
    with pytest.raises(ModelError, match="over 'a'"):
        GgufFile(path)


def test_a_missing_or_empty_or_other_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        GgufFile(tmp_path / "none.gguf")
    for raw in (b"", b"PK\x03\x04" + bytes(100)):
        (tmp_path / "other.gguf").write_bytes(raw)
        with pytest.raises(ModelError):
            GgufFile(tmp_path / "other.gguf")


def test_every_cut_is_refused_and_no_changed_byte_does_harm(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    damaged = tmp_path / "damaged.gguf"
    for length in (*range(0, 480, 7), *range(480, len(whole) - 24, 61)):  # the last tensor's padding may go
        damaged.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            GgufFile(damaged)
    chance = random.Random(5)
    for _ in range(600):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(420)] = chance.choice((0, 1, 8, 9, 127, 255, chance.randrange(256)))
        damaged.write_bytes(raw)
        try:
            found = GgufFile(damaged)
        except ModelError:
            continue
        for tensor in found.tensors.values():
            assert found.view(tensor).size == tensor.size


def test_a_tensor_of_another_kind_or_shape_is_refused(file: Path) -> None:
    found = GgufFile(file)
    for name, kind, shape in (("small", "F16", (2, 3)), ("small", "F32", (3, 2)), ("none", "F32", (2, 3))):
        with pytest.raises(ModelError, match=name):
            found.tensor(name, kind, shape)
    with pytest.raises(ModelError, match="wanted str"):
        found.value("a.count", str)


def test_the_writer_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        write_gguf(tmp_path / "x", {"k": object()}, {})
    with pytest.raises(InvalidInputError):
        write_gguf(tmp_path / "x", {"k": np.array(["a"])}, {})
    with pytest.raises(InvalidInputError):
        write_gguf(tmp_path / "x", {}, {"t": ("Q8_0", (2, 32), np.zeros(67, np.uint8))})

"""The hashing embedder: unit vectors of any width that tell related texts from unrelated ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ruvllm_mcp import embed
from ruvllm_mcp.embed.hashing import Hashing
from ruvllm_mcp.errors import InvalidInputError, SettingsError


@pytest.mark.parametrize("dim", [8, 100, 384, 4096])
def test_vectors_have_unit_length_and_the_width_asked_for(dim: int) -> None:
    vectors = Hashing(dim).encode(["def parse(header)", "naïve café", "!", " ", "日本語のテキスト"]).vectors
    assert vectors.shape == (5, dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("how do I parse an HTTP header", "parsing of HTTP headers", "the cat sat on the mat"),
        ("Wie lautet die Adresse des Servers?", "Die Serveradresse lautet 10.0.0.1", "Morgen gibt es Suppe"),
        ("база данных не отвечает", "базы данных", "утром шёл дождь"),
    ],
)
def test_related_texts_are_nearer_than_unrelated_ones(text: str, near: str, far: str) -> None:
    one, two, three = Hashing().encode([text, near, far]).vectors
    assert one @ two > one @ three + 0.1


def test_case_and_width_do_not_matter_but_order_does() -> None:
    one, same, other = Hashing().encode(["Read FILE", "read ｆｉｌｅ", "file read"]).vectors
    np.testing.assert_array_equal(one, same)
    assert one @ other < 0.99


def test_another_process_gives_the_same_bits() -> None:
    script = (
        "from ruvllm_mcp import embed; print(embed.load('hashing:64').encode(['a b c', 'é']).vectors.tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == embed.load("hashing:64").encode(["a b c", "é"]).vectors.tobytes().hex()


def test_names_and_widths_out_of_range_are_refused() -> None:
    for name in ("hashing:", "hashing:x", "word2vec", ""):
        with pytest.raises(SettingsError):
            embed.load(name)
    for name in ("hashing:7", "hashing:70000"):
        with pytest.raises(InvalidInputError):
            embed.load(name)
    assert embed.load("hashing:512") is embed.load("hashing:512")

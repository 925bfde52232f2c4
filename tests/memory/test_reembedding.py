"""A store whose embedder changed: embedded anew behind the searches, never mixed, and gone on with after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ruvllm_mcp.embed.base import Encoded
from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.memory import upkeep
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.types import NewMemory
from tests.memory.conftest import WordEmbedder

ROOT = Path(__file__).parent.parent.parent
COUNT = 200
TOPICS = ("apple", "boat", "cloud", "drum", "engine", "forest", "glass", "honey", "island")
DYING = """
import sys
from pathlib import Path
from tests.memory.conftest import WordEmbedder
from ruvllm_mcp.memory.memory import Memory

class Dying(WordEmbedder):
    def encode(self, texts, *, tokens=False):
        if self.encoded > 100:
            print(self.encoded, flush=True)
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(texts, tokens=tokens)

embedder = Dying("words-2")
memory = Memory(Path(sys.argv[1]), lambda: embedder, namespace="here")
memory.search("memory")
memory._live._reembedding._thread.join()
"""


class Gated(WordEmbedder):
    """Another embedder that encodes batches only once it may."""

    def __init__(self) -> None:
        super().__init__("words-2")
        self.gate = threading.Event()

    def encode(self, texts: list[str], *, tokens: bool = False) -> Encoded:  # type: ignore[override]  # lists only here
        if len(texts) > 1:
            assert self.gate.wait(20)
        return super().encode(texts, tokens=tokens)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    embedder = WordEmbedder()
    memory = Memory(tmp_path / "home", lambda: embedder, namespace="here")
    memory.add([NewMemory(f"memory number {n} about {TOPICS[n % 9]}") for n in range(COUNT)])
    memory.close()
    return tmp_path / "home"


def finished(memory: Memory) -> None:
    thread = memory._live._reembedding._thread
    assert thread is not None
    thread.join(20)


def test_searches_go_on_by_words_while_the_rest_is_embedded_behind_them(home: Path) -> None:
    embedder = Gated()
    memory = Memory(home, lambda: embedder, namespace="here")
    assert {hit.id for hit in memory.search("drum", 300, mode="lexical").hits} == set(range(4, COUNT + 1, 9))
    assert not memory.search("drum", 300, mode="vector").hits, "the other embedder's vectors are never compared"
    assert memory.stats()["unembedded"] == COUNT
    assert memory.add([NewMemory("a new one meanwhile")])[0] == COUNT + 1
    assert len(memory.search("drum", 300, mode="vector").hits) == 1
    embedder.gate.set()
    finished(memory)
    hits = memory.search("memory number 7 about honey", 300, mode="vector").hits
    assert len(hits) == COUNT + 1
    query = embedder.encode(["memory number 7 about honey"]).vectors[0]
    for hit in hits:
        assert hit.similarity == pytest.approx(
            float(np.dot(query, embedder.encode([hit.content]).vectors[0])), abs=1e-5
        )
    assert memory.stats()["unembedded"] == 0
    memory.close()


def test_the_first_embedder_still_has_its_vectors(home: Path) -> None:
    new, old = WordEmbedder("words-2"), WordEmbedder()
    second = Memory(home, lambda: new, namespace="here")
    done: list[tuple[int, int]] = []
    assert second.reembed(lambda *progress: done.append(progress)) == COUNT
    assert done[-1] == (COUNT, COUNT)
    assert second.reembed() == 0
    second.close()
    first = Memory(home, lambda: old, namespace="here")
    assert len(first.search("drum", 300, mode="vector").hits) == COUNT
    assert old.encoded == 1, "only the query was embedded"
    first.close()


def test_a_kill_in_the_middle_loses_a_batch_at_most(home: Path) -> None:
    command = [sys.executable, "-c", DYING, str(home)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    embedder = WordEmbedder("words-2")
    memory = Memory(home, lambda: embedder, namespace="here")
    left = memory.unembedded()
    assert 0 < left <= COUNT - int(killed.stdout) + upkeep.BATCH_BEHIND
    memory.search("memory")
    finished(memory)
    assert memory.stats()["unembedded"] == 0
    assert embedder.encoded <= left + 1, "what was written before the kill is not embedded again"
    assert len(memory.search("memory", 300, mode="vector").hits) == COUNT
    memory.close()


def test_an_embedder_that_fails_stops_neither_searches_nor_the_process(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(WordEmbedder):
        def encode(self, texts: list[str], *, tokens: bool = False) -> Encoded:  # type: ignore[override]  # lists only here
            if len(texts) > 1:
                raise ModelError("The weights are gone.", "Reinstall.")
            return super().encode(texts, tokens=tokens)

    embedder = Failing("words-2")
    memory = Memory(home, lambda: embedder, namespace="here")
    assert memory.search("drum").hits
    finished(memory)
    assert "weights are gone" in caplog.text
    with pytest.raises(ModelError):
        memory.reembed()
    memory.close()

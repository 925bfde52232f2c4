"""Models by name: registered where they are or as copies, found again, forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruvllm_mcp.errors import InvalidInputError, ModelError, NotFoundError
from ruvllm_mcp.llm import registry
from ruvllm_mcp.llm.files import open_checkpoint
from tests.llm.tiny import write_folder, write_gguf_model


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_name_leads_to_the_file_where_it_is(home: Path, tmp_path: Path) -> None:
    path = write_gguf_model(tmp_path / "My model (v1).gguf")
    assert registry.models(home) == ()
    added = registry.add(home, path)
    assert (added.name, added.path, added.is_copy, added.is_there) == ("My-model-v1-", path, False, True)
    assert registry.models(home) == (added,)
    assert registry.find(home, "My-model-v1-") == path
    assert registry.find(home, str(path)) == path
    assert registry.remove(home, added.name) == added
    assert registry.models(home) == ()
    assert path.exists()


def test_a_copy_is_private_and_goes_with_its_name(home: Path, tmp_path: Path) -> None:
    file, folder = write_gguf_model(tmp_path / "m.gguf"), write_folder(tmp_path / "f")
    one = registry.add(home, file, "one", copy=True)
    two = registry.add(home, folder, "two", copy=True)
    file.unlink()
    assert one.is_copy
    assert registry.find(home, "one") == home / "models" / "one"
    assert (home / "models").stat().st_mode & 0o777 == 0o700
    assert one.path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in two.path.iterdir()} == {path.name for path in folder.iterdir()}
    registry.remove(home, "one")
    registry.remove(home, "two")
    assert list((home / "models").iterdir()) == []
    assert folder.exists()


def test_what_is_gone_is_said_and_can_be_forgotten(home: Path, tmp_path: Path) -> None:
    path = write_gguf_model(tmp_path / "m.gguf")
    registry.add(home, path)
    path.unlink()
    assert [model.is_there for model in registry.models(home)] == [False]
    with pytest.raises(ModelError, match="gone"):
        registry.find(home, "m")
    registry.remove(home, "m")
    with pytest.raises(ModelError, match="models add"):
        registry.find(home, "m")
    with pytest.raises(ModelError, match="no file"):
        registry.find(home, str(path))


def test_wrong_names_and_files_are_refused_and_leave_nothing(home: Path, tmp_path: Path) -> None:
    path = write_gguf_model(tmp_path / "m.gguf")
    for name in ("", "../m", "a/b", ".m", "-m", "m" * 101, "m\n", "extractive", "echo"):
        with pytest.raises(InvalidInputError, match="cannot be called"):
            registry.add(home, path, name)
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    with pytest.raises(ModelError):
        registry.add(home, other)
    registry.add(home, path, "m")
    for copy in (False, True):
        with pytest.raises(InvalidInputError, match="already"):
            registry.add(home, path, "m", copy=copy)
    assert [entry.name for entry in (home / "models").iterdir()] == ["m"]
    with pytest.raises(NotFoundError, match="Registered are m"):
        registry.remove(home, "../models/m")


def test_what_is_no_path_is_no_model(home: Path) -> None:
    for name in ("m" * 5000, "~nobody-of-that-name/m.gguf", "a\0b", ""):
        with pytest.raises(ModelError, match=r"no model|no file|json"):
            open_checkpoint(registry.find(home, name))
        with pytest.raises(ModelError):
            registry.add(home, Path(name))
    with pytest.raises(ModelError, match="cannot be read"):
        open_checkpoint("m" * 5000)

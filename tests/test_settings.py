"""Where a setting comes from, and what happens when it is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ruvllm_mcp.errors import SettingsError
from ruvllm_mcp.project import namespace_of, root_of
from ruvllm_mcp.settings import Settings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own as working directory, a home of its own, no RUVLLM_ variable set."""
    for item in dataclasses.fields(Settings):
        monkeypatch.delenv(f"RUVLLM_{item.name.upper()}", raising=False)
    monkeypatch.setenv("RUVLLM_HOME", str(tmp_path / "home"))
    root = tmp_path / "work" / "shop"
    (root / ".git").mkdir(parents=True)
    (root / "deep").mkdir()
    monkeypatch.chdir(root / "deep")
    (tmp_path / "home").mkdir()
    return root


def test_arguments_beat_environment_beats_project_file_beats_user_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load().embedder == "minilm"
    (tmp_path / "home" / "ruvllm.toml").write_text('embedder = "static"\nnamespace = "mine"\nthreads = 3\n')
    assert (Settings.load().embedder, Settings.load().namespace) == ("static", "mine")
    (project / "ruvllm.toml").write_text('namespace = "ours"\n')
    assert (Settings.load().namespace, Settings.load().threads) == ("ours", 3)
    monkeypatch.setenv("RUVLLM_NAMESPACE", "env")
    assert Settings.load().namespace == "env"
    assert Settings.load(namespace="argument").namespace == "argument"
    assert Settings.load(namespace=None).namespace == "env"


@pytest.mark.parametrize(
    ("name", "value", "accepts"),
    [
        ("threads", 0, "whole number from 1 to 256"),
        ("threads", True, "whole number from 1 to 256"),
        ("threads", "many", "whole number from 1 to 256"),
        ("learning_enabled", "perhaps", "true or false"),
        ("namespace", "  ", "1 to 200 printable characters"),
        ("namespace", "a\nb", "1 to 200 printable characters"),
        ("embedder", "gpt", "minilm"),
        ("home", 7, "a folder's path"),
        ("model", "", "extractive, echo, or a model's name or path"),
        ("warm_pool_size", 0, "whole number from 1 to 64"),
        ("model_memory", 0, "whole number from 1 to"),
        ("batch_size", 65, "whole number from 1 to 64"),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_value_out_of_range_names_the_setting_and_what_it_accepts(name: str, value: object, accepts: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.load(**{name: value})
    assert accepts in str(caught.value)


@pytest.mark.usefixtures("project")
def test_an_unknown_setting_is_an_error_in_every_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="colour"):
        Settings.load(colour="red")
    (tmp_path / "home" / "ruvllm.toml").write_text("colour = 1\n")
    with pytest.raises(SettingsError, match=r"colour.*ruvllm\.toml"):
        Settings.load()


def test_a_projects_file_may_not_move_the_store(project: Path) -> None:
    (project / "ruvllm.toml").write_text('home = "/elsewhere"\n')
    with pytest.raises(SettingsError, match="may not set 'home'"):
        Settings.load()


def test_a_broken_file_is_named(project: Path) -> None:
    (project / "ruvllm.toml").write_text("= = =")
    with pytest.raises(SettingsError, match="not valid TOML"):
        Settings.load()


def test_namespace_is_the_remotes_name_or_a_name_no_other_folder_has(project: Path, tmp_path: Path) -> None:
    assert root_of(project / "deep") == project
    assert namespace_of(project).startswith("shop~")
    other = tmp_path / "play" / "shop"
    other.mkdir(parents=True)
    assert namespace_of(other) != namespace_of(project)
    config = project / ".git" / "config"
    for url in (
        "git@example.org:acme/shop.git",
        "https://example.org/acme/shop",
        "ssh://git@example.org/acme/shop.git/",
    ):
        config.write_text(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {url}\n')
        assert namespace_of(project / "deep") == "acme/shop"


def test_a_linked_worktree_shares_its_repositorys_namespace(project: Path, tmp_path: Path) -> None:
    (project / ".git" / "worktrees" / "fix").mkdir(parents=True)
    (project / ".git" / "worktrees" / "fix" / "commondir").write_text("../..\n")
    worktree = tmp_path / "fix"
    worktree.mkdir()
    (worktree / ".git").write_text(f"gitdir: {project / '.git' / 'worktrees' / 'fix'}\n")
    assert namespace_of(worktree) == namespace_of(project)


def test_the_address_of_a_database_is_a_setting_whose_password_nobody_sees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = "postgresql://ann:s3cr3t@db.example:5432/team?sslmode=require&password=s3cr3t"
    monkeypatch.setenv("RUVLLM_STORE", secret)
    settings = Settings.load(home=tmp_path)
    assert settings.store == secret
    assert "s3cr3t" not in repr(settings) + str(settings.shown())
    assert settings.shown()["store"].startswith("postgresql://ann:***@db.example:5432/team?sslmode=require")
    for wrong in ("mysql://ann:s3cr3t@db/team", "postgresql//ann:s3cr3t@db"):
        with pytest.raises(SettingsError, match="store") as refused:
            Settings(store=wrong)
        assert "s3cr3t" not in str(refused.value)

"""The kernelspec goes where it is told to, and comes away again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from ruvllm_kernel.install import SOURCE, main


def test_installed_kernelspec_is_one_jupyter_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["install", "--prefix", str(tmp_path)]) == 0
    kernels = tmp_path / "share" / "jupyter" / "kernels"
    assert str(kernels / "ruvllm") in capsys.readouterr().out
    spec = KernelSpecManager(kernel_dirs=[str(kernels)]).get_kernel_spec("ruvllm")
    assert spec.display_name == "Python 3 (RuvLLM)"
    assert spec.language == "python"
    assert spec.argv[0] == sys.executable
    assert "--ext=ruvllm_mcp" in spec.argv
    assert sorted(path.name for path in (kernels / "ruvllm").iterdir()) == sorted(
        path.name for path in SOURCE.iterdir()
    )
    assert [path.name for path in kernels.iterdir()] == ["ruvllm"]
    assert main(["uninstall", "--prefix", str(tmp_path)]) == 0
    assert not list(kernels.iterdir())


def test_user_install_goes_to_the_users_jupyter_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    assert main(["install", "--user"]) == 0
    assert (tmp_path / "kernels" / "ruvllm" / "logo-svg.svg").exists()
    assert main(["uninstall", "--user"]) == 0
    assert not (tmp_path / "kernels" / "ruvllm").exists()


def test_shipped_kernelspec_lets_jupyter_put_in_its_own_python() -> None:
    assert json.loads((SOURCE / "kernel.json").read_text())["argv"][0] == "python"


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "share").write_text("a file in the way")
    assert main(["install", "--prefix", str(tmp_path)]) == 1
    assert main(["uninstall", "--prefix", str(tmp_path / "nowhere")]) == 1
    refused, missing = capsys.readouterr().err.splitlines()
    assert "Choose another place with --user" in refused
    assert "No kernel is installed" in missing


@pytest.mark.parametrize("arguments", [[], ["frob"], ["install", "--user", "--sys-prefix"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

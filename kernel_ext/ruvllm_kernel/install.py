"""The kernelspec "Python 3 (RuvLLM)": an ordinary ipykernel of this Python that starts with the extension loaded.

A wheel puts the kernelspec where Jupyter finds it. Editable installs leave such data files out, and a Jupyter in
another environment does not see them: for these there is `python -m ruvllm_kernel install`, which names this
interpreter in full.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "ruvllm"
SOURCE = Path(__file__).parent / "kernelspec"


def kernel_json() -> dict[str, Any]:
    """The shipped kernelspec with this interpreter's full path and what the ipykernel here says it can do.

    Raises ModuleNotFoundError without ipykernel.
    """
    from ipykernel.kernelspec import get_kernel_dict

    spec: dict[str, Any] = json.loads((SOURCE / "kernel.json").read_text(encoding="utf-8"))
    argv = [sys.executable, *spec["argv"][1:]]
    return {**spec, "argv": argv, "metadata": {**spec["metadata"], **get_kernel_dict()["metadata"]}}


def folder(*, user: bool = False, prefix: str | None = None) -> Path:
    """Where the kernelspec goes: the user's Jupyter data folder, or the one below `prefix`."""
    from jupyter_core.paths import jupyter_data_dir

    data = Path(jupyter_data_dir()) if user else Path(prefix or sys.prefix).absolute() / "share" / "jupyter"
    return data / "kernels" / NAME


def install(target: Path) -> None:
    """Write the kernelspec to `target`, replacing the one that is there. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{NAME}-") as workshop:
        made = Path(workshop) / NAME
        shutil.copytree(SOURCE, made)
        (made / "kernel.json").write_text(json.dumps(kernel_json(), indent=1) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m ruvllm_kernel install|uninstall`; gives the exit code."""
    given = _parser().parse_args(arguments)
    try:
        target = folder(user=given.user or not (given.prefix or _in_environment()), prefix=given.prefix)
        if given.action == "install":
            install(target)
            print(f"Installed the kernel “{kernel_json()['display_name']}” in {target}.")
        elif target.exists():
            shutil.rmtree(target)
            print(f"Removed {target}.")
        else:
            print(
                f"No kernel is installed in {target}. Say where with --user, --sys-prefix or --prefix.", file=sys.stderr
            )
            return 1
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing. Run: pip install 'ruvllm-mcp[notebook]'", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error}. Choose another place with --user, --sys-prefix or --prefix.", file=sys.stderr)
        return 1
    return 0


def _in_environment() -> bool:
    return sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").is_dir()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ruvllm_kernel", description="The Jupyter kernel “Python 3 (RuvLLM)”.", allow_abbrev=False
    )
    parser.add_argument("action", choices=("install", "uninstall"))
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--user", action="store_true", help="for this user")
    place.add_argument(
        "--sys-prefix",
        dest="prefix",
        action="store_const",
        const=sys.prefix,
        help="into this Python's environment (the default inside one; else --user)",
    )
    place.add_argument("--prefix", metavar="FOLDER", help="into the environment in FOLDER")
    return parser

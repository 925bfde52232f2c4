"""A real ipykernel, started from the installed kernelspec: messages, the Stop button, subshells, completion, exit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from ruvllm_kernel import install
from tests.llm.story import BEGINNING, OPENING
from tests.llm.talker import write_talker

PATIENCE_SECONDS = 30
# A search that ends only when it is cancelled, and says when it has begun and when it was cancelled.
ENDLESS_SEARCH = """
import asyncio
from ruvllm_mcp import RuvLLM
async def endless(self, *arguments, **options):
    print("searching")
    try:
        await asyncio.Event().wait()
    finally:
        print("cancelled")
real_search, RuvLLM.search_memory = RuvLLM.search_memory, endless
"""
REAL_SEARCH = "RuvLLM.search_memory = real_search"


class Kernel:
    """One kernel and its client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def start(self, code: str, subshell: str | None = None) -> str:
        """Send a cell, which will not take the next one along if it fails; the id of the request."""
        content = {"code": code, "store_history": False, "stop_on_error": False}
        message = self.client.session.msg("execute_request", content)
        message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def reply(self, request: str) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=PATIENCE_SECONDS)
            if message["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = message["content"]
                return content

    def outputs(self, request: str, until: str | None = None) -> list[dict[str, Any]]:
        """What the cell put out, up to a printed `until` or to its end."""
        found: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE_SECONDS)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                assert until is None, f"ended without printing {until!r}"
                return found
            if message["msg_type"] in ("stream", "execute_result", "error", "display_data", "update_display_data"):
                found.append(message["content"])
            if until is not None and until in message["content"].get("text", ""):
                return found

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell to its end; raises if it failed."""
        request = self.start(code)
        reply = self.reply(request)
        assert reply["status"] == "ok", reply
        return self.outputs(request)

    def subshell(self) -> str:
        message = self.client.session.msg("create_subshell_request")
        self.client.control_channel.send(message)
        reply = self.client.get_control_msg(timeout=PATIENCE_SECONDS)
        return str(reply["content"]["subshell_id"])


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    assert install.main(["install", "--prefix", str(folder)]) == 0
    specs = KernelSpecManager(kernel_dirs=[str(folder / "share" / "jupyter" / "kernels")])
    manager = KernelManager(kernel_name="ruvllm", kernel_spec_manager=specs)
    environment = {
        "RUVLLM_HOME": str(folder / "home"),
        "RUVLLM_NAMESPACE": "tests",
        "RUVLLM_EMBEDDER": "hashing",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    manager.start_kernel(env={**os.environ, **environment}, cwd=str(folder))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE_SECONDS)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel()


def test_kernelspec_starts_a_kernel_with_the_extension_loaded(kernel: Kernel) -> None:
    kernel.run("%ruvllm add HTTP 503 is retried with exponential backoff.")
    (shown,) = kernel.run("%ruvllm search when is 503 retried?")
    assert "exponential backoff" in shown["data"]["text/html"]
    assert shown["data"]["text/plain"].startswith("1 memory for “when is 503 retried?”")


def test_error_is_one_red_line_and_a_failed_cell(kernel: Kernel) -> None:
    request = kernel.start("%ruvllm get 999")
    reply = kernel.reply(request)
    assert (reply["status"], reply["ename"]) == ("error", "NotFoundError")
    assert len(reply["traceback"]) == 1
    assert reply["traceback"][0].startswith("\x1b[31mNotFoundError: There is no memory 999")
    (shown,) = kernel.outputs(request)
    assert shown["traceback"] == reply["traceback"]


@pytest.mark.parametrize(
    "cell", ["%ruvllm search x", "await asyncio.sleep(0)\n%ruvllm search x"], ids=["plain", "await"]
)
def test_stop_button_cancels_the_command_and_the_kernel_goes_on(kernel: Kernel, cell: str) -> None:
    kernel.run(ENDLESS_SEARCH)
    request = kernel.start(cell)
    kernel.outputs(request, until="searching")
    kernel.manager.interrupt_kernel()
    reply = kernel.reply(request)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert [line.strip("\x1b[0123456789m") for line in reply["traceback"]] == ["Stopped."]
    kernel.run(REAL_SEARCH)
    (shown,) = kernel.run("%ruvllm search 503")
    assert "503" in shown["data"]["text/plain"]


def test_stop_magic_ends_a_command_in_a_subshell_which_no_signal_reaches(kernel: Kernel) -> None:
    kernel.run(ENDLESS_SEARCH)
    request = kernel.start("%ruvllm search x", subshell=kernel.subshell())
    kernel.outputs(request, until="searching")
    stop = kernel.start("%ruvllm stop")
    replies = {}
    while len(replies) < 2:
        message = kernel.client.get_shell_msg(timeout=PATIENCE_SECONDS)
        replies[message["parent_header"]["msg_id"]] = message["content"]
    assert replies[request]["ename"] == "StoppedError"
    assert replies[stop]["status"] == "ok"
    kernel.run(REAL_SEARCH)


def test_text_grows_in_the_cell_and_stop_ends_it(kernel: Kernel, tmp_path: Path) -> None:
    model = write_talker(tmp_path / "talker.gguf", endless=True)
    greedy = f"%ruvllm generate --model {model} --temperature 0 --max-tokens"
    *growing, taken_away, result = kernel.run(f"{greedy} 300 Hi")
    whole = result["data"]["text/plain"]
    assert "300 tokens" in whole
    assert growing
    assert whole.startswith(growing[0]["data"]["text/plain"].split()[0])
    assert all("data" in shown for shown in growing)
    assert taken_away["data"] == {}
    request = kernel.start(f"{greedy} 4096 Hi")
    while "data" not in (shown := kernel.client.get_iopub_msg(timeout=PATIENCE_SECONDS)["content"]):
        pass
    kernel.manager.interrupt_kernel()
    reply = kernel.reply(request)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert whole.startswith(shown["data"]["text/plain"].split()[0])
    kernel.outputs(request)
    assert "8 tokens" in kernel.run(f"{greedy} 8 Hi")[-1]["data"]["text/plain"]


def test_a_story_is_told_in_a_notebook(kernel: Kernel, story: Path) -> None:
    shown = kernel.run(f"%%ruvllm generate --model {story} --temperature 0 --max-tokens 60\n{OPENING}")[-1]
    assert BEGINNING in " ".join(shown["data"]["text/plain"].split())


def test_tab_completes_through_the_kernel(kernel: Kernel) -> None:
    for text, found in {
        "%ruvllm sea": ["search"],
        "x = 1\nhits = %ruvllm search --mode ": ["hybrid", "vector", "lexical"],
        "%ruvllm list --namespace ": ["tests"],
    }.items():
        request = kernel.client.complete(text)
        reply = kernel.reply(request)
        assert reply["matches"] == found
        assert found[0].startswith(text[reply["cursor_start"] :])


def test_ending_the_kernel_closes_the_store(kernel: Kernel) -> None:
    (shown,) = kernel.run("%ruvllm info")
    home = Path(next(line for line in shown["data"]["text/plain"].splitlines() if "home" in line).split()[1])
    assert list(home.glob("*-wal"))
    kernel.manager.shutdown_kernel()
    assert not list(home.glob("*-wal"))

"""The command `ruvllm-mcp`: serve the memory to MCP clients, over stdio or over HTTP on loopback.

What counts here is the start: clients wait for the handshake, so this file imports nothing but the standard library
until the arguments are read, the store and the model are opened only after the first answer is out, and the garbage
collector rests while the SDK is imported (it builds a great many objects, all of which stay).
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ruvllm_mcp import __version__
from ruvllm_mcp.errors import RuvLLMError

if TYPE_CHECKING:
    import anyio

    from ruvllm_mcp.engine.engine import RuvLLM

logger = logging.getLogger(__name__)
DEFAULT_PORT = 8765
EPILOG = """\
add it to Claude Code:  claude mcp add ruvllm -- ruvllm-mcp
Cursor, VS Code:        {"command": "ruvllm-mcp"} under "mcpServers" (Cursor) or "servers" (VS Code) in mcp.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the client leaves or SIGINT or SIGTERM comes. Exit code 0, 2 when it could not start, 130 when
    interrupted before it had."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(
        level=given.log_level.upper(), format="ruvllm-mcp: %(levelname)s: %(message)s", stream=sys.stderr
    )
    gc.disable()
    try:
        if given.http:
            _run_http(given)
        else:
            _run_stdio(given)
    except RuvLLMError as error:
        print(f"ruvllm-mcp: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # before there was anything to close: later, SIGINT is an orderly end
    finally:
        gc.enable()
    return 0


def _run_stdio(given: argparse.Namespace) -> None:
    from ruvllm_mcp.mcp_server.wire import stdio_wires

    with stdio_wires() as (wire_in, wire_out):
        import anyio

        anyio.run(serve_stdio, _engine(given), wire_in, wire_out)


def _run_http(given: argparse.Namespace) -> None:
    import anyio

    from ruvllm_mcp.mcp_server.http import serve_http

    anyio.run(serve_http, _engine(given), given.port)


def _engine(given: argparse.Namespace) -> RuvLLM:
    from ruvllm_mcp.engine.engine import RuvLLM

    return RuvLLM(home=given.home, namespace=given.namespace, embedder=given.embedder, model=given.model)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ruvllm-mcp",
        description="A local memory for coding agents, as an MCP server on stdin and stdout.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ruvllm-mcp {__version__}")
    parser.add_argument(
        "--home", metavar="FOLDER", help="folder of the store (default: $RUVLLM_HOME, else your data folder)"
    )
    parser.add_argument(
        "--namespace", metavar="NAME", help="where memories go by default (default: the project's name)"
    )
    parser.add_argument("--embedder", metavar="NAME", help="what turns text into vectors (default: minilm)")
    parser.add_argument("--model", metavar="NAME", help="what writes answers (default: extractive, which quotes)")
    parser.add_argument("--http", action="store_true", help="serve streamable HTTP on 127.0.0.1 with a bearer token")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"port of --http, 0 for any free one (default: {DEFAULT_PORT})"
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="warning", help="what is logged on stderr"
    )
    return parser


async def serve_stdio(llm: RuvLLM, wire_in: int, wire_out: int) -> None:
    """One client over two descriptors, until it closes one of them or a signal asks to stop."""
    import anyio

    from ruvllm_mcp.mcp_server.app import build_server
    from ruvllm_mcp.mcp_server.stdio import stdio_streams

    server = build_server(llm)
    gc.freeze()
    gc.enable()
    answered = anyio.Event()
    async with llm, anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, tasks.cancel_scope.cancel)
        tasks.start_soon(warm_up, llm, answered)
        async with stdio_streams(wire_in, wire_out, answered.set) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        tasks.cancel_scope.cancel()


async def warm_up(llm: RuvLLM, when: anyio.Event | None = None) -> None:
    """Open store and model (over stdio: once the handshake is answered), so that the first search need not wait."""
    if when is not None:
        await when.wait()
    try:
        await llm.warm_up()
    except RuvLLMError as error:
        logger.warning("%s", error)  # the calls that need it will say the same to the client
    except Exception:
        logger.exception("Warming up failed")  # never a reason to leave a client that may need none of it


async def stop_on_signal(stop: Callable[[], object]) -> None:
    """Calls `stop` at the first SIGINT or SIGTERM; a second one ends the process at once."""
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            logger.info("Stopping on %s", number.name)
            stop()
            return


if __name__ == "__main__":
    sys.exit(main())

"""The `ruvllm` command: its groups joined, and every way it can end turned into an exit code.

Nothing raised on purpose reaches the user as a traceback: the error family, wrong usage, Ctrl-C and a reader that went
away each end in one line and a documented code (`errors.MEANINGS`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ruvllm_mcp import __version__
from ruvllm_mcp.cli import (
    about,
    ask,
    benchmark,
    doctor,
    generate,
    learn,
    memory_files,
    memory_read,
    memory_store,
    memory_write,
    models,
    output,
    state,
    vectors,
)
from ruvllm_mcp.cli.errors import BROKEN_PIPE, MEANINGS, tell, tell_interrupted, tell_usage
from ruvllm_mcp.cli.session import Group, ReaderGoneError, Session
from ruvllm_mcp.errors import RuvLLMError

memory = Group("memory", help="Add, find and manage memories.", no_args_is_help=True)
for part in (
    memory_write.add,
    memory_read.search,
    memory_read.get,
    memory_read.list_,
    memory_write.update,
    memory_write.delete,
    memory_files.import_,
    memory_files.export,
    memory_write.link,
    memory_write.prune,
    memory_store.namespaces,
    memory_store.limit,
    memory_store.reembed,
    memory_store.migrate,
):
    memory.add_command(part)

EXAMPLES = """\b
Try:
  ruvllm memory import .
  ruvllm memory search "where are secrets removed?"
  ruvllm memory add "Releases go out on Tuesdays." -m team=web
  git log -1 --format=%B | ruvllm memory add - --kind decision
"""
EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"  {code:<3}  {meaning}" for code, meaning in MEANINGS.items())

ruvllm = Group(
    "ruvllm",
    help="A local memory for coding agents and notebooks.",
    epilog=f"{EXAMPLES}\n{EXIT_CODES}",
    no_args_is_help=True,
)
click.version_option(__version__, message="%(prog)s %(version)s")(ruvllm)
for command in (
    memory,
    ask.query,
    generate.generate,
    generate.chat,
    ask.context,
    ask.feedback,
    learn.learn,
    benchmark.benchmark,
    models.models,
    vectors.embed,
    vectors.similarity,
    about.stats,
    state.export,
    state.import_,
    state.backup,
    state.restore,
    about.info,
    doctor.doctor,
):
    ruvllm.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code, never raises what is meant for a user."""
    session = Session()
    as_json = "--json" in arguments
    try:
        code = ruvllm.main(list(arguments), "ruvllm", standalone_mode=False, obj=session, color=output.wants_colour())
        sys.stdout.flush()
    except RuvLLMError as error:
        return tell(error, as_json=as_json)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return error.exit_code
    except click.ClickException as error:
        return tell_usage(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        return tell_interrupted(session.note, as_json=as_json)
    except (BrokenPipeError, ReaderGoneError):
        # What is still buffered has nowhere to go: let the interpreter's own last flush write into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """The entry point of the `ruvllm` script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 shows an escape, not a traceback
    sys.exit(run(sys.argv[1:]))

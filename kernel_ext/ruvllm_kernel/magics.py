"""`%ruvllm` and `%%ruvllm` as IPython sees them: loading and unloading, one red line for an error, results shown well.

Loading opens nothing; the engine opens at the first command. Both `%load_ext ruvllm_mcp` and `%load_ext ruvllm_kernel`
lead here and share one engine a shell.
"""

from __future__ import annotations

import atexit
import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

from ruvllm_kernel.commands import CELL_COMMANDS, COMMANDS, EXPAND, command_named, help_text
from ruvllm_kernel.complete import matcher
from ruvllm_kernel.expand import expand, mark
from ruvllm_kernel.options import parse
from ruvllm_kernel.render import html, plain, summary, visible
from ruvllm_kernel.session import Session
from ruvllm_kernel.views import SHOWN
from ruvllm_mcp.errors import RuvLLMError
from ruvllm_mcp.types import MemoryId

EXTENSIONS = frozenset({"ruvllm_mcp", "ruvllm_kernel"})
# IPython takes any line that ends in `word?` for a request for help on that word, which questions in plain language do.
_QUESTION = re.compile(r"^(?:\s*%?|[^%#]*=\s*%)ruvllm[ \t]+\S.*\?[ \t]*$")


@magics_class
class RuvLLMMagics(Magics):
    """The magics of one shell, and all that loading changed in it."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._shell = shell
        self.session = Session()
        self.matcher = matcher(self.session.namespaces)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def ruvllm(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        name, rest = (*line.split(None, 1), "", "")[:2]
        with self._one_line_errors(name):
            names = {**self._shell.user_ns, **(local_ns or {})}
            if cell is None:
                command = command_named(name or "help")
                return command.run(self.session, parse(mark(rest, names), command.options, f"%ruvllm {name}"))
            command = command_named(name, CELL_COMMANDS)
            given = parse(mark(rest, names), (*command.options, EXPAND), f"%%ruvllm {name}")
            return command.run(self.session, given.with_body(cell, lambda body: expand(body, names)))

    ruvllm.__doc__ = help_text()

    @contextlib.contextmanager
    def _one_line_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except RuvLLMError as error:
            self._shorten(error, f"{type(error).__name__}: {error}")
            raise
        except KeyboardInterrupt as interrupt:
            writes = name in COMMANDS and COMMANDS[name].writes
            self._shorten(interrupt, "Stopped." + " A write that was under way may still complete." * writes)
            raise

    def _shorten(self, error: BaseException, text: str) -> None:
        line = visible(" ".join(text.split()))
        if self._shell.colors.lower() != "nocolor":
            line = f"\x1b[31m{line}\x1b[0m"
        # IPython asks the instance for this in place of its own traceback.
        vars(error)["_render_traceback_"] = lambda: [line]


def load(shell: InteractiveShell) -> None:
    """Register magics, completion, displays; loading again changes nothing."""
    if _magics_of(shell) is not None:
        return
    magics = RuvLLMMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.matcher)
    shell.input_transformers_cleanup.append(keep_questions)
    formatters = _formatters_of(shell)
    for shown in SHOWN:
        formatters["text/plain"].for_type(shown, _print)
        if shown is not MemoryId:
            formatters["text/html"].for_type(shown, html)
    atexit.register(_close_at_exit, magics.session)


def unload(shell: InteractiveShell) -> None:
    """Take back what `load` did and close the engine, once neither of the extension's two names is loaded any more."""
    magics = _magics_of(shell)
    if magics is None or (shell.extension_manager is not None and shell.extension_manager.loaded >= EXTENSIONS):
        return
    for kind in ("line", "cell"):
        del shell.magics_manager.magics[kind]["ruvllm"]
    del shell.magics_manager.registry[RuvLLMMagics.__name__]
    shell.Completer.custom_matchers.remove(magics.matcher)
    shell.input_transformers_cleanup.remove(keep_questions)
    formatters = _formatters_of(shell)
    for shown in SHOWN:
        for mime in ("text/plain", "text/html"):
            formatters[mime].pop(shown, None)
    atexit.unregister(_close_at_exit)
    magics.session.close()


def keep_questions(lines: list[str]) -> list[str]:
    """Input lines, with a space after the question mark of a `%ruvllm` line, which keeps IPython's help off it."""
    if lines and lines[0].startswith("%%"):
        return lines
    return [line.rstrip() + " \n" if _QUESTION.match(line) else line for line in lines]


def _magics_of(shell: InteractiveShell) -> RuvLLMMagics | None:
    magics = shell.magics_manager.registry.get(RuvLLMMagics.__name__)
    return magics if isinstance(magics, RuvLLMMagics) else None


def _formatters_of(shell: InteractiveShell) -> Mapping[str, Any]:
    assert shell.display_formatter is not None
    formatters: Mapping[str, Any] = shell.display_formatter.formatters
    return formatters


def _print(result: Any, printer: Any, _cycle: bool) -> None:
    """The result's plain view; inside a list or another object only what it is."""
    if len(printer.stack) <= 1:
        printer.text(plain(result))
    elif isinstance(result, MemoryId):
        printer.text(str(int(result)))
    else:
        printer.text(summary(result))


def _close_at_exit(session: Session) -> None:
    # From Python 3.12 on no thread may be started this late; then closing is left to the end of the process, which
    # loses nothing: every write was durable when its command returned.
    with contextlib.suppress(RuntimeError):
        session.close()

"""What a failure looks like from the shell: one line on stderr (JSON with `--json`) and an exit code with a meaning."""

from __future__ import annotations

import json

import click

from ruvllm_mcp import errors

OK, FAILED, USAGE, NOT_FOUND, STORE, MODEL = 0, 1, 2, 3, 4, 5
INTERRUPTED, BROKEN_PIPE = 130, 141
MEANINGS = {
    OK: "done",
    FAILED: "it could not be done, or `doctor` found something wrong",
    USAGE: "wrong usage: an unknown option, a value that is not accepted, a wrong setting",
    NOT_FOUND: "no memory or request has that id",
    STORE: "the store is busy, damaged, newer than this release, or the disk is full",
    MODEL: "a model, its weights or a backend failed",
    INTERRUPTED: "interrupted by Ctrl-C",
    BROKEN_PIPE: "the reader of the output went away",
}
_CODES: tuple[tuple[type[errors.RuvLLMError], int], ...] = (
    (errors.NotFoundError, NOT_FOUND),
    (errors.StoreError, STORE),
    (errors.ModelError, MODEL),
    (errors.BackendError, MODEL),
    (errors.InvalidInputError, USAGE),
    (errors.SettingsError, USAGE),
)


def code_of(error: errors.RuvLLMError) -> int:
    """The exit code of an error, the first of its kinds that has one."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def tell(error: errors.RuvLLMError, *, as_json: bool) -> int:
    """Write the error to stderr and return its exit code."""
    return _tell(type(error).__name__, error.message, error.hint, code_of(error), as_json=as_json)


def tell_usage(error: click.ClickException, *, as_json: bool) -> int:
    """The same for what click found wrong with the command line."""
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"See {error.ctx.command_path} --help."
    return _tell("UsageError", error.format_message(), hint, error.exit_code, as_json=as_json)


def tell_interrupted(note: str, *, as_json: bool) -> int:
    """What Ctrl-C leaves to say."""
    if as_json:
        return _tell("Interrupted", "Interrupted.", note, INTERRUPTED, as_json=True)
    click.echo(f"Interrupted. {note}".rstrip(), err=True)
    return INTERRUPTED


def _tell(kind: str, message: str, hint: str, code: int, *, as_json: bool) -> int:
    if as_json:
        document = {"error": {"type": kind, "message": message, "hint": hint, "exit_code": code}}
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
    else:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True)
        if hint:
            click.echo(hint, err=True)
    return code

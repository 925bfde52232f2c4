"""The magics in a real IPython over a real engine: what they return, remember, refuse and leave behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ruvllm_kernel.commands import COMMANDS
from ruvllm_mcp.errors import InvalidInputError, NotFoundError, SettingsError
from ruvllm_mcp.reports import FeedbackReceipt
from ruvllm_mcp.types import Context, MemoryHits, MemoryId, MemoryRecord, Page, QueryResponse
from tests.kernel_ext.conftest import Shell

RETRY = "HTTP 429 and 503 are retried with exponential backoff, at most five times."


def test_every_command_works_and_its_result_can_be_assigned(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    added = shell.run(f'%ruvllm add {RETRY} --kind decision --metadata {{"priority": "high"}}')
    assert isinstance(added, MemoryId)
    record = shell.run("%ruvllm get 1")
    assert isinstance(record, MemoryRecord)
    assert (record.content, record.kind, record.metadata, record.client) == (
        RETRY,
        "decision",
        {"priority": "high"},
        "jupyter",
    )
    hits = shell.run("hits = %ruvllm search how are 503 retried?\nhits")
    assert isinstance(hits, MemoryHits)
    assert [hit.id for hit in hits] == [added]
    answer = shell.run("%ruvllm query how often is a 503 retried?")
    assert isinstance(answer, QueryResponse)
    assert "at most five times" in answer.text
    context = shell.run("%ruvllm context retries of 503 --max-tokens 60")
    assert isinstance(context, Context)
    assert (context.max_tokens, context.sources[0].id) == (60, added)
    assert isinstance(shell.run("%ruvllm list"), Page)
    assert isinstance(shell.run("%ruvllm feedback 5"), FeedbackReceipt)
    stats = shell.run("%ruvllm stats").to_dict()  # type: ignore[attr-defined]  # a Stats
    assert (stats["memories"], stats["feedbacks"]) == (1, 1)
    info = shell.run("%ruvllm info").to_dict()  # type: ignore[attr-defined]  # an Info
    assert info["settings"]["namespace"] == "tests"
    shell.run("%ruvllm delete {hits[0].id}")
    with pytest.raises(NotFoundError):
        shell.run("%ruvllm get 1")
    shell.run("%ruvllm stop")
    printed = capsys.readouterr().out
    assert "Deleted memory 1." in printed
    assert "Nothing is running." in printed


def test_help_is_true(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%ruvllm")
    page = capsys.readouterr().out
    assert all(f"  {name}" in page for name in COMMANDS)
    for name, command in COMMANDS.items():
        shell.run(f"%ruvllm help {name}")
        told = capsys.readouterr().out
        assert all(f"  {option.name}" in told for option in command.options)
    shell.run("%ruvllm?")
    assert "%ruvllm COMMAND" in capsys.readouterr().out


def test_questions_reach_the_magic_and_not_ipythons_help(shell: Shell) -> None:
    shell.run(f"%ruvllm add {RETRY}")
    for cell in (
        "hits = %ruvllm search when is it retried?\nhits",
        "for _ in range(1):\n    hits = %ruvllm search when is it retried?\nhits",
        "%ruvllm search when is it retried??",
    ):
        hits = shell.run(cell)
        assert isinstance(hits, MemoryHits)
        assert hits.query.rstrip("?") == "when is it retried"


def test_cell_body_is_the_text_word_for_word(shell: Shell) -> None:
    body = 'def f(x):\n    return {"x": f"{x}"}  # don\'t retry?\n'
    shell.run(f"%%ruvllm add --kind code\n{body}")
    record = shell.run("%ruvllm get 1")
    assert isinstance(record, MemoryRecord)
    assert (record.content, record.kind) == (body.rstrip("\n"), "code")
    shell.run("topic = 'retries'")
    answer = shell.run("%%ruvllm query --expand\nWhat about {topic}?")
    assert isinstance(answer, QueryResponse)


def test_expansion_sees_cell_names_and_the_locals_of_a_function(shell: Shell) -> None:
    shell.run('level = "high"')
    shell.run('%ruvllm add --metadata {"priority": "{level}", "plain": "{"} Priority is {level}, braces are {{level}}.')
    record = shell.run("%ruvllm get 1")
    assert isinstance(record, MemoryRecord)
    assert record.metadata == {"priority": "high", "plain": "{"}
    assert record.content == "Priority is high, braces are {level}."
    shell.run("def find(word):\n    hits = %ruvllm search {word} -k 1\n    return hits")
    hits = shell.run("find('priority')")
    assert isinstance(hits, MemoryHits)
    assert hits.query == "priority"


def test_search_options_reach_the_engine(shell: Shell) -> None:
    shell.run('%ruvllm add --metadata {"area": "http"} Retries back off.')
    shell.run('%ruvllm add --metadata {"area": "db"} --namespace other Retries of transactions back off.')

    def found(line: str) -> list[int]:
        hits = shell.run(f"%ruvllm search {line}")
        assert isinstance(hits, MemoryHits)
        return sorted(hit.id for hit in hits)

    assert found("retries back off") == [1]
    assert found("retries back off --namespace other") == [2]
    assert found("retries back off --namespace tests --namespace other") == [1, 2]
    assert found("retries back off --namespace *") == [1, 2]
    assert found('retries --namespace * --where {"area": "db"}') == [2]
    assert found("retries --namespace * -k 1 --mode lexical") in ([1], [2])


def test_feedback_rates_the_last_request_or_a_named_one(shell: Shell) -> None:
    shell.run(f"%ruvllm add {RETRY}")
    with pytest.raises(InvalidInputError, match="nothing to rate yet"):
        shell.run("%ruvllm feedback 5")
    hits = shell.run("%ruvllm search retries")
    answer = shell.run("%ruvllm query when do we retry?")
    assert isinstance(hits, MemoryHits)
    assert isinstance(answer, QueryResponse)
    last, named = (
        shell.run("%ruvllm feedback 4"),
        shell.run(f"%ruvllm feedback --relevant 1 --request {hits.request_id}"),
    )
    assert isinstance(last, FeedbackReceipt)
    assert isinstance(named, FeedbackReceipt)
    assert (last.request_id, named.request_id) == (answer.request_id, hits.request_id)


BAD = [
    ("frob", "no command 'frob'. It takes add, search"),
    ("search", "blank"),
    ("search   ", "blank"),
    ("add ''", "blank"),
    ("search -k 0 x", "k is 0"),
    ("search -k 99999999999999999999 x", "-k is '99999999999999999999'"),
    ("search --mode fuzzy x", "fuzzy"),
    ('search --where {"a": 1} --where {"b": 1} x', "--where says again"),
    ('search --where {"$near": 1} x', "$near"),
    ("search --frob x", "no option --frob. It takes -k, --namespace"),
    ("add --importance 2 x", "importance"),
    ("add --importance nan x", "importance"),
    ("add --ttl -1 x", "ttl"),
    ("get", "memory ids such as 3"),
    ("get one", "memory ids such as 3"),
    ("get 1 2", "takes one memory id"),
    ("get 999", "no memory 999"),
    ("delete 999", "no memory 999"),
    ("list all", "takes no 'all'"),
    ("list --cursor zzz", "cursor"),
    ("feedback", "says nothing"),
    ("feedback 9 --request r1", "9"),
    ("feedback great", "The rating is 'great'"),
    ("feedback 5 --request nope", "nope"),
    ("query --max-tokens 0 x", "max_tokens is 0"),
    ("context --max-tokens 0 x", "max_tokens is 0"),
    ("help frob", "no command 'frob'"),
    ("search {undefined_name}", "undefined_name"),
    ("search a\x00b", "NUL"),
    ("search " + "long " * 30_000, "limit"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[line[:40] for line, _ in BAD])
def test_bad_input_is_one_clear_line(shell: Shell, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    done = shell.ipython.run_cell(f"get_ipython().run_line_magic('ruvllm', {line!r})")
    assert isinstance(done.error_in_exec, (InvalidInputError, NotFoundError))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith(f"{type(done.error_in_exec).__name__}: ")
    assert said in printed[0]


@pytest.mark.parametrize("line", ["get", "frob", ""])
def test_a_cell_that_cannot_be_says_which_can(shell: Shell, line: str) -> None:
    with pytest.raises(
        InvalidInputError,
        match=f"%%ruvllm has no command '{line}'. It takes add, search, query, generate, chat, context",
    ):
        shell.run(f"%%ruvllm {line}\n1")


def test_error_line_is_red_unless_colours_are_off(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.ipython.colors = "linux"
    shell.ipython.run_cell("%ruvllm get 999")
    printed = capsys.readouterr().out.strip()
    assert printed.startswith("\x1b[31mNotFoundError: ")
    assert printed.endswith("\x1b[0m")


def test_delete_of_several_is_all_or_none(shell: Shell) -> None:
    shell.run("%ruvllm add one thing")
    with pytest.raises(NotFoundError):
        shell.run("%ruvllm delete 1 999")
    assert isinstance(shell.run("%ruvllm get 1"), MemoryRecord)


def test_wrong_setting_is_one_line_and_mending_it_is_enough(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUVLLM_EMBEDDER", "psychic")
    with pytest.raises(SettingsError, match="psychic"):
        shell.run("%ruvllm stats")
    monkeypatch.setenv("RUVLLM_EMBEDDER", "hashing")
    shell.run("%ruvllm stats")


def test_results_are_displayed_as_tables_with_text_twins(shell: Shell) -> None:
    shell.run(f"%ruvllm add {RETRY}")
    hits = shell.run("%ruvllm search retries")
    shown, _ = shell.ipython.display_formatter.format(hits)
    assert "<table>" in shown["text/html"]
    assert shown["text/plain"].startswith("1 memory for “retries”")
    stats, _ = shell.ipython.display_formatter.format(shell.run("%ruvllm stats"))
    rows = [line.split() for line in stats["text/plain"].splitlines()]
    assert ["memories", "1"] in rows
    assert ["search_memory", "1", "0"] in [row[:3] for row in rows]
    nested, _ = shell.ipython.display_formatter.format([hits, MemoryId(3)])
    assert nested["text/plain"].startswith("[<MemoryHits: 1 memory for “retries”")
    assert nested["text/plain"].endswith(" 3]")


def test_both_names_load_one_extension_and_unloading_both_leaves_nothing(bare_shell: Shell) -> None:
    manager = bare_shell.ipython.extension_manager
    formatters = bare_shell.ipython.display_formatter.formatters
    matchers = len(bare_shell.ipython.Completer.custom_matchers)
    transforms = len(bare_shell.ipython.input_transformers_cleanup)
    types = {mime: len(formatter.type_printers) for mime, formatter in formatters.items()}
    before = threading.active_count()
    bare_shell.run("%load_ext ruvllm_kernel")
    bare_shell.run("%load_ext ruvllm_mcp")
    bare_shell.run("%ruvllm add one engine for both")
    manager.unload_extension("ruvllm_kernel")
    assert isinstance(bare_shell.run("%ruvllm get 1"), MemoryRecord)
    manager.unload_extension("ruvllm_mcp")
    assert not bare_shell.ipython.run_cell("%ruvllm get 1").success
    assert len(bare_shell.ipython.Completer.custom_matchers) == matchers
    assert len(bare_shell.ipython.input_transformers_cleanup) == transforms
    assert {mime: len(formatter.type_printers) for mime, formatter in formatters.items()} == types
    assert not [thread for thread in threading.enumerate() if thread.name == "ruvllm-bridge"]
    assert threading.active_count() <= before + 1


def test_reloading_opens_a_new_engine_on_the_same_memories(shell: Shell, home: Path) -> None:
    shell.run("%ruvllm add kept across reloads")
    shell.run("%reload_ext ruvllm_mcp")
    record = shell.run("%ruvllm get 1")
    assert isinstance(record, MemoryRecord)
    assert record.content == "kept across reloads"
    assert home.exists()


def test_loading_the_extension_opens_nothing_and_is_light(home: Path) -> None:
    script = (
        "from IPython.core.interactiveshell import InteractiveShell as S; import sys; shell = S();"
        "shell.run_line_magic('load_ext', 'ruvllm_mcp');"
        "print([m for m in ('numpy', 'mcp', 'anyio', 'ruvllm_mcp.engine.engine') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
    assert not home.exists()

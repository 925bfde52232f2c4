"""Secrets do not reach the disk; ordinary code is left alone."""

from __future__ import annotations

import importlib
import random
import re
import string
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruvllm_mcp.memory.markers import Markers
from ruvllm_mcp.memory.memory import Memory
from ruvllm_mcp.memory.redact import (
    _ASSIGNABLE,
    _ASSIGNED,
    _CONTEXTS,
    SHORTEST,
    _has_key,
    _replaced,
    redact,
    redact_json,
)
from ruvllm_mcp.memory.secret_shapes import SHAPES
from ruvllm_mcp.types import NewMemory

LETTERS = string.ascii_letters + string.digits


def made_up(length: int, letters: str = LETTERS) -> str:
    """Random, so that no scanner mistakes this file for a leak."""
    return "".join(random.Random(length).choices(letters, k=length))


SECRETS = {
    "aws-key": "AKIA" + made_up(16, string.ascii_uppercase + "234567"),
    "github-token": "ghp_" + made_up(36),
    "gitlab-token": "glpat-" + made_up(20),
    "anthropic-key": "sk-ant-" + "api03-" + made_up(40),
    "openai-key": "sk-proj-" + made_up(48),
    "slack-token": "xoxb-" + made_up(11, string.digits) + "-" + made_up(24),
    "stripe-key": "sk_live_" + made_up(24),
    "google-key": "AIza" + made_up(35),
    "npm-token": "npm_" + made_up(36),
    "huggingface-token": "hf_" + made_up(34, string.ascii_letters),
    "jwt": "eyJ" + made_up(20) + ".eyJ" + made_up(30) + "." + made_up(43),
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----\n" + made_up(64) + "\n-----END RSA PRIVATE KEY-----",
}
HEX = "0123456789abcdef"
SECRETS |= {
    "azure-secret": "abc8Q~" + made_up(33),
    "google-secret": "GOCSPX-" + made_up(28),
    "docker-token": "dckr_pat_" + made_up(27),
    "groq-key": "gsk_" + made_up(52),
    "openrouter-key": "sk-or-v1-" + made_up(64, HEX),
    "databricks-token": "dapi" + made_up(32, HEX),
    "digitalocean-token": "dop_v1_" + made_up(64, HEX),
    "vault-token": "hvs." + made_up(90),
    "terraform-token": made_up(14) + ".atlasv1." + made_up(62),
    "doppler-token": "dp.pt." + made_up(43),
    "grafana-token": "glsa_" + made_up(32) + "_" + made_up(8, HEX),
    "linear-key": "lin_api_" + made_up(40),
    "notion-token": "ntn_" + made_up(46),
    "figma-token": "figd_" + made_up(43),
    "airtable-token": "pat" + made_up(14) + "." + made_up(64, HEX),
    "shopify-token": "shpat_" + made_up(32, HEX),
    "sendgrid-key": "SG." + made_up(22) + "." + made_up(43),
    "mailgun-key": "key-" + made_up(32, HEX),
    "twilio-key": "SK" + made_up(32, HEX),
    "telegram-token": made_up(10, string.digits) + ":AA" + made_up(33),
    "discord-webhook": "https://discord.com/api/webhooks/" + made_up(18, string.digits) + "/" + made_up(68),
    "age-key": "AGE-SECRET-KEY-1" + made_up(58, string.ascii_uppercase + string.digits),
}
IN_CONTEXT = [
    ("redis://:" + "p@ss-w0rd@cache:6379/0", "p@ss-w0rd"),
    ("mongodb+srv://root:" + "$ecret1@cluster0.mongodb.net/x?retry=true", "$ecret1"),
    ("aws_secret_access_key = " + "wJalr+UtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY", "wJalr+UtnFEMI"),
    ("Server=db;User Id=sa;" + "Password=Pa$$w0rd;Encrypt=true", "Pa$$w0rd"),
    ("host=db user=app " + "password=correcthorse dbname=x", "correcthorse"),
    ("machine api.host login me " + "password correcthorse", "correcthorse"),
    ("POSTGRES_" + "PASSWORD=correcthorse\nNEXT=1", "correcthorse"),
    ("DB_" + "PASSWORD=pa$$w0rd#1 # production", "pa$$w0rd#1"),
    ("curl -u admin:" + "hunter2! https://host/x", "hunter2!"),
    ("mysqldump -u root -p" + "S3cr3tPw db", "S3cr3tPw"),
    ("deploy --api-token " + "a1b2c3d4e5 --dry-run", "a1b2c3d4e5"),
    ("Authorization: Basic " + "dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("https://api.host/v1?x=1&" + "api_key=9f8e7d6c5b&y=2", "9f8e7d6c5b"),
    ('log: {\\"pass' + 'word\\": \\"hunter2secret\\"}', "hunter2secret"),
    ("<db" + "Password>hunter2</dbPassword>", "hunter2"),
    ("- name: DB_" + "PASSWORD\n  value: s3cr3tvalue", "s3cr3tvalue"),
    ("pass" + "word: myS3cretPass!", "myS3cretPass!"),
    ("The api key is " + "`9f8e7d6c5b4a3f`.", "9f8e7d6c5b4a3f"),
    ("postgres://app:" + "hunter2secret@db.internal:5432/x", "hunter2secret"),
    ("https://user:" + "p4ss%21word@example.com/path", "p4ss%21word"),
    ('password = "' + "Tr0ub4dor&3" + '"', "Tr0ub4dor&3"),
    ("{'api_key': '" + "9f8e7d6c5b4a" + "'}", "9f8e7d6c5b4a"),
    ('"client_secret": "' + "aB3dE5fG7hI9kL1m" + '"', "aB3dE5fG7hI9kL1m"),
    ("export DB_PASSWORD=" + "s3cr3tvalue99", "s3cr3tvalue99"),
    ("GITHUB_TOKEN=" + "0123456789abcdef", "0123456789abcdef"),
    ("the db password=" + "hunter2secret, as before", "hunter2secret"),
    ("The admin password is " + "hunter2secret.", "hunter2secret"),
    ("Authorization: Bearer " + "abcdef0123456789ABCDEF", "abcdef0123456789ABCDEF"),
]
HARMLESS = [
    "connect(token=user1_token, password=password1)",
    "Basic internationalization is hard; bearer authentication-schemes-v2 too.",
    "token_url: https://example.com/oauth2/token?x=1",
    "https://user:password@example.com/",
    "DB_PASSWORD=${DB_PASSWORD}",
    "def f(password: Optional[str] = None, api_key: bytes = b'') -> None:",
    "TOKEN_ADJUST_PRIVILEGES = 0x00000020",
    "max_tokens=4096, token_ids=first_ids2",
    "http://localhost:8080?next=a@b.example",
    "The secret is 12345678 careful people.",
    'password = os.environ["DB_PASSWORD"]',
    "def login(user, password): return check(user, password)",
    'token = tokenizer("some text")',
    'parser.add_argument("--password", help="the password")',
    "key = cache_key(user.id, 'profile')",
    'secret = "changeme"',
    'api_key="YOUR_API_KEY"',
    'password: "{{ vault_password }}"',
    "http://localhost:8080/path?x=1",
    "https://example.com/a:b@c",
    "for token in tokens: count[token] += 1",
    "git commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "task-runner sk-learn asks for AKIAN names",
    "KEY=value pairs are parsed with partition('=')",
]


@pytest.mark.parametrize("name", SECRETS)
def test_keys_of_known_shapes_leave_a_mark(name: str) -> None:
    text, count = redact(f"before {SECRETS[name]} after")
    assert count == 1
    assert text == f"before ‹redacted:{name}› after"


@pytest.mark.parametrize(("text", "secret"), IN_CONTEXT)
def test_secrets_are_known_by_what_they_are_assigned_to(text: str, secret: str) -> None:
    redacted, count = redact(text)
    assert count == 1
    assert secret not in redacted
    assert "‹redacted:" in redacted
    assert redact(redacted) == (redacted, 0), "once is enough"


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_code_is_left_alone(text: str) -> None:
    assert redact(text) == (text, 0)


def redacted_by_every_expression(text: str) -> tuple[str, int]:
    total = 0
    for _, name, pattern in SHAPES if _has_key(text) else ():
        text, count = re.subn(pattern, f"‹redacted:{name}›", text, flags=re.DOTALL)
        total += count
    is_assigned = _ASSIGNED.search(text.lower()) is not None
    for context in _CONTEXTS:
        if context.markers or is_assigned:
            text, count = _replaced(text, context)
            total += count
    return text, total


PIECES = [
    *SECRETS.values(),
    *(text for text, _ in IN_CONTEXT),
    *(secret for _, secret in IN_CONTEXT),
    *HARMLESS,
    *sorted({marker for marker, _, _ in SHAPES}),
    *(
        "pass",
        "word",
        "PASSWORD",
        "token",
        "To\u212aen",
        "\u017fecret",
        "key",
        "=",
        ":",
        " ",
        "'",
        '"',
        "\n",
        "?",
        "&",
        "-",
        "İ",
    ),
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=8).map("".join))
def test_what_is_looked_for_first_spares_expressions_and_loses_no_secret(text: str) -> None:
    assert redact(text) == redacted_by_every_expression(text)


@given(st.text("abAé", max_size=12), st.lists(st.text("abAé", min_size=2, max_size=4), max_size=20))
def test_markers_are_found_where_they_occur(text: str, markers: list[str]) -> None:
    assert list(Markers(markers).within(text)) == [place for place, marker in enumerate(markers) if marker in text]


def test_markers_too_many_or_too_short_are_refused() -> None:
    for markers in (["ab"] * 255, ["ab", "c"]):
        with pytest.raises(ValueError, match="254"):
            Markers(markers)


def test_a_standard_library_of_code_holds_no_secrets() -> None:
    folder = Path(random.__file__).parent
    texts = [path.read_text(errors="replace") for path in sorted(folder.glob("*.py"))]
    marked = sum(redact(text)[1] for text in texts)
    assert len(texts) > 100
    assert marked <= len(texts) // 50


def test_json_is_searched_through() -> None:
    value = {"a": [SECRETS["aws-key"], {"b": "fine"}], "password": "Tr0ub4dor&3", "n": 3}
    redacted, count = redact_json(value)
    assert count == 2
    assert redacted == {"a": ["‹redacted:aws-key›", {"b": "fine"}], "password": "‹redacted:secret›", "n": 3}


def test_no_file_of_the_store_ever_holds_the_secret(memory: Memory, tmp_path: Path) -> None:
    secret = SECRETS["github-token"]
    added = memory.add([NewMemory(f"use {secret} here", {"note": secret}, source=f"url {secret}")])[0]
    assert added.redacted == 3
    memory.update(added, content=f"now {secret} there")
    memory.close()
    for path in (tmp_path / "home").iterdir():
        assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize("text", ["password=" * 20_000, "a" * 300_000, "://" + ":" * 100_000, "-----BEGIN " * 20_000])
def test_long_texts_that_almost_match_come_back_unchanged(text: str) -> None:
    assert redact(text) == (text, 0)


def test_no_expression_matches_less_than_the_shortest_text_looked_at() -> None:
    parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    shapes = [(pattern, re.DOTALL) for _, _, pattern in SHAPES]
    contexts = [(context.pattern, re.IGNORECASE) for context in _CONTEXTS]
    for pattern, flags in shapes + contexts:
        assert parser.parse(pattern, flags).getwidth()[0] >= SHORTEST, pattern
    assert redact("ab://:c@h"[:SHORTEST]) == ("ab://:c@h"[:SHORTEST], 0)


def test_what_is_assigned_has_one_of_the_names_looked_for_first() -> None:
    for name in ("passwd", "password", "passphrase", "passcode", "pwd", "secret", "token", "credentials", "api_key"):
        assert any(known in name for known in _ASSIGNABLE)
        assert redact(f"{name} = 'x7#kQ2!pLw9'")[1] == 1

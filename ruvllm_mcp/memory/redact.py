"""Secrets are blanked out before anything is written: `‹redacted:aws-key›` says what was there.

Three families: keys that a provider gave a recognisable shape; private-key blocks and URLs with a password in them;
and assignments to a name like `password` of a literal that looks like a secret. The last is the one that could hurt
ordinary code, so it wants a quoted literal, an environment-file line or a literal that no word or identifier looks
like, and skips placeholders, references and calls.
"""

from __future__ import annotations

import re
from typing import Any

_SHAPES: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (name, tuple(markers.split()), re.compile(pattern, re.DOTALL))
    for name, markers, pattern in (
        (
            "private-key",
            "-----BEGIN",
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----.{0,20000}?"
            r"(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        ),
        ("aws-key", "AKIA ASIA", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
        ("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
        ("github-token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{50,255}\b"),
        ("gitlab-token", "glpat-", r"\bglpat-[A-Za-z0-9_-]{20,64}"),
        ("anthropic-key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,200}"),
        ("openai-key", "sk-", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9]{20,}(?:[A-Za-z0-9_-]{0,200})"),
        ("slack-token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}"),
        ("slack-webhook", "hooks.slack.com", r"\bhttps://hooks\.slack\.com/services/[A-Za-z0-9/]{20,}"),
        ("stripe-key", "_live_ _test_", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}\b"),
        ("google-key", "AIza", r"\bAIza[A-Za-z0-9_-]{35}"),
        ("npm-token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("pypi-token", "pypi-AgE", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
        ("huggingface-token", "hf_", r"\bhf_[A-Za-z]{34}\b"),
        ("sendgrid-key", "SG.", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
        ("jwt", "eyJ", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    )
)
_URL_PASSWORD = re.compile(
    r"(?P<head>\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@'\"<>]{0,100}:)(?P<secret>[^\s/@'\"<>]{3,200})(?=@[\w\[])"
)
_BEARER = re.compile(
    r"(?P<head>\b(?:Authorization\s*[:=]\s*['\"]?)?(?:Bearer|Basic)\s+)(?P<secret>[A-Za-z0-9+/_.~-]{20,}={0,2})"
)
_NAME = (
    r"(?:[A-Za-z0-9]{1,40}[_-]){0,5}(?:password|passwd|pwd|passphrase|secret|secret[_-]?key|api[_-]?key|access[_-]?key|"
    r"auth[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|token)(?:[_-][A-Za-z0-9]{1,20}){0,2}"
)
_QUOTED = re.compile(
    rf"(?P<head>\b{_NAME}['\"]?\s{{0,5}}(?:=|:|:=|=>)\s{{0,5}}[rbf]?(?P<quote>['\"]))(?P<secret>[^'\"\s]{{6,400}})(?=(?P=quote))",
    re.IGNORECASE,
)
_ENVIRONMENT = re.compile(
    r"(?P<head>^\s{0,8}(?:export\s+|set\s+)?[A-Z0-9_]{0,80}"
    r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY)[A-Z0-9_]{0,40}=)"
    r"(?P<secret>[^\s'\"#$(){}<>]{6,400})[ \t]*$",
    re.MULTILINE,
)
# In prose and command lines nothing is quoted; there the literal must mix digits into its letters, as no word does.
_BARE = re.compile(
    r"(?P<head>\b(?:[A-Za-z0-9]{1,40}[_-]){0,5}"
    r"(?:password|passwd|passphrase|secret|api[_-]?key|token)(?:=|:[ ]?|[ ]is[ ]))"
    r"(?P<secret>(?=[^\s,;)]{0,400}[0-9][^\s,;)]{0,400}[A-Za-z])[A-Za-z0-9!@#%^&*+/=~-]{8,400})(?=[\s,;.)]|$)",
    re.IGNORECASE,
)
_NAME_MARKERS = ("passw", "pwd", "passphrase", "secret", "token", "key")
_CONTEXTS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    ("password", ("://",), _URL_PASSWORD),
    ("token", ("bearer", "basic"), _BEARER),
    ("secret", _NAME_MARKERS, _QUOTED),
    ("secret", _NAME_MARKERS, _ENVIRONMENT),
    ("secret", _NAME_MARKERS, _BARE),
)
_HARMLESS = re.compile(
    r"(?:your|my|the|some|example|sample|dummy|fake|test|changeme|change-me|placeholder|redacted|none|null|true|false|"
    r"password|passwd|secret|token|api[_-]?key|x{3,}|\*{3,}|\.{3,}|os\.|env|config|settings|self\.|args\.|process\.)",
    re.IGNORECASE,
)


def redact(text: str) -> tuple[str, int]:
    """`text` with its secrets replaced by visible marks, and how many there were. Linear in the length of `text`."""
    total = 0
    for name, markers, pattern in _SHAPES:
        if any(marker in text for marker in markers):  # a substring search costs a hundredth of the expression
            text, count = pattern.subn(f"‹redacted:{name}›", text)
            total += count
    lowered = text.lower()
    for name, markers, pattern in _CONTEXTS:
        if any(marker in lowered for marker in markers):
            text, count = _replace_secret(text, name, pattern)
            total += count
    return text, total


def _replace_secret(text: str, name: str, pattern: re.Pattern[str]) -> tuple[str, int]:
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        if name == "secret" and not _looks_secret(match["secret"]):
            return match[0]
        if "‹redacted" in match["secret"] or match["secret"].startswith(("{", "$", "<", "%")):
            return match[0]
        count += 1
        return f"{match['head']}‹redacted:{name}›"

    return pattern.sub(replaced, text), count


def _looks_secret(literal: str) -> bool:
    """A literal value rather than a placeholder, a reference, a path or a plain word used as an identifier."""
    if literal.startswith(("{", "$", "<", "%", "/", ".")) or _HARMLESS.match(literal) or "(" in literal:
        return False
    has_digit = any(char.isdigit() for char in literal)
    has_letter = any(char.isalpha() for char in literal)
    has_mark = any(not char.isalnum() and char not in "_-. " for char in literal)
    has_both_cases = literal != literal.lower() and literal != literal.upper()
    return (has_digit and has_letter) or has_mark or (has_both_cases and len(literal) >= 16)


def redact_json(value: Any) -> tuple[Any, int]:
    """The same for every string inside JSON-like data. A value under a name like `password` counts as assigned to
    it."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        pairs = [redact_json(item) for item in value]
        return [item for item, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        total = 0
        for key, item in value.items():
            if isinstance(item, str) and re.fullmatch(_NAME, key, re.IGNORECASE) and _looks_secret(item):
                out[key], count = "‹redacted:secret›", 1
            else:
                out[key], count = redact_json(item)
            total += count
        return out, total
    return value, 0

"""Secrets are blanked out before anything is written: `‹redacted:aws-key›` says what was there.

Three families: keys that a provider gave a recognisable shape (`secret_shapes`); URLs, headers and command lines that
carry a password; and assignments to a name like `password` of a literal that looks like a secret. The last is the one
that could hurt ordinary code, so it skips placeholders, references, calls and what reads like an identifier. Every
expression is bounded, so that the time is linear in the text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ruvllm_mcp.memory.markers import Markers
from ruvllm_mcp.memory.secret_shapes import SHAPES

_KEYWORD = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credentials?|"
    r"(?:api|access|account|private|secret|signing|encryption|master|auth|app)[ _-]?key)"
)
_NAME = rf"{_KEYWORD}(?:[_-][A-Za-z0-9]{{1,20}}){{0,2}}"
_PASSWORD = re.compile(r"(?:password|passwd|pwd|passphrase)\W*\Z", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\$(?:[{(]|[A-Za-z_]+(?:[/:.]|\Z))|[{<.‹\[]|%[(s{]|/[a-z0-9._-]+(?:/|\Z)|\*+\Z|[A-Za-z][A-Za-z0-9+.-]{1,20}://"
)
_PLACEHOLDER = re.compile(
    r"(?:(?:your|my|the|some|example|sample|dummy|fake|test|change|placeholder|redacted|none|null|true|false|undefined|"
    r"optional|required|string|password|passwd|pass|pwd|secret|token|api|key|xxx+|\.\.\.+|\*\*\*+)[A-Za-z_.<>*-]{0,40}\d{0,3}"
    r"|(?:os|self|this|args|process|env|config|settings)\.[\w.]{0,100})\Z",
    re.IGNORECASE,
)
_EXPRESSION = re.compile(r"[(\[{|]|%[ds]|\A0x[0-9a-fA-F]+\Z")
# Words, each with two digits at most, joined by what joins words in names, paths and addresses.
_IDENTIFIER = re.compile(r"(?:[A-Za-z]{1,60}\d{0,2}(?:[_.:/-]{1,3}|\Z)){1,20}\Z")


def _is_literal(text: str) -> bool:
    """Neither a placeholder nor a reference to where the secret is."""
    return not (_REFERENCE.match(text) or _PLACEHOLDER.match(text) or _EXPRESSION.search(text))


def _is_value(text: str) -> bool:
    """A literal that mixes digits into its letters, or has a mark in it, as no plain word does."""
    has_digit = any(char.isdigit() for char in text)
    has_letter = any(char.isalpha() for char in text)
    has_mark = any(not char.isalnum() and char not in "_-.= " for char in text)
    return _is_literal(text) and ((has_digit and has_letter) or has_mark)


def _is_word(text: str) -> bool:
    """The same where nothing is quoted, so that it could be a variable's name."""
    return _is_value(text) and not _IDENTIFIER.match(text)


def _is_basic(text: str) -> bool:
    """Base64 of `user:password`."""
    try:
        return b":" in base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False


@dataclass(frozen=True)
class _Context:
    """Where a secret stands: `pattern` has the groups head and secret, one of `markers` (of two bytes at least) occurs
    in lower case wherever it matches, and `is_secret` judges what it found."""

    mark: str
    markers: tuple[str, ...]  # none: a name that counts is assigned to
    pattern: str
    is_secret: Callable[[str], bool]


def _context(mark: str, markers: str, pattern: str, is_secret: Callable[[str], bool]) -> _Context:
    return _Context(mark, tuple(markers.split()), pattern, is_secret)


# Cheaper than what it spares: whether anything in a lower-case text is assigned to a name that counts.
_ASSIGNED = re.compile(
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credential|key)[a-z0-9_-]{0,42}\\?['\"]?"
    r"(?:\s{0,5}[=:]|,?\s+['\"]?value| is )"
)
_BARE = r"(?P<secret>[^\s,;)'\"`<>\\&]{8,400})(?=[\s,;)}\]'\"`&]|\Z)"
_UPPER = rf"[A-Z0-9_]{{0,60}}{_KEYWORD.replace(' ', '').upper()}[A-Z0-9_]{{0,40}}"
_CONTEXTS = (
    _context(
        "password",
        "://",
        r"(?P<head>\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@?#'\"<>]{0,100}:)(?P<secret>[^\s/?#'\"<>]{1,200})(?=@[\w\[])",
        _is_literal,
    ),
    _context(
        "secret",
        "d= y= n= t= g=",
        r"(?P<head>[?&](?:password|passwd|pwd|api_?key|(?:access_|auth_|refresh_)?token|client_secret|secret|sig|key)=)"
        r"(?P<secret>[^\s&#'\"<>]{6,400})",
        _is_value,
    ),
    _context("token", "basic", r"(?P<head>\bbasic\s+)(?P<secret>[a-z0-9+/]{6,2000}={0,2})", _is_basic),
    _context("token", "bearer", r"(?P<head>\bbearer\s+)(?P<secret>[a-z0-9+/_.~-]{16,4000}={0,2})", _is_word),
    _context(
        "token",
        "authorization -token",
        r"(?P<head>\b(?:authorization|[a-z]{1,20}-token)['\"]?\s{0,3}[:=]\s{0,3}['\"]?(?:token\s+)?)"
        r"(?P<secret>[a-z0-9+/_.~-]{8,2000}={0,2})",
        _is_word,
    ),
    _context(  # quoted, as in code and JSON, also inside a string
        "secret",
        "",
        rf"(?P<head>{_NAME}\\?['\"]?(?:\s{{0,5}}(?:=|:|:=|=>)\s{{0,5}}|[ ]is[ ])[rbf]?\\?(?P<quote>['\"]))"
        r"(?P<secret>[^'\"\s\\]{6,400})(?=\\?(?P=quote))",
        _is_value,
    ),
    _context(  # {"name": "DB_PASSWORD", "value": "..."} and the same in YAML
        "secret",
        "value",
        rf"(?P<head>\bname['\"]?:\s{{0,5}}['\"]?[\w.-]{{0,60}}{_NAME}['\"]?,?\s{{1,40}}['\"]?value['\"]?:\s{{0,5}}['\"]?)"
        r"(?P<secret>[^\s'\",}]{6,400})",
        _is_value,
    ),
    _context(  # a line of an environment file
        "secret",
        "",
        rf"(?P<head>(?:^|[\n;])[ \t]{{0,8}}(?:(?:export|set|env)[ ]+)?(?-i:{_UPPER})=)"
        r"(?P<secret>[^\s'\"]{6,400})(?=[ \t]*(?:[\n;]|\Z|[ ]#))",
        _is_value,
    ),
    _context(  # in prose, YAML and options nothing is quoted
        "secret",
        "",
        rf"(?P<head>{_NAME}(?:\s{{0,3}}[=:]\s{{0,3}}|[ ]is[ ])`?){_BARE}",
        _is_word,
    ),
    _context("secret", "--", rf"(?P<head>--(?:[a-z]{{1,20}}-){{0,2}}{_NAME}[ ]){_BARE}", _is_word),
    _context("password", "login", r"(?P<head>\blogin\s+\S{1,100}\s+password\s+)(?P<secret>\S{3,200})", _is_literal),
    _context(
        "password",
        "curl wget",
        r"(?P<head>\b(?:curl|wget)\b[^\n]{0,300}?\s(?:-u|--user)[ =]?['\"]?[^\s:'\"$]{1,100}:)"
        r"(?P<secret>[^\s'\"]{3,200})",
        _is_literal,
    ),
    _context(
        "password",
        "mysql",
        r"(?P<head>\bmysql(?:dump|admin|sh)?\b[^\n]{0,200}?\s-p)(?P<secret>[^\s'\"-][^\s'\"]{3,200})",
        _is_literal,
    ),
    _context(  # ADO and JDBC
        "password",
        "password pwd",
        r"(?P<head>;\s{0,3}(?:password|pwd)\s{0,3}=\s{0,3})(?P<secret>[^;'\"\s]{3,200})(?=['\";\s]|\Z)",
        _is_literal,
    ),
    _context(  # libpq
        "password",
        "password=",
        r"(?P<head>\spassword=)(?P<secret>[^\s'\"]{3,200})(?=\s+(?:host|user|dbname|port|sslmode)=)",
        _is_literal,
    ),
    _context(
        "password",
        "</",
        r"(?P<head><(?P<tag>[\w:.-]{0,40}(?:password|passwd|secret|token|apikey))>)(?P<secret>[^<\s]{4,400})(?=</(?P=tag)>)",
        _is_literal,
    ),
)
_KEY = re.compile(rf"[A-Za-z0-9_.-]{{0,60}}{_NAME}", re.IGNORECASE)


SHORTEST = 7  # characters: a shorter text matches nothing here
_RUN = re.compile(r"[A-Za-z0-9_.~+/=:-]{20,}")  # every shape has one, with digits or both cases in it
_DIGIT = re.compile(r"[0-9]")
_ASSIGNABLE = ("pass", "pwd", "secret", "token", "credential", "key")  # one is in all that `_ASSIGNED` finds
_UNMARKED = frozenset(place for place, context in enumerate(_CONTEXTS) if not context.markers)
# Each marker with the places of the contexts that it could belong to.
_MARKED = (
    *((marker, frozenset([place])) for place, context in enumerate(_CONTEXTS) for marker in context.markers),
    *((name, _UNMARKED) for name in _ASSIGNABLE),
)
_SHAPE_MARKERS = Markers([marker for marker, _, _ in SHAPES])
_CONTEXT_MARKERS = Markers([marker for marker, _ in _MARKED])


def redact(text: str) -> tuple[str, int]:
    """`text` with its secrets replaced by visible marks, and how many there were. Linear in the length of `text`."""
    if len(text) < SHORTEST:
        return text, 0
    total = 0
    shapes = _SHAPE_MARKERS.within(text)
    for place in shapes if shapes and _has_key(text) else ():
        _, name, pattern = SHAPES[place]
        text, count = _compiled(pattern, re.DOTALL).subn(f"‹redacted:{name}›", text)
        total += count
    lowered = text.lower()
    found = _CONTEXT_MARKERS.within(lowered)
    if found:
        places = frozenset().union(*[_MARKED[marker][1] for marker in found])
        if places >= _UNMARKED and not _ASSIGNED.search(lowered):
            places -= _UNMARKED
        for place in sorted(places):
            text, count = _replaced(text, _CONTEXTS[place])
            total += count
    return text, total


def _has_key(text: str) -> bool:
    return any((run.upper() != run and run.lower() != run) or _DIGIT.search(run) for run in _RUN.findall(text))


def _replaced(text: str, context: _Context) -> tuple[str, int]:
    count = 0

    def blank(match: re.Match[str]) -> str:
        nonlocal count
        end = match["secret"][len(match["secret"].rstrip(".,:!?")) :]
        secret = match["secret"].removesuffix(end)
        is_secret = _is_literal if _is_password_line(match) else context.is_secret
        if "‹redacted" in match["secret"] or not secret or not is_secret(secret):
            return match[0]
        count += 1
        return f"{match['head']}‹redacted:{context.mark}›{end}"

    return _compiled(context.pattern, re.IGNORECASE).sub(blank, text), count


@cache
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    """At first need: most texts need few of them."""
    return re.compile(pattern, flags)


def _is_password_line(match: re.Match[str]) -> bool:
    """`DB_PASSWORD=word` is a password, however plain."""
    head = match["head"]
    return head.isupper() and head.endswith("=") and _PASSWORD.search(head) is not None


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
            if isinstance(item, str) and len(item) >= 6 and _KEY.fullmatch(key) and _is_value(item):
                out[key], count = "‹redacted:secret›", 1
            else:
                out[key], count = redact_json(item)
            total += count
        return out, total
    return value, 0

"""Text that is the beginning of one JSON object (RFC 8259), followed byte by byte.

Bytes in strings must be UTF-8; `\\u` escapes of the blocks D000 to DFFF, where surrogates are, are not begun: what they
stand for is written as it is. Runs of blanks are short, as a model unsure of what to say can go on with them for ever.
"""

from __future__ import annotations

from typing import NamedTuple

BLANK = b" \t\n\r"
MOST_BLANKS, MOST_BLANKS_BEFORE = 24, 1
"""How many may follow one another: a new line and its indentation; before the object."""
HEX, HEX_BUT_D = b"0123456789abcdefABCDEF", b"0123456789abcefABCEF"
DIGITS = b"0123456789"
CONTINUED = bytes(range(0x80, 0xC0))
LITERALS = {b"true"[0]: b"rue", b"false"[0]: b"alse", b"null"[0]: b"ull"}
LEADS = {
    **dict.fromkeys(range(0xC2, 0xE0), (CONTINUED,)),
    **dict.fromkeys(range(0xE1, 0xF0), (CONTINUED, CONTINUED)),
    **dict.fromkeys(range(0xF1, 0xF4), (CONTINUED, CONTINUED, CONTINUED)),
    0xE0: (CONTINUED[0x20:], CONTINUED),
    0xED: (CONTINUED[:0x20], CONTINUED),
    0xF0: (CONTINUED[0x10:], CONTINUED, CONTINUED),
    0xF4: (CONTINUED[:0x10], CONTINUED, CONTINUED),
}
"""What must follow the first byte of a character of several, by UTF-8's rules."""
IN_NUMBER = {
    "minus": {**dict.fromkeys(DIGITS[1:], "whole"), DIGITS[0]: "zero"},
    "zero": {ord("."): "point", ord("e"): "e", ord("E"): "e"},
    "whole": {**dict.fromkeys(DIGITS, "whole"), ord("."): "point", ord("e"): "e", ord("E"): "e"},
    "point": dict.fromkeys(DIGITS, "fraction"),
    "fraction": {**dict.fromkeys(DIGITS, "fraction"), ord("e"): "e", ord("E"): "e"},
    "e": {**dict.fromkeys(DIGITS, "exponent"), ord("+"): "sign", ord("-"): "sign"},
    "sign": dict.fromkeys(DIGITS, "exponent"),
    "exponent": dict.fromkeys(DIGITS, "exponent"),
}
"""Where each byte leads from a place in a number; one that may end it is also followed by what follows a value."""
NUMBER_ENDS = ("zero", "whole", "fraction", "exponent")


class Place(NamedTuple):
    """Where a text stands: inside the containers `open` (their closing brackets), at `at`, once each of `due` has been
    followed by one of its bytes; after so many `blanks`."""

    at: str
    open: bytes = b""
    due: tuple[bytes, ...] = ()
    blanks: int = 0


START = Place("start")


def follow(place: Place, text: bytes) -> Place | None:
    """Where the text stands after more of it, None where no JSON object goes on like this."""
    for byte in text:
        found = _next(place, byte)
        if found is None:
            return None
        place = found
    return place


def is_whole(place: Place) -> bool:
    return place.at == "end"


def ending(place: Place) -> bytes:
    """Some shortest text that makes it whole."""
    due = b"".join(bytes(allowed[:1]) for allowed in place.due)
    closers = place.open[::-1]
    if place.at in IN_NUMBER:
        return due + (b"" if place.at in NUMBER_ENDS else b"0") + closers
    return due + _ENDINGS[place.at] + closers


_ENDINGS = {
    "start": b"{}",
    "first key": b"",
    "key": b'"":0',
    "in key": b'":0',
    "escape in key": b'n":0',
    "colon": b":0",
    "value": b"0",
    "first value": b"",
    "in string": b'"',
    "escape in string": b'n"',
    "after": b"",
    "end": b"",
}


def _next(place: Place, byte: int) -> Place | None:
    at, closers, due, blanks = place
    if due:
        return Place(at, closers, due[1:]) if byte in due[0] else None
    if at in ("in key", "in string"):
        return _in_string(place, byte)
    if at in ("escape in key", "escape in string"):
        if byte == ord("u"):
            return Place(at[len("escape ") :], closers, (HEX_BUT_D, HEX, HEX, HEX))
        return Place(at[len("escape ") :], closers) if byte in b'"\\/bfnrt' else None
    if at in IN_NUMBER:
        if byte in IN_NUMBER[at]:
            return Place(IN_NUMBER[at][byte], closers)
        if at not in NUMBER_ENDS:
            return None
        at = "after"
    if byte in BLANK:
        most = MOST_BLANKS_BEFORE if at == "start" else MOST_BLANKS
        return Place(at, closers, blanks=blanks + 1) if blanks < most else None
    return _between(at, closers, byte)


def _in_string(place: Place, byte: int) -> Place | None:
    if byte == ord('"'):
        return Place("colon" if place.at == "in key" else "after", place.open)
    if byte == ord("\\"):
        return Place(f"escape {place.at}", place.open)
    if byte < 0x80:
        return place if byte >= 0x20 else None
    return Place(place.at, place.open, LEADS[byte]) if byte in LEADS else None


def _between(at: str, closers: bytes, byte: int) -> Place | None:
    """After a byte outside of strings, numbers and words."""
    char = chr(byte)
    if char in "}]" and closers[-1:] == char.encode() and at in ("after", "first value", "first key"):
        return Place("after" if closers[:-1] else "end", closers[:-1])
    if at == "start":
        return Place("first key", b"}") if char == "{" else None
    if at in ("first key", "key"):
        return Place("in key", closers) if char == '"' else None
    if at == "colon":
        return Place("value", closers) if char == ":" else None
    if at == "after":
        return Place("key" if closers[-1:] == b"}" else "value", closers) if char == "," else None
    if at == "end":
        return None
    if char == "{":
        return Place("first key", closers + b"}")
    if char == "[":
        return Place("first value", closers + b"]")
    if char == '"':
        return Place("in string", closers)
    if byte in LITERALS:
        return Place("after", closers, tuple(LITERALS[byte][i : i + 1] for i in range(len(LITERALS[byte]))))
    if char == "-":
        return Place("minus", closers)
    return Place(IN_NUMBER["minus"][byte], closers) if byte in DIGITS else None

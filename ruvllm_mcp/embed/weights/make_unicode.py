"""Makes `csrc/rv_wordpiece_unicode.h`: what BERT's uncased tokenizer makes of each character.

    pip install tokenizers
    python -m ruvllm_mcp.embed.weights.make_unicode tokenizer.json

The judge is Hugging Face `tokenizers` itself, asked about every code point: its Unicode tables are of several versions,
Python's change with Python. Normalising is context-free here (NFD reorders no character that a piece contains). A word
with a character that no piece contains is [UNK] whatever that character is, so for those any answer does that leads to
no piece's character either. Neighbours that one answer fits share a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

TARGET = Path(__file__).parents[3] / "csrc" / "rv_wordpiece_unicode.h"
HANGUL = range(0xAC00, 0xD7A4)
HEAD = """\
/* What BERT's uncased tokenizer makes of each character: from this code point up to the next entry, the action.
 * Made by ruvllm_mcp/embed/weights/make_unicode.py from the `tokenizers` library; not written by hand.
 *
 *   DROP, SPACE   left out; a blank              LETTER(d), LETTER_IS(c)   the character d further on, or c: of a word
 *   PAIR(i)       both of rv_unicode_pairs[i]    MARK(d), MARK_IS(c)       the same, but a word by itself
 *   HANGUL        a syllable: two or three jamo */
"""


class Answer(NamedTuple):
    """What becomes of a code point: `text` is the known character it leads to, "" if it leads to none."""

    kind: str
    text: str = ""


def main(tokenizer_json: str) -> None:
    """Asks the tokenizer and writes the header."""
    answers, known = _answers(tokenizer_json)
    pairs = [answer.text for answer in answers if len(answer.text) == 2]
    runs = [f"{{{point:#x}, {action}}}," for point, action in _runs(answers, known, pairs)]
    pair_lines = _wrapped([f"{{{ord(pair[0]):#x}, {ord(pair[1]):#x}}}," for pair in pairs])
    table = "static const struct {\n    uint32_t from;\n    int32_t action;\n} rv_unicode_runs[] = {\n"
    pair_table = "static const uint32_t rv_unicode_pairs[][2] = {\n"
    TARGET.write_text(HEAD + pair_table + pair_lines + "};\n\n" + table + _wrapped(runs) + "};\n", encoding="utf-8")
    print(f"{TARGET}: {len(runs)} runs, {len(pairs)} pairs")


def _answers(tokenizer_json: str) -> tuple[list[Answer], set[str]]:
    """The answer for every code point, and the characters that pieces contain."""
    from tokenizers import Tokenizer

    judge = Tokenizer.from_file(tokenizer_json)
    vocabulary = json.loads(Path(tokenizer_json).read_text(encoding="utf-8"))["model"]["vocab"]
    plain = [piece for piece in vocabulary if not (len(piece) > 1 and piece[0] == "[" and piece[-1] == "]")]
    known = set("".join(piece[2:] if piece.startswith("##") and len(piece) > 2 else piece for piece in plain))

    @cache
    def words(character: str) -> int:
        """1: part of a word, 2: a blank, 3: a word by itself."""
        return len(judge.pre_tokenizer.pre_tokenize_str(f"a{character}a"))

    def answer(point: int) -> Answer:
        if 0xD800 <= point < 0xE000:
            return Answer("DROP")
        if point in HANGUL:
            return Answer("HANGUL")
        normal = judge.normalizer.normalize_str(chr(point))
        core = normal.strip(" ")
        if not core:
            return Answer("SPACE" if normal else "DROP")
        kind = "MARK" if core != normal or any(words(character) == 3 for character in core) else "LETTER"
        if any(words(character) == 2 for character in core) or (len(core) > 1 and kind == "MARK"):
            raise SystemExit(f"U+{point:04X} becomes {normal!r}, which the table cannot say.")
        return Answer(kind, core if set(core) <= known else "")

    return [answer(point) for point in range(0x110000)], known


def _runs(answers: list[Answer], known: set[str], pairs: list[str]) -> Iterator[tuple[int, str]]:
    """Each line's first code point and action."""

    def fits(point: int, action: str) -> bool:
        wanted = answers[point]
        kind, _, number = action.rstrip(")").partition("(")
        if kind.removesuffix("_IS") != wanted.kind or not number:
            return action == wanted.kind
        target = int(number, 0) + (0 if kind.endswith("_IS") else point)
        reached = chr(target) if 0 <= target < 0x110000 else ""
        return reached == wanted.text or (not wanted.text and reached not in known)

    def choices(point: int) -> list[str]:
        kind, text = answers[point]
        if kind not in ("LETTER", "MARK"):
            return [kind]
        if len(text) == 2:
            return [f"PAIR({pairs.index(text)})"]
        return [f"{kind}({ord(text) - point})", f"{kind}_IS({ord(text):#x})"] if text else [f"{kind}(0)"]

    point = 0
    while point < len(answers):
        best = point, ""
        for action in choices(point):
            end = point + 1
            while end < len(answers) and fits(end, action):
                end += 1
            best = max(best, (end, action))
        yield point, best[1]
        point = best[0]


def _wrapped(items: list[str]) -> str:
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) > 114:
            lines.append("")
        lines[-1] += f" {item}"
    return "".join(f"   {line}\n" for line in lines)


if __name__ == "__main__":
    main(sys.argv[1])

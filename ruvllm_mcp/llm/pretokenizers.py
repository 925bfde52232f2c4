"""How byte-level BPE vocabularies cut text into words before merging, by the name GGUF files give it.

A vocabulary is only right with the cut it was trained with, and files name it (`tokenizer.ggml.pre`) instead of
carrying it. Each entry is what the `tokenizer.json` of the models of that name says. A name that is not here is an
error: a similar cut gives almost the same tokens, which is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_START = r"[^\r\n\p{L}\p{N}]?"


def _words(digits: str) -> str:
    return rf"{_CONTRACTIONS}|{_START}\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_REST}"


def _cased_words(digits: str, suffix: str) -> str:
    """Words also cut where a lower-case letter is followed by an upper-case one."""
    cased = rf"{_START}{_UPPER}*{_LOWER}+{suffix}|{_START}{_UPPER}+{_LOWER}*{suffix}"
    return rf"{cased}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"


@dataclass(frozen=True)
class Cut:
    """`patterns` are applied in turn, each to what the ones before left; `then_gpt2` cuts by GPT-2's pattern last.

    `ignores_merges`: a whole word of the vocabulary is one token, whatever its merges; `is_nfc`: text is composed
    (Unicode NFC) first; `adds_bos`: what holds when the file does not say.
    """

    patterns: tuple[str, ...] = ()
    then_gpt2: bool = False
    ignores_merges: bool = False
    is_nfc: bool = False
    adds_bos: bool = False

    def pre_tokenizer(self) -> PreTokenizer:
        from tokenizers import Regex, pre_tokenizers

        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in self.patterns]
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=self.then_gpt2)
        return pre_tokenizers.Sequence([*splits, byte_level])


_GPT2 = Cut(then_gpt2=True)
_DIGITS_GPT2 = Cut((r"\p{N}",), then_gpt2=True)
_LLAMA3 = Cut((_words(r"\p{N}{1,3}"),), ignores_merges=True, adds_bos=True)
_GPT4 = Cut((_words(r"\p{N}{1,3}"),))
_QWEN2 = Cut((_words(r"\p{N}"),), is_nfc=True)
_GPT4O = Cut((_cased_words(r"\p{N}{1,3}", f"{_CONTRACTIONS}?"),))

CUTS: Mapping[str, Cut] = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "smollm": _DIGITS_GPT2,
    "starcoder": _DIGITS_GPT2,
    "refact": _DIGITS_GPT2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "dbrx": _GPT4,
    "smaug-bpe": _GPT4,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": Cut(_QWEN2.patterns),
    "gpt-4o": _GPT4O,
    "tekken": Cut((_cased_words(r"\p{N}", ""),), ignores_merges=True, adds_bos=True),
    "deepseek-coder": Cut(("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}")),
}

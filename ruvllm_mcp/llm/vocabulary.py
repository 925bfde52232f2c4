"""A model's vocabulary, from a GGUF file's metadata or from the `tokenizer.json` beside a SafeTensors file.

Both are built into a Hugging Face `tokenizers` object: one engine, so that both give the same ids.

Two families: byte-level BPE (`gpt2` in GGUF), cut into words as `pretokenizers.py` tells, and SentencePiece's BPE
(`llama`), whose merges are found from the scores. Bytes outside a SentencePiece vocabulary become `<0x..>` tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.formats.gguf import Strings
from ruvllm_mcp.llm.files import MAX_CONFIG, MAX_INDEX, read_json
from ruvllm_mcp.llm.pretokenizers import CUTS

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Engine

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
"""Kinds of tokens as GGUF numbers them; all others are plain text to us."""
SPACE = "\u2581"
GUARD = "\ufdd0\ufdd1"
"""Two of Unicode's noncharacters, put into what looks like a control token but came from a user: matching it fails,
and the normalizer takes them out again. A text that holds just these two side by side loses them."""
ENDINGS = frozenset(
    (
        *("</s>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>"),
        *("<end_of_turn>", "<EOT>", "<|return|>"),
    )
)
"""Tokens by which chat models end their turn, whether the file's own end token says so or not."""
KEPT_SPACE_AFTER = frozenset(("<unk>", "<s>", "<|endoftext|>"))


@dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer needs to know. `added` are found in texts as they stand, `controls` are those of them that steer
    the model; `begin` and `end` are put around a text by the model's own rule; any of `stops` ends an answer;
    `byte_level`: tokens spell bytes by GPT-2's table of visible characters; `strips_space`: the first blank of a
    decoded text is the tokenizer's own."""

    engine: Engine
    size: int
    added: Mapping[int, str]
    controls: Mapping[str, int]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    bos: int | None
    eos: int | None
    stops: frozenset[int]
    byte_level: bool
    strips_space: bool


def from_gguf(metadata: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary that a GGUF file's metadata hold. Raises ModelError if there is none, or none we know for sure."""
    values = _Metadata(metadata)
    tokens = values.strings("tokens")
    kinds = values.numbers("token_type", len(tokens))
    family = str(metadata.get("tokenizer.ggml.model"))
    if family == "gpt2":
        engine, adds_bos = _byte_level(values, tokens), CUTS[values.cut].adds_bos
    elif family == "llama":
        engine, adds_bos = _sentence_piece(values, tokens, kinds), True
    else:
        raise ModelError(
            f"The tokenizer of this file is of the kind {family!r}.",
            "Kinds that can be used: gpt2 (BPE) and llama (SPM).",
        )
    marked = [CONTROL, USER_DEFINED, *([UNKNOWN] if family == "llama" else [])]
    added = {i: tokens[i] for i in np.flatnonzero(np.isin(kinds, marked)).tolist() if tokens[i]}
    controls = {text: i for i, text in added.items() if kinds[i] != USER_DEFINED or text in ENDINGS}
    name = str(metadata.get("general.name", "")).lower()
    _add(engine, added, controls, eats_space=family == "llama" and ("phi-3" in name or "phi3" in name))
    bos, eos = values.token("bos_token_id", len(tokens)), values.token("eos_token_id", len(tokens))
    others = (values.token(f"{name}_token_id", len(tokens)) for name in ("eot", "eom"))
    return Vocabulary(
        engine=engine,
        size=len(tokens),
        added=added,
        controls=controls,
        begin=(bos,) if bos is not None and values.flag("add_bos_token", adds_bos) else (),
        end=(eos,) if eos is not None and values.flag("add_eos_token", False) else (),
        bos=bos,
        eos=eos,
        stops=_stops(controls, eos, *others),
        byte_level=family == "gpt2",
        strips_space=family == "llama" and values.flag("add_space_prefix", True),
    )


def from_folder(folder: Path) -> Vocabulary:
    """The vocabulary of a model folder: `tokenizer.json` and, if there, `tokenizer_config.json`. Raises ModelError."""
    from tokenizers import Tokenizer as Engine

    description = read_json(folder / "tokenizer.json", MAX_INDEX)
    config = (
        read_json(folder / "tokenizer_config.json", MAX_CONFIG) if (folder / "tokenizer_config.json").exists() else {}
    )
    listed = description.get("added_tokens")
    for token in listed if isinstance(listed, list) else ():
        if isinstance(token, dict) and token.get("special"):
            token["normalized"] = False  # or a guarded one would be found again once the guard is taken out
    try:
        engine = Engine.from_str(json.dumps(description))
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"{folder / 'tokenizer.json'} is not a tokenizer: {error}.", "Get the file anew.") from None
    engine.no_padding()
    engine.no_truncation()
    _guard(engine)
    added = {i: token.content for i, token in engine.get_added_tokens_decoder().items() if token.content}
    special = {i for i, token in engine.get_added_tokens_decoder().items() if token.special}
    controls = {text: i for i, text in added.items() if i in special or text in ENDINGS}
    begin, end = _around(engine)
    bos, eos = (_named(engine, config.get(f"{name}_token")) for name in ("bos", "eos"))
    if config.get("add_bos_token") is not None:
        begin = (bos,) if config["add_bos_token"] and bos is not None else ()
    if config.get("add_eos_token") is not None:
        end = (eos,) if config["add_eos_token"] and eos is not None else ()
    decoder = json.dumps(description.get("decoder"))
    return Vocabulary(
        engine=engine,
        size=max([engine.get_vocab_size(), *(i + 1 for i in added)]),
        added=added,
        controls=controls,
        begin=begin,
        end=end,
        bos=bos,
        eos=eos,
        stops=_stops(controls, eos, *_generation_ends(folder)),
        byte_level="ByteLevel" in decoder,
        strips_space='"Strip"' in decoder or '"Metaspace"' in decoder,
    )


class _Metadata:
    """The `tokenizer.ggml.*` part of a file's metadata; every value is checked when it is asked for."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata

    def get(self, name: str) -> Any:
        return self._metadata.get(f"tokenizer.ggml.{name}")

    @property
    def cut(self) -> str:
        name = self.get("pre")
        if not isinstance(name, str) or name not in CUTS:
            raise ModelError(
                f"The file names the pre-tokenizer {name!r}, which is not known here.",
                f"Known: {', '.join(CUTS)}. Another would give slightly wrong tokens.",
            )
        return name

    def strings(self, name: str) -> Sequence[str]:
        found = self.get(name)
        if not isinstance(found, Sequence) or isinstance(found, (str, bytes)) or not found:
            raise ModelError(f"The file has no list of strings tokenizer.ggml.{name}.", "Use a complete model file.")
        return found.texts() if isinstance(found, Strings) else [str(item) for item in found]

    def numbers(self, name: str, count: int) -> Any:
        found = np.asarray(self.get(name))
        if found.shape != (count,) or found.dtype.kind not in "iuf":
            raise ModelError(f"tokenizer.ggml.{name} are not {count} numbers.", "Use a complete model file.")
        return found

    def flag(self, name: str, default: bool) -> bool:
        found = self.get(name)
        if found is not None and not isinstance(found, bool):
            raise ModelError(f"tokenizer.ggml.{name} is {found!r}.", "Use a complete model file.")
        return default if found is None else found

    def token(self, name: str, size: int) -> int | None:
        found = self.get(name)
        if found is not None and not (isinstance(found, (int, np.integer)) and 0 <= found < size):
            raise ModelError(f"tokenizer.ggml.{name} is {found!r}, no token of {size}.", "Use a complete model file.")
        return None if found is None else int(found)


def _byte_level(values: _Metadata, tokens: Sequence[str]) -> Engine:
    from tokenizers import models, normalizers

    cut = CUTS[values.cut]
    merges = [tuple(merge.split(" ", 1)) for merge in values.strings("merges")]
    if any(len(pair) != 2 for pair in merges):
        raise ModelError("A merge of the tokenizer is not two pieces.", "Get the file anew.")
    engine = _engine(models.BPE, vocab=_ids(tokens), merges=merges, ignore_merges=cut.ignores_merges)
    engine.normalizer = normalizers.NFC() if cut.is_nfc else None
    engine.pre_tokenizer = cut.pre_tokenizer()
    return engine


def _sentence_piece(values: _Metadata, tokens: Sequence[str], kinds: Any) -> Engine:
    from tokenizers import models, normalizers

    ids = _ids(tokens)
    scores = values.numbers("scores", len(tokens))
    skipped = {
        text for text, kind in zip(tokens, kinds.tolist(), strict=True) if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    }
    unknown = next((text for text, kind in zip(tokens, kinds.tolist(), strict=True) if kind == UNKNOWN), None)
    engine = _engine(
        models.BPE,
        vocab=ids,
        merges=merges_of(ids, scores.tolist(), skipped),
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=True,
    )
    steps = [normalizers.Prepend(SPACE)] if values.flag("add_space_prefix", True) else []
    engine.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    return engine


def merges_of(ids: Mapping[str, int], scores: Sequence[float], skipped: set[str]) -> list[tuple[str, str]]:
    """Every way a piece is made of two others, pieces of the highest score first: the order SentencePiece joins in."""
    found: list[tuple[float, int, int, str, str]] = []
    for piece, at in ids.items():
        if piece in skipped:
            continue
        for middle in range(1, len(piece)):
            left, right = piece[:middle], piece[middle:]
            if left in ids and right in ids and left not in skipped and right not in skipped:
                found.append((-scores[at], ids[left], ids[right], left, right))
    found.sort()
    return [(left, right) for *_, left, right in found]


def _ids(tokens: Sequence[str]) -> dict[str, int]:
    return {text: i for i, text in enumerate(tokens)}


def _engine(model: Any, **arguments: Any) -> Engine:
    from tokenizers import Tokenizer as Engine

    try:
        return Engine(model(**arguments))
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"The tokenizer of this file does not hold together: {error}.", "Get the file anew.") from None


def _add(engine: Engine, added: Mapping[int, str], controls: Mapping[str, int], *, eats_space: bool) -> None:
    """Makes `added` be found in texts as they stand. `eats_space`: Phi-3's control tokens swallow the blanks after
    them, which its files do not say."""
    from tokenizers import AddedToken

    def described(text: str) -> AddedToken:
        is_control = text in controls
        rstrip = eats_space and is_control and text not in KEPT_SPACE_AFTER
        return AddedToken(text, special=is_control, normalized=False, rstrip=rstrip)

    engine.add_special_tokens([described(text) for text in added.values() if text in controls])
    engine.add_tokens([described(text) for text in added.values() if text not in controls])
    _guard(engine)


def _guard(engine: Engine) -> None:
    from tokenizers import normalizers

    unguard = normalizers.Replace(GUARD, "")
    engine.normalizer = normalizers.Sequence([unguard, engine.normalizer]) if engine.normalizer else unguard


def _stops(controls: Mapping[str, int], *named: int | None) -> frozenset[int]:
    return frozenset(i for text, i in controls.items() if text in ENDINGS) | {i for i in named if i is not None}


def _around(engine: Engine) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer's own post-processor puts before and after a text."""
    bare = engine.encode("a", add_special_tokens=False).ids
    whole = engine.encode("a", add_special_tokens=True).ids
    for before in range(len(whole) - len(bare) + 1):
        if whole[before : before + len(bare)] == bare:
            return tuple(whole[:before]), tuple(whole[before + len(bare) :])
    return (), ()


def _named(engine: Engine, token: Any) -> int | None:
    """The id of a token that `tokenizer_config.json` names, as text or as a description."""
    text = token.get("content") if isinstance(token, dict) else token
    return engine.token_to_id(text) if isinstance(text, str) else None


def _generation_ends(folder: Path) -> tuple[int, ...]:
    file = folder / "generation_config.json"
    found = read_json(file, MAX_CONFIG).get("eos_token_id") if file.exists() else None
    return tuple(i for i in (found if isinstance(found, list) else [found]) if isinstance(i, int))

"""A folder's tokenizer in the words of GGUF, for files that llama.cpp reads too.

GGUF holds tokens, merges or scores, and the *name* of the way text is cut into words; a `tokenizer.json` holds that way
itself. What GGUF has no name for is refused, and what was written is read back and compared on a text of many kinds:
almost right tokens are worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ruvllm_mcp.errors import ModelError
from ruvllm_mcp.llm import vocabulary
from ruvllm_mcp.llm.files import folder_template, read_json
from ruvllm_mcp.llm.pretokenizers import CUTS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
MAX_TOKENIZER = 256_000_000
NEVER_JOINED = np.float32(-1e9)
"""Score of a SentencePiece token that no merge makes."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
SAMPLE = """def parseHTTPHeader(x1: int) -> str:  # it's fine, we've seen 12345 of 3.14159
\treturn f"{x1!r}"\r\n\r\n   Once upon a time, there wasn't a THING;  don't!
Zażółć gęślą jaźń. Ελληνικά, русский текст, العربية, हिन्दी. 今天天气很好。日本語 한국어 e\u0301 😀👩‍👩‍👧 ½ ²\n\n\n """


def gguf_tokenizer(folder: Path, size: int) -> dict[str, Any]:
    """The `tokenizer.*` metadata of a model folder; tokens are filled up to `size`, the rows of the embedding.

    Raises ModelError if the folder has no tokenizer, or one that GGUF cannot name.
    """
    description = read_json(folder / "tokenizer.json", MAX_TOKENIZER)
    known = vocabulary.from_folder(folder)
    model = description.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise ModelError(f"{folder / 'tokenizer.json'} is not a BPE tokenizer.", "Use the folder as it is.")
    ids = {**model["vocab"], **{text: i for i, text in known.added.items()}}
    tokens, kinds = [f"[PAD{i}]" for i in range(size)], np.full(size, UNUSED, np.int32)
    for text, i in ids.items():
        if not isinstance(i, int) or not 0 <= i < size:
            raise ModelError(f"Token {text!r} is number {i}, of {size}.", "The tokenizer belongs to another model.")
        tokens[i], kinds[i] = text, NORMAL
    for text in known.added.values():
        kinds[ids[text]] = CONTROL if text in known.controls else USER_DEFINED
    merges = [tuple(pair.split(" ", 1)) if isinstance(pair, str) else tuple(pair) for pair in model.get("merges", [])]
    found: dict[str, Any] = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds}
    if model.get("byte_fallback"):
        found |= {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default"}
        found["tokenizer.ggml.scores"] = _scores(ids, merges, size)
        found["tokenizer.ggml.add_space_prefix"] = _adds_space(description)
        kinds[[i for text, i in ids.items() if _BYTE.fullmatch(text)]] = BYTE
        if model.get("unk_token") in ids:
            kinds[ids[model["unk_token"]]] = UNKNOWN
            found["tokenizer.ggml.unknown_token_id"] = np.uint32(ids[model["unk_token"]])
    else:
        found |= {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": _cut(description)}
        found["tokenizer.ggml.merges"] = [" ".join(pair) for pair in merges]
    for name, i in (("bos", known.bos), ("eos", known.eos)):
        if i is not None:
            found[f"tokenizer.ggml.{name}_token_id"] = np.uint32(i)
    found["tokenizer.ggml.add_bos_token"] = known.begin != ()
    found["tokenizer.ggml.add_eos_token"] = known.end != ()
    template = folder_template(folder)
    if template:
        found["tokenizer.chat_template"] = template
    _check(found, known)
    return found


def _scores(ids: Mapping[str, int], merges: Sequence[tuple[str, ...]], size: int) -> Any:
    """SentencePiece's scores: a token that is merged earlier has a higher one."""
    scores = np.full(size, NEVER_JOINED, np.float32)
    for rank, pair in reversed(list(enumerate(merges))):
        scores[ids["".join(pair)]] = -rank
    return scores


def _adds_space(description: Mapping[str, Any]) -> bool:
    """Whether a blank is put before a text: by the normalizer in older files, by the pre-tokenizer in newer ones."""
    steps = [*_steps(description.get("normalizer")), *_steps(description.get("pre_tokenizer"))]
    return any(
        step.get("type") == "Prepend" or (step.get("type") == "Metaspace" and step.get("prepend_scheme") != "never")
        for step in steps
    )


def _cut(description: Mapping[str, Any]) -> str:
    """GGUF's name for the way that words are cut."""
    patterns: list[str] = []
    then_gpt2 = False
    for step in _steps(description.get("pre_tokenizer")):
        if step.get("type") == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
            patterns.append(step["pattern"].get("Regex") or re.escape(step["pattern"].get("String", "")))
        elif step.get("type") == "Digits" and step.get("individual_digits"):
            patterns.append(r"\p{N}")
        elif step.get("type") == "ByteLevel" and not step.get("add_prefix_space"):
            then_gpt2 = bool(step.get("use_regex", True))
        else:
            patterns.append(f"another step: {step.get('type')}")
    normalizers = [step.get("type") for step in _steps(description.get("normalizer"))]
    ignores_merges = bool(description["model"].get("ignore_merges"))
    for name, cut in CUTS.items():
        same = cut.patterns == tuple(patterns) and cut.then_gpt2 == then_gpt2
        if same and cut.ignores_merges == ignores_merges and (["NFC"] if cut.is_nfc else []) == normalizers:
            return name
    raise ModelError(
        "GGUF has no name that is known here for how this tokenizer cuts words.", "Use the folder as it is."
    )


def _steps(described: Any) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, sequences opened."""
    if not isinstance(described, dict):
        return
    inner = described.get("pretokenizers") or described.get("normalizers")
    if described.get("type") == "Sequence" and isinstance(inner, list):
        for step in inner:
            yield from _steps(step)
    else:
        yield described


def _check(metadata: Mapping[str, Any], known: vocabulary.Vocabulary) -> None:
    """What was written, read again, gives the same tokens."""
    again = vocabulary.from_gguf(metadata)
    ours, theirs = (each.engine.encode(SAMPLE, add_special_tokens=False).ids for each in (again, known))
    if ours != theirs or (again.begin, again.end) != (known.begin, known.end):
        raise ModelError("The tokenizer cannot be said in GGUF without a change.", "Use the folder as it is.")

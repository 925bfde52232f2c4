"""Keeps an answer to one JSON object: each token must go on with it, and leave tokens enough to end it.

Tokens are drawn by the sampler; what does not fit loses its chance, and the draw is repeated. Only where many draws
fail is the whole vocabulary looked through.
"""

from __future__ import annotations

import numpy as np

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.llm.json_text import START, Place, ending, follow, is_whole
from ruvllm_mcp.llm.sampler import Logits, Sampler
from ruvllm_mcp.llm.tokenizer import Tokenizer

DRAWS = 32
"""How many tokens are tried before all are looked through."""


class JsonMode:
    """The object one answer is to be, in at most `most` tokens. Raises InvalidInputError if these are too few for any,
    ModelError if the vocabulary cannot spell one."""

    def __init__(self, tokenizer: Tokenizer, most: int) -> None:
        self._tokenizer = tokenizer
        self._place = START
        if not self._ends_within(START, most):
            if most < len(ending(START)):
                raise InvalidInputError(
                    f"A JSON object takes two tokens, there is room for {most}.",
                    "Raise max_tokens or shorten the prompt.",
                )
            raise ModelError("The model has no tokens for JSON's brackets.", "Use another model.")

    @property
    def is_whole(self) -> bool:
        return is_whole(self._place)

    def pick(self, sampler: Sampler, logits: Logits, left: int) -> int:
        """The next token for logits (vocabulary,), of at most `left` more."""
        logits = logits.copy()
        for _ in range(DRAWS):
            token = sampler.draw(logits)
            if self._goes_on(token, left):
                break
            logits[token] = -np.inf
        else:
            fitting = self._fitting(left)
            masked = np.full_like(logits, -np.inf)
            masked[fitting] = logits[fitting]
            token = sampler.draw(masked)
        sampler.note(token)
        place = follow(self._place, self._tokenizer.piece(token))
        assert place is not None
        self._place = place
        return token

    def _goes_on(self, token: int, left: int) -> bool:
        piece = self._tokenizer.piece(token)
        place = follow(self._place, piece) if piece else None
        return place is not None and self._ends_within(place, left - 1)

    def _ends_within(self, place: Place, tokens: int) -> bool:
        """A byte a token, if need be."""
        rest = ending(place)
        return len(rest) <= tokens and self._tokenizer.single_bytes.issuperset(rest)

    def _fitting(self, left: int) -> list[int]:
        begins = (byte for byte in range(256) if follow(self._place, bytes([byte])) is not None)
        return [
            token for byte in begins for token in self._tokenizer.beginning_with[byte] if self._goes_on(token, left)
        ]

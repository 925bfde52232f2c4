"""One answer while it is being written: what is known of it, and how each new token changes that.

The text grows only by whole characters, never by a stop string or by what may still become one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ruvllm_mcp.errors import InvalidInputError
from ruvllm_mcp.llm.json_mode import JsonMode
from ruvllm_mcp.llm.sampler import Logits, Sampler, StopFinder, log_probabilities
from ruvllm_mcp.llm.tokenizer import Detokenizer, Tokenizer
from ruvllm_mcp.types import FinishReason, GenerationConfig, TokenScore, Usage


class Writing:
    """An answer to `prompt` (token ids). `is_reply`: it begins a text of its own, it does not continue the prompt's.

    `tokens` are the prompt's and the answer's; `text` is what may be shown so far; `finish_reason` is None until the
    answer is complete. Raises InvalidInputError for a prompt that leaves no room in the context.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt: Sequence[int], config: GenerationConfig, context: int, *, is_reply: bool
    ) -> None:
        if not prompt:
            raise InvalidInputError("The prompt is empty.", "Give a text.")
        if len(prompt) >= context:
            raise InvalidInputError(
                f"The prompt has {len(prompt):,} tokens; the model reads {context:,}, its answer included.",
                "Shorten the prompt, give fewer memories or an earlier part of the chat less.",
            )
        self.tokens = list(prompt)
        self.text = ""
        self.scores: list[TokenScore] = []
        self.finish_reason: FinishReason | None = None
        self._tokenizer = tokenizer
        self._config = config
        self._context = context
        self._prompt_length = len(prompt)
        self._sampler = Sampler(config, prompt)
        self._reader = Detokenizer(tokenizer, is_start=is_reply)
        self._stops = StopFinder(config.stop)
        self._json = JsonMode(tokenizer, self._left) if config.json_mode else None

    @property
    def _left(self) -> int:
        """How many tokens may still be written."""
        return min(self._config.max_tokens - self.usage.completion_tokens, self._context - len(self.tokens))

    @property
    def usage(self) -> Usage:
        return Usage(self._prompt_length, len(self.tokens) - self._prompt_length)

    def add(self, logits: Logits) -> str:
        """Takes the next token from logits (vocabulary,); gives the text that may be shown by it, often none.

        A model may have more rows than its tokenizer has tokens: those are never taken.
        """
        logits = logits[: self._tokenizer.vocabulary.size]
        token = self._json.pick(self._sampler, logits, self._left) if self._json else self._sampler.pick(logits)
        if token in self._tokenizer.vocabulary.stops:
            return self._shown(self._stops.add(self._reader.finish()), "stop")
        self.tokens.append(token)
        if self._config.logprobs:
            self.scores.append(self._score(logits, token))
        piece = self._stops.add(self._reader.add(token))
        if self._stops.is_found or (self._json and self._json.is_whole):
            return self._shown(piece, "stop")
        if self.usage.completion_tokens >= self._config.max_tokens:
            return self._shown(piece + self._stops.add(self._reader.finish()), "length")
        if len(self.tokens) >= self._context:
            return self._shown(piece + self._stops.add(self._reader.finish()), "context")
        return self._shown(piece, None)

    def _shown(self, piece: str, reason: FinishReason | None) -> str:
        self.finish_reason = reason
        piece += self._stops.finish() if reason else ""
        self.text += piece
        return piece

    def _score(self, logits: Logits, token: int) -> TokenScore:
        chosen, best = log_probabilities(logits, token, self._config.logprobs)
        return TokenScore(self._spelt(token), chosen, tuple((self._spelt(other), score) for other, score in best))

    def _spelt(self, token: int) -> str:
        return self._tokenizer.piece(token).decode("utf-8", "replace")

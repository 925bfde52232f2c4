"""Everything learned beyond single questions, as one immutable value that is stored, shared and rolled back whole.

A version is this value plus the number of the last feedback it was trained on; the instant loop starts over from there,
so a process rebuilds the very same state from the active version and the feedback since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import ModelError, RuvLLMError
from ruvllm_mcp.formats import safetensors
from ruvllm_mcp.learning.lora import LoraAdapter
from ruvllm_mcp.learning.patterns import ReasoningBank

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Learned:
    """`base`: the adapter of question vectors, None for none; `weights`: factors of score parts by name; `bank`:
    patterns; `importance` and `anchor`: what elastic weight consolidation holds the base to, empty before the first;
    `trained_to`: number of the last feedback it was trained on."""

    base: LoraAdapter | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    bank: ReasoningBank = field(default_factory=ReasoningBank)
    importance: Mapping[str, FloatArray] = field(default_factory=dict)
    anchor: Mapping[str, FloatArray] = field(default_factory=dict)
    trained_to: int = 0

    def moved(self, query: FloatArray) -> FloatArray:
        """The question vector after the base adapter, not normalised."""
        return query if self.base is None else query + self.base.forward(query)

    def to_blob(self) -> bytes:
        """As the bytes of a SafeTensors file."""
        tensors = {f"bank.{name}": array for name, array in self.bank.to_tensors().items()}
        if self.base is not None:
            tensors["base.a"], tensors["base.b"] = self.base.a, self.base.b
        for group, arrays in (("importance", self.importance), ("anchor", self.anchor)):
            for name, array in arrays.items():
                tensors[f"{group}.{name}"] = np.asarray(array, np.float32)
        metadata = {
            "weights": json.dumps(dict(self.weights)),
            "trained_to": str(self.trained_to),
            "alpha": repr(self.base.alpha if self.base is not None else 1.0),
        }
        return safetensors.dumps(tensors, metadata)

    @classmethod
    def from_blob(cls, blob: bytes) -> Learned:
        """What `to_blob` wrote. Raises ModelError if it is damaged."""
        tensors, metadata = safetensors.loads(blob)
        try:
            base = None
            if "base.a" in tensors:
                base = LoraAdapter.from_factors(tensors["base.a"], tensors["base.b"], float(metadata["alpha"]))
            groups = {
                group: {name[len(group) + 1 :]: tensors[name] for name in tensors if name.startswith(f"{group}.")}
                for group in ("bank", "importance", "anchor")
            }
            weights = {str(name): float(value) for name, value in json.loads(metadata["weights"]).items()}
            trained_to = int(metadata["trained_to"])
            return cls(
                base,
                weights,
                ReasoningBank.from_tensors(groups["bank"]),
                groups["importance"],
                groups["anchor"],
                trained_to,
            )
        except (KeyError, ValueError, TypeError, AttributeError, RuvLLMError) as error:
            raise ModelError(f"A learned version is damaged ({error}).", "Roll back to another one.") from None

"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685): a trained addition to a fixed linear map.

The addition to y = W x is scale * B (A x) with A (rank, in), B (out, rank) and scale = alpha / rank. A starts random
(Kaiming uniform, as in the paper's code), B zero, so a fresh adapter changes nothing. Numbers are float32. Saved
adapters are folders in the layout of the `peft` package: `adapter_config.json` and `adapter_model.safetensors`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import DimensionError, InvalidInputError, ModelError, RuvLLMError
from ruvllm_mcp.formats import safetensors

FloatArray = npt.NDArray[np.float32]

MAX_RANK = 1024
_PREFIX = "base_model.model."


class LoraAdapter:
    """One adapter. `a` (rank, in_features) and `b` (out_features, rank) are its float32 parameters.

    Not thread-safe while training; `forward` is safe on an adapter nobody trains.
    """

    def __init__(
        self, in_features: int, out_features: int | None = None, *, rank: int = 8, alpha: float = 16.0, seed: int = 0
    ) -> None:
        out_features = in_features if out_features is None else out_features
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise InvalidInputError(f"{name} is {size!r}.", "Give a whole number of at least 1.")
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= MAX_RANK:
            raise InvalidInputError(f"rank is {rank!r}.", f"Give a whole number from 1 to {MAX_RANK}.")
        if not (math.isfinite(alpha) and alpha > 0):
            raise InvalidInputError(f"alpha is {alpha!r}.", "Give a positive number.")
        self.alpha = float(alpha)
        bound = 1 / math.sqrt(in_features)
        random = np.random.default_rng(seed)
        self.a: FloatArray = random.uniform(-bound, bound, (rank, in_features)).astype(np.float32)
        self.b: FloatArray = np.zeros((out_features, rank), np.float32)
        self.grad_a: FloatArray = np.zeros_like(self.a)
        self.grad_b: FloatArray = np.zeros_like(self.b)
        self.is_frozen = False

    @classmethod
    def from_factors(cls, a: npt.ArrayLike, b: npt.ArrayLike, alpha: float | None = None) -> LoraAdapter:
        """An adapter with these factors, A (rank, in) and B (out, rank); `alpha` defaults to the rank (scale 1).

        Raises DimensionError if they do not fit, InvalidInputError if a number is not finite.
        """
        left, right = np.array(a, np.float32, ndmin=2), np.array(b, np.float32, ndmin=2)
        if left.ndim != 2 or right.ndim != 2 or left.shape[0] != right.shape[1]:
            raise DimensionError(
                f"Factors of shapes {left.shape} and {right.shape} do not fit.", "A (r, in), B (out, r)."
            )
        if not (np.isfinite(left).all() and np.isfinite(right).all()):
            raise InvalidInputError("A factor holds NaN or infinity.", "Give finite numbers.")
        made = cls(left.shape[1], right.shape[0], rank=left.shape[0], alpha=left.shape[0] if alpha is None else alpha)
        made.a, made.b = left, right
        return made

    @property
    def rank(self) -> int:
        """The inner dimension of the two factors."""
        return int(self.a.shape[0])

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    @property
    def in_features(self) -> int:
        """Length of the vectors it takes."""
        return int(self.a.shape[1])

    @property
    def out_features(self) -> int:
        """Length of the vectors it gives."""
        return int(self.b.shape[0])

    def forward(self, x: npt.ArrayLike) -> FloatArray:
        """What the adapter adds to W x: scale * B A x. `x` is float32 (in,) or (n, in), the result (out,) or (n, out).
        Raises DimensionError."""
        inputs = self._inputs(x)
        inner: FloatArray = inputs @ self.a.T
        inner *= np.float32(self.scale)
        added: FloatArray = inner @ self.b.T
        return added

    def backward(self, x: npt.ArrayLike, grad_output: npt.ArrayLike) -> FloatArray:
        """Adds to `grad_a` and `grad_b` the gradients of a loss whose gradient in `forward(x)` is `grad_output`, and
        returns that in `x`, for the adapter's part alone. Raises InvalidInputError when frozen, DimensionError."""
        self._refuse_if_frozen()
        inputs = self._inputs(x)
        outer = np.ascontiguousarray(grad_output, np.float32)
        if outer.shape != (*inputs.shape[:-1], self.out_features):
            raise DimensionError(
                f"grad_output has shape {outer.shape}.", f"It takes {(*inputs.shape[:-1], self.out_features)}."
            )
        rows = inputs.reshape(-1, self.in_features)
        scaled: FloatArray = np.multiply(outer, self.scale, dtype=np.float32).reshape(-1, self.out_features)
        inner: FloatArray = scaled @ self.b
        self.grad_b += scaled.T @ (rows @ self.a.T)
        self.grad_a += inner.T @ rows
        grad_input: FloatArray = inner @ self.a
        return grad_input.reshape(inputs.shape)

    def step(self, learning_rate: float) -> None:
        """Moves both factors against their gathered gradients (plain gradient descent) and clears these.

        Raises InvalidInputError when frozen, or, leaving all as it is, when the step would not stay finite.
        """
        self._refuse_if_frozen()
        rate = np.float32(learning_rate)
        a: FloatArray = self.a - self.grad_a * rate
        b: FloatArray = self.b - self.grad_b * rate
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise InvalidInputError("The step leaves the finite numbers.", "Take a smaller learning rate.")
        self.a, self.b = a, b
        self.zero_grad()

    def zero_grad(self) -> None:
        """Forgets gathered gradients."""
        self.grad_a[:] = 0
        self.grad_b[:] = 0

    def freeze(self) -> None:
        """From now on `backward` and `step` are errors."""
        self.is_frozen = True

    def unfreeze(self) -> None:
        """Allows training again."""
        self.is_frozen = False

    def delta_weight(self) -> FloatArray:
        """The addition as a matrix, float32 (out, in)."""
        delta: FloatArray = self.b @ self.a
        return delta * np.float32(self.scale)

    def merge(self, weight: npt.ArrayLike) -> FloatArray:
        """`weight`, float32 (out, in), with the adapter folded in; the argument is untouched. Raises DimensionError."""
        base = np.asarray(weight, np.float32)
        if base.shape != (self.out_features, self.in_features):
            raise DimensionError(
                f"weight has shape {base.shape}.", f"This adapter is for {(self.out_features, self.in_features)}."
            )
        merged: FloatArray = base + self.delta_weight()
        return merged

    def copy(self) -> LoraAdapter:
        """The same factors in an adapter of its own, without gathered gradients."""
        return LoraAdapter.from_factors(self.a, self.b, self.alpha)

    def _inputs(self, x: npt.ArrayLike) -> FloatArray:
        inputs = np.ascontiguousarray(x, np.float32)
        if inputs.ndim not in (1, 2) or inputs.shape[-1] != self.in_features:
            raise DimensionError(f"x has shape {inputs.shape}.", f"It takes (n, {self.in_features}).")
        return inputs

    def _refuse_if_frozen(self) -> None:
        if self.is_frozen:
            raise InvalidInputError("The adapter is frozen.", "Call unfreeze() to train it.")


def save_adapters(folder: Path, adapters: Mapping[str, LoraAdapter], base_model: str = "") -> None:
    """Writes adapters by the name of the module they belong to, as `peft` does. All share rank and alpha.

    Raises InvalidInputError if there are none, or they differ in rank or alpha.
    """
    if len({(adapter.rank, adapter.alpha) for adapter in adapters.values()}) != 1:
        raise InvalidInputError("Adapters saved together need one rank and one alpha.", "Save them in folders apart.")
    first = next(iter(adapters.values()))
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base_model or None,
        "r": first.rank,
        "lora_alpha": int(first.alpha) if first.alpha.is_integer() else first.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted(adapters),
    }
    tensors = {}
    for module, adapter in adapters.items():
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = adapter.a
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = adapter.b
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.save(folder / "adapter_model.safetensors", tensors, {"format": "pt"})
    safetensors.write_atomically(folder / "adapter_config.json", (json.dumps(config, indent=2) + "\n").encode())


def load_adapters(folder: Path) -> dict[str, LoraAdapter]:
    """Adapters by module name, from a folder that `save_adapters` or `peft` wrote. Raises ModelError if it is missing
    or damaged, or uses what is not known here (a LoRA variant, ranks by pattern, trained biases)."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        alpha = float(config["lora_alpha"])
        is_plain = config["peft_type"] == "LORA" and config.get("bias", "none") == "none"
        is_plain = is_plain and not any(
            config.get(key) for key in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder} holds no readable adapter_config.json ({error}).", "Save it again.") from None
    if not is_plain:
        raise ModelError(f"{folder} is not a plain LoRA adapter.", "Only LoRA without variants can be loaded.")
    tensors, _ = safetensors.load(folder / "adapter_model.safetensors")
    found: dict[str, LoraAdapter] = {}
    for name in tensors:
        if not name.endswith((".lora_A.weight", ".lora_B.weight")):
            raise ModelError(f"{folder} holds {name!r}, which no plain LoRA adapter has.", "Save it without extras.")
        module = name.removeprefix(_PREFIX)[: -len(".lora_A.weight")]
        pair = (f"{name[:-13]}lora_A.weight", f"{name[:-13]}lora_B.weight")
        if module in found:
            continue
        if not all(key in tensors for key in pair):
            raise ModelError(f"Module {module!r} in {folder} lacks one of its two factors.", "Save it again.")
        try:
            found[module] = LoraAdapter.from_factors(tensors[pair[0]], tensors[pair[1]], alpha)
        except (RuvLLMError, ValueError) as error:
            raise ModelError(f"Module {module!r} in {folder} is damaged: {error}", "Save it again.") from None
    if not found:
        raise ModelError(f"{folder} holds no adapter.", "Save it again.")
    return found

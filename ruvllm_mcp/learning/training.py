"""Training by gradient descent: AdamW, clipping, schedules, early stopping, checkpoints that resume to the bit.

The pipeline owns numbers and time, not the model: a loss function maps parameters and a batch to a loss and gradients.
Batches are drawn from a permutation per epoch that the seed and the epoch's number fix, so a resumed training sees what
the uninterrupted one would have seen. AdamW is as in Loshchilov and Hutter 2019 (arXiv:1711.05101): decay apart from
the moments, bias correction, moments in float32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ruvllm_mcp.errors import InvalidInputError, ModelError
from ruvllm_mcp.formats import safetensors
from ruvllm_mcp.learning.schedules import Kind, Plateau, schedule

T = TypeVar("T")
FloatArray = npt.NDArray[np.float32]
Parameters = Mapping[str, FloatArray]
Loss = Callable[[Parameters, Sequence[T]], tuple[float, Mapping[str, npt.NDArray[Any]]]]


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. `weight_decay` applies to every parameter; `clip_norm` bounds the norm of all gradients together,
    0 for no bound; `patience` is how many validations without a better loss end the training, 0 to never stop early;
    `plateau` makes the validation loss lower the learning rate on top of the schedule."""

    steps: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    kind: Kind = "cosine"
    warmup: int = 0
    floor: float = 0.0
    validate_every: int = 10
    patience: int = 0
    plateau: Plateau | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            f"batch_size is {self.batch_size}; it takes at least 1": self.batch_size >= 1,
            f"learning_rate is {self.learning_rate}; it takes a positive number": 0 < self.learning_rate < math.inf,
            "beta1 and beta2 take [0, 1)": 0 <= self.beta1 < 1 and 0 <= self.beta2 < 1,
            f"epsilon is {self.epsilon}; it takes a positive number": 0 < self.epsilon < math.inf,
            f"weight_decay is {self.weight_decay}; it takes at least 0": 0 <= self.weight_decay < math.inf,
            f"clip_norm is {self.clip_norm}; it takes at least 0": 0 <= self.clip_norm < math.inf,
            f"validate_every is {self.validate_every}; it takes at least 1": self.validate_every >= 1,
            f"patience is {self.patience}; it takes at least 0": self.patience >= 0,
        }
        for rule, holds in rules.items():
            if not holds:
                raise InvalidInputError(f"No such training: {rule}.", "Correct that argument.")
        schedule(self.kind, self.steps, warmup=self.warmup, floor=self.floor)


@dataclass(frozen=True)
class TrainingReport:
    """How a training went. Losses are means per example: `losses` one a step, `validation` (step, loss) pairs;
    `best_step` is the step after which the returned parameters stood."""

    steps: int
    best_step: int
    losses: tuple[float, ...]
    validation: tuple[tuple[int, float], ...]
    stopped_early: bool


@dataclass
class _Progress:
    """Everything beside the tensors that a resumed training needs."""

    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    waited: int = 0
    plateau: Plateau | None = None
    losses: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)


class TrainingPipeline(Generic[T]):
    """One training of named float32 parameters on examples of any type. Not thread-safe.

    `parameters` are copied; after `fit` they are the best ones seen (by validation loss if there is validation, else
    the last).
    """

    def __init__(self, parameters: Parameters, loss: Loss[T], config: TrainingConfig) -> None:
        if not parameters:
            raise InvalidInputError("There are no parameters to train.", "Give at least one array.")
        self.config = config
        self._loss = loss
        self._rate = schedule(config.kind, config.steps, warmup=config.warmup, floor=config.floor)
        self.parameters = {name: np.array(value, np.float32) for name, value in parameters.items()}
        self._best = self._copied()
        self._first = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self._second = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self._progress = _Progress(plateau=config.plateau)

    def fit(
        self,
        examples: Sequence[T],
        validation: Sequence[T] = (),
        *,
        checkpoint: Path | None = None,
        checkpoint_every: int = 0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> TrainingReport:
        """Trains from the current step to the last. With `checkpoint` and `checkpoint_every`, saves there every that
        many steps; `should_stop` is asked before each step and ends the training early.

        Raises InvalidInputError for no examples, or when the loss stops being finite (parameters stay as before that
        step).
        """
        if not examples:
            raise InvalidInputError("There is nothing to learn from.", "Give at least one example.")
        progress, config = self._progress, self.config
        stopped = False
        while progress.step < config.steps and not should_stop():
            progress.losses.append(self.step(self._batch(examples)))
            if validation and (progress.step % config.validate_every == 0 or progress.step == config.steps):
                stopped = self._validate(validation)
            if checkpoint is not None and checkpoint_every and progress.step % checkpoint_every == 0:
                self.save_checkpoint(checkpoint)
            if stopped:
                break
        if progress.validation:
            self.parameters = {name: value.copy() for name, value in self._best.items()}
        return TrainingReport(
            progress.step,
            progress.best_step if progress.validation else progress.step,
            tuple(progress.losses),
            tuple(progress.validation),
            stopped,
        )

    def step(self, batch: Sequence[T]) -> float:
        """One AdamW step on one batch; its loss before the step. Raises InvalidInputError if loss or gradients are not
        finite."""
        loss, gradients = self._loss(self.parameters, batch)
        clipped = self._clipped(gradients)
        if clipped is None or not math.isfinite(loss):
            raise InvalidInputError("The loss or a gradient is not finite.", "Lower the learning rate; check the data.")
        config, progress = self.config, self._progress
        rate = config.learning_rate * self._rate(progress.step)
        if progress.plateau is not None:
            rate *= progress.plateau.factor
        progress.step += 1
        step_size = rate / (1 - config.beta1**progress.step)
        root = math.sqrt(1 - config.beta2**progress.step)
        for name, gradient in clipped.items():
            first, second, value = self._first[name], self._second[name], self.parameters[name]
            first += np.float32(1 - config.beta1) * (gradient - first)
            second += np.float32(1 - config.beta2) * (gradient * gradient - second)
            value *= np.float32(1 - rate * config.weight_decay)
            value -= np.float32(step_size) * first / (np.sqrt(second) / np.float32(root) + np.float32(config.epsilon))
        return loss

    def save_checkpoint(self, path: Path) -> None:
        """Writes everything needed to go on, whole or not at all."""
        groups = {"value": self.parameters, "best": self._best, "first": self._first, "second": self._second}
        tensors = {f"{group}.{name}": array for group, arrays in groups.items() for name, array in arrays.items()}
        safetensors.save(path, tensors, {"config": self._config_text(), "progress": json.dumps(asdict(self._progress))})

    def resume(self, path: Path) -> None:
        """Goes back to a checkpoint: `fit` on the same examples then ends as if it had never stopped, to the bit.

        Raises ModelError if the file is damaged, InvalidInputError if it is of other parameters or another config.
        """
        tensors, metadata = safetensors.load(path)
        if metadata.get("config") != self._config_text():
            raise InvalidInputError(f"{path} is of another training.", "Resume with the same config and parameters.")
        try:
            progress = json.loads(metadata["progress"])
            plateau = None if progress["plateau"] is None else Plateau(**progress["plateau"])
            pairs = [(int(step), float(loss)) for step, loss in progress["validation"]]
            restored = _Progress(**{**progress, "plateau": plateau, "validation": pairs})
            groups = [
                {name: tensors[f"{group}.{name}"].copy() for name in self.parameters}
                for group in ("value", "best", "first", "second")
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is a damaged checkpoint ({error}).", "Start the training anew.") from None
        self.parameters, self._best, self._first, self._second = groups
        self._progress = restored

    def _config_text(self) -> str:
        shapes = {name: list(value.shape) for name, value in self.parameters.items()}
        return json.dumps({"config": asdict(self.config), "shapes": shapes}, sort_keys=True)

    def _copied(self) -> dict[str, FloatArray]:
        return {name: value.copy() for name, value in self.parameters.items()}

    def _batch(self, examples: Sequence[T]) -> list[T]:
        size = min(self.config.batch_size, len(examples))
        per_epoch = math.ceil(len(examples) / size)
        epoch, place = divmod(self._progress.step, per_epoch)
        order = np.random.default_rng((self.config.seed, epoch)).permutation(len(examples))
        return [examples[index] for index in order[place * size : (place + 1) * size]]

    def _clipped(self, gradients: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray] | None:
        """The gradients as float32, scaled so that their common norm is at most `clip_norm`; None if not finite."""
        square = math.fsum(float(np.vdot(value, value)) for value in gradients.values())
        if not math.isfinite(square):
            return None
        limit, norm = self.config.clip_norm, math.sqrt(square)
        factor = np.float32(limit / norm if 0 < limit < norm else 1.0)
        return {name: np.asarray(gradients[name], np.float32) * factor for name in self.parameters}

    def _validate(self, validation: Sequence[T]) -> bool:
        """Notes the validation loss; whether patience has run out."""
        progress = self._progress
        loss, _ = self._loss(self.parameters, validation)
        progress.validation.append((progress.step, loss))
        if progress.plateau is not None:
            progress.plateau = progress.plateau.after(loss)
        if loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.waited = loss, progress.step, 0
            self._best = self._copied()
        else:
            progress.waited += 1
        return 0 < self.config.patience <= progress.waited

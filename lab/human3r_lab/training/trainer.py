"""The training loop: batch, forward, losses, gradient, step; and what keeps it going."""

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from human3r.atomic import output_errors
from human3r.errors import ConfigError, InputError, NonFiniteError
from human3r.model.network import Human3R
from human3r_lab.training.batches import Batch, BatchMaker, Plan
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.checkpoints import (
    Checkpoint,
    check_identity,
    list_checkpoints,
    load_newest,
    remove_leftovers,
    save_checkpoint,
)
from human3r_lab.training.duration import Cadence, Duration
from human3r_lab.training.forward import (
    ForwardOptions,
    HumanBranch,
    forward,
    forward_human_branch,
    forward_people,
)
from human3r_lab.training.initial import new_hints
from human3r_lab.training.loader import BatchLoader
from human3r_lab.training.losses import compute_losses
from human3r_lab.training.optimiser import Optimiser
from human3r_lab.training.processes import Processes
from human3r_lab.training.recipes import Recipe, choose_parameters
from human3r_lab.training.run_log import RunLog
from human3r_lab.training.schedule import rate

_logger = logging.getLogger("human3r_lab.training")

_FORWARD: dict[str, Callable[..., HumanBranch]] = {
    "whole": forward,
    "people": forward_people,
    "human-branch": forward_human_branch,
}
"""By what views pass through."""

MAX_BAD_STEPS = 8
"""So many steps in a row without a finite gradient lead back to the last checkpoint."""


@dataclass(frozen=True)
class TrainingSummary:
    """What a training did."""

    steps: int
    """Altogether, resumed parts included."""
    images: int
    """Views learnt from by all processes since this process began."""
    seconds: float
    """Since this process began."""
    wait_share: float
    """Part of that time in which the loop waited for batches."""
    skipped: int
    """Steps left out for gradients that were not finite, resumed parts included."""
    rank: int
    """Number of this process among those that learnt together."""

    @property
    def images_per_s(self) -> float:
        """Rate of learning."""
        return self.images / max(self.seconds, 1e-9)


class Trainer:
    """A network, its optimiser and its place in the data, from one step to the next.

    All chance comes from the seed and a step's number, so no generator has to be remembered.

    Args:
        network: on its device.
        recipe: losses, rates, and which parameters move.
        plan: what a step learns from.
        data: sequence files and their lengths.
        body: of the people in the data, on the network's device.
        folder: where checkpoints and log go.
        precision: ``float32``, or ``bfloat16`` for the forward pass; losses are float32.
        learning_rate: highest rate, instead of the recipe's.
        processes: this process among those that learn together.
        save_memory: compute activations twice instead of keeping them.
    """

    def __init__(
        self,
        network: Human3R,
        recipe: Recipe,
        plan: Plan,
        data: tuple[list[Path], list[int]],
        body: BodyPoints,
        folder: Path,
        *,
        precision: str = "float32",
        learning_rate: float = 0.0,
        processes: Processes | None = None,
        save_memory: bool = False,
    ) -> None:
        if precision not in ("float32", "bfloat16"):
            raise ConfigError(f"precision is {precision!r}; expected float32 or bfloat16.")
        self.network, self.recipe, self.plan, self.folder = network, recipe, plan, folder
        self.processes = processes or Processes()
        self.step, self.elapsed_s, self.skipped = 0, 0.0, 0
        self._body, self._data = body, data
        self._options = dataclasses.replace(recipe.options, save_memory=save_memory)
        self._forward = _FORWARD[recipe.part]
        self._autocast = precision == "bfloat16"
        self._rate = learning_rate or recipe.learning_rate
        self._bad_in_row, self._returned = 0, False
        self._hints = new_hints(network, plan.seed) if recipe.loss.hints else None
        moving = choose_parameters(network, recipe)
        self._optimiser = Optimiser({**moving, **self._hint_weights()}, recipe)
        self._identity = {
            "recipe": recipe.name,
            "network": _as_json(plan.config),
            "batch": plan.batch,
            "views": plan.views,
            "seed": plan.seed,
            "learning_rate": self._rate,
            "precision": precision,
            "processes": self.processes.count,
            "augmentation": _as_json(plan.augmentation),
        }

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    def resume(self) -> bool:
        """Go on from the newest checkpoint; False when there is none.

        Raises:
            InputError: of another training, or damaged.
        """
        remove_leftovers(self.checkpoints)
        checkpoint = load_newest(self.checkpoints)
        if checkpoint is None:
            return False
        check_identity(checkpoint.identity, self._identity, self.folder)
        self._restore(checkpoint)
        progress = checkpoint.progress
        self.step, self.elapsed_s = progress["step"], progress["elapsed_s"]
        self.skipped, self._bad_in_row = progress["skipped"], progress["bad_in_row"]
        return True

    def require_fresh(self) -> None:
        """Nothing, when the folder holds no training yet.

        Raises:
            InputError: it does.
        """
        if list_checkpoints(self.checkpoints):
            raise InputError(
                f"{self.folder}: already holds a training; expected a new folder. Go on with "
                "--resume, or choose another --out."
            )

    def run(
        self,
        duration: Duration,
        *,
        workers: int = 0,
        cadence: Cadence | None = None,
        on_step: Callable[[dict[str, Any]], None] | None = None,
        validate: Callable[["Trainer"], dict[str, float]] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> TrainingSummary:
        """Train until the end, or until asked to stop; a checkpoint is written either way.

        Args:
            duration: when the end is, and how far the learning rate has fallen by then.
            workers: processes that prepare batches.
            cadence: how often to save and to validate.
            on_step: told about every step.
            validate: measures the running average; its numbers go into the log.
            should_stop: asked between steps.

        Raises:
            NonFiniteError: gradients stay NaN even from the last checkpoint on.
            OutputError: log or checkpoint cannot be written.
        """
        cadence = cadence or Cadence()
        is_first = self.processes.is_first
        with output_errors(self.checkpoints):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        log = RunLog(self.folder / "log.jsonl", self.step) if is_first else None
        maker = BatchMaker(*self._data, self.plan, self.processes.rank, self.processes.count)
        pin = self.network.device.type == "cuda"
        loader = BatchLoader(maker, self.step, workers, pin)
        began, first, before_s = time.perf_counter(), self.step, self.elapsed_s
        saved = began
        try:
            while not self._is_over(duration, should_stop):
                lap = time.perf_counter()
                waited = loader.waited_s
                line = self._learn(loader.next(), duration)
                now = time.perf_counter()
                self.elapsed_s = before_s + now - began
                line["images_per_s"] = self._images(1) / (now - lap)
                line["wait_share"] = (loader.waited_s - waited) / (now - lap)
                if validate is not None and self.step % cadence.validate_steps == 0:
                    line["validation"] = self._validated(validate)
                if log is not None:
                    log.write(line)
                if on_step is not None:
                    on_step(line)
                if now - saved > cadence.checkpoint_s:
                    self.save()
                    saved = now
            self.save()
        finally:
            loader.close()
            if log is not None:
                log.close()
        seconds = time.perf_counter() - began
        return TrainingSummary(
            steps=self.step,
            images=self._images(self.step - first),
            seconds=seconds,
            wait_share=loader.waited_s / max(seconds, 1e-9),
            skipped=self.skipped,
            rank=self.processes.rank,
        )

    def save(self) -> None:
        """Write a checkpoint, unless gradients are failing: it has to be one to return to."""
        if self._bad_in_row or not self.processes.is_first:
            return
        progress = {
            "step": self.step,
            "updates": self._optimiser.updates,
            "elapsed_s": self.elapsed_s,
            "skipped": self.skipped,
            "bad_in_row": 0,
        }
        tensors = {
            **{
                f"weights/{name}": value
                for name, value in {**self._weights(), **self._hint_weights()}.items()
            },
            **self._optimiser.state(),
        }
        save_checkpoint(self.checkpoints, Checkpoint(tensors, self._identity, progress))

    def average(self) -> dict[str, torch.Tensor]:
        """All weights of the network, those that move as their running average."""
        average = self._optimiser.average()
        return {name: average.get(name, weight) for name, weight in self._weights().items()}

    def _weights(self) -> dict[str, torch.Tensor]:
        return {
            **{name: p.detach() for name, p in self.network.named_parameters()},
            **dict(self.network.named_buffers()),
        }

    def _hint_weights(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that training has and the network has not."""
        if self._hints is None:
            return {}
        return {f"hints.{name}": p for name, p in self._hints.named_parameters()}

    def _images(self, steps: int) -> int:
        return steps * self.plan.batch * self.plan.views * self.processes.count

    def _is_over(self, duration: Duration, should_stop: Callable[[], bool]) -> bool:
        if self.processes.count > 1 and duration.minutes:
            self.elapsed_s = self.processes.largest(self.elapsed_s)
        if duration.progress(self.step, self.elapsed_s) >= 1:
            return True
        return bool(self.processes.largest(float(should_stop())))

    def _learn(self, batch: Batch, duration: Duration) -> dict[str, Any]:
        """One step; what to log about it."""
        batch = batch.to(self.network.device)
        self._optimiser.clear()
        with torch.autocast(self.network.device.type, torch.bfloat16, enabled=self._autocast):
            predicted = self._forward(self.network, batch, self._step_options())
        loss, terms = compute_losses(predicted, batch, self._body, self.recipe.loss, self._hints)
        loss.backward()
        loss = loss.detach()
        self.processes.average([loss, *self._optimiser.gradients()])
        values = torch.stack([loss, *terms.values()]).tolist()
        norm = self._optimiser.shorten()
        learning_rate = self._rate_at(duration)
        is_good = math.isfinite(norm) and math.isfinite(values[0])
        if is_good:
            self._optimiser.step(learning_rate)
            self._bad_in_row, self._returned = 0, False
        else:
            self._skip()
        self.step += 1
        return {
            "step": self.step,
            "loss": values[0],
            "terms": dict(zip(terms, values[1:], strict=True)),
            "learning_rate": learning_rate,
            "gradient": norm,
            "skipped": not is_good,
        }

    def _rate_at(self, duration: Duration) -> float:
        """The learning rate of the present step."""
        return self._rate * rate(
            duration.progress(self.step, self.elapsed_s),
            self.recipe.schedule,
            self.recipe.warm_up,
            self.recipe.final_rate,
        )

    def _step_options(self) -> ForwardOptions:
        if not self.recipe.one_world_view or self.plan.views < 2:
            return self._options
        # The first view's world is its own camera, from which nothing is learnt.
        return dataclasses.replace(
            self._options, world_views=(1 + self.step % (self.plan.views - 1),)
        )

    def _skip(self) -> None:
        self.skipped += 1
        self._bad_in_row += 1
        _logger.warning(
            "step %d: loss or gradient is not finite; the step is left out (%d in a row).",
            self.step,
            self._bad_in_row,
        )
        if self._bad_in_row < MAX_BAD_STEPS:
            return
        checkpoint = None if self._returned else load_newest(self.checkpoints)
        if checkpoint is None:
            raise NonFiniteError(
                f"step {self.step}: loss or gradient is not finite for {MAX_BAD_STEPS} steps in a "
                f"row, {'from the last checkpoint on too' if self._returned else 'and there is '}"
                f"{'' if self._returned else 'no checkpoint yet'}; expected finite ones. Lower "
                "--lr, use --precision float32, or check the data."
            )
        _logger.warning(
            "step %d: back to the weights of step %d; the data goes on.",
            self.step,
            checkpoint.progress["step"],
        )
        self._restore(checkpoint)
        self._bad_in_row, self._returned = 0, True

    @torch.no_grad()
    def _restore(self, checkpoint: Checkpoint) -> None:
        stored = checkpoint.section("weights")
        mine = {**self._weights(), **self._hint_weights()}
        if mine.keys() - stored.keys():
            raise InputError(
                f"{self.checkpoints}: lacks {', '.join(sorted(mine.keys() - stored.keys())[:3])}; "
                "expected a checkpoint of this version. Begin a new training with --init and "
                "the weights that lie beside it."
            )
        for name, value in mine.items():
            value.copy_(stored[name])
        self._optimiser.restore(checkpoint.tensors, checkpoint.progress["updates"])

    def _validated(self, validate: Callable[["Trainer"], dict[str, float]]) -> dict[str, float]:
        result = validate(self) if self.processes.is_first else {}
        self.processes.wait()
        return result


def _as_json(value: Any) -> Any:
    """A dataclass as a checkpoint gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(value)))

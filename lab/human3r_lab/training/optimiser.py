"""AdamW and the running average of the weights, with their state as plain tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from human3r_lab.training.recipes import Recipe

_AVERAGE_DECAY = 0.999


class Optimiser:
    """Moves parameters, and keeps a running average of them, which is what gets exported.

    The average forgets with 0.999 per step, faster in the beginning, so that it never remembers
    the first random weights.

    Args:
        parameters: those that move, by name.
        recipe: rates and decay.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], recipe: Recipe) -> None:
        self._parameters = dict(parameters)
        self._recipe = recipe
        matrices = [p for p in self._parameters.values() if p.ndim > 1]
        vectors = [p for p in self._parameters.values() if p.ndim <= 1]
        self._adam = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=recipe.betas,
            fused=True,
        )
        self.updates = 0
        self._average = [p.detach().clone() for p in self._parameters.values()]

    def clear(self) -> None:
        """Forget the gradients."""
        self._adam.zero_grad(set_to_none=True)

    def gradients(self) -> list[Tensor]:
        """The gradient of every parameter; zeros where the loss does not reach one."""
        for parameter in self._parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in self._parameters.values()]  # pyright: ignore[reportReturnType]

    def shorten(self) -> float:
        """Shorten the gradient to the recipe's bound; its length before that."""
        norm = torch.nn.utils.clip_grad_norm_(
            list(self._parameters.values()), self._recipe.max_norm
        )
        return float(norm)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters, then the average."""
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self.updates += 1
        decay = min(_AVERAGE_DECAY, self.updates / (self.updates + 10))
        torch._foreach_lerp_(self._average, list(self._parameters.values()), 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def average(self) -> dict[str, Tensor]:
        """The running average of the parameters that move."""
        return dict(zip(self._parameters, self._average, strict=True))

    def state(self) -> dict[str, Tensor]:
        """Everything this holds besides the parameters, by names with sections."""
        tensors = {f"average/{name}": tensor for name, tensor in self.average().items()}
        for name, parameter in self._parameters.items():
            for key in ("exp_avg", "exp_avg_sq"):
                value = self._adam.state[parameter].get(key)
                if value is not None:
                    tensors[f"{key}/{name}"] = value
        return tensors

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Take over what ``state`` gave, after so many updates."""
        self.updates = updates
        for name, mine in self.average().items():
            mine.copy_(tensors[f"average/{name}"])
        for name, parameter in self._parameters.items():
            if not updates:
                self._adam.state.pop(parameter, None)
                continue
            self._adam.state[parameter] = {
                "step": torch.tensor(float(updates), device=_step_device(parameter)),
                **{
                    key: tensors[f"{key}/{name}"].to(parameter.device).clone()
                    for key in ("exp_avg", "exp_avg_sq")
                },
            }


def _step_device(parameter: Tensor) -> torch.device:
    """Where the fused AdamW keeps its count of steps."""
    return parameter.device

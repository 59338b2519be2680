"""Teaches the scene's depth network; ``python -m human3r_lab.training.scene_depth --help``.

One process, resumable: a checkpoint every few minutes holds weights, their running average, the
optimiser and the minutes spent. The learning rate follows the minutes. The network computes in
bfloat16 where the processor has it (about three times as fast), the losses in float32.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from human3r.atomic import whole_file
from human3r.errors import WeightsError
from human3r.model.precision import computes_bfloat16
from human3r.scene.scene_depth import FORMAT, DepthNetwork, Trunk, load_depth_network, pixel_rays
from human3r.setting import CommandParser
from human3r_lab.training.scene_views import LARGE_PX, SMALL_PX, SceneBatch, SceneViews

_SKY_WEIGHT = 0.2
_PERSON_WEIGHT = 2.0
_GRADIENT_STEPS = (1, 2, 4, 8)
_GRADIENT_WEIGHT = 0.5
_SHAPE_WEIGHT = 0.5
_ERROR_WEIGHT = 0.1
_TRUNK_SHARE = 0.2
"""Learning rate of the trunk over that of the decoder."""
_WARM_UP_STEPS = 150
_COOLING = 0.4
"""Share of the time over which the learning rate falls."""
_SMALL_SHARE = 0.6
"""Share of the time that is spent on small images."""
_AVERAGE_OVER = 400
_MAX_NORM = 1.0
_SAVE_EVERY_S = 180.0


def depth_loss(
    log_depth: Tensor, log_error: Tensor, batch: SceneBatch
) -> tuple[Tensor, dict[str, float]]:
    """What is minimised, and its parts.

    The absolute error of log depth; the same with every image's own scale; that of its differences
    between pixels some steps apart; and how well the expected error predicts it, as the negative
    log likelihood of a Laplace distribution.
    """
    known = ~batch.log_depth.isnan()
    weight = known.float() * torch.where(batch.is_sky, _SKY_WEIGHT, 1.0)
    weight = weight * torch.where(batch.is_person, _PERSON_WEIGHT, 1.0)
    off = torch.where(known, log_depth - batch.log_depth.nan_to_num(), 0.0)
    surface = weight * ~batch.is_sky
    with torch.no_grad():
        middle = torch.where(surface > 0, off, torch.nan).flatten(1).nanmedian(1).values
        middle = middle.nan_to_num()[:, None, None]
    parts = {
        "depth": _mean(off.abs(), weight),
        "shape": _mean((off - middle).abs(), surface),
        "edges": sum(_differences(off, weight, step) for step in _GRADIENT_STEPS),
        "error": _mean(off.detach().abs() * torch.exp(-log_error) + log_error, weight),
    }
    loss = parts["depth"] + _SHAPE_WEIGHT * parts["shape"]
    loss = loss + _GRADIENT_WEIGHT * parts["edges"] + _ERROR_WEIGHT * parts["error"]
    return loss, {name: float(value.detach()) for name, value in parts.items()}


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Of every image, then over the images."""
    return ((values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1)).mean()


def _differences(off: Tensor, weight: Tensor, step: int) -> Tensor:
    total = off.new_zeros(())
    for axis in (1, 2):
        length = off.shape[axis] - step
        apart = off.narrow(axis, step, length) - off.narrow(axis, 0, length)
        both = torch.minimum(weight.narrow(axis, step, length), weight.narrow(axis, 0, length))
        total = total + _mean(apart.abs(), both)
    return total / 2


def predict(network: DepthNetwork, batch: SceneBatch) -> tuple[Tensor, Tensor]:
    """Log depth and log error of a batch."""
    height, width = batch.image.shape[2:]
    rays = torch.stack([pixel_rays(width, height, camera.tolist()) for camera in batch.camera])
    image = batch.image.contiguous(memory_format=torch.channels_last)
    is_short = computes_bfloat16(torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16, enabled=is_short):
        log_depth, log_error = network(image, rays, batch.camera[:, 0])
    return log_depth.float(), log_error.float()


def load_movenet_trunk(trunk: Trunk, path: Path) -> None:
    """Copy the trunk out of ``movenet_multipose.safetensors``, the detector that finds people.

    The file numbers its layers in the order of the published graph, in which those of the feature
    pyramid stand between those of the trunk; shapes tell them apart. Where the graph pads on one
    side only, kernels have a first row and column of zeros more.

    Raises:
        WeightsError: not that file.
    """
    arrays = load_file(path)
    names = sorted(
        (name.removesuffix(".weight") for name in arrays if name.endswith(".weight")),
        key=lambda name: int(name.split(".")[1]),
    )
    wanted = [module for module in trunk.modules() if isinstance(module, torch.nn.Conv2d)]
    for name in names:
        if not wanted:
            break
        weight, bias = arrays[f"{name}.weight"], arrays.get(f"{name}.bias")
        if weight.shape[:2] == wanted[0].weight.shape[:2] and bias is not None:
            layer = wanted.pop(0)
            size = layer.kernel_size[0]
            layer.weight.data.copy_(weight[..., -size:, -size:])
            layer.bias.data.copy_(bias)  # pyright: ignore[reportOptionalMemberAccess]
    if wanted:
        raise WeightsError(
            f"{path}: has no layer of the shape {tuple(wanted[0].weight.shape)} where the trunk "
            "has one; expected movenet_multipose.safetensors of the detector of people."
        )


class Training:
    """Network, moving average, optimiser and number of steps done."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.network = DepthNetwork()
        if args.start is not None:
            self.network = load_depth_network(args.start).train().requires_grad_(True)
            self.network.trunk.fix_first()
        if args.trunk is not None:
            load_movenet_trunk(self.network.trunk, args.trunk)
            self.network.trunk.fix_first()
        self.network.to(memory_format=torch.channels_last)
        trunk = [p for p in self.network.trunk.parameters() if p.requires_grad]
        rest = [p for n, p in self.network.named_parameters() if not n.startswith("trunk.")]
        self.shares = (_TRUNK_SHARE, 1.0)
        groups = [{"params": trunk}, {"params": rest}]
        self.optimiser = torch.optim.AdamW(groups, lr=args.lr, weight_decay=0.02)
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        self.path = args.out / "checkpoint.pt"
        if self.path.exists():
            self._load()

    def _load(self) -> None:
        state = torch.load(self.path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        with whole_file(self.path) as file:
            torch.save(state, file)
        halves = {k: v.to(torch.float16).contiguous() for k, v in self.average.items()}
        with whole_file(self.args.out / "weights.safetensors") as file:
            file.write(save(halves, {"format": FORMAT}))

    def learn(self, batch: SceneBatch) -> dict[str, float]:
        """One step; its losses."""
        rate = self.args.lr * self._share_of_rate()
        for group, share in zip(self.optimiser.param_groups, self.shares, strict=True):
            group["lr"] = rate * share
        loss, parts = depth_loss(*predict(self.network, batch), batch)
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MAX_NORM)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        keep = min(1 - 1 / _AVERAGE_OVER, self.step / (self.step + 10))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)
        return {**parts, "norm": float(norm), "rate": rate}

    def sizes_px(self) -> tuple[tuple[int, int], ...]:
        """Small images first: the layout of a room is learnt from many."""
        return SMALL_PX if self.seconds < _SMALL_SHARE * 60 * self.args.minutes else LARGE_PX

    def _share_of_rate(self) -> float:
        left = 1 - self.seconds / (60 * self.args.minutes)
        return max(0.01, min(1.0, (self.step + 1) / _WARM_UP_STEPS, left / _COOLING))


def main() -> None:
    """Train until the minutes, earlier parts included, are over."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of sequences")
    parser.add_argument("--out", type=Path, required=True)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--trunk", type=Path, help="movenet_multipose.safetensors")
    start.add_argument("--start", type=Path, help="scene_depth.safetensors to go on from")
    parser.add_argument("--minutes", type=float, default=60, help="altogether")
    parser.add_argument("--part", type=float, default=math.inf, help="minutes of this part")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--lr", type=float, default=7e-4)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    training = Training(args)
    views = SceneViews(args.data, seed=training.step)
    began = saved = last = time.monotonic()
    with (args.out / "log.jsonl").open("a") as log:
        while training.seconds < 60 * args.minutes and last - began < 60 * args.part:
            row = training.learn(views.batch(args.batch, training.sizes_px()))
            now = time.monotonic()
            training.seconds, last = training.seconds + now - last, now
            row.update(step=training.step, minutes=training.seconds / 60, seqs=views.num_sequences)
            print(json.dumps({k: round(v, 5) for k, v in row.items()}), file=log, flush=True)
            if now - saved > _SAVE_EVERY_S:
                training.save()
                saved = now
    training.save()


if __name__ == "__main__":
    main()

"""Teaches the focal network; ``python -m human3r_lab.training.focal --help``.

The image encoder is that of the finished depth network and stays as it is, so this has to be run
again after that one was trained.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from safetensors.torch import save

from human3r.atomic import sha256_of, whole_file
from human3r.model.precision import computes_bfloat16
from human3r.scene.scene_depth import (
    FOCAL_FORMAT,
    FocalNetwork,
    load_depth_network,
    load_focal_network,
    packaged_weights_path,
)
from human3r.setting import CommandParser
from human3r_lab.training.scene_views import LARGE_PX, SMALL_PX, SceneBatch, SceneViews

_WARM_UP_STEPS = 100
_COOLING = 0.5
"""Share of the time over which the learning rate falls."""
_AVERAGE_OVER = 300
_SAVE_EVERY_S = 60.0


def focal_loss(
    log_focal: torch.Tensor, log_error: torch.Tensor, batch: SceneBatch
) -> tuple[torch.Tensor, float]:
    """Negative log likelihood of a Laplace distribution, and the mean error of the logarithm."""
    height, width = batch.image.shape[2:]
    true = torch.log(batch.camera[:, 0] / max(height, width))
    off = (log_focal - true).abs()
    return (off * torch.exp(-log_error) + log_error).mean(), float(off.detach().mean())


def main() -> None:
    """Train for some minutes."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of sequences")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--depth", type=Path, default=packaged_weights_path(), metavar="FILE")
    parser.add_argument(
        "--start", type=Path, metavar="FILE", help="focal.safetensors to go on from"
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=6e-4)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _Training(args).run()


class _Training:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.encoder = load_depth_network(args.depth).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.network = FocalNetwork()
        if args.start is not None:
            self.network = load_focal_network(args.start, args.depth).train().requires_grad_(True)
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=args.lr, weight_decay=0.05)
        self.is_short = computes_bfloat16(torch.device("cpu"))

    def run(self) -> None:
        views = SceneViews(self.args.data, seed=0)
        began = saved = time.monotonic()
        step, share = 0, 0.0
        with (self.args.out / "log.jsonl").open("w") as log:
            while share < 1:
                batch = views.batch(self.args.batch, SMALL_PX + LARGE_PX, is_centred=True)
                row = self._learn(batch, step, share)
                step, now = step + 1, time.monotonic()
                share = (now - began) / (60 * self.args.minutes)
                print(json.dumps({"step": step, **row}), file=log, flush=True)
                if now - saved > _SAVE_EVERY_S:
                    self._save()
                    saved = now
        self._save()

    def _learn(self, batch: SceneBatch, step: int, share: float) -> dict[str, float]:
        rate = min(1.0, (step + 1) / _WARM_UP_STEPS, max(0.01, (1 - share) / _COOLING))
        for group in self.optimiser.param_groups:
            group["lr"] = self.args.lr * rate
        height, width = batch.image.shape[2:]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_short):
            with torch.no_grad():
                maps = self.encoder.encode(batch.image)
            answers = self.network([one.detach() for one in maps], (width, height))
        loss, off = focal_loss(*(one.float() for one in answers), batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        keep = min(1 - 1 / _AVERAGE_OVER, step / (step + 10))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)
        return {"loss": float(loss.detach()), "error": off}

    def _save(self) -> None:
        halves = {k: v.to(torch.float16).contiguous() for k, v in self.average.items()}
        about = {"format": FOCAL_FORMAT, "encoder_sha256": sha256_of(self.args.depth)}
        with whole_file(self.args.out / "focal.safetensors") as file:
            file.write(save(halves, about))


if __name__ == "__main__":
    main()

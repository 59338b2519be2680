"""Images per second of training, and where a step's time goes.

    python benchmarks/training_throughput.py --variant human3r_mini --threads 1
    python benchmarks/training_throughput.py --data data/train --workers 1 --steps 20

Without --data the views are noise with two made-up people each; then nothing is read from disk, and
the numbers are those of the network, the losses and the optimiser alone. Process time counts what
the cores did, whatever else runs on the machine; wall time counts what was waited for.
"""

import argparse
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from human3r_lab.datasets import PeopleTruth, ViewTruth, open_folder
from human3r_lab.training.batches import Batch, BatchMaker, Plan, collate, targets_of
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.forward import forward
from human3r_lab.training.initial import new_network
from human3r_lab.training.loader import BatchLoader
from human3r_lab.training.losses import compute_losses
from human3r_lab.training.optimiser import Optimiser
from human3r_lab.training.recipes import choose_parameters, make_recipe
from human3r_lab.training.run import reuse_memory
from scaffold import described, parser, write_result

from human3r.body.default import default_body_path
from human3r.model.variants import VARIANTS
from human3r.types import Intrinsics


class Clock:
    """Wall and process seconds by stage."""

    def __init__(self, device: torch.device) -> None:
        self.wall_s: dict[str, float] = defaultdict(float)
        self.process_s: dict[str, float] = defaultdict(float)
        self._device = device

    @contextmanager
    def stage(self, name: str):
        wall, process = time.perf_counter(), time.process_time()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.wall_s[name] += time.perf_counter() - wall
        self.process_s[name] += time.process_time() - process


def made_up_batch(plan: Plan) -> Batch:
    """Noise with two people per view."""
    rng = np.random.default_rng(0)
    width, height, _ = plan.augmentation.sizes_px[0]
    camera = Intrinsics(0.9 * width, 0.9 * width, width / 2, height / 2, width, height)
    people = PeopleTruth(
        person_ids=np.array([1, 2], np.int32),
        rotations=np.tile(np.diag([1, -1, -1]).astype(np.float32), (2, 53, 1, 1)),
        betas=np.zeros((2, 10), np.float32),
        expression=np.zeros((2, 10), np.float32),
        head_camera=np.array([[-0.8, -0.5, 4], [0.8, -0.5, 3]], np.float32),
        contacts=np.zeros((2, 4), bool),
    )
    index = np.zeros((height, width), np.uint8)
    index[height // 3 :, : width // 2], index[height // 3 :, width // 2 :] = 1, 2
    view = ViewTruth(
        image=rng.integers(0, 255, (height, width, 3), np.uint8),
        depth_m=rng.uniform(1, 8, (height, width)).astype(np.float32),
        person_index=index,
        intrinsics=camera,
        world_from_camera=np.eye(4),
        people=people,
        stamp_ns=0,
    )
    return collate([[targets_of(view, plan)] * plan.views] * plan.batch)


def measure(options: argparse.Namespace) -> dict:
    device = torch.device(options.device)
    config = VARIANTS[options.variant]
    recipe = make_recipe("scratch", config)
    plan = Plan(config, options.batch, options.views, 0, recipe.augmentation, recipe.rules)
    network = new_network(config, 0).to(device)
    optimiser = Optimiser(choose_parameters(network, recipe), recipe)
    body = BodyPoints(default_body_path(), device)
    loader = None
    if options.data:
        files = open_folder(options.data)
        maker = BatchMaker([file.path for file in files], [len(file) for file in files], plan)
        loader = BatchLoader(maker, 0, options.workers, device.type == "cuda")
    made_up = made_up_batch(plan)
    clock = Clock(device)
    for step in range(-options.warm_up, options.steps):
        if step == 0:
            clock = Clock(device)
        with clock.stage("data"):
            batch = (loader.next() if loader else made_up).to(device)
        optimiser.clear()
        precision = options.precision == "bfloat16"
        with clock.stage("forward"), torch.autocast(device.type, torch.bfloat16, precision):
            predicted = forward(network, batch, recipe.options)
        with clock.stage("losses"):
            loss, _ = compute_losses(predicted, batch, body, recipe.loss)
        with clock.stage("backward"):
            loss.backward()
        with clock.stage("optimiser"):
            optimiser.gradients()
            optimiser.shorten()
            optimiser.step(1e-5)
    if loader:
        loader.close()
    images = options.steps * options.batch * options.views
    wall, process = sum(clock.wall_s.values()), sum(clock.process_s.values())
    return described(
        variant=options.variant,
        parameters=sum(p.numel() for p in network.parameters()),
        batch=options.batch,
        views=options.views,
        precision=options.precision,
        images_per_s=round(images / wall, 2),
        images_per_process_s=round(images / process, 2),
        share_of_time_waiting_for_data=round(clock.wall_s["data"] / wall, 4),
        process_ms_per_image={
            name: round(1000 * seconds / images, 1) for name, seconds in clock.process_s.items()
        },
    )


def main() -> None:
    command = parser(__doc__, with_json=True)
    command.add_argument("--variant", default="human3r_mini", choices=list(VARIANTS))
    command.add_argument("--data", type=Path, help="folder of sequences; made-up views without it")
    command.add_argument("--workers", type=int, default=1)
    command.add_argument("--batch", type=int, default=4)
    command.add_argument("--views", type=int, default=4)
    command.add_argument("--steps", type=int, default=8)
    command.add_argument("--warm-up", type=int, default=2)
    command.add_argument("--device", default="cpu")
    command.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    command.add_argument("--threads", type=int, default=0)
    options = command.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    reuse_memory()
    measured = measure(options)
    for name, value in measured.items():
        print(f"{name:<32} {value}")
    write_result(options.json, measured)


if __name__ == "__main__":
    main()

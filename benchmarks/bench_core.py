"""Sections of the benchmark that need no node: network, session, start-up, precision."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from clip import clip_images
from drift import compare
from interleaved import describe, take_turns
from plain_network import PlainNetwork
from stages import StageTimer
from subjects import (
    build_as_shipped,
    network_stream,
    seeded_network,
    weights_of,
)

from human3r import Frame, Settings
from human3r.model.network import Human3R, Runner
from human3r.pipeline import Pipeline

YARDSTICK = "plain, written-out attention"
FUSED = "plain, fused attention"
OURS = "human3r"
_BLOCK = 20
"""Frames per turn of a session."""


class Static:
    """A runner of fixed shape that looks like a network."""

    def __init__(self, network: Human3R, mode: str, slots: int) -> None:
        self.config, self.initial_state = network.config, network.initial_state
        self.initial_memory = network.initial_memory
        self._run = partial(Runner(network, mode), max_people=slots)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self._run(*inputs, **options)


def measure_network(
    variant: str, rounds: int, device: torch.device, *, fixed: bool = True
) -> dict[str, Any]:
    """The same weights in several ways, ``fixed`` shapes too; 512x288 for published sizes."""
    network = seeded_network(variant, device)
    images = list(clip_images(1280, 720))
    modes = ["static"] if device.type == "cpu" else ["static", "cuda_graph"]
    modes = modes if fixed else []
    runs = {
        YARDSTICK: PlainNetwork(network),
        FUSED: PlainNetwork(network, fused_attention=True),
        OURS: network,
        **{f"{OURS}, {mode}": Static(network, mode, slots=20) for mode in modes},
    }
    timings = take_turns(
        {name: network_stream(run, images, device) for name, run in runs.items()}, rounds
    )
    stages = StageTimer(network)
    step = network_stream(network, images, device)
    for turn in range(3):
        step(turn)
        if turn == 0:
            stages.seconds.clear()
    return {
        "ways": describe(timings, YARDSTICK),
        "stage_ms": {name: 1e3 * seconds / 2 for name, seconds in stages.seconds.items()},
        "threads": torch.get_num_threads(),
    }


def measure_session(variant: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """Image to estimate, every stage; and what is spent outside the network.

    A frame after the other, and by turns with that, looking one frame ahead.
    """
    pipeline = build_as_shipped(variant, device, Settings())
    ahead = Pipeline(pipeline.network, pipeline.body_model, pipeline.settings)
    images = list(clip_images(1280, 720))
    laps: dict[str, list[float]] = {}
    people = []

    def one_by_one(turn: int) -> None:
        for frame in _block(images, turn):
            estimate = pipeline.step(frame)
            people.append(len(estimate.people))
            for name, seconds in estimate.timings_s.items():
                laps.setdefault(name, []).append(seconds)

    threads = torch.get_num_threads()

    def looking_ahead(turn: int) -> None:
        # As ``human3r run`` does it: two frames are at work at once.
        torch.set_num_threads(max(1, threads // 2))
        for frame, prepared in ahead.looking_ahead(_block(images, turn)):
            ahead.step(frame, prepared)
        torch.set_num_threads(threads)

    ways = {"one by one": one_by_one, "looking ahead": looking_ahead}
    blocks = describe(take_turns(ways, max(1, rounds // _BLOCK)), "one by one")
    per_frame = {
        name: {key: value / _BLOCK if key.endswith("_ms") else value for key, value in row.items()}
        for name, row in blocks.items()
    }
    frame = per_frame["one by one"]
    return {
        "image": [1280, 720],
        "frame": frame,
        "looking_ahead": per_frame["looking ahead"],
        "threads": threads,
        "frames_per_s": 1e3 / frame["wall_ms"],
        "frames_per_processor_s": 1e3 / frame["processor_ms"],
        # Means: some stages run on some of the frames only.
        "stage_ms": {name: 1e3 * sum(values) / len(people) for name, values in laps.items()},
        "weights": weights_of(variant),
        "people_per_frame": statistics.mean(people),
    }


def _block(images: list[Any], turn: int) -> list[Frame]:
    """The frames of one turn."""
    numbers = range(turn * _BLOCK, (turn + 1) * _BLOCK)
    return [Frame(images[i % len(images)], (i + 1) * 100_000_000) for i in numbers]


def measure_start(device: torch.device, rounds: int = 5) -> dict[str, Any]:
    """The command's help, and loading the bundled network."""
    human3r = str(Path(sys.executable).with_name("human3r"))
    return {
        "help_s": _fastest([human3r, "--help"], rounds),
        "version_s": _fastest([human3r, "--version"], rounds),
        "python_s": _fastest([sys.executable, "-c", "pass"], rounds),
        "configure_mini_s": _fastest(
            [sys.executable, "-c", _CONFIGURE.format(device=device.type)], 2
        ),
    }


_CONFIGURE = (
    "from human3r import Settings; from human3r.pipeline import Pipeline; "
    "Pipeline.from_settings(Settings().replace({{'model.device': '{device}'}})).warm_up()"
)


def _fastest(command: Sequence[str], rounds: int) -> float:
    def once() -> float:
        began_s = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began_s

    return min(once() for _ in range(rounds))


def measure_precision(variant: str, frames: int, device: torch.device) -> dict[str, Any]:
    """How far bf16 and fp16 drift from fp32 over a stream; the state goes on in each."""
    # There and back again, so that the stream never jumps.
    there = list(clip_images(640, 480))
    images = there + there[-2:0:-1]
    stream = [Frame(images[i % len(images)], (i + 1) * 100_000_000) for i in range(frames)]
    found: dict[str, Any] = {"frames": frames, "weights": weights_of(variant)}
    for name in ("bf16", "fp16"):
        exact, short = (
            build_as_shipped(variant, device, Settings().replace({"model.precision": precision}))
            for precision in ("fp32", name)
        )
        found[name] = compare(exact, short, stream).summary()
    return found

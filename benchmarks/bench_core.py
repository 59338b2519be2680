"""Sections of the benchmark that need no node: network, session, growth, start-up, precision."""

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
from environment import resident_bytes
from interleaved import describe, take_turns
from network import StageTimer
from plain_network import PlainNetwork
from subjects import build, network_stream, seeded_network, session_stream

from human3r import Settings
from human3r.model.execution import Runner
from human3r.model.network import Human3R
from human3r.model.precision import set_precision

YARDSTICK = "plain, written-out attention"
FUSED = "plain, fused attention"
OURS = "human3r"
PEOPLE = (1, 2, 5, 10, 20)
IMAGE_SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))


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
    """Image to estimate, every stage; and what is spent outside the network."""
    pipeline = build(variant, device)
    laps: dict[str, list[float]] = {}
    people = []
    step = session_stream(pipeline, list(clip_images(1280, 720)))

    def counted(turn: int) -> None:
        estimate = step(turn)
        people.append(len(estimate.people))
        for name, seconds in estimate.timings_s.items():
            laps.setdefault(name, []).append(seconds)

    frame = describe(take_turns({"frame": counted}, rounds, warm_up=2), "frame")["frame"]
    stages = {name: 1e3 * statistics.median(values[2:]) for name, values in laps.items()}
    return {
        "image": [1280, 720],
        "frame": frame,
        "frames_per_s": 1e3 / frame["wall_ms"],
        "frames_per_processor_s": 1e3 / frame["processor_ms"],
        "stage_ms": stages,
        "people_per_frame": statistics.mean(people),
    }


def measure_growth(variant: str, rounds: int, frames: int, device: torch.device) -> dict[str, Any]:
    """Cost per frame against people, image size and length of the stream."""
    images = list(clip_images(640, 480))
    people = {}
    for count in PEOPLE:
        # Any place with a score counts as a person, so that there are always enough.
        wanted = Settings().replace({"people.max_count": count, "people.min_score": 0.0})
        people[f"{count} people"] = session_stream(build(variant, device, wanted), images)
    sizes = {
        f"{w}x{h}": session_stream(build(variant, device), list(clip_images(w, h)))
        for w, h in IMAGE_SIZES
    }
    return {
        "people": describe(take_turns(people, rounds, warm_up=2), "1 people"),
        "image": describe(take_turns(sizes, rounds, warm_up=2), "320x240"),
        "length": _measure_length(variant, frames, device),
    }


def _measure_length(variant: str, frames: int, device: torch.device) -> dict[str, Any]:
    step = session_stream(build(variant, device), list(clip_images(320, 240)))
    processor_ms, marks = [], {}
    window = max(10, frames // 10)
    for turn in range(frames):
        began_s = time.process_time()
        step(turn)
        processor_ms.append(1e3 * (time.process_time() - began_s))
        if turn + 1 in (window, frames):
            marks[turn + 1] = resident_bytes()
    early = statistics.median(processor_ms[5:window])
    late = statistics.median(processor_ms[-window:])
    return {
        "frames": frames,
        "early_processor_ms": early,
        "late_processor_ms": late,
        "late_over_early": late / early,
        "resident_bytes": marks,
    }


def measure_start(device: torch.device, rounds: int = 5) -> dict[str, Any]:
    """The command's help, and loading the network that comes along."""
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
    images = list(clip_images(640, 480))
    exact = build(variant, device)
    found = {}
    for name in ("bf16", "fp16"):
        short = build(variant, device)
        set_precision(short.network, name)
        found[name] = _drift(exact, short, images, frames)
        exact.reset()
    return {"frames": frames, **found}


def _drift(exact: Any, short: Any, images: list, frames: int) -> dict[str, float]:
    steps = session_stream(exact, images), session_stream(short, images)
    depth, place, joints, missed = [], [], [], 0
    for turn in range(frames):
        want, got = (step(turn) for step in steps)
        z_want, z_got = want.points_camera[..., 2], got.points_camera[..., 2]
        depth.append(statistics.median(abs(z_got / z_want - 1).flatten().tolist()))
        offset = got.world_from_camera[:3, 3] - want.world_from_camera[:3, 3]
        place.append(float((offset**2).sum() ** 0.5))
        same = len(got.people) == len(want.people)
        missed += not same
        for one, other in zip(want.people, got.people, strict=False) if same else ():
            gap = one.joints_camera - other.joints_camera
            joints.append(float(((gap**2).sum(-1) ** 0.5).mean()))
    return {
        "depth_median_percent": 100 * statistics.median(depth),
        "depth_worst_percent": 100 * max(depth),
        "camera_median_mm": 1e3 * statistics.median(place),
        "camera_worst_mm": 1e3 * max(place),
        "joints_median_mm": 1e3 * statistics.median(joints) if joints else None,
        "joints_worst_mm": 1e3 * max(joints) if joints else None,
        "frames_with_other_people": missed,
    }

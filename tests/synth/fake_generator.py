"""Stands in for the generator in processes that tests start; imports little, to start soon."""

import os
import signal
from pathlib import Path

import numpy as np
from human3r_lab.datasets.sample import PeopleTruth, ViewTruth

from human3r.types import Intrinsics


def render(seed, *, frames, width_px, height_px, **_):
    """Grey views as bright as the seed."""
    for number in range(frames):
        yield ViewTruth(
            image=np.full((height_px, width_px, 3), seed, np.uint8),
            depth_m=np.full((height_px, width_px), 3, np.float32),
            person_index=np.zeros((height_px, width_px), np.uint8),
            intrinsics=Intrinsics(80.0, 80.0, 47.5, 31.5, width_px, height_px),
            world_from_camera=np.eye(4),
            people=PeopleTruth.nobody(),
            stamp_ns=number * 100_000_000,
        )


def render_or_die(seed, **options):
    """Seed 1 is killed the first time, seed 2 every time; the file ``died`` remembers."""
    mark = Path(os.environ["HUMAN3R_TEST_MARK"])
    views = render(seed, **options)
    yield next(views)
    if seed == 2 or (seed == 1 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield from views


def render_or_fail(seed, **options):
    """Seed 1 raises."""
    if seed == 1:
        raise ValueError("told to fail")
    yield from render(seed, **options)


def render_without_room(seed, **options):
    """As on a full disk: no file of this process may grow beyond a few kilobytes."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    yield from render(seed, **options)

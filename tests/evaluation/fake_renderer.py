"""Stands in for the renderer in processes that tests start; imports little, to start soon."""

import os
import signal
import time

import numpy as np
from human3r_lab.datasets import PeopleTruth, ViewTruth

from human3r.types import Intrinsics


def render(
    seed, *, frames, kill_at=None, raise_at=None, slow_s=0.0, width_px=96, height_px=64, **options
):
    """Grey views without people, as bright as the seed; options say when to die."""
    for number in range(frames):
        if number == kill_at:
            time.sleep(0.2)  # what was sent before is still to arrive
            os.kill(os.getpid(), signal.SIGKILL)
        if number == raise_at:
            raise ValueError("told to fail")
        time.sleep(slow_s)
        yield ViewTruth(
            image=np.full((height_px, width_px, 3), seed, np.uint8),
            depth_m=np.full((height_px, width_px), 3, np.float32),
            person_index=np.zeros((height_px, width_px), np.uint8),
            intrinsics=Intrinsics(80.0, 80.0, 47.5, 31.5, width_px, height_px),
            world_from_camera=np.eye(4),
            people=PeopleTruth.nobody(),
            stamp_ns=(number + 1) * 100_000_000,
        )

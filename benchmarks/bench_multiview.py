"""Several cameras: what fusing costs, and how many moments per second a rig runs.

    python benchmarks/bench_multiview.py               fusion alone
    python benchmarks/bench_multiview.py --network     also the demo clip before 1, 2 and 4 cameras

Fusion is timed by the CPU time of its thread, which other work on the machine does not change much.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from human3r.multiview.fuser import Fuser
from tests.multiview.rooms import Noise, body_model, camera_at, people, seen_by, spread_places

VIEWS, PEOPLE = (1, 2, 4), (2, 10)
_WARM, _TIMED = 5, 40


def fusion_ms(views: int, count: int) -> dict[str, float]:
    """Median and least milliseconds of a step."""
    rng = np.random.default_rng(0)
    bodies = people(rng, spread_places(rng, count, 3.5))
    poses = [camera_at(angle) for angle in np.linspace(0, 4.5, 4)[:views]]
    fuser, spent = Fuser(body_model().joint_parents), []
    for frame in range(_WARM + _TIMED):
        seen = [
            seen_by(rng, f"camera{i}", pose, bodies, Noise(depth_share=0.03), frame=frame)
            for i, pose in enumerate(poses)
        ]
        began_s = time.thread_time()
        fuser.step(seen)
        spent.append(1e3 * (time.thread_time() - began_s))
    return {"median_ms": float(np.median(spent[_WARM:])), "least_ms": min(spent[_WARM:])}


def moments_per_s(views: int, num_frames: int) -> float:
    """The demo clip before several cameras at once."""
    from human3r.config import Settings
    from human3r.demo_clip import demo_clip_path
    from human3r.io import open_source
    from human3r.multiview.rig_file import RigCamera
    from human3r.rig import RigPipeline

    cameras = {f"camera{i}": RigCamera(f"camera{i}", camera_at(0.0)) for i in range(views)}
    rig = RigPipeline.from_settings(Settings(), cameras)
    with open_source(str(demo_clip_path()), max_frames=num_frames) as source:
        frames = list(source)
    rig.step(dict.fromkeys(cameras, frames[0]))
    began_s = time.perf_counter()
    for frame in frames[1:]:
        rig.step(dict.fromkeys(cameras, frame))
    return (len(frames) - 1) / (time.perf_counter() - began_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--frames", type=int, default=16)
    args = parser.parse_args()
    found: dict = {"fusion": {f"{v} views x {n}": fusion_ms(v, n) for v in VIEWS for n in PEOPLE}}
    if args.network:
        found["moments_per_s"] = {str(v): moments_per_s(v, args.frames) for v in VIEWS}
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

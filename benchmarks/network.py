"""Milliseconds per stage and frame, own overhead, and resident memory over a long stream.

    python benchmarks/network.py --variant tiny --frames 50
    python benchmarks/network.py --variant human3r_672S --frames 5
    python benchmarks/network.py --variant tiny --frames 2000 --memory

Seeded weights: the arithmetic is that of real ones, the number of people is not. Prints a table
and, with --json, writes the same numbers with date, hardware, commit and versions.
"""

import json
import statistics
import time
from collections import defaultdict

from clip import clip_images
from scaffold import described, parser, resident_bytes, write_result
from stages import StageTimer
from subjects import build

from human3r import Frame
from human3r.model.variants import VARIANTS
from human3r.pipeline import Pipeline, choose_device


def measure(pipeline: Pipeline, frames: int, width: int, height: int) -> dict:
    timer = StageTimer(pipeline.network)
    laps: dict[str, list[float]] = defaultdict(list)
    people = 0
    images = list(clip_images(width, height))
    for index in range(frames + 1):
        image = images[index % len(images)]
        if index == 1:
            # The first frame pays for caches and allocations; it is not counted.
            timer.seconds.clear()
            laps.clear()
        began = time.perf_counter()
        estimate = pipeline.step(Frame(image, stamp_ns=index + 1))
        laps["frame"].append(time.perf_counter() - began)
        people += len(estimate.people)
        for name, seconds in estimate.timings_s.items():
            laps[name].append(seconds)
    stages = {name: 1e3 * seconds / frames for name, seconds in timer.seconds.items()}
    median = {name: 1e3 * statistics.median(values) for name, values in laps.items()}
    own = 1 - sum(laps["network"]) / sum(laps["frame"])
    return {
        "frames": frames,
        "people_per_frame": people / frames,
        "median_ms": median,
        "network_stage_mean_ms": stages,
        "share_outside_network": own,
    }


def measure_memory(pipeline: Pipeline, frames: int, width: int, height: int) -> dict:
    marks = {}
    images = list(clip_images(width, height))
    for index in range(frames):
        pipeline.step(Frame(images[index % len(images)], stamp_ns=(index + 1) * 100_000_000))
        if index + 1 in (100, frames):
            marks[f"frame_{index + 1}"] = resident_bytes()
    first, last = marks["frame_100"], marks[f"frame_{frames}"]
    return {"resident_bytes": marks, "growth": (last - first) / first}


def print_table(result: dict) -> None:
    for name, milliseconds in result["median_ms"].items():
        print(f"{name:28}{milliseconds:10.1f} ms  median")
    for name, milliseconds in result["network_stage_mean_ms"].items():
        print(f"  {name:26}{milliseconds:10.1f} ms  mean, inside network")
    print(f"{'outside the network':28}{100 * result['share_outside_network']:10.2f} %")


def main() -> None:
    command = parser(__doc__, with_json=True)
    command.add_argument("--variant", default="tiny", choices=list(VARIANTS))
    command.add_argument("--frames", type=int, default=20)
    command.add_argument("--device", default="auto")
    command.add_argument("--width", type=int, default=640)
    command.add_argument("--height", type=int, default=360)
    command.add_argument("--memory", action="store_true", help="resident memory at 100 and the end")
    args = command.parse_args()
    pipeline = build(args.variant, choose_device(args.device))
    result = described(variant=args.variant, image=[args.width, args.height])
    if args.memory:
        memory = measure_memory(pipeline, args.frames, args.width, args.height)
        result |= memory
        print(json.dumps(memory, indent=2))
    else:
        result |= measure(pipeline, args.frames, args.width, args.height)
        print_table(result)
    write_result(args.json, result)


if __name__ == "__main__":
    main()

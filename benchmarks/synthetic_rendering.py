"""Milliseconds of CPU per frame of the synthetic world, by step, on one core.

    python benchmarks/synthetic_rendering.py
    python benchmarks/synthetic_rendering.py --size 224x160 --sequences 8

Draws held-out sequences whole, then prints where their time went: making the scene, the people and
the camera once per sequence; meshes, drawing and developing once per frame. Code is compiled before
the clock starts. For frames/s on all cores, see what ``human3r synth`` prints.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from human3r_lab.synth import generator, renderer
from human3r_lab.synth.people.performer import Performer
from human3r_lab.synth.photo import Photographer
from scaffold import described, parser, write_result

ONCE = ("_make_scenery", "make_cast", "_set_up", "choose_path")
KERNELS = ("rasterise_shadow", "rasterise", "mark_samples", "shade", "resolve", "read_centres")


class StepTimer:
    """CPU time inside named functions, by wrapping them; off the main path of the code."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def watch(self, owner: Any, name: str, label: str | None = None) -> None:
        inner: Callable = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds[label or name].append(time.process_time() - began)

        setattr(owner, name, timed)

    def per_call_ms(self, name: str) -> float:
        return 1e3 * statistics.median(self.seconds[name])

    def total_ms(self, name: str) -> float:
        return 1e3 * sum(self.seconds[name])


def measure(width_px: int, height_px: int, sequences: int, frames: int) -> dict[str, float]:
    options = {"split": "test", "frames": frames, "rate_hz": 6.0}
    size = {"width_px": width_px, "height_px": height_px}
    for seed in range(2):
        for _ in generator.render_sequence(
            seed, difficulty="hard", **{**options, "frames": 1}, **size
        ):
            pass
    timer = StepTimer()
    for name in ONCE:
        timer.watch(generator, name)
    for name in KERNELS:
        timer.watch(renderer, name)
    timer.watch(renderer.Renderer, "render")
    timer.watch(Performer, "mesh")
    timer.watch(Photographer, "develop")
    began, people = time.process_time(), 0
    for seed in range(2, 2 + sequences):
        difficulty = ("easy", "hard")[seed % 2]
        for view in generator.render_sequence(seed, difficulty=difficulty, **options, **size):
            people += len(view.people)
    total_ms, count = 1e3 * (time.process_time() - began), sequences * frames
    result = {"annotated people per frame": people / count, "all, ms/frame": total_ms / count}
    for name in ONCE:
        result[f"{name.strip('_')}, ms/sequence"] = timer.total_ms(name) / sequences
    for name in ("mesh", "render", "develop"):
        result[f"{name}, ms/call"] = timer.per_call_ms(name)
    for name in KERNELS:
        result[f"in render: {name}, ms/frame"] = timer.total_ms(name) / count
    return result


def main() -> None:
    command = parser(__doc__, with_json=True)
    command.add_argument("--size", default="512x384", help="WIDTHxHEIGHT; default: 512x384")
    command.add_argument("--sequences", type=int, default=6)
    command.add_argument("--frames", type=int, default=8)
    args = command.parse_args()
    width_px, height_px = map(int, args.size.split("x"))
    numbers = measure(width_px, height_px, args.sequences, args.frames)
    for name, value in numbers.items():
        print(f"{name:42s} {value:8.2f}")
    result = described(numbers=numbers)
    print(f"{result['cpu']}, {result['torch_threads']} threads, commit {result['commit']}")
    write_result(args.json, result)


if __name__ == "__main__":
    main()

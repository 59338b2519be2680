"""What a frame costs in time and memory against people, image size and length of the stream."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from clip import clip_images
from interleaved import describe, take_turns
from scaffold import peak_resident_bytes, resident_bytes
from subjects import build, session_stream

from human3r import Settings

PEOPLE = (1, 2, 5, 10, 20)
IMAGE_SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
_IMAGES = 8  # Few, so that what is measured is the session, not the clip.
_FRAMES_FOR_PEAK = 12
_MARKS = 10


@dataclass(frozen=True)
class Case:
    """A stream of one kind."""

    variant: str
    device: str
    width_px: int = 640
    height_px: int = 480
    people: int | None = None
    """So many in every frame; None: as the network finds them."""

    def stream(self) -> Callable[[int], None]:
        """A session that takes the next frame with each call."""
        wanted = Settings()
        if self.people is not None:
            # Any place with a score counts as a person, so that there are always enough.
            wanted = wanted.replace({"people.max_count": self.people, "people.min_score": 0.0})
        images = list(islice(clip_images(self.width_px, self.height_px), _IMAGES))
        step = session_stream(build(self.variant, torch.device(self.device), wanted), images)

        def counted(turn: int) -> None:
            found = len(step(turn).people)
            if self.people not in (None, found):
                raise RuntimeError(f"{found} people in a frame that should have {self.people}")

        return counted


def measure_growth(variant: str, rounds: int, frames: int, device: torch.device) -> dict[str, Any]:
    """Processor and wall time in turns; peak memory of a process each."""
    where = str(device)
    people = {f"{n} people": Case(variant, where, people=n) for n in PEOPLE}
    sizes = {f"{w}x{h}": Case(variant, where, w, h) for w, h in IMAGE_SIZES}
    return {
        "people": _compare(people, rounds),
        "image": _compare(sizes, rounds),
        "length": _measure_length(Case(variant, where, 320, 240), frames),
    }


def _compare(cases: dict[str, Case], rounds: int) -> dict[str, Any]:
    first = next(iter(cases))
    streams = {name: case.stream() for name, case in cases.items()}
    found: dict[str, Any] = describe(take_turns(streams, rounds, warm_up=2), first)
    for name, case in cases.items():
        # A process per case: nothing that another one left behind is counted.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name]["peak_bytes"] = pool.apply(_peak_bytes, (case,))
    return found


def _peak_bytes(case: Case) -> int:
    step = case.stream()
    for turn in range(_FRAMES_FOR_PEAK):
        step(turn)
    if case.device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    return peak_resident_bytes()


def _measure_length(case: Case, frames: int) -> list[dict[str, float]]:
    """Median processor time and resident memory, tenth by tenth."""
    step = case.stream()
    for turn in range(3):
        step(turn)
    ends = [frames * (mark + 1) // _MARKS for mark in range(_MARKS)]
    rows, processor_ms = [], []
    for turn in range(frames):
        began_s = time.process_time()
        step(3 + turn)
        processor_ms.append(1e3 * (time.process_time() - began_s))
        if turn + 1 in ends:
            rows.append(
                {
                    "frames": turn + 1,
                    "processor_ms": statistics.median(processor_ms),
                    "resident_bytes": resident_bytes(),
                }
            )
            processor_ms.clear()
    return rows

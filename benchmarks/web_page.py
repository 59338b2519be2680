"""What a live page costs whom it watches: frames processed without, unwatched, and with browsers.

    python benchmarks/web_page.py --seconds 15 --rounds 3

One pipeline takes the demo clip as fast as it can. The cases take turns, round by round, so that
whatever else the machine does meets all of them. Browsers are real Chromium without a screen, which
draw in software, as no robot's do; so they give way (nice 19), and with ``--apart`` the pipeline
has one core, page and browsers the other.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from human3r.config import Settings
from human3r.demo_clip import demo_clip_path
from human3r.io import open_source
from human3r.pipeline import Pipeline
from human3r.viewer.web_live import open_live_page

FLAGS = (
    *("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
)


def browse(address: str, number: int) -> None:
    """Look at a page in so many browsers until the end of the input."""
    from playwright.sync_api import sync_playwright

    os.nice(19)
    with sync_playwright() as playwright:
        browsers = [
            playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
            for _ in range(number)
        ]
        for chromium in browsers:
            page = chromium.new_page(viewport={"width": 640, "height": 400})
            page.goto(address, timeout=120_000)
        print("open", flush=True)
        sys.stdin.read()
        for chromium in browsers:
            chromium.close()


def main() -> int:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each case and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--browsers", type=int, default=2)
    parser.add_argument("--apart", action="store_true", help="pipeline on core 0, others on 1")
    parser.add_argument("--browse", metavar="ADDRESS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.apart:
        os.sched_setaffinity(0, {1 if args.browse else 0})
    if args.browse:
        browse(args.browse, args.browsers)
        return 0
    settings = Settings().replace({"web.port": 0})
    pipeline = Pipeline.from_settings(settings)
    with open_source(str(demo_clip_path())) as source:
        clip = list(source)
    stamps = (100_000_000 * number for number in count(1))
    found: dict[str, list[dict[str, float]]] = {}
    with open_live_page(pipeline.settings, pipeline.body_model) as page:
        if args.apart:
            for task in Path(f"/proc/{page._process.pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {1})
        measure(pipeline, clip, stamps, 5.0, None)
        for _ in range(args.rounds):
            for name, browsers, watch in (
                ("no page", 0, None),
                ("page, 0 browsers", 0, page),
                (f"page, {args.browsers} browsers", args.browsers, page),
            ):
                looking = start_browsers(page, browsers, apart=args.apart)
                row = measure(pipeline, clip, stamps, args.seconds, watch)
                stop_browsers(page, looking)
                found.setdefault(name, []).append(row)
                print(f"{name:18} {row}", flush=True)
    for name, rows in found.items():
        mean = {key: round(float(np.mean([row[key] for row in rows])), 2) for key in rows[0]}
        print(json.dumps({"case": name, **mean}))
    return 0


def measure(pipeline, clip, stamps, seconds: float, page) -> dict[str, float]:
    """Frames of so many seconds, back to back."""
    frames, began_s, spent_s = 0, time.perf_counter(), time.process_time()
    shown = page.num_drawn if page is not None else 0
    longest_show_s = 0.0
    while time.perf_counter() - began_s < seconds:
        frame = replace(clip[frames % len(clip)], stamp_ns=next(stamps))
        estimate = pipeline.step(frame)
        if page is not None:
            start_s = time.perf_counter()
            page.show(estimate, frame.image)
            longest_show_s = max(longest_show_s, time.perf_counter() - start_s)
        frames += 1
    wall_s = time.perf_counter() - began_s
    return {
        "frames": frames,
        "frames_per_s": round(frames / wall_s, 2),
        "processor_ms_per_frame": round(1e3 * (time.process_time() - spent_s) / frames, 1),
        "longest_show_ms": round(1e3 * longest_show_s, 2),
        "drawn_per_s": round((page.num_drawn - shown) / wall_s, 2) if page is not None else 0.0,
    }


def start_browsers(page, number: int, *, apart: bool) -> subprocess.Popen | None:
    if not number:
        return None
    command = [sys.executable, __file__, "--browse", page.address, "--browsers", str(number)]
    command += ["--apart"] if apart else []
    looking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert looking.stdout is not None
    if looking.stdout.readline().strip() != "open":
        raise SystemExit("no browser came up; expected chromium and playwright.")
    return looking


def stop_browsers(page, looking: subprocess.Popen | None) -> None:
    if looking is not None:
        looking.communicate()


if __name__ == "__main__":
    sys.exit(main())

"""Hostile and damaged inputs by rule: no crash but an InputError, no hang, no growing memory.

    python benchmarks/fuzz_inputs.py --cases 1000000 --seed 0 --json report.json

Messages, images, calibrations, stamps, settings, weights, body models, results, bags, videos: see
``KINDS`` and ``fuzz_files.py``. Each case starts from a message or file that is right and changes
it: random fields of random values, bytes flipped, cut or appended. Cases are numbered; ``--only N``
repeats one. With ``--json`` the campaign goes on where an earlier one ended.
"""

import io
import json
import logging
import math
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import fuzz_files
import numpy as np
from PIL import Image
from scaffold import described, parser, resident_bytes, write_result

from human3r.camera.calibration import CalibrationCache
from human3r.config import Settings
from human3r.errors import Human3RError
from human3r.io.image_messages import ENCODINGS, rgb_from_compressed, rgb_from_image
from human3r.io.stream_rules import StreamRules, StreamShape

_SLOW_S = 1.0
_LIMIT = 1_000_000
_ODD = (0, 1, 2, 3, 5, 63, 64, 65, 4095, 2**16, 2**31 - 1, 2**32 - 1)
_NUMBERS = (0.0, -1.0, 1e-300, 1e300, np.nan, np.inf, -np.inf, 0.5, 100.0)


def _picture(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (48, 64, 3), np.uint8)


def _fitting(encoding: str, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Width, height, step and bytes that go together, with padding behind each row."""
    width, height = (int(rng.choice([4, 5, 16, 63, 64, 120])) for _ in range(2))
    deep = 2 if encoding.endswith("16") else 1
    channels = {"rgb": 3, "bgr": 3, "yuv": 2, "uyv": 2}.get(encoding[:3], 1)
    channels = 4 if encoding[:4] in ("rgba", "bgra", "8UC4") else channels
    channels = 3 if encoding == "8UC3" else channels
    step = width * channels * deep + int(rng.choice([0, 0, 1, 64]))
    rows = {"nv12": 3 * height // 2, "nv21": 3 * height // 2, "nv24": 3 * height}
    return width, height, step, step * rows.get(encoding, height)


def image(rng: np.random.Generator) -> object:
    """A raw image of any encoding, size and step, decoded."""
    encoding = str(rng.choice([*ENCODINGS, "16UC1", "32FC1", "", "rgb8\0"]))
    width, height = (int(rng.choice(_ODD[:9])) for _ in range(2))
    step = int(
        rng.choice([width, 2 * width, 3 * width, 4 * width, 8 * width, int(rng.choice(_ODD))])
    )
    size = min(step * int(rng.choice([height, 3 * height // 2, 3 * height])), 2**22)
    if rng.random() < 0.5 and encoding in ENCODINGS:
        width, height, step, size = _fitting(encoding, rng)
    data = rng.integers(0, 255, max(0, size + int(rng.choice([0, 0, 0, -1, 1]))), np.uint8)
    message = SimpleNamespace(
        width=width, height=height, encoding=encoding, step=step, data=data.tobytes(),
        is_bigendian=int(rng.integers(0, 2)),
    )  # fmt: skip
    return rgb_from_image(message, "image", _LIMIT)


def _encoded() -> list[bytes]:
    rng = np.random.default_rng(0)
    made = []
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM"):
        for options in ({}, {"progressive": True}) if kind == "JPEG" else ({},):
            buffer = io.BytesIO()
            Image.fromarray(_picture(rng)).save(buffer, kind, **options)
            made.append(buffer.getvalue())
    deep = rng.integers(0, 65535, (48, 64, 3), np.uint16)
    return [*made, cv2.imencode(".png", deep)[1].tobytes()]


_ENCODED = _encoded()
_FORMATS = ("jpeg", "png", "rgb16; png compressed", "bayer_rggb8; jpeg compressed", "mono16; png",
            "16UC1; compressedDepth", "", "\0", "h264")  # fmt: skip


def compressed(rng: np.random.Generator) -> object:
    """An encoded image with bytes changed, cut or appended."""
    data = bytearray(_ENCODED[rng.integers(len(_ENCODED))])
    for _ in range(int(rng.choice([0, 1, 3, 30]))):
        data[rng.integers(len(data))] = rng.integers(256)
    data = data[: int(rng.choice([len(data), rng.integers(len(data) + 1)]))]
    data += bytes(int(rng.choice([0, 0, 17, 5000])))
    message = SimpleNamespace(format=str(rng.choice(_FORMATS)), data=bytes(data))
    return rgb_from_compressed(message, "image", _LIMIT)


def calibration(rng: np.random.Generator) -> object:
    """A camera_info with some fields replaced, asked about an image."""
    k = np.array([50.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1])
    p = np.array([50.0, 0, 31.5, 0, 0, 50.0, 23.5, 0, 0, 0, 1, 0])
    fields = {"k": k, "p": p, "r": np.eye(3).ravel(), "d": rng.normal(0, 0.1, rng.integers(0, 16))}
    for values in fields.values():
        if len(values) and rng.random() < 0.3:
            values[rng.integers(len(values))] = rng.choice(_NUMBERS)
    sizes = {name: int(rng.choice([64, 48, *_ODD])) for name in ("width", "height")}
    region = {name: int(rng.choice([0, 0, 0, *_ODD]))
              for name in ("x_offset", "y_offset", "width", "height")}  # fmt: skip
    binning = {name: int(rng.choice([0, 0, 1, 2, *_ODD])) for name in ("binning_x", "binning_y")}
    model = str(rng.choice(["plumb_bob", "rational_polynomial", "equidistant", "fisheye", "", "x"]))
    info = SimpleNamespace(
        header=SimpleNamespace(frame_id=str(rng.choice(["cam", "", "/cam", "a b", "x" * 300]))),
        distortion_model=model, roi=SimpleNamespace(**region), **fields, **sizes, **binning,
    )  # fmt: skip
    cache = CalibrationCache()
    cache.uses_p = bool(rng.integers(0, 2))
    cache.store(info)
    found = cache.for_image("cam", 64, 48, undistort=bool(rng.integers(0, 2)))
    if found.intrinsics is not None:
        assert np.isfinite(found.intrinsics.matrix()).all()
        assert found.without_distortion(np.zeros((48, 64, 3), np.uint8)).shape == (48, 64, 3)
    return found


def stamps(rng: np.random.Generator) -> object:
    """A stream of stamps: what is accepted without a new session goes forwards."""
    settings, rules, last = Settings(), StreamRules(), None
    shape = StreamShape(64, 48, "colour", "cam", None)
    for _ in range(20):
        stamp = int(rng.choice([0, 1, 10**9, 10**18, 2**62])) + int(rng.integers(-(10**10), 10**10))
        verdict = rules.judge(stamp, "cam", float(stamp) * 1e-9, None, settings)
        if verdict.outcome == "processed":
            assert last is None or stamp > last or verdict.reset
            rules.accept(stamp, float(stamp) * 1e-9, shape)
            last = stamp
    return rules


KINDS: dict[Callable[[np.random.Generator], object], float] = {
    image: 170,
    compressed: 120,
    calibration: 150,
    stamps: 40,
    fuzz_files.cdr: 200,
    fuzz_files.settings: 10,
    fuzz_files.weights: 60,
    fuzz_files.weights_header: 40,
    fuzz_files.checkpoint: 40,
    fuzz_files.body_file: 40,
    fuzz_files.body_arrays: 4,
    fuzz_files.covariance: 30,
    fuzz_files.package: 20,
    fuzz_files.kind: 40,
    fuzz_files.result: 6,
    fuzz_files.result_arrays: 6,
    fuzz_files.points: 25,
    fuzz_files.trajectory: 20,
    fuzz_files.bag: 8,
    fuzz_files.bag_repair: 5,
    fuzz_files.video: 0.5,
}
"""What is tried, and its share of the cases."""
_SHARES = np.array(list(KINDS.values()), float) / sum(KINDS.values())
_HANG_S = 20
_REPORT_EVERY = 5000


class _Hangs(BaseException):
    """A case took so long that it is given up."""


class Campaign:
    """Cases so far; kept in a file, so that a campaign can be interrupted and goes on."""

    def __init__(self, seed: int, path: Path | None) -> None:
        self.seed, self._path = seed, path
        self.next, self.seconds, self._began_s = 0, 0.0, time.perf_counter()
        self.outcomes: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.resident_mb: list[int] = []
        self.bad: list[str] = []
        if path is not None and path.exists():
            found = json.loads(path.read_text())
            if found["seed"] != seed:
                raise SystemExit(f"{path}: is of seed {found['seed']}; name another file.")
            self.next, self.seconds = found["cases"], found["seconds"]
            self.outcomes.update(found["outcomes"])
            self.slowest, self.bad = found["slowest_s"], found["bad"]
            self.resident_mb = found["resident_mb"]

    def run_next(self) -> None:
        """One case, and the report where it is due."""
        kind, rng = _case(self.seed, self.next)
        # Of the processor: others may use the machine, too.
        start_s = time.process_time()
        try:
            signal.alarm(_HANG_S)
            kind(rng)
            outcome = "taken"
        except (Human3RError, fuzz_files.Refused):
            outcome = "refused"
        except (_Hangs, Exception) as error:
            outcome = "BAD"
            self._note(kind.__name__, f"{type(error).__name__}: {str(error)[:200]}")
        finally:
            signal.alarm(0)
        took_s = time.process_time() - start_s
        name = kind.__name__
        self.outcomes[f"{name} {outcome}"] += 1
        self.slowest[name] = max(round(took_s, 3), self.slowest.get(name, 0.0))
        if took_s > _SLOW_S:
            self._note(name, f"{took_s:.1f} s")
        self.next += 1
        if self.next % _REPORT_EVERY == 0:
            self.resident_mb.append(resident_bytes() >> 20)
            self.write()

    def _note(self, name: str, text: str) -> None:
        """Of every kind of trouble the first few cases are kept."""
        if sum(f"{name}: {text[:40]}" in line for line in self.bad) < 3:
            self.bad.append(f"case {self.next}: {name}: {text}")

    def write(self) -> dict[str, Any]:
        """The report, also into the file."""
        now_s = time.perf_counter()
        self.seconds, self._began_s = self.seconds + now_s - self._began_s, now_s
        report = described(
            seed=self.seed,
            cases=self.next,
            seconds=round(self.seconds, 1),
            outcomes=dict(sorted(self.outcomes.items())),
            slowest_s=self.slowest,
            resident_mb=self.resident_mb,
            bad=self.bad[:100],
        )
        write_result(self._path, report)
        return report


def _case(seed: int, number: int) -> tuple[Callable[[np.random.Generator], object], Any]:
    rng = np.random.default_rng((seed, number))
    return list(KINDS)[rng.choice(len(KINDS), p=_SHARES)], rng


def main() -> None:
    """Run the campaign and print what came of it as JSON."""
    command = parser(__doc__)
    command.add_argument("--cases", type=int, default=20_000, help="altogether (%(default)s)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--only", type=int, metavar="N", help="one case, with its traceback")
    command.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    command.add_argument("--json", type=Path, help="report; goes on where an earlier one ended")
    options = command.parse_args()
    logging.disable()
    if options.only is not None:
        kind, rng = _case(options.seed, options.only)
        print(kind.__name__, kind(rng))
        return
    fuzz_files.prepare()
    signal.signal(signal.SIGALRM, _give_up)
    campaign = Campaign(options.seed, options.json)
    end_s = time.monotonic() + 60 * options.minutes
    while campaign.next < options.cases and time.monotonic() < end_s:
        campaign.run_next()
    report = campaign.write()
    print(
        json.dumps({key: report[key] for key in ("cases", "seconds", "outcomes", "bad")}, indent=1)
    )


def _give_up(number: int, frame: object) -> None:
    raise _Hangs(f"more than {_HANG_S} s")


if __name__ == "__main__":
    main()

"""Eight hours of a 10 Hz stream as fast as they go: does anything grow but the network's subject?

    python benchmarks/soak_stream.py [--hours 8] [--rate-hz 10] [--processed-hz 2.5] [--out FOLDER]

Everything of the node around the network runs: image messages through CDR, queue, stream rules,
decoder, calibration, tracking, numbers, scale, level frame, messages of people, odometry and map.
In the network's place ``Walk`` answers: a camera that walks through endless corridors, people who
come and go, now and then a covered lens, a frozen picture, a damaged message, a clock that was set,
a reset. Writes soak_stream.json and soak_stream.png; ends with 1 when something grew.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from human3r_ros import convert
from human3r_ros.placement import Placement
from human3r_ros.processor import ProcessorContext, StreamProcessor
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.transforms import FrameTree
from human3r_ros.worker import Arrival, FrameQueue
from rclpy.serialization import serialize_message
from scaffold import described, parser, resident_bytes, write_result
from sensor_msgs.msg import CameraInfo, Image

from human3r.atomic import whole_file
from human3r.camera.calibration import CalibrationCache
from human3r.config import Settings
from human3r.pipeline import Pipeline
from human3r.streaming.session import Prepared
from human3r.types import (
    BodyParameters,
    Frame,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
)

SECOND_NS = 10**9
WIDTH, HEIGHT, FOCAL_PX = 96, 72, 80.0
_CAMERA = Intrinsics(FOCAL_PX, FOCAL_PX, WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5, WIDTH, HEIGHT)
MAX_GROWTH, WARM_UP_SHARE = 0.01, 0.2
_SAMPLES = 120
_FATES = ("processed", "rejected", "dropped_rate", "dropped_order", "dropped_stale")
_SETTINGS = {
    **{f"{part}.source": "network" for part in ("odometry", "people", "scene")},
    "map.enabled": True,
    "map.max_voxels": 20_000,
    "map.radius_m": 12.0,
    "scene.rate_hz": 1.0,
    "scene.remove_people": "mask",
    "scene.min_confidence": 1.0,
    "people.visibility": False,
    "input.max_age_s": 0.0,
}


@dataclass
class Sample:
    """The process after so much of the stream's time."""

    at_h: float
    rss_bytes: int
    map_voxels: int
    people: int
    tracks: int
    """Remembered by the tracker, out of sight included."""
    ids: int
    """Given out so far."""


class Walk:
    """In the network's place: where the camera is, who is there, how far everything is."""

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self._session = pipeline.session
        self._rng = np.random.default_rng(seed)
        self._person = _person(pipeline)
        self._seen: dict[int, np.ndarray] = {}
        self._next_id = self._frame = 0
        self._last_session = -1
        v, u = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        self._rays = np.stack(
            [(u - WIDTH / 2 + 0.5) / FOCAL_PX, (v - HEIGHT / 2 + 0.5) / FOCAL_PX, np.ones_like(u)],
            axis=-1,
        )

    def prepare(self, frame: Frame, *, with_network: bool = True) -> Prepared:
        """Stands for ``StreamSession.prepare``."""
        geometry = ImageGeometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT)
        # Something, as the network's encoder would leave it.
        encoded: Any = ()
        return Prepared(int(frame.stamp_ns), frame.image, geometry, encoded, {})

    def push(self, prepared: Prepared, *, update: bool = True) -> FrameEstimate:
        """Stands for ``StreamSession.push``."""
        if self._session.session != self._last_session:
            self._last_session, self._frame = self._session.session, 0
            self._seen, self._next_id = {}, 0
        self._frame += 1
        self._come_and_go()
        depth = 2.0 + 1.5 * np.abs(np.sin(self._rays[..., 0] * 3 + self._frame * 0.01))
        pose = np.eye(4)
        pose[:3, 3] = [0.3 * np.sin(self._frame / 50), 0, 0.08 * self._frame]
        return FrameEstimate(
            stamp_ns=prepared.stamp_ns,
            session=self._session.session,
            frame_index=self._frame - 1,
            geometry=prepared.geometry,
            image=np.asarray(prepared.image),
            points_camera=(self._rays * depth[..., None]).astype(np.float32),
            confidence=np.full((HEIGHT, WIDTH), 5.0, np.float32),
            person_probability=np.zeros((HEIGHT, WIDTH), np.float32),
            world_from_camera=pose,
            intrinsics=Intrinsics(
                FOCAL_PX, FOCAL_PX, WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5, WIDTH, HEIGHT
            ),
            people=tuple(self._placed(number, place) for number, place in self._seen.items()),
            state_updated=update,
            estimated_focal_px=FOCAL_PX,
            timings_s={"preprocess": 0.0, "network": 0.0, "bodies": 0.0, "geometry": 0.0},
        )

    def _come_and_go(self) -> None:
        if len(self._seen) < 6 and self._rng.random() < 0.012:
            self._seen[self._next_id] = self._rng.uniform([-1, 0, 2], [1, 0.3, 5])
            self._next_id += 1
        for number in list(self._seen):
            self._seen[number] = self._seen[number] + self._rng.normal(0, 0.02, 3)
            if self._rng.random() < 0.015:
                del self._seen[number]

    def _placed(self, number: int, place: np.ndarray) -> PersonEstimate:
        body, joints, vertices = self._person
        shift = place.astype(np.float32)
        return PersonEstimate(
            track_id=number,
            score=0.9,
            head_px=np.array([48.0, 30.0], np.float32),
            body=BodyParameters(body.rotations, body.betas, body.expression, shift),
            joints_camera=joints + shift,
            vertices_camera=vertices,
        )


def _person(pipeline: Pipeline) -> tuple[BodyParameters, np.ndarray, np.ndarray]:
    """A standing body about its head; few of its vertices, since they are not looked at."""
    rotations = np.repeat(np.eye(3, dtype=np.float32)[None], 53, 0)
    rotations[0] = np.diag([1.0, -1.0, -1.0])
    none = np.zeros(10, np.float32)
    given = [torch.from_numpy(array)[None] for array in (rotations, none, none)]
    with torch.inference_mode():
        mesh = pipeline.body_model(*given, torch.zeros(1, 3))
    body = BodyParameters(rotations, none, none, np.zeros(3, np.float32))
    return body, mesh.joints[0].numpy(), mesh.vertices[0, ::100].numpy()


class Sink:
    """Takes the outputs' place: serialises some of it, keeps the last of what is watched."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}
        self.bytes = self._turn = 0
        self.ids = -1

    def is_wanted(self, name: str) -> bool:
        return name == "map"

    def send(self, name: str, message: Any) -> None:
        self._turn += 1
        if self._turn % 16 == 0:
            self.bytes += len(serialize_message(message))
        if name in ("humans", "status"):
            self.last[name] = message
        if name == "humans" and message.humans:
            self.ids = max(self.ids, *(human.track_id for human in message.humans))

    def send_transform(self, transform: Any) -> None:
        self.bytes += len(serialize_message(transform))


class Camera:
    """Messages of a stream with what goes wrong in eight hours."""

    def __init__(self, rate_hz: float, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._step_ns = round(SECOND_NS / rate_hz)
        self.stamp_ns = 1000 * SECOND_NS
        self._pictures = [
            self._rng.integers(0, 255, (HEIGHT // 12, WIDTH // 12, 3), np.uint8)
            .repeat(12, 0)
            .repeat(12, 1)
            for _ in range(16)
        ]

    def next(self, number: int) -> Arrival:
        """Frame ``number`` as it comes."""
        self.stamp_ns += self._step_ns
        if number % 40_000 == 39_999:
            self.stamp_ns -= 3600 * SECOND_NS  # The clock was set.
        if number % 7_000 == 6_999:
            self.stamp_ns += 90 * SECOND_NS  # A pause.
        phase = number % 5_000
        if phase < 30:
            pixels = np.full((HEIGHT, WIDTH, 3), 12, np.uint8)  # Covered.
        elif phase < 60:
            pixels = self._pictures[0]  # Frozen.
        else:
            pixels = self._pictures[number % 16]
        data = pixels.tobytes()
        message = Image(
            header=convert.header(self.stamp_ns, "camera"),
            height=HEIGHT,
            width=WIDTH,
            encoding="rgb8" if number % 997 else "32FC1",
            step=3 * WIDTH,
            data=data if number % 1_009 else data[:-5],
        )
        serialized = serialize_message(message)
        if number % 1_013 == 0:
            serialized = serialized[: int(self._rng.integers(0, len(serialized)))]
        return Arrival(serialized, self.stamp_ns)

    def calibration(self, number: int) -> CameraInfo:
        """Whose focal length breathes."""
        focal = FOCAL_PX * (1 + 0.01 * np.sin(number / 300))
        k = [focal, 0, WIDTH / 2 - 0.5, 0, focal, HEIGHT / 2 - 0.5, 0, 0, 1]
        header = convert.header(self.stamp_ns, "camera")
        return CameraInfo(header=header, width=WIDTH, height=HEIGHT, k=np.array(k, float))


class Stream:
    """The node's worker, without threads and without a network."""

    def __init__(self, rate_hz: float, seed: int, processed_hz: float) -> None:
        self.settings = Settings().replace({**_SETTINGS, "input.max_rate_hz": processed_hz})
        self.pipeline = Pipeline.from_settings(self.settings)
        walk, session = Walk(self.pipeline, seed), self.pipeline.session
        session.prepare, session.push = walk.prepare, walk.push  # pyright: ignore[reportAttributeAccessIssue]
        self.sink, self.camera = Sink(), Camera(rate_hz, seed)
        self.calibrations = CalibrationCache()
        self.said = 0
        self.queue = FrameQueue(1, keep_newest=True)
        placement = Placement(FrameTree(), self.sink, self.pipeline.level, self.settings)  # pyright: ignore[reportArgumentType]
        around = ProcessorContext(
            settings=lambda: self.settings,
            now_ns=lambda: self.camera.stamp_ns + SECOND_NS // 50,
            is_simulated=lambda: False,
            throttled_log=ThrottledLog(self._say, period_s=600.0),
            on_fault=self._fail,
            calibrations=self.calibrations,
        )
        self.processor = StreamProcessor(self.pipeline, self.sink, placement, around)  # pyright: ignore[reportArgumentType]
        self.processor.begin(self.queue, reset=True)

    def _say(self, text: str) -> None:
        self.said += 1

    def _fail(self, text: str) -> None:
        raise SystemExit(f"the stream gave up: {text}")

    def run(self, number: int) -> None:
        """One frame."""
        if number % 10 == 0:
            self.calibrations.store(self.camera.calibration(number))
        self.queue.put(self.camera.next(number))
        arrival = self.queue.take(0.0)
        assert arrival is not None
        self.processor.handle(arrival)
        if number % 20_000 == 19_999:
            self.processor.reset(2)
        if number % 3_000 == 2_999:
            self.processor.idle()

    def sample(self, at_h: float) -> Sample:
        voxels = self.processor.scene.map._voxels
        humans = self.sink.last.get("humans")
        return Sample(
            at_h=round(at_h, 3),
            rss_bytes=resident_bytes(),
            map_voxels=0 if voxels is None else len(voxels),
            people=len(humans.humans) if humans else 0,
            tracks=len(self.pipeline._tracker._tracks),
            ids=self.sink.ids + 1,
        )


def judge(samples: list[Sample]) -> dict[str, Any]:
    """Whether memory stayed, and map and people within their bounds, after the warm-up."""
    late = samples[int(WARM_UP_SHARE * len(samples)) :]
    fifth = max(1, len(late) // 5)
    first, last = (max(s.rss_bytes for s in part) for part in (late[:fifth], late[-fifth:]))
    growth = last / first - 1
    most = {
        name: max(getattr(s, name) for s in samples) for name in ("map_voxels", "people", "tracks")
    }
    bounds = {"map_voxels": _SETTINGS["map.max_voxels"], "people": 20, "tracks": 20}
    is_flat = growth <= MAX_GROWTH and all(most[name] <= bounds[name] for name in most)
    return {
        "is_flat": is_flat,
        "rss_growth": round(growth, 5),
        "most": most,
        "bounds": bounds,
        "ids": samples[-1].ids,
        "verdict": f"{'flat' if is_flat else 'GROWING'}: memory {growth:+.2%} "
        f"({first / 2**20:.0f} to {last / 2**20:.0f} MiB), at most {most['map_voxels']} voxels, "
        f"{most['tracks']} people remembered of {samples[-1].ids} who came",
    }


def write_plot(path: Path, samples: list[Sample], title: str) -> None:
    """A panel per quantity over the stream's hours."""
    from matplotlib.figure import Figure

    figure = Figure((9, 8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    rows = (
        ("resident memory, MiB", [s.rss_bytes / 2**20 for s in samples]),
        ("voxels of the map", [s.map_voxels for s in samples]),
        ("people remembered", [s.tracks for s in samples]),
        ("ids given out", [s.ids for s in samples]),
    )
    for axes, (label, values) in zip(figure.subplots(len(rows), sharex=True), rows, strict=True):
        axes.plot([s.at_h for s in samples], values)
        axes.set_title(label, loc="left", fontsize=9)
        axes.set_ylim(0, 1.15 * max(values) or 1)
        axes.grid(alpha=0.3)
    axes.set_xlabel("hours of the stream")
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=100)


def main() -> int:
    command = parser(__doc__)
    command.add_argument("--hours", type=float, default=8.0, help="of the stream")
    command.add_argument("--rate-hz", type=float, default=10.0)
    command.add_argument(
        "--processed-hz", type=float, default=2.5, help="what the node takes of it; 0: all"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", type=Path, default=Path("docs/benchmarks/soak"), metavar="FOLDER")
    options = command.parse_args()
    return _soak(options)


def _soak(options: argparse.Namespace) -> int:
    stream = Stream(options.rate_hz, options.seed, options.processed_hz)
    total = round(3600 * options.hours * options.rate_hz)
    samples, began_s = [], time.monotonic()
    for number in range(total):
        stream.run(number)
        if number % max(1, total // _SAMPLES) == 0:
            samples.append(stream.sample(number / (3600 * options.rate_hz)))
            if len(samples) % 12 == 0:
                _written(stream, samples, options, number, time.monotonic() - began_s)
    result = _written(stream, samples, options, total, time.monotonic() - began_s)
    # At the end: drawing takes memory.
    write_plot(options.out / "soak_stream.png", samples, result["verdict"])
    print(json.dumps({k: v for k, v in result.items() if k != "samples"}, indent=1))
    return 0 if result["is_flat"] else 1


def _written(
    stream: Stream, samples: list[Sample], options: argparse.Namespace, frames: int, seconds: float
) -> dict[str, Any]:
    """What came of it so far, also in a file: a soak that is broken off leaves something."""
    status = stream.sink.last["status"]
    result = described(
        hours_of_stream=round(frames / options.rate_hz / 3600, 3),
        frames=frames,
        seconds=round(seconds, 1),
        processor_seconds=round(time.process_time(), 1),
        fates={name: int(getattr(status, name)) for name in _FATES},
        sessions=int(status.session),
        warnings=stream.said,
        **judge(samples),
        samples=[asdict(sample) for sample in samples],
    )
    options.out.mkdir(parents=True, exist_ok=True)
    write_result(options.out / "soak_stream.json", result)
    return result


if __name__ == "__main__":
    sys.exit(main())

"""What turning one frame into messages costs: people, and a cloud of 20 000 points."""

import time
from collections.abc import Callable
from dataclasses import replace

import human3r_ros  # noqa: F401 - settles the client library before the messages are imported.
import numpy as np
import torch
from clip import clip_images
from clouds import made_up_points
from human3r_ros import convert, scene_messages
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from subjects import build, session_stream

from human3r import Settings
from human3r.streaming.people import StreamPeople
from human3r.tracking.tracks import Tracker
from human3r.types import Intrinsics

_POINTS = 20_000


def measure_messages(rounds: int, people: int = 5) -> dict[str, float]:
    """Least processor time in milliseconds; the second counts what goes on the wire."""
    settings = Settings().replace({"people.max_count": people, "people.min_score": 0.0})
    pipeline = build("human3r_mini", torch.device("cpu"), settings)
    step = session_stream(pipeline, list(clip_images(640, 480)))
    estimate = [step(turn) for turn in range(3)][-1]
    estimate = StreamPeople(pipeline.body_model, Tracker(), None).update(estimate, settings)
    estimate = replace(estimate, tracked=estimate.tracked[:people])
    context = convert.FrameContext(
        estimate.stamp_ns,
        "camera",
        0,
        Intrinsics(500.0, 500.0, 320.0, 240.0, 640, 480),
        np.eye(4),
        convert.skeleton_from_body(pipeline.body_model),
        "h3r",
    )
    points, header = made_up_points(_POINTS), Header(frame_id="camera")

    def humans() -> object:
        return convert.human_array(estimate, context)

    def cloud() -> object:
        return scene_messages.cloud(points, header, with_labels=True)

    built = humans(), cloud()
    return {
        f"{people}_people": _least(humans, rounds),
        f"cloud_of_{_POINTS}_points": _least(cloud, rounds),
        "both_built": _least(lambda: (humans(), cloud()), rounds),
        "both_serialised": _least(lambda: [serialize_message(m) for m in built], rounds),
    }


def _least(work: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        began_s = time.thread_time()
        work()
        found.append(1e3 * (time.thread_time() - began_s))
    return min(found)

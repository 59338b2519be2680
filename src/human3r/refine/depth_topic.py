"""Depth of a depth camera from a bag, in the place of the network's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from human3r.errors import InputError
from human3r.io.bag import open_bag
from human3r.refine.recording import Recording, View

_TYPE = "sensor_msgs/msg/Image"
_METRES = {"16UC1": 1e-3, "mono16": 1e-3, "32FC1": 1.0}
_LATEST_S = 0.05
"""A depth image belongs to a frame when their stamps differ by less."""
_FEWEST_PIXELS = 100
_VALID_M = (0.1, 30.0)


def with_depth_camera(recording: Recording, bag: str | Path, topic: str) -> Recording:
    """The recording with a depth camera's metres where they are valid.

    Args:
        recording: with views; their pixels show what the depth image's do.
        bag: rosbag2 or rosbag1 that has the topic.
        topic: of sensor_msgs/Image, 16UC1 in millimetres or 32FC1 in metres, registered to the
            colour image.

    Raises:
        InputError: no such topic, another encoding, or no image near any frame.
    """
    stamps, images = read_depth(Path(bag), topic)
    nearest = np.abs(recording.stamps_ns[:, None] - stamps[None]).argmin(axis=1)
    off_s = np.abs(recording.stamps_ns - stamps[nearest]) / 1e9
    if not (off_s < _LATEST_S).any():
        raise InputError(
            f"{bag}: no image of {topic} within {_LATEST_S} s of a frame; the nearest is "
            f"{off_s.min():.3f} s off. Name the bag of the run."
        )
    view = _replaced(recording.view, nearest, off_s < _LATEST_S, images)
    poses = _in_metres(recording, view)
    return replace(recording, view=view, world_from_camera=poses, is_metric=True, depth_stddev=0.0)


def _in_metres(recording: Recording, view: Callable[[int], View | None]) -> np.ndarray:
    """The camera's path with each step as much longer as the sensor's depth is than the network's.

    The path came from the network's depth, so both are off alike.
    """
    frames = np.arange(len(recording.stamps_ns))
    ratios = np.full(len(frames), np.nan)
    for frame in frames:
        network, sensor = recording.view(int(frame)), view(int(frame))
        if network is None or sensor is None:
            continue
        both = network.is_scene & sensor.is_scene
        if both.sum() > _FEWEST_PIXELS:
            ratios[frame] = np.median(sensor.depth[both] / network.depth[both])
    known = np.flatnonzero(np.isfinite(ratios))
    poses = recording.world_from_camera.copy()
    if len(known):
        ratio = np.interp(frames, known, ratios[known])
        steps = np.diff(poses[:, :3, 3], axis=0) * ratio[1:, None]
        poses[1:, :3, 3] = poses[0, :3, 3] + np.cumsum(steps, axis=0)
    return poses


def _replaced(
    view_of: Callable[[int], View | None],
    nearest: np.ndarray,
    is_near: np.ndarray,
    images: list[np.ndarray],
) -> Callable[[int], View | None]:
    def view(frame: int) -> View | None:
        seen = view_of(frame)
        if seen is None or not is_near[frame]:
            # A network's lengths are not those of the sensor.
            return None
        height, width = seen.depth.shape
        image = images[nearest[frame]]
        depth = cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)
        is_valid = np.isfinite(depth) & (depth > _VALID_M[0]) & (depth < _VALID_M[1])
        is_person = ~seen.is_scene & (seen.depth > 0)
        depth = np.where(is_valid, depth, 0)
        return replace(seen, depth=depth, is_scene=is_valid & ~is_person)

    return view


def read_depth(bag: Path, topic: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Stamps (n,) in nanoseconds and depth images in metres, 0 or NaN where unknown."""
    stamps, images = [], []
    reader = open_bag(bag)
    try:
        connections = [c for c in reader.connections if c.topic == topic and c.msgtype == _TYPE]
        if not connections:
            there = sorted({c.topic for c in reader.connections if c.msgtype == _TYPE})
            raise InputError(
                f"{bag}: no {_TYPE} on {topic}; expected one of {', '.join(there) or 'none'}. "
                "Name the topic of the depth camera."
            )
        for connection, _, data in reader.messages(connections):
            message: Any = reader.deserialize(data, connection.msgtype)
            stamps.append(message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec)
            images.append(_metres(message, topic))
    finally:
        reader.close()
    if not stamps:
        raise InputError(f"{bag}: {topic} has no messages; expected depth images.")
    return np.array(stamps, np.int64), images


def _metres(message: object, topic: str) -> np.ndarray:
    encoding = message.encoding  # pyright: ignore[reportAttributeAccessIssue]
    if encoding not in _METRES:
        raise InputError(
            f"{topic}: encoding {encoding!r}; expected one of {', '.join(_METRES)}. Name the "
            "topic of the depth image in metres or millimetres."
        )
    height, width = message.height, message.width  # pyright: ignore[reportAttributeAccessIssue]
    kind = np.dtype(np.float32 if encoding == "32FC1" else np.uint16)
    if message.is_bigendian:  # pyright: ignore[reportAttributeAccessIssue]
        kind = kind.newbyteorder(">")
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(height, -1)  # pyright: ignore[reportAttributeAccessIssue]
    pixels = np.ascontiguousarray(rows[:, : width * kind.itemsize]).view(kind)
    return pixels.astype(np.float32) * np.float32(_METRES[encoding])

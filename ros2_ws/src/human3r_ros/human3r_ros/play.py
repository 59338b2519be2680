"""``human3r play``: a video, folder or bag as an image topic, as if a camera were running."""

import argparse
import array
import itertools
import json
import logging
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from human3r.atomic import whole_file
from human3r.checks import MAX_IMAGE_PIXELS
from human3r.errors import InputError
from human3r.io import open_source
from human3r.types import Frame, Intrinsics
from human3r_ros.client_session import ClientSession, client_session
from human3r_ros.command_log import speak_plainly
from human3r_ros.option_types import count, field_of_view_deg, positive
from human3r_ros.pacing import MediaClock, Pacer

log = logging.getLogger(__name__)

_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=5,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""Reliable serves best-effort and reliable readers alike."""
_JPEG_QUALITY = 92
_POLL_S = 0.02
_DELIVERY_S = 2.0


class Player:
    """Publishes frames on one image topic, with their calibration beside it where it is known.

    Args:
        node: publishes.
        topic: image topic; compressed images go to ``<topic>/compressed``, as image_transport does.
        compressed: send JPEG instead of raw pixels.
        frame_id: optical frame to write into headers; empty keeps the source's.
        fov_deg: horizontal field of view to assume where the source has no calibration; 0: none.
    """

    def __init__(
        self, node: Node, topic: str, *, compressed: bool, frame_id: str, fov_deg: float
    ) -> None:
        self._compressed, self._frame_id, self._fov_deg = compressed, frame_id, fov_deg
        base = topic.removesuffix("/compressed")
        self.topic = f"{base}/compressed" if compressed else base
        head, slash, _ = base.rpartition("/")
        kind: Any = CompressedImage if compressed else Image
        self._images = node.create_publisher(kind, self.topic, _QOS)
        self._infos = node.create_publisher(CameraInfo, f"{head}{slash}camera_info", _QOS)
        self.sent = 0

    def num_subscribers(self) -> tuple[int, int]:
        """Readers of the images and of the calibration."""
        return self._images.get_subscription_count(), self._infos.get_subscription_count()

    def publish(self, frame: Frame, stamp_ns: int) -> None:
        """Send one frame, its calibration first so that it is there when the image is used."""
        frame_id = self._frame_id or frame.frame_id
        stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        height, width = frame.image.shape[:2]
        intrinsics = frame.intrinsics or assumed_intrinsics(self._fov_deg, width, height)
        if intrinsics is not None:
            self._infos.publish(camera_info_message(intrinsics, stamp, frame_id))
        if self._compressed:
            message = compressed_message(frame.image)
        else:
            message = image_message(frame.image)
        message.header.stamp, message.header.frame_id = stamp, frame_id
        self._images.publish(message)
        self.sent += 1

    def finish(self) -> None:
        """Wait a moment for reliable readers to have everything."""
        with suppress(NotImplementedError, AttributeError):
            self._images.wait_for_all_acked(Duration(seconds=_DELIVERY_S))


def image_message(image: np.ndarray) -> Image:
    """A ``sensor_msgs/Image`` of an RGB image, header left empty."""
    height, width = image.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
    message.data = _byte_array(np.ascontiguousarray(image))
    return message


def compressed_message(image: np.ndarray) -> CompressedImage:
    """A JPEG of an RGB image, header left empty."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    message = CompressedImage(format="rgb8; jpeg compressed bgr8")
    message.data = _byte_array(encoded)
    return message


def _byte_array(data: np.ndarray) -> Any:
    # rclpy copies any other kind of sequence item by item, which takes a second per image.
    return array.array("B", data.tobytes())


def camera_info_message(intrinsics: Intrinsics, stamp: Time, frame_id: str) -> CameraInfo:
    """The pinhole camera of ``intrinsics``, without distortion."""
    k = intrinsics.matrix()
    message = CameraInfo(
        height=intrinsics.height_px,
        width=intrinsics.width_px,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([k, np.zeros((3, 1))]).ravel(),
    )
    message.header.stamp, message.header.frame_id = stamp, frame_id
    return message


def assumed_intrinsics(fov_deg: float, width_px: int, height_px: int) -> Intrinsics | None:
    """A centred camera with this horizontal field of view; None where it is 0."""
    if not fov_deg:
        return None
    focal = width_px / 2 / math.tan(math.radians(fov_deg) / 2)
    return Intrinsics(focal, focal, (width_px - 1) / 2, (height_px - 1) / 2, width_px, height_px)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status.

    Raises:
        InputError: the source cannot be read, or nobody subscribes in time.
    """
    speak_plainly()
    options = _parser().parse_args(argv)
    passes = _passes(options)
    first = next(passes)  # An unusable source is reported before anything appears on the network.
    with closing(passes), client_session("human3r_play", spin=False) as session:
        player = Player(
            session.node,
            options.topic,
            compressed=options.compressed,
            frame_id=options.frame_id,
            fov_deg=options.fov_deg,
        )
        if options.wait_for_subscriber:
            _wait_for_subscriber(player, session, options.wait_timeout)
        began_s = time.monotonic()
        stamps, pacer = _play(player, session, itertools.chain([first], passes), options)
        player.finish()
        seconds = time.monotonic() - began_s
    _report(options, player, stamps, pacer, seconds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="human3r play",
        description="Publish a video, image folder or bag as an image topic, at its own pace.",
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="video, folder of images, image, bag or camera number")
    add("--topic", required=True, help="image topic to publish, for example /camera/image_raw")
    add("--rate", type=positive, default=1.0, metavar="X", help="X times as fast (default 1)")
    add("--loop", action="store_true", help="begin again at the end; stamps go on increasing")
    add("--compressed", action="store_true", help="send JPEG on TOPIC/compressed")
    add("--frame-id", default="", metavar="F", help="optical frame (default: the source's)")
    add("--fps", type=positive, metavar="N", help="frames per second, against the source's stamps")
    add("--every", type=count, default=1, metavar="N", help="send the first of every N frames")
    add("--max-frames", type=int, default=0, metavar="N", help="stop after N frames of each pass")
    add("--fov-deg", type=field_of_view_deg, default=0.0, metavar="D", help="horizontal "
        "field of view to announce where the source has no calibration")  # fmt: skip
    add("--source-topic", metavar="TOPIC", help="image topic inside a bag that has several")
    add("--wait-for-subscriber", action="store_true", help="begin when somebody subscribes")
    add("--wait-timeout", type=positive, default=60.0, metavar="S", help="give up waiting then")
    add("--report", type=Path, metavar="FILE", help="write what was sent, with stamps, as JSON")
    return parser


def _passes(options: argparse.Namespace) -> Generator[tuple[Frame, int], None, None]:
    """Frames with media times, once or for ever."""
    clock = MediaClock()
    if options.fps:
        clock.fix_rate(options.fps)
    while True:
        with open_source(
            options.source,
            topic=options.source_topic,
            every=options.every,
            max_frames=options.max_frames,
            max_pixels=MAX_IMAGE_PIXELS,
        ) as source:
            clock.expect_rate(source.rate_hz)
            yield from clock.walk(source)
        if not options.loop:
            return


def _wait_for_subscriber(player: Player, session: ClientSession, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while player.num_subscribers()[0] == 0 and not session.stop.wait(_POLL_S):
        if time.monotonic() > deadline_s:
            raise InputError(
                f"{player.topic}: nobody subscribed within {timeout_s:g} s; expected a subscriber. "
                "Check the topic's name, ROS_DOMAIN_ID and CYCLONEDDS_URI on both sides."
            )
    # The calibration's reader is found a moment after the image's.
    patience_s = time.monotonic() + 0.5
    while player.num_subscribers()[1] == 0 and time.monotonic() < patience_s:
        if session.stop.wait(_POLL_S):
            return


def _play(
    player: Player,
    session: ClientSession,
    frames: Iterator[tuple[Frame, int]],
    options: argparse.Namespace,
) -> tuple[list[int], Pacer]:
    """Publish until the end of the source or until asked to stop. Returns the stamps sent."""
    start_ns, wall_ns = time.monotonic_ns(), session.node.get_clock().now().nanoseconds
    pacer = Pacer(start_ns, options.rate)
    stamps: list[int] = []
    for frame, media_ns in frames:
        due_ns = pacer.due_ns(media_ns, time.monotonic_ns())
        if session.stop.wait(max(0, due_ns - time.monotonic_ns()) / 1e9):
            break
        stamp_ns = wall_ns + due_ns - start_ns
        player.publish(frame, stamp_ns)
        if options.report:
            stamps.append(stamp_ns)
    return stamps, pacer


def _report(
    options: argparse.Namespace, player: Player, stamps: list[int], pacer: Pacer, seconds: float
) -> None:
    delayed_s = pacer.delayed_ns / 1e9
    log.info(
        "sent %d frames of %s on %s in %.1f s%s",
        player.sent,
        options.source,
        player.topic,
        seconds,
        f"; {delayed_s:.1f} s longer than planned, the source was slow" if delayed_s > 0.5 else "",
    )
    if not options.report:
        return
    content = {
        "source": str(options.source),
        "topic": player.topic,
        "sent": player.sent,
        "delayed_s": delayed_s,
        "stamps_ns": stamps,
    }
    with whole_file(options.report) as file:
        file.write(json.dumps(content).encode("utf-8"))

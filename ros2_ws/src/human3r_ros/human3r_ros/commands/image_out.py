"""Images and calibrations as messages, and the publisher that plays a camera."""

import array
import math
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from human3r.types import Frame, Intrinsics
from human3r_ros.convert import time_from_ns

_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=5,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
"""Reliable serves best-effort and reliable readers alike."""
_JPEG_QUALITY = 92
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

    def publish(self, frame: Frame, stamp_ns: int, *, in_order: bool = False) -> None:
        """Send one frame, its calibration first so that it is there when the image is used.

        Args:
            frame: pixels and, where known, calibration.
            stamp_ns: what to write into the headers.
            in_order: send the image only when every reader has the calibration.
        """
        frame_id = self._frame_id or frame.frame_id
        stamp = time_from_ns(stamp_ns)
        height, width = frame.image.shape[:2]
        intrinsics = frame.intrinsics or assumed_intrinsics(self._fov_deg, width, height)
        if intrinsics is not None:
            self._infos.publish(camera_info_message(intrinsics, stamp, frame_id))
            if in_order:
                self._wait_for_delivery(self._infos)
        if self._compressed:
            message = compressed_message(frame.image)
        else:
            message = image_message(frame.image)
        message.header.stamp, message.header.frame_id = stamp, frame_id
        self._images.publish(message)
        self.sent += 1

    def finish(self) -> None:
        """Wait a moment for reliable readers to have everything."""
        self._wait_for_delivery(self._images)

    def _wait_for_delivery(self, publisher: Any) -> None:
        with suppress(NotImplementedError, AttributeError):
            publisher.wait_for_all_acked(Duration(seconds=_DELIVERY_S))


def image_message(image: np.ndarray) -> Image:
    """A ``sensor_msgs/Image`` of an RGB image, header left empty."""
    height, width = image.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
    message.data = _byte_array(np.ascontiguousarray(image))
    return message


def compressed_message(image: np.ndarray, quality: int = _JPEG_QUALITY) -> CompressedImage:
    """A JPEG of an RGB image, header left empty."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
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

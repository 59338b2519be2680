"""Cuts people out of the images they were seen in."""

from array import array
from collections import OrderedDict
from typing import Any

import numpy as np
from human3r_ros import qos
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from human3r.config import InputSettings
from human3r.errors import InputError
from human3r.io.image_messages import rgb_from_message
from human3r_bridge.geometry_messages import ns_from_time
from human3r_bridge.inputs import IMAGE
from human3r_bridge.output import Warn
from human3r_bridge.people import Person

_MAX_BYTES = 256 * 2**20
_MAX_IMAGES = 200
_QUEUE = 10


class RecentImages:
    """The last images by stamp, undecoded; bounded in number and bytes."""

    def __init__(self, max_images: int = _MAX_IMAGES, max_bytes: int = _MAX_BYTES) -> None:
        self._max_images, self._max_bytes = max_images, max_bytes
        self._messages: OrderedDict[int, Any] = OrderedDict()
        self._num_bytes = 0

    def put(self, message: Image | CompressedImage) -> None:
        """Keep an image; the oldest ones make room."""
        stamp_ns = ns_from_time(message.header.stamp)
        if stamp_ns in self._messages:
            return
        self._messages[stamp_ns] = message
        self._num_bytes += len(message.data)
        while len(self._messages) > self._max_images or self._num_bytes > self._max_bytes:
            _, oldest = self._messages.popitem(last=False)
            self._num_bytes -= len(oldest.data)

    def take(self, stamp_ns: int) -> Image | CompressedImage | None:
        """The image of this stamp; it and those that came before it are let go."""
        if stamp_ns not in self._messages:
            return None
        while True:
            stamp, message = self._messages.popitem(last=False)
            self._num_bytes -= len(message.data)
            if stamp == stamp_ns:
                return message


class ImageInput:
    """The image topic, subscribed to only while crops have a subscriber."""

    def __init__(self, node: Node, transport: str, warn: Warn) -> None:
        self._node, self._warn = node, warn
        self._kind, suffix = (
            (CompressedImage, "/compressed") if transport == "compressed" else (Image, "")
        )
        # As the node does: a remapping names the image without the suffix.
        self._topic = node.resolve_topic_name(IMAGE) + suffix
        self._subscription: Any = None
        self._images = RecentImages()

    def want(self, wanted: bool) -> None:
        """Subscribe or stop."""
        if wanted and self._subscription is None:
            self._subscription = self._node.create_subscription(
                self._kind, self._topic, self._images.put, qos.image_input(_QUEUE)
            )
        elif not wanted and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription, self._images = None, RecentImages()

    def image(self, header: Header) -> np.ndarray | None:
        """The image of a frame as (height, width, 3) uint8 RGB; None when it is not there."""
        message = self._images.take(ns_from_time(header.stamp))
        if message is None:
            self._warn(
                "crop image",
                f"no image of {header.stamp.sec}.{header.stamp.nanosec:09d} came on {self._topic}; "
                "expected those that the node sees. Remap image to the node's own topic.",
            )
            return None
        limit = InputSettings().max_pixels
        try:
            return rgb_from_message(message, "image", limit)
        except InputError as error:
            self._warn("crop image", str(error))
            return None


def cropped(image: np.ndarray, person: Person, header: Header) -> Image | None:
    """The part of the image that the person's box covers; None when there is none.

    Args:
        image: (height, width, 3) uint8 RGB, the frame's source image.
        person: of that frame.
        header: of that frame.
    """
    height, width = image.shape[:2]
    if not np.isfinite(person.box_pixels).all():
        return None
    left, top = np.floor(person.box_pixels[:2]).clip(0).astype(int)
    right, bottom = np.ceil(person.box_pixels[2:]).clip(-1, [width - 1, height - 1]).astype(int)
    part = image[top : bottom + 1, left : right + 1]
    if part.size == 0:
        return None
    data = array("B")
    data.frombytes(np.ascontiguousarray(part).tobytes())
    return Image(
        header=header,
        height=part.shape[0],
        width=part.shape[1],
        encoding="rgb8",
        step=3 * part.shape[1],
        data=data,
    )

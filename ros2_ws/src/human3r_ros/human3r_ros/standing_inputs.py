"""What the node listens to from configure to cleanup: TF, and at first which camera there is."""

import copy
from collections.abc import Sequence
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from human3r.config import Settings
from human3r_ros import qos
from human3r_ros.calibration import CalibrationCache
from human3r_ros.transforms import FrameTree
from human3r_ros.tree_check import needs_tf


class StandingInputs:
    """Subscriptions that do not wait for activation, since activation asks for what they heard."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        tree: FrameTree,
        calibrations: CalibrationCache,
    ) -> None:
        """Subscribe with ``open``.

        Args:
            node: subscribes.
            group: callback group of the subscriptions.
            tree: takes the transforms.
            calibrations: takes calibrations until ``release_camera``; their frame is the camera's.
        """
        self._node, self._group = node, group
        self._tree, self._calibrations = tree, calibrations
        self._tf: list[Any] = []
        self._camera: list[Any] = []

    def open(self, settings: Settings) -> None:
        """Subscribe to what these settings need."""
        if needs_tf(settings):
            self._hear("/tf", qos.TF_INPUT, is_static=False)
            self._hear("/tf_static", qos.TF_STATIC_INPUT, is_static=True)
        if settings.frames.base and settings.input.camera_info != "ignore":
            self._camera.append(
                self._node.create_subscription(
                    CameraInfo,
                    "camera_info",
                    self._calibrations.store,
                    # Overrides are written into the profile, which others share.
                    copy.copy(qos.CAMERA_INFO_INPUT),
                    callback_group=self._group,
                    qos_overriding_options=qos.overridable(),
                )
            )

    def _hear(self, topic: str, profile: QoSProfile, *, is_static: bool) -> None:
        tree = self._tree
        self._tf.append(
            self._node.create_subscription(
                TFMessage,
                topic,
                lambda message: tree.hear(message, is_static=is_static),
                profile,
                callback_group=self._group,
            )
        )

    def cameras(self) -> Sequence[str] | None:
        """Optical frames heard of so far; None when nobody listens for them."""
        return self._calibrations.frames() if self._camera else None

    def release_camera(self) -> None:
        """The stream's own inputs take over; harmless when repeated."""
        self._destroy(self._camera)

    def close(self) -> None:
        """Unsubscribe; harmless when repeated."""
        self._destroy(self._camera)
        self._destroy(self._tf)

    def _destroy(self, subscriptions: list[Any]) -> None:
        while subscriptions:
            self._node.destroy_subscription(subscriptions.pop())

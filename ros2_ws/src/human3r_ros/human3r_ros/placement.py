"""Where the camera is: odometry and TF of one stream, and the checks that keep TF a tree."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from human3r_msgs.msg import FrameStatus

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.mapping.level import LevelFrame
from human3r.types import Frame
from human3r_ros import convert, transforms
from human3r_ros.outputs import Outputs

_SECOND_NS = 1_000_000_000
_LEVEL_SOURCES = {
    "": FrameStatus.LEVEL_NONE,
    "camera": FrameStatus.LEVEL_CAMERA,
    "tf": FrameStatus.LEVEL_TF,
    "floor": FrameStatus.LEVEL_FLOOR,
}


@dataclass(frozen=True)
class PlacementState:
    """What diagnostics say about frames."""

    mode: str
    parent: str
    """Of our edge; empty when nothing is broadcast or the frame is not known yet."""
    child: str
    level_source: int
    """FrameStatus.LEVEL_*"""
    conflict: str
    """Why our broadcast was stopped; empty when it was not."""
    waiting: str
    """Why TF, odometry and map wait; empty when they do not."""
    lookup_age_s: float
    """Since the last successful look-up in the robot's TF; NaN without one."""


class Placement:
    """Base frame of the running stream, and its edge of the robot's TF.

    The worker looks up frames and sends; ``check``, ``republish`` and ``state`` may be called
    from another thread.
    """

    def __init__(
        self,
        tree: transforms.FrameTree,
        outputs: Outputs,
        level: LevelFrame,
        settings: Settings,
        patience_s: float = 0.0,
    ) -> None:
        """Nothing is placed before the first ``update``.

        Args:
            tree: what is heard on TF.
            outputs: where odometry and TF go.
            level: of the stream.
            settings: frames and mode; the live ones come with every frame.
            patience_s: age of the tree before which a base that has to be found by climbing is
                not announced, since its static transforms may still be on their way. Whoever has
                heard of one parent of a frame does not readily accept another.
        """
        self._tree = tree
        self._outputs = outputs
        self._fixed = settings
        self._mode = settings.tf.mode
        self._level_name = settings.frames.level
        self._anchor = settings.frames.anchor if settings.needs_anchor else ""
        climbs = self._mode in ("odometry", "inverse") and not settings.frames.base
        self._patience_s = patience_s if climbs else 0.0
        self._level = level
        self._sending = threading.Lock()
        self._last_optical = ""
        self._last_sent_ns = 0
        self.leave()

    def leave(self) -> None:
        """A new activation: the next frame's place is looked up afresh."""
        self._optical: str | None = None
        self._base = ""
        self._camera_from_base = np.eye(4)
        self._static_version = -1
        self._missing = ""
        self._conflict = (("", ""), "")
        self._looked_up_s = math.nan
        self._forget_motion()

    def begin_world(self) -> None:
        """The network's world begins anew."""
        self._forget_motion()

    def _forget_motion(self) -> None:
        self._anchor_from_camera: np.ndarray | None = None
        self._lookup_reason = ""
        self._looked_up_ns: int | None = None
        self._poses: deque[tuple[int, np.ndarray]] = deque()
        with self._sending:
            self._edge: tuple[int, np.ndarray] | None = None

    def forget_moving(self) -> None:
        """Time jumped: transforms heard before mean nothing now."""
        self._tree.forget_moving()
        with self._sending:
            self._last_sent_ns = 0

    # -- what is wrong ---------------------------------------------------------------------------

    @property
    def waiting(self) -> str:
        """Why there is no place in the level frame now, so that odometry, map and TF wait."""
        if self._missing or self._optical is None:
            return self._missing
        is_lost = self._mode == "anchored" and self._anchor_from_camera is None
        reason = self._level.waiting
        if self._lookup_reason and (reason or is_lost):
            reason = (
                f"{self._lookup_reason}; expected the robot's TF at the image's stamp. Check "
                "that both frames are connected and frames.anchor is right, or raise "
                "tf.lookup_timeout_s"
            )
        return f"{reason}. Until then TF, odometry and map wait." if reason else ""

    @property
    def trouble(self) -> str:
        """Why TF, and perhaps odometry, is withheld; empty when all is well."""
        return self.waiting or self._current_conflict()

    @property
    def level_source(self) -> int:
        """FrameStatus.LEVEL_*: what the level frame rests on now."""
        return _LEVEL_SOURCES[self._level.source]

    def state(self) -> PlacementState:
        """Everything there is to say about frames."""
        parent, child = self._names()
        age_s = time.monotonic() - self._looked_up_s
        return PlacementState(
            *(self._mode, parent, child, self.level_source),
            *(self._current_conflict(), self.waiting, age_s),
        )

    def _current_conflict(self) -> str:
        edge, conflict = self._conflict
        return conflict if edge == self._names() else ""

    def _names(self) -> tuple[str, str]:
        return self._edge_with(self._base)

    def _edge_with(self, base: str) -> tuple[str, str]:
        """Parent and child of our edge; empty where unknown or nothing is broadcast."""
        return {
            "odometry": (self._level_name, base),
            "inverse": (base, self._level_name),
            "anchored": (self._anchor, self._level_name),
        }.get(self._mode, ("", ""))

    # -- where things are ------------------------------------------------------------------------

    def prepare(
        self,
        wait: Callable[[Callable[[], bool]], object],
        cameras: Callable[[], Sequence[str] | None] = lambda: None,
    ) -> None:
        """The checks of activation: is our place in the robot's tree free?

        What needs the image's frame is checked here when an earlier activation has seen it or
        one camera_info names it, and with the first image otherwise.

        Args:
            wait: waits until its argument is true or the time for TF to arrive is over.
            cameras: optical frames that camera_info has named; None: camera_info is not read.

        Raises:
            ConfigError: broadcasting would take a frame's parent away or close a loop, or
                ``frames.base`` is no ancestor of the camera.
        """
        self._tree.forget_silent()
        wanted = self._fixed.frames.base
        if wanted and cameras() is not None and not self._last_optical:
            wait(lambda: bool(cameras()))
        optical = self._last_optical or _only(cameras())
        if wanted and optical:
            wait(lambda: wanted in self._tree.static_ancestors(optical))
            transforms.find_base(self._tree, optical, wanted)
        parent, child = self._edge_with(wanted)
        if child:
            wait(lambda: bool(self._find_conflict(parent, child)))
            if found := self._find_conflict(parent, child):
                raise ConfigError(found)

    def located(self, frame: Frame, settings: Settings) -> Frame:
        """The frame with its base found, and a way to ask the robot where its camera is.

        Args:
            frame: about to be computed.
            settings: as of now.
        """
        self._enter(frame.frame_id)
        self._looked_up_ns = None
        if not self._anchor or self._missing:
            return frame
        return replace(
            frame,
            anchor_from_camera=lambda: self._look_up(frame, settings.tf.lookup_timeout_s),
        )

    def _look_up(self, frame: Frame, timeout_s: float) -> np.ndarray | None:
        """anchor_from_camera (4, 4) at the frame's stamp, asked once."""
        if self._looked_up_ns != frame.stamp_ns:
            self._looked_up_ns = frame.stamp_ns
            found = self._tree.lookup(self._anchor, frame.frame_id, frame.stamp_ns, timeout_s)
            self._anchor_from_camera, self._lookup_reason = found.target_from_source, found.reason
            if found.target_from_source is not None:
                self._looked_up_s = time.monotonic()
        return self._anchor_from_camera

    def update(self, frame: Frame) -> str:
        """Take in a frame that was computed.

        Args:
            frame: as ``located`` gave it.

        Returns:
            ``waiting``: why the frame has no place in the level frame; empty when it has.
        """
        if self._mode == "anchored" and frame.anchor_from_camera is not None:
            frame.anchor_from_camera()
        return self.waiting

    def _enter(self, optical: str) -> None:
        """Find the base of this optical frame, if it or the static transforms have changed."""
        version = self._tree.static_version
        if (optical, version) == (self._optical, self._static_version):
            return
        base = transforms.look_up_base(self._tree, optical, self._fixed)
        is_same_place = np.array_equal(base.camera_from_base, self._camera_from_base)
        if base.name != self._base or not is_same_place:
            # The motion of another frame is not the difference to this one's pose.
            self._poses.clear()
        self._base, self._missing = base.name, base.missing
        self._camera_from_base, self._static_version = base.camera_from_base, version
        self._optical = self._last_optical = optical
        self.check()

    def check(self) -> str:
        """Look for a foreign parent or a loop; either ends our broadcast of this edge for good.

        Returns:
            ``trouble``.
        """
        parent, child = self._names()
        is_current = self._tree.static_version == self._static_version
        # After a change of the static transforms the next frame finds the base anew.
        if self._base and child and is_current and not self._current_conflict():
            found = self._find_conflict(parent, child)
            if found and self._tree.static_version == self._static_version:
                self._conflict = ((parent, child), found)
        return self.trouble

    def _find_conflict(self, parent: str, child: str) -> str:
        return transforms.conflict(self._tree, parent, child, self._mode)

    # -- sending ---------------------------------------------------------------------------------

    def send_transform(
        self, stamp_ns: int, level_from_camera: np.ndarray, settings: Settings
    ) -> None:
        """Our edge on /tf, where the mode asks for it and nothing forbids it.

        Args:
            stamp_ns: of the frame.
            level_from_camera: (4, 4) finite.
            settings: as of now.
        """
        is_settled = bool(self._base) and self._tree.age_s() >= self._patience_s
        if self._mode == "none" or not is_settled:
            return
        with self._sending:
            is_first, self._edge = self._edge is None, (stamp_ns, self._pose(level_from_camera))
            sent_ns = stamp_ns
            if self._mode == "anchored":
                # Not the first: ahead of it there is nothing to interpolate from.
                sent_ns += 0 if is_first else round(settings.tf.future_offset_s * _SECOND_NS)
                if settings.tf.republish_hz > 0:
                    sent_ns = max(sent_ns, self._last_sent_ns + 1)
            self._send_edge(sent_ns)

    def republish(self, now_ns: int, settings: Settings) -> None:
        """The last edge again, as of now; mode anchored only.

        Args:
            now_ns: ROS time.
            settings: as of now.
        """
        ahead_ns = now_ns + round(settings.tf.future_offset_s * _SECOND_NS)
        with self._sending:
            is_placed = self._edge is not None and not self.waiting
            if self._mode == "anchored" and is_placed and ahead_ns > self._last_sent_ns:
                self._send_edge(ahead_ns)

    def _send_edge(self, stamp_ns: int) -> None:
        if self._current_conflict():
            return
        parent, child = self._names()
        _, pose = self._edge  # pyright: ignore[reportGeneralTypeIssues]
        self._tree.will_send(parent, child, stamp_ns)
        self._last_sent_ns = stamp_ns
        self._outputs.send_transform(transforms.transform_message(stamp_ns, parent, child, pose))

    def _pose(self, level_from_camera: np.ndarray) -> np.ndarray:
        """parent_from_child of our edge (4, 4)."""
        if self._mode == "anchored":
            return self._anchor_from_camera @ np.linalg.inv(level_from_camera)  # pyright: ignore[reportOptionalOperand]
        level_from_base = level_from_camera @ self._camera_from_base
        return level_from_base if self._mode == "odometry" else np.linalg.inv(level_from_base)

    def send_odometry(
        self,
        stamp_ns: int,
        level_from_camera: np.ndarray,
        settings: Settings,
        covariance: np.ndarray | None = None,
    ) -> None:
        """Pose and motion of the base; the motion is the difference to ``velocity_window_s`` ago.

        Args:
            stamp_ns: of the frame.
            level_from_camera: (4, 4) finite.
            settings: as of now; their standard deviations are the least there is.
            covariance: (6, 6) of the camera's pose along the axes of the level frame, where known.
        """
        if not self._base:
            return
        pose = level_from_camera @ self._camera_from_base
        oldest_ns = stamp_ns - round(settings.people.velocity_window_s * _SECOND_NS)
        while len(self._poses) > 1 and self._poses[0][0] < oldest_ns:
            self._poses.popleft()
        twist, window_s = np.zeros(6), None
        if self._poses:
            before_ns, before = self._poses[0]
            window_s = (stamp_ns - before_ns) * 1e-9
            twist = transforms.twist_between(before, pose, window_s)
        self._poses.append((stamp_ns, pose))
        stddev = (settings.odometry.position_stddev_m, settings.odometry.rotation_stddev_rad)
        self._outputs.send(
            "odometry",
            convert.odometry(
                *(stamp_ns, self._level_name, self._base, pose, twist, stddev, window_s),
                drift=_moved(covariance, pose[:3, 3] - level_from_camera[:3, 3]),
            ),
        )


def _moved(covariance: np.ndarray | None, lever_m: np.ndarray) -> np.ndarray | None:
    """The covariance (6, 6) of a pose a lever (3,) away on the same rigid body."""
    if covariance is None:
        return None
    x, y, z = lever_m
    jacobian = np.eye(6)
    # A small rotation w moves it by w x lever.
    jacobian[:3, 3:] = [[0, z, -y], [-z, 0, x], [y, -x, 0]]
    return jacobian @ covariance @ jacobian.T


def _only(names: Sequence[str] | None) -> str:
    """The name where there is one, and one only."""
    return names[0] if names is not None and len(names) == 1 else ""

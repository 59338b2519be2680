"""Where the camera is: odometry and TF of one stream, and the checks that keep TF a tree."""

from collections.abc import Callable

import numpy as np

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r_ros import convert, transforms
from human3r_ros.outputs import Outputs


class Placement:
    """Level and base frame of the running stream.

    The worker looks up the base and sends; ``check`` may be called from another thread.
    """

    def __init__(
        self,
        tree: transforms.FrameTree,
        outputs: Outputs,
        settings: Settings,
        patience_s: float = 0.0,
    ) -> None:
        """Nothing is placed before the first ``enter``.

        Args:
            tree: what is heard on TF.
            outputs: where odometry and TF go.
            settings: frames and mode.
            patience_s: age of the tree before which a base that has to be found by climbing is
                not announced, since its static transforms may still be on their way. Whoever has
                heard of one parent of a frame does not readily accept another.
        """
        self._tree = tree
        self._outputs = outputs
        self._level = settings.frames.level
        self._wanted_base = settings.frames.base
        self._broadcasts = settings.tf.mode == "odometry"
        climbs = self._broadcasts and not self._wanted_base
        self._patience_s = patience_s if climbs else 0.0
        self._level_from_world = transforms.level_from_world(settings.level.pitch_rad)
        self.leave()

    def level_from_camera(self, world_from_camera: np.ndarray) -> np.ndarray:
        """The camera's pose in the session's level frame (4, 4)."""
        return self._level_from_world @ world_from_camera

    def leave(self) -> None:
        """A new activation: the next frame's place is looked up afresh."""
        self._optical: str | None = None
        self._base = ""
        self._camera_from_base = np.eye(4)
        self._static_version = -1
        self._before: tuple[int, int, np.ndarray] | None = None
        self._missing = ""
        self._conflict = ("", "")

    @property
    def trouble(self) -> str:
        """Why TF, and perhaps odometry, is withheld; empty when all is well."""
        base, conflict = self._conflict
        return self._missing or (conflict if base == self._base else "")

    def enter(self, optical: str) -> None:
        """Find the base of this optical frame, if it or the static transforms have changed."""
        version = self._tree.static_version
        if (optical, version) == (self._optical, self._static_version):
            return
        base, camera_from_base, missing = self._look_up(optical)
        if base != self._base or not np.array_equal(camera_from_base, self._camera_from_base):
            # The motion of another frame is not the difference to this one's pose.
            self._before = None
        self._optical, self._base, self._missing = optical, base, missing
        self._camera_from_base, self._static_version = camera_from_base, version
        self.check()

    def _look_up(self, optical: str) -> tuple[str, np.ndarray, str]:
        """Base, pose of the base in the camera, and why there is none."""
        if not optical:
            return "", np.eye(4), (
                "header.frame_id of the image is empty; expected the optical frame's name. TF and "
                "odometry are withheld: set the frame name in the camera driver."
            )  # fmt: skip
        # The level frame stands still; one that moves with the camera would be its own parent.
        if self._level in self._tree.static_ancestors(optical):
            return "", np.eye(4), (
                f"frames.level is {self._level!r}, which moves with the image's frame {optical!r}; "
                "expected a name of its own. TF and odometry are withheld: change frames.level, or "
                "the frame name in the camera driver."
            )  # fmt: skip
        try:
            base = transforms.find_base(self._tree, optical, self._wanted_base)
        except ConfigError as error:
            return "", np.eye(4), f"{error} Until then TF and odometry are withheld."
        return base, self._tree.camera_from_base(optical, base), ""

    def forget_moving(self) -> None:
        """Time jumped: transforms heard before mean nothing now."""
        self._tree.forget_moving()

    def check(self) -> str:
        """Look for a foreign parent or a loop; either ends our broadcast of this base for good.

        Returns:
            ``trouble``.
        """
        base, is_current = self._base, self._tree.static_version == self._static_version
        # After a change of the static transforms the next frame finds the base anew.
        if base and self._broadcasts and is_current and not self.trouble:
            found = transforms.conflict(self._tree, self._level, base)
            if found and self._tree.static_version == self._static_version:
                self._conflict = (base, found)
        return self.trouble

    def send_transform(self, stamp_ns: int, level_from_camera: np.ndarray) -> None:
        """Level to base on /tf, where the mode asks for it and nothing forbids it."""
        is_settled = bool(self._base) and self._tree.age_s() >= self._patience_s
        is_allowed = self._broadcasts and not self.trouble
        if is_settled and is_allowed and np.isfinite(level_from_camera).all():
            pose = level_from_camera @ self._camera_from_base
            self._outputs.send_transform(
                transforms.transform_message(stamp_ns, self._level, self._base, pose)
            )

    def send_odometry(
        self,
        stamp_ns: int,
        session: int,
        level_from_camera: np.ndarray,
        stddev: tuple[float, float],
    ) -> None:
        """Pose and motion of the base; the motion is the difference to the frame before.

        Nothing is sent while the base is unknown: the pose of another frame is no substitute.
        """
        if not self._base or not np.isfinite(level_from_camera).all():
            return
        pose = level_from_camera @ self._camera_from_base
        twist = np.zeros(6)
        if self._before is not None and self._before[0] == session:
            _, before_ns, before = self._before
            twist = transforms.twist_between(before, pose, (stamp_ns - before_ns) * 1e-9)
        self._before = (session, stamp_ns, pose)
        self._outputs.send(
            "odometry",
            convert.odometry(stamp_ns, self._level, self._base, pose, twist, stddev),
        )


def check_before_streaming(
    tree: transforms.FrameTree, settings: Settings, wait: Callable[[Callable[[], bool]], object]
) -> None:
    """The checks of activation that need no image: is our place in the robot's tree free?

    Args:
        tree: what was heard so far.
        settings: frames and mode.
        wait: waits until its argument is true or the time for TF to arrive is over.

    Raises:
        ConfigError: broadcasting would take a frame's parent away or close a loop.
    """
    if settings.tf.mode == "none":
        return
    base = settings.frames.base
    # Without a named base the check has to wait for the first image, which names the camera.
    if base:
        wait(lambda: tree.parent(base) is not None)
        trouble = transforms.conflict(tree, settings.frames.level, base)
        if trouble:
            raise ConfigError(trouble)

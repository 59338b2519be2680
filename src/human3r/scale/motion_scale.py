"""Scale from the robot's own motion: how far it went against how far the network says it went.

The stream is cut into stretches of a quarter of a metre by the robot's odometry. Over one of them
both say the displacement in the camera frame of its beginning, r in metres and n in network units,
so neither drift nor the two worlds' headings matter. The robot's odometry is by far the better of
the two over so short a way, so n = r / scale + noise: each stretch says 1 / scale = n.r / r.r, and
the median over the last stretches is taken. Standing still and turning on the spot make no
stretches, so they change nothing.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from human3r.scale.guess import Guess, judged, robust_middle
from human3r.scale.sources import ScaleSources, Waiting
from human3r.types import FrameEstimate

STRETCH_M = 0.25
_MAX_STRETCH_NS = 10_000_000_000
"""Over a longer time the network's drift is no longer small against a quarter of a metre."""
_MIN_STRETCHES, _MAX_STRETCHES = 5, 40
_WHAT = "the robot's motion against the network's"


@dataclass(frozen=True)
class _Place:
    """Where a frame's camera was, as both say it."""

    stamp_ns: int
    session: int
    anchor_from_camera: np.ndarray
    world_from_camera: np.ndarray


class MotionScale:
    """Compares displacements; remembers the last ten metres."""

    def __init__(self, sources: ScaleSources) -> None:
        self._sources = sources
        self._waiting: Waiting[tuple[int, np.ndarray], np.ndarray] = Waiting()
        self._began: _Place | None = None
        self._votes: deque[float] = deque(maxlen=_MAX_STRETCHES)
        self._is_posed = False

    def forget(self) -> None:
        """A new world: what was measured of the old one says little about it."""
        self._waiting.clear()
        self._votes.clear()
        self._began = None

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame, whose lengths are in network units."""
        self._waiting.put(raw.stamp_ns, (raw.session, raw.world_from_camera))
        for stamp_ns, (session, pose), robot in self._waiting.matched(
            raw.stamp_ns, self._sources.pose_at
        ):
            self._is_posed = True
            self._add_pair(_Place(stamp_ns, session, robot, pose))
        return self._guess()

    def _add_pair(self, now: _Place) -> None:
        began = self._began
        is_usable = (
            began is not None
            and began.session == now.session
            and 0 < now.stamp_ns - began.stamp_ns <= _MAX_STRETCH_NS
        )
        if not is_usable:
            self._began = now
            return
        robot = _displacement(began.anchor_from_camera, now.anchor_from_camera)  # pyright: ignore[reportOptionalMemberAccess]
        if robot @ robot < STRETCH_M**2:
            return
        network = _displacement(began.world_from_camera, now.world_from_camera)  # pyright: ignore[reportOptionalMemberAccess]
        self._votes.append(float(network @ robot / (robot @ robot)))
        self._began = now

    def _guess(self) -> Guess:
        count = len(self._votes)
        if not self._is_posed:
            reason = self._sources.trouble() or (
                "the robot's pose is not known at the images' stamps; expected its odometry on TF."
            )
            return Guess(trouble=reason)
        if count < _MIN_STRETCHES:
            return Guess(
                samples=count,
                trouble=f"the robot has moved {count} stretches of {STRETCH_M} m; expected "
                f"{_MIN_STRETCHES} before its motion can fix the scale. Drive on: turning on the "
                "spot is no motion of use.",
            )
        inverse = robust_middle(self._votes)
        if inverse.value <= 0:
            return Guess(samples=count, trouble=f"{_WHAT} points the other way. {_REMEDY}")
        return judged(1.0 / inverse.value, inverse.stddev / inverse.value, count, _WHAT, _REMEDY)


_REMEDY = (
    "Check frames.anchor and the camera's place on the robot; if they are right, the network does "
    "not follow the motion: choose another scale.mode."
)


def _displacement(a_from_began: np.ndarray, a_from_now: np.ndarray) -> np.ndarray:
    """(3,) from one camera to the other, in the frame of the first."""
    return a_from_began[:3, :3].T @ (a_from_now[:3, 3] - a_from_began[:3, 3])

"""What refinement works on: a recording's cameras, depth and people as plain arrays.

Frames F, points P. Camera frames are x right, y down, z forward; metres; ``a_from_b`` takes
coordinates in b.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

LEFT_FOOT, RIGHT_FOOT, LEFT_HAND, RIGHT_HAND, SEAT = range(5)
PART_NAMES = ("left_foot", "right_foot", "left_hand", "right_hand", "seat")
"""What may touch the scene; hands and seat have little weight."""
FEET = (LEFT_FOOT, RIGHT_FOOT)


@dataclass(frozen=True)
class View:
    """What one frame shows of the static scene."""

    depth: Float[np.ndarray, "height width"]
    """Along the optical axis; 0 or NaN where unknown."""
    camera: Float[np.ndarray, "3 3"]
    """Pinhole matrix of ``depth``."""
    is_scene: Bool[np.ndarray, "height width"]
    """Known and no person."""
    image: UInt8[np.ndarray, "height width 3"] | None = None
    """RGB."""


@dataclass(frozen=True)
class Pose:
    """Limbs of a person's bodies, and the body model that poses them."""

    rotations: Float[np.ndarray, "rows 53 3 3"]
    """The root to the camera frame, then each child in its parent, as a ``BodyModel`` has them."""
    posed: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Joints and skin points as a ``Track`` has them, of other rotations and head joints."""


@dataclass(frozen=True)
class Track:
    """One person over the frames that show them."""

    track_id: int
    frames: Int[np.ndarray, " rows"]
    """Increasing."""
    joints: Float[np.ndarray, "rows joints 3"]
    """Camera frame; the first is the pelvis."""
    points: Float[np.ndarray, "rows points 3"]
    """Skin points that may touch something, camera frame."""
    parts: Int[np.ndarray, " points"]
    """Index into ``PART_NAMES`` of each point."""
    covariance: Float[np.ndarray, "rows 6 6"] | None = None
    """Of the body's pose in the camera frame: place, then rotation; None where unknown."""
    pose: Pose | None = None
    """None where limbs stay as they are."""


@dataclass(frozen=True)
class Recording:
    """Everything of a stream that refinement needs."""

    stamps_ns: Int[np.ndarray, " frames"]
    session: Int[np.ndarray, " frames"]
    """Increases where the network's memory was reset."""
    world_from_camera: Float[np.ndarray, "frames 4 4"]
    tracks: tuple[Track, ...]
    view: Callable[[int], View | None] = field(default=lambda frame: None)
    """Depth of a frame; None where none was saved."""
    cloud: Float[np.ndarray, "points 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    """Static scene in the world frame, used where no depth was saved."""
    is_metric: bool = False
    """Depth comes from a sensor: its scale is known."""
    scale_stddev: float = 0.3
    """Standard deviation of the logarithm of the scale, where ``is_metric`` does not hold."""
    depth_stddev: float = 0.0
    """Of the depth of one spot of the scene against people who stand there, over its distance."""

    @property
    def times_s(self) -> Float[np.ndarray, " frames"]:
        """Since the first frame."""
        return (self.stamps_ns - self.stamps_ns[0]) / 1e9

    def with_tracks(self, tracks: tuple[Track, ...]) -> "Recording":
        """The same with other people."""
        return replace(self, tracks=tracks)


def key_frames(times_s: Float[np.ndarray, " frames"], rate_hz: float) -> Int[np.ndarray, " keys"]:
    """Frames at most ``rate_hz`` apart, the first and the last among them."""
    keys = [0]
    step_s = 1 / rate_hz
    for frame in range(1, len(times_s)):
        if times_s[frame] - times_s[keys[-1]] > 0.95 * step_s:
            keys.append(frame)
    if keys[-1] != len(times_s) - 1:
        keys.append(len(times_s) - 1)
    return np.array(keys)


def chunks_of(
    session: Int[np.ndarray, " keys"], times_s: Float[np.ndarray, " keys"], length_s: float
) -> Int[np.ndarray, " keys"]:
    """Number of the chunk of each key frame: sessions, long ones cut into pieces of equal length.

    All lengths of a chunk share one scale.
    """
    chunk = np.zeros(len(session), int)
    number = 0
    for value in np.unique(session):
        rows = np.flatnonzero(session == value)
        span_s = times_s[rows[-1]] - times_s[rows[0]]
        pieces = max(1, round(float(span_s / length_s)))
        where = (times_s[rows] - times_s[rows[0]]) / max(span_s, 1e-9) * pieces
        chunk[rows] = number + np.minimum(where.astype(int), pieces - 1)
        number += pieces
    return np.unique(chunk, return_inverse=True)[1]

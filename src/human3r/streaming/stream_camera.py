"""The one camera of a frame: calibrated, or estimated from the stream, or assumed."""

import math
from collections import deque
from dataclasses import replace
from statistics import median

import numpy as np

from human3r.types import FrameEstimate, Intrinsics, PersonEstimate

_WINDOW_FRAMES = 301
_ASSUMED_FIELD_OF_VIEW_RAD = math.radians(60.0)
"""Of the longer side: what the network's human branch takes for granted when it places people."""
_MAX_FOCAL_RATIO = 10.0
"""Longest focal length over the longer side that a stream's median counts, and the inverse of the
shortest: lenses have 0.3 to 5."""
_DISAGREEMENT = 0.15
_DISAGREEING_ESTIMATES = 30


class StreamCamera:
    """Puts people and points of every frame onto the rays of one camera.

    Attributes:
        is_constant: as of the constructor.
        disagreement: what to say when calibration and estimate have differed thirty times running;
            else empty.
    """

    def __init__(self, *, is_constant: bool) -> None:
        """Nothing is known yet.

        Args:
            is_constant: without a calibration the focal length is the median of the session, not
                each frame's own estimate.
        """
        self.is_constant = is_constant
        self._focals: deque[float] = deque(maxlen=_WINDOW_FRAMES)
        self._session: int | None = None
        self._disagreeing = 0
        self.disagreement = ""

    def apply(self, estimate: FrameEstimate, calibrated: Intrinsics | None) -> FrameEstimate:
        """The estimate along the rays of the camera in use, which it then names.

        Args:
            estimate: as the network says it; a new session forgets the old one's focal lengths.
            calibrated: camera of the source image, where the frame brought it.
        """
        self._remember(estimate)
        if calibrated is None:
            self._disagreeing, self.disagreement = 0, ""
            camera = _with_focal(estimate.intrinsics, self._focal_px(estimate))
        else:
            self._compare(estimate, calibrated)
            camera = estimate.geometry.network_intrinsics(calibrated)
        estimate = along_rays_of(estimate, camera)
        return replace(estimate, intrinsics=camera, calibrated=calibrated)

    def _remember(self, estimate: FrameEstimate) -> None:
        if estimate.session != self._session:
            self._session = estimate.session
            self._focals.clear()
        # 0 where the points fit no camera at all.
        ratio = estimate.estimated_focal_px / _longer_side_px(estimate)
        if 1 / _MAX_FOCAL_RATIO < ratio < _MAX_FOCAL_RATIO:
            self._focals.append(estimate.estimated_focal_px)

    def _focal_px(self, estimate: FrameEstimate) -> float:
        if estimate.estimated_focal_px > 0 and not self.is_constant:
            return estimate.estimated_focal_px
        if self._focals:
            return float(median(self._focals))
        return _longer_side_px(estimate) / 2.0 / math.tan(_ASSUMED_FIELD_OF_VIEW_RAD / 2.0)

    def _compare(self, estimate: FrameEstimate, calibrated: Intrinsics) -> None:
        # A frame whose points fit no camera speaks neither for nor against.
        if not estimate.estimated_focal_px > 0:
            return
        found_px = estimate.estimated_source_focal_px
        is_off = abs(found_px / calibrated.fx - 1.0) > _DISAGREEMENT
        self._disagreeing = self._disagreeing + 1 if is_off else 0
        self.disagreement = ""
        if self._disagreeing >= _DISAGREEING_ESTIMATES:
            self.disagreement = (
                f"focal length is {found_px:.0f} px as seen by the network and "
                f"{calibrated.fx:.0f} px in camera_info; expected them within "
                f"{_DISAGREEMENT:.0%}. Check the calibration, and that the image is not cropped."
            )


def _longer_side_px(estimate: FrameEstimate) -> int:
    return max(estimate.intrinsics.width_px, estimate.intrinsics.height_px)


def _with_focal(network: Intrinsics, focal_px: float) -> Intrinsics:
    if focal_px == network.fx == network.fy:
        return network
    return Intrinsics(
        focal_px, focal_px, network.cx, network.cy, network.width_px, network.height_px
    )


def along_rays_of(estimate: FrameEstimate, camera: Intrinsics) -> FrameEstimate:
    """The estimate along the rays of another camera; ``intrinsics`` is left as it is.

    The network knows no calibration: its points lie along the rays of a camera of its own, whose
    focal length may be wrong by a fifth. A calibrated camera gives the direction of every pixel,
    so points and people are shifted sideways onto those rays; depth stays the network's.

    Args:
        estimate: along the rays of its ``intrinsics``.
        camera: of the network image; when it is the estimate's own, nothing changes.
    """
    own = estimate.intrinsics
    if camera == own or not estimate.has_scene:
        # Without a scene the network has placed no person either.
        return estimate
    points = estimate.points_camera
    depth = points[..., 2]
    along = points.copy()
    along[..., 0] = (np.arange(camera.width_px) - camera.cx) / camera.fx * depth
    along[..., 1] = (np.arange(camera.height_px)[:, None] - camera.cy) / camera.fy * depth
    # 0 where the points fit no camera: then nothing says which pixel the network put a body at.
    people = estimate.people
    if own.fx > 0:
        people = tuple(_moved(person, own, camera) for person in people)
    return replace(estimate, points_camera=along.astype(points.dtype, copy=False), people=people)


def _moved(person: PersonEstimate, own: Intrinsics, camera: Intrinsics) -> PersonEstimate:
    """The body moved sideways until its head is seen by ``camera`` where ``own`` saw it."""
    x, y, z = (float(value) for value in person.body.head_camera)
    if z <= 0:
        return person
    head = np.array(
        [
            (own.fx * x + (own.cx - camera.cx) * z) / camera.fx,
            (own.fy * y + (own.cy - camera.cy) * z) / camera.fy,
            z,
        ],
        np.float32,
    )
    shift = head - person.body.head_camera
    return replace(
        person,
        body=replace(person.body, head_camera=head),
        joints_camera=person.joints_camera + shift,
        vertices_camera=person.vertices_camera + shift,
    )

"""camera_info to the calibration of the image at hand, and what to warn about on the way."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sensor_msgs.msg import CameraInfo

from human3r.errors import InputError
from human3r.geometry.lens import NO_TURN, Lens
from human3r.types import Intrinsics
from human3r_ros.stream_rules import bad_frame_name, is_frame_name

_MAX_CAMERAS = 16
_SCALE_TOLERANCE = 0.01
_FOCAL_PER_WIDTH = (1e-2, 1e4)
"""Focal length over image width: wider than any fisheye, narrower than any telescope."""
_MOST_TURN_RAD = 0.01
"""People five metres away are off by 5 cm then."""
_LARGEST = float(np.finfo(np.float32).max)
"""Messages carry focal lengths as float32."""


@dataclass(frozen=True)
class Calibration:
    """Intrinsics of one image, where known, and what is odd about them."""

    intrinsics: Intrinsics | None
    """Of the image, or of what ``lens`` makes of it."""
    warnings: tuple[str, ...] = ()
    lens: Lens | None = None
    """Takes the distortion out of the image, where that is asked for."""


class CalibrationCache:
    """The latest camera_info per optical frame; intrinsics are constant between changes.

    Attributes:
        uses_p: whether the images are rectified, so that P is their camera, and not K with its
            distortion. camera_info itself does not say which of the two it comes with (REP 104).
    """

    def __init__(self) -> None:
        self.uses_p = False
        self._infos: dict[str, CameraInfo] = {}
        self._lens: tuple[object, Lens] | None = None
        self.refusal = ""
        """Why the last refused camera_info was refused; empty when all were taken."""

    def store(self, info: CameraInfo) -> None:
        """Keep ``info``; the cameras seen first give way when there are too many.

        One whose frame_id cannot be an image's is left out; ``refusal`` says so.
        """
        if not is_frame_name(info.header.frame_id):
            self.refusal = bad_frame_name("frame_id of camera_info", info.header.frame_id)
            return
        infos = {k: v for k, v in self._infos.items() if k != info.header.frame_id}
        while len(infos) >= _MAX_CAMERAS:
            infos.pop(next(iter(infos)))
        infos[info.header.frame_id] = info
        # One assignment, so that a reader in another thread sees the old or the new mapping.
        self._infos = infos

    def frames(self) -> tuple[str, ...]:
        """Optical frames with a calibration."""
        return tuple(self._infos)

    def for_image(
        self, frame_id: str, width_px: int, height_px: int, undistort: bool = False
    ) -> Calibration:
        """The calibration of an image of this size taken in ``frame_id``."""
        info = self._infos.get(frame_id)
        if info is None:
            return Calibration(None)
        if self.uses_p:
            return calibration_of_rectified(info, width_px, height_px)
        return calibration_from_info(
            info, width_px, height_px, self._make_lens if undistort else None
        )

    def _make_lens(self, *description: object) -> Lens:
        """The lens of before, as long as nothing about it has changed: its tables are large."""
        key = repr(description)
        if self._lens is None or self._lens[0] != key:
            self._lens = (key, Lens(*description))
        return self._lens[1]


def calibration_from_info(
    info: CameraInfo,
    width_px: int,
    height_px: int,
    make_lens: Callable[..., Lens] | None = None,
) -> Calibration:
    """K of ``info`` with its binning and region of interest applied, scaled to the image.

    For images as the lens shows them, image_raw and its like. A K that cannot be a camera counts
    as no calibration.

    Args:
        info: any message.
        width_px: of the image.
        height_px: of the image.
        make_lens: takes what ``Lens`` takes; distortion is then to be undone, otherwise it is
            reported only.
    """
    fx, fy, cx, cy = (float(info.k[i]) for i in (0, 4, 2, 5))
    distortion = np.asarray(info.d, np.float64)
    if not _are_usable(np.asarray(info.k, np.float64)) or fx <= 0 or fy <= 0:
        return Calibration(None, (_useless(info, f"fx {fx}, fy {fy}, cx {cx}, cy {cy}"),))
    if not _are_usable(distortion):
        return Calibration(None, (_useless(info, "distortion that is not finite"),))
    intrinsics = _crop_and_bin(info, Intrinsics(fx, fy, cx, cy, info.width, info.height))
    if reason := _doubt(intrinsics):
        return Calibration(None, (_useless(info, reason),))
    warnings = []
    is_distorted, turn_rad = _is_distorted(info), _turn_rad(info)
    if is_distorted and make_lens is None:
        warnings.append(
            f"camera_info of {info.header.frame_id!r} has lens distortion; expected a rectified "
            "image, so people near the border are displaced. Set input.undistort, or rectify with "
            "image_proc first; set input.camera_matrix to P where these images are rectified."
        )
    elif turn_rad > _MOST_TURN_RAD and make_lens is None:
        angle = f"{np.degrees(turn_rad):.1f} degrees" if np.isfinite(turn_rad) else "no known angle"
        warnings.append(
            f"camera_info of {info.header.frame_id!r} has a rectification matrix R that turns the "
            f"camera by {angle}; expected a rectified image, so everything is turned by as much. "
            "Set input.undistort, or rectify with image_proc first; set input.camera_matrix to P "
            "where these images are rectified."
        )
    found = _scale_to(intrinsics, width_px, height_px, warnings)
    is_other = is_distorted or turn_rad > 0
    if is_other and make_lens is not None and found.intrinsics is not None:
        return _with_lens(info, found, make_lens)
    return found


def calibration_of_rectified(info: CameraInfo, width_px: int, height_px: int) -> Calibration:
    """P of ``info``, as ``calibration_from_info`` gives K; for images that are rectified.

    image_proc publishes image_rect with the camera_info of image_raw: K, its distortion and R
    belong to the image before, P alone to the image after. P's fourth column, the place of the
    second camera of a stereo pair, says nothing about the directions of pixels.

    Args:
        info: any message. One without P describes a rectified image only when it has neither
            distortion nor R, so that K is the same.
        width_px: of the image.
        height_px: of the image.
    """
    p = np.asarray(info.p, np.float64)
    if not p.any() and not _is_distorted(info) and _turn_rad(info) == 0:
        return calibration_from_info(info, width_px, height_px)
    fx, fy, cx, cy = (float(p[i]) for i in (0, 5, 2, 6))
    if not _are_usable(p) or fx <= 0 or fy <= 0:
        seen = f"fx {fx}, fy {fy}, cx {cx}, cy {cy} in P, which describes a rectified image"
        return Calibration(None, (_useless(info, seen),))
    intrinsics = _crop_and_bin(info, Intrinsics(fx, fy, cx, cy, info.width, info.height))
    if reason := _doubt(intrinsics):
        return Calibration(None, (_useless(info, f"{reason} in P"),))
    return _scale_to(intrinsics, width_px, height_px, [])


def _doubt(camera: Intrinsics) -> str:
    """Why this cannot be a camera; empty when it can."""
    if camera.width_px < 1 or camera.height_px < 1:
        return f"an image of {camera.width_px}x{camera.height_px} pixels"
    low, high = (limit * camera.width_px for limit in _FOCAL_PER_WIDTH)
    if not (low <= camera.fx <= high and low <= camera.fy <= high):
        focal = f"fx {camera.fx:g}, fy {camera.fy:g}"
        return f"{focal} for an image {camera.width_px} pixels wide"
    if not _is_inside(camera):
        return f"principal point ({camera.cx:.1f}, {camera.cy:.1f}) outside the image"
    return ""


def _is_distorted(info: CameraInfo) -> bool:
    """Whether the lens bends straight lines; also where the numbers cannot be used."""
    return not bool((np.abs(np.asarray(info.d, np.float64)) <= 1e-12).all())


def _turn_rad(info: CameraInfo) -> float:
    """Angle of the rectification matrix R; 0 where it is not set, infinite where it is none."""
    r = np.asarray(info.r, np.float64).reshape(3, 3)
    if not r.any():
        return 0.0
    # A rotation has no larger entries; a comparison with NaN is false.
    if not (np.abs(r) <= 1.1).all() or not np.allclose(r @ r.T, np.eye(3), atol=1e-2):
        return np.inf
    # Unlike the arc cosine of the trace, exact for small angles.
    sine = np.linalg.norm([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / 2.0
    return float(np.arctan2(sine, (np.trace(r) - 1.0) / 2.0))


def _with_lens(info: CameraInfo, found: Calibration, make_lens: Callable[..., Lens]) -> Calibration:
    """With the lens of ``info``, or a warning why there is none."""
    raw = found.intrinsics
    assert raw is not None
    model, coefficients = info.distortion_model, tuple(float(value) for value in info.d)
    if not _is_distorted(info):
        model, coefficients = "plumb_bob", (0.0,) * 5
    rotation = tuple(float(value) for value in info.r) if _turn_rad(info) > 0 else NO_TURN
    try:
        lens = make_lens(model, coefficients, raw, _rectified(info, raw), rotation)
    except InputError as error:
        warning = (
            f"camera_info of {info.header.frame_id!r}: {error} Until then the image is taken as it "
            "is, and people near the border are displaced."
        )
        return replace(found, warnings=(*found.warnings, warning))
    return Calibration(lens.rectified, found.warnings, lens)


def _rectified(info: CameraInfo, raw: Intrinsics) -> Intrinsics:
    """The pinhole camera that P names, as image_proc has it; K where P names none."""
    p = np.asarray(info.p, np.float64)
    fx, fy, cx, cy = (float(p[i]) for i in (0, 5, 2, 6))
    if not _are_usable(p) or fx <= 0 or fy <= 0:
        return raw
    named = _crop_and_bin(info, Intrinsics(fx, fy, cx, cy, info.width, info.height))
    named = _scale_to(named, raw.width_px, raw.height_px, []).intrinsics
    if named is None or not 0.1 <= named.fx / raw.fx <= 10.0 or not _is_inside(named):
        return raw
    return named


def _is_inside(camera: Intrinsics) -> bool:
    """Whether the principal point is in the image."""
    inside_x = -0.5 <= camera.cx <= camera.width_px - 0.5
    return inside_x and -0.5 <= camera.cy <= camera.height_px - 0.5


def _are_usable(values: np.ndarray) -> bool:
    """Whether all are finite, also as float32; a comparison with NaN is false."""
    return bool((np.abs(values) <= _LARGEST).all())


def _crop_and_bin(info: CameraInfo, full: Intrinsics) -> Intrinsics:
    """The camera after region of interest, then binning (zero means 'not set' in both)."""
    roi = info.roi
    width, height = roi.width or full.width_px, roi.height or full.height_px
    bin_x, bin_y = max(1, info.binning_x), max(1, info.binning_y)
    return Intrinsics(
        fx=full.fx / bin_x,
        fy=full.fy / bin_y,
        cx=(full.cx - roi.x_offset + 0.5) / bin_x - 0.5,
        cy=(full.cy - roi.y_offset + 0.5) / bin_y - 0.5,
        width_px=width // bin_x,
        height_px=height // bin_y,
    )


def _scale_to(
    intrinsics: Intrinsics, width_px: int, height_px: int, warnings: list[str]
) -> Calibration:
    if (intrinsics.width_px, intrinsics.height_px) == (width_px, height_px):
        return Calibration(intrinsics, tuple(warnings))
    sx, sy = width_px / intrinsics.width_px, height_px / intrinsics.height_px
    seen = (
        f"camera_info is for {intrinsics.width_px}x{intrinsics.height_px}, "
        f"the image is {width_px}x{height_px}"
    )
    if abs(sx / sy - 1.0) > _SCALE_TOLERANCE:
        warnings.append(
            f"{seen}; expected the same shape, so the calibration is ignored. Calibrate the "
            "camera in this mode, or set roi and binning in camera_info."
        )
        return Calibration(None, tuple(warnings))
    warnings.append(
        f"{seen}; expected the same size, so the calibration is scaled. Publish a camera_info "
        "of the image's size to be exact."
    )
    scaled = Intrinsics(
        fx=intrinsics.fx * sx,
        fy=intrinsics.fy * sy,
        cx=(intrinsics.cx + 0.5) * sx - 0.5,
        cy=(intrinsics.cy + 0.5) * sy - 0.5,
        width_px=width_px,
        height_px=height_px,
    )
    return Calibration(scaled, tuple(warnings))


def _useless(info: CameraInfo, seen: str) -> str:
    return (
        f"camera_info of {info.header.frame_id!r} has {seen}; expected finite numbers, focal "
        f"lengths from {_FOCAL_PER_WIDTH[0]:g} to {_FOCAL_PER_WIDTH[1]:g} image widths and a "
        "principal point inside the image, so it counts as uncalibrated. Calibrate the camera, or "
        "set input.camera_info to ignore."
    )

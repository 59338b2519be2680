"""camera_info to the calibration of the image at hand, and what to warn about on the way."""

from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo

from human3r.types import Intrinsics
from human3r_ros.stream_rules import bad_frame_name, is_frame_name

_MAX_CAMERAS = 16
_SCALE_TOLERANCE = 0.01
_FOCAL_PER_WIDTH = (1e-2, 1e4)
"""Focal length over image width: wider than any fisheye, narrower than any telescope."""
_LARGEST = float(np.finfo(np.float32).max)
"""Messages carry focal lengths as float32."""


@dataclass(frozen=True)
class Calibration:
    """Intrinsics of one image, where known, and what is odd about them."""

    intrinsics: Intrinsics | None
    warnings: tuple[str, ...] = ()


class CalibrationCache:
    """The latest camera_info per optical frame; intrinsics are constant between changes."""

    def __init__(self) -> None:
        self._infos: dict[str, CameraInfo] = {}
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

    def for_image(self, frame_id: str, width_px: int, height_px: int) -> Calibration:
        """The calibration of an image of this size taken in ``frame_id``."""
        info = self._infos.get(frame_id)
        if info is None:
            return Calibration(None)
        return calibration_from_info(info, width_px, height_px)


def calibration_from_info(info: CameraInfo, width_px: int, height_px: int) -> Calibration:
    """K of ``info`` with its binning and region of interest applied, scaled to the image.

    A K that cannot be a camera counts as no calibration. Distortion is reported, not undone.
    """
    fx, fy, cx, cy = (float(info.k[i]) for i in (0, 4, 2, 5))
    distortion = np.asarray(info.d, np.float64)
    if not _are_usable(np.asarray(info.k, np.float64)) or fx <= 0 or fy <= 0:
        return Calibration(None, (_useless(info, f"fx {fx}, fy {fy}, cx {cx}, cy {cy}"),))
    if not _are_usable(distortion):
        return Calibration(None, (_useless(info, "distortion that is not finite"),))
    intrinsics = _crop_and_bin(info, Intrinsics(fx, fy, cx, cy, info.width, info.height))
    if intrinsics.width_px < 1 or intrinsics.height_px < 1:
        size = f"{intrinsics.width_px}x{intrinsics.height_px}"
        return Calibration(None, (_useless(info, f"an image of {size} pixels"),))
    low, high = (limit * intrinsics.width_px for limit in _FOCAL_PER_WIDTH)
    if not (low <= intrinsics.fx <= high and low <= intrinsics.fy <= high):
        focal = f"fx {fx:g}, fy {fy:g} for an image {intrinsics.width_px} pixels wide"
        return Calibration(None, (_useless(info, focal),))
    inside = (
        -0.5 <= intrinsics.cx <= intrinsics.width_px - 0.5
        and -0.5 <= intrinsics.cy <= intrinsics.height_px - 0.5
    )
    if not inside:
        where = f"principal point ({intrinsics.cx:.1f}, {intrinsics.cy:.1f}) outside the image"
        return Calibration(None, (_useless(info, where),))
    warnings = []
    if np.any(np.abs(distortion) > 1e-12):
        warnings.append(
            f"camera_info of {info.header.frame_id!r} has lens distortion; expected a rectified "
            "image, so people near the border are displaced. Rectify with image_proc first."
        )
    return _scale_to(intrinsics, width_px, height_px, warnings)


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

"""The one camera of a frame: calibrated, or estimated from the stream, or assumed.

A calibration is read from camera_info for the image at hand, with what to warn about on the way.
There is one reader for the node and for bags. Messages may come from any library: only their fields
are used, by their ROS 2 names or by those of ROS 1 (K, D, R, P).
"""

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from human3r.camera.lens import NO_TURN, Lens, fitting_coefficients
from human3r.config import InputSettings
from human3r.errors import ConfigError, InputError
from human3r.types import FrameEstimate, Intrinsics, PersonEstimate

_FRAME_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./\-]*")
_FRAME_ID_LIMIT = 128


def is_frame_name(frame_id: str) -> bool:
    """Whether a frame name can be echoed into TF, topics and logs; empty counts, as 'not set'."""
    is_short = len(frame_id) <= _FRAME_ID_LIMIT
    return not frame_id or (is_short and _FRAME_ID.fullmatch(frame_id) is not None)


def frame_name(frame_id: str) -> str:
    """A header's frame without the leading slash of ROS 1, which tf2 drops in the same way."""
    return frame_id.removeprefix("/")


_UNNAMED = "camera"
UNNAMED_FRAME = (
    f"header.frame_id of the image is empty; expected the camera's optical frame, so it is called "
    f"{_UNNAMED!r}. Set the frame name in the camera driver; viewers and TF need one."
)
"""What to say where ``image_frame`` had to invent a name."""


def image_frame(frame_id: str) -> str:
    """The frame of an image from its header, also where the driver leaves it empty."""
    return frame_name(frame_id) or _UNNAMED


def bad_frame_name(where: str, frame_id: str) -> str:
    """What to say about a frame name that is none; ``where`` names the field."""
    return (
        f"{where} is {frame_id[:40]!r} ({len(frame_id)} characters); expected at most "
        f"{_FRAME_ID_LIMIT} letters, digits, '_', '-', '.' or '/', not starting with '/'. Set the "
        "frame name in the camera driver."
    )


_MAX_CAMERAS = 16
_FOCAL_PER_WIDTH = (1e-2, 1e4)
"""Focal length over image width: wider than any fisheye, narrower than any telescope."""
_MOST_TURN_RAD = 0.01
"""People five metres away are off by 5 cm then."""
_MOST_FOCAL_RATIO = 3.0
"""Of fx and fy: pixels of video are at most twice as wide as high, binning in one direction too."""
_MOST_SKEW = 1e-3
"""Of fx."""
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

    def without_distortion(self, image: np.ndarray) -> np.ndarray:
        """The image (height, width, 3) that ``intrinsics`` describe."""
        return image if self.lens is None else self.lens.rectify(image)

    @property
    def raw_from_image(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Pixels of the image as it came from those without distortion; see ``Frame``."""
        return None if self.lens is None else self.lens.raw_from_rectified


def is_rectified_topic(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified, as image_proc's names do.

    Args:
        topic: without the suffix of a transport, for example /camera/image_rect_color.
    """
    return topic.rpartition("/")[2].startswith("image_rect")


def uses_p(policy: InputSettings, image_topic: str) -> bool:
    """Whether P of camera_info describes the images of a topic, and not K with its distortion.

    Args:
        policy: ``camera_matrix`` may say so.
        image_topic: without the suffix of a transport.

    Raises:
        ConfigError: the images have no distortion that could be undone.
    """
    is_auto = policy.camera_matrix == "auto"
    found = policy.camera_matrix == "P" or (is_auto and is_rectified_topic(image_topic))
    if found and policy.undistort:
        raise ConfigError(
            f"input.undistort is set, but {image_topic} is named as rectified images are, which "
            "have no distortion left; expected one of the two. Set input.undistort to false, or "
            "input.camera_matrix to K if the images are not rectified."
        )
    return found


class CalibrationCache:
    """The latest camera_info per optical frame; intrinsics are constant between changes.

    Attributes:
        uses_p: whether the images are rectified, so that P is their camera, and not K with its
            distortion. camera_info itself does not say which of the two it comes with (REP 104).
        source: in words, where calibrations are read from and who publishes some; for warnings.
        given: of a calibration file, for images without camera_info; None: there is none.
    """

    def __init__(self) -> None:
        self.uses_p = False
        self.source: Callable[[], str] = lambda: "camera_info"
        self.given: Intrinsics | None = None
        self._infos: dict[str, Any] = {}
        self._own: set[str] = set()
        """Frames that images had under the same name: these calibrations are of those images."""
        self._lens: tuple[object, Lens] | None = None
        self.refusal = ""
        """Why the last refused camera_info was refused; empty when all were taken."""

    def store(self, info: Any) -> None:
        """Keep ``info``; the cameras seen first give way when there are too many.

        One whose frame_id cannot be an image's is left out; ``refusal`` says so.
        """
        frame_id = frame_name(info.header.frame_id)
        if not is_frame_name(frame_id):
            self.refusal = bad_frame_name("frame_id of camera_info", info.header.frame_id)
            return
        infos = {k: v for k, v in self._infos.items() if k != frame_id}
        while len(infos) >= _MAX_CAMERAS:
            infos.pop(next(iter(infos)))
        infos[frame_id] = info
        # One assignment, so that a reader in another thread sees the old or the new mapping.
        self._infos = infos

    def frames(self) -> tuple[str, ...]:
        """Optical frames with a calibration; empty for one that names no frame."""
        return tuple(self._infos)

    def is_known(self, frame_id: str) -> bool:
        """Whether there is a camera_info for images of this frame."""
        return self._find(frame_id)[0] is not None

    def for_image(
        self, frame_id: str, width_px: int, height_px: int, undistort: bool = False
    ) -> Calibration:
        """The calibration of an image of this size taken in ``frame_id``.

        A camera_info without a frame, or the only one there is whatever its frame, came on the
        topic beside the images, so it is theirs.
        """
        info, warning = self._find(frame_id)
        if info is None:
            return self.of_file(width_px, height_px)
        if frame_id in self._infos:
            self._own.add(frame_id)
        if self.uses_p:
            found = calibration_of_rectified(info, width_px, height_px)
        else:
            make_lens = self._make_lens if undistort else None
            found = calibration_from_info(info, width_px, height_px, make_lens)
        return replace(found, warnings=(*found.warnings, warning)) if warning else found

    def of_file(self, width_px: int, height_px: int) -> Calibration:
        """What ``given`` says of an image of this size.

        Raises:
            InputError: it is of an image of another shape.
        """
        return Calibration(self.given and self.given.scaled_to(width_px, height_px))

    def missing(self) -> str:
        """What to say where no calibration can be used: none came, or for other frames."""
        known = ", ".join(map(repr, self.frames()))
        seen = (
            f"camera_info arrived for {known}; expected one with the image's frame_id."
            if known
            else f"no camera_info has arrived on {self.source()}; expected one beside the images."
        )
        if self.refusal:
            seen = f"{self.refusal} Beside it, {seen}"
        return (
            f"{seen} Publish it, remap camera_info, or set input.camera_info to ignore; until then "
            "the focal length is estimated."
        )

    def _find(self, frame_id: str) -> tuple[Any, str]:
        infos = self._infos
        if frame_id in infos or "" in infos:
            return infos.get(frame_id, infos.get("")), ""
        others = [name for name in infos if name not in self._own]
        if len(infos) != 1 or not others:
            return None, ""
        return infos[others[0]], (
            f"camera_info is of frame {others[0]!r}, the image of {frame_id!r}; expected the same, "
            "so it is taken for this camera's because it is the only one. Correct the frame in "
            "the camera driver, or set input.camera_info to ignore."
        )

    def _make_lens(self, *description: object) -> Lens:
        """The lens of before, as long as nothing about it has changed: its tables are large."""
        key = repr(description)
        if self._lens is None or self._lens[0] != key:
            self._lens = (key, Lens(*description))  # pyright: ignore[reportArgumentType]
        return self._lens[1]


def calibrated(
    cache: CalibrationCache, policy: InputSettings, frame_id: str, width_px: int, height_px: int
) -> Calibration:
    """What is known of an image's camera, as far as the settings ask for it.

    Args:
        cache: the camera_info received so far.
        policy: ``camera_info`` and ``undistort`` count.
        frame_id: of the image.
        width_px: of the image.
        height_px: of the image.

    Raises:
        InputError: a calibration is required, and there is none that can be used.
    """
    if policy.camera_info == "ignore":
        return cache.of_file(width_px, height_px)
    found = cache.for_image(frame_id, width_px, height_px, policy.undistort)
    if found.intrinsics is None and policy.camera_info == "required":
        raise InputError(" | ".join(found.warnings) or cache.missing())
    return found


class _Info:
    """A camera_info with its fields as numbers, whatever library the message is of."""

    def __init__(self, message: Any) -> None:
        self.frame_id = frame_name(message.header.frame_id)
        self.width, self.height = int(message.width), int(message.height)
        self.model = str(message.distortion_model)
        self.k, self.d, self.r, self.p = (
            np.asarray(
                getattr(message, name if hasattr(message, name) else name.upper()), np.float64
            )
            for name in "kdrp"
        )
        self.roi = message.roi
        self.binning = max(1, int(message.binning_x)), max(1, int(message.binning_y))
        offsets = (self.roi.x_offset, self.roi.y_offset, self.roi.width, self.roi.height)
        self.has_region = any(map(int, offsets)) or self.binning != (1, 1)


def calibration_from_info(
    message: Any,
    width_px: int,
    height_px: int,
    make_lens: Callable[..., Lens] | None = None,
) -> Calibration:
    """K of ``message`` with its binning and region of interest applied, scaled to the image.

    For images as the lens shows them, image_raw and its like. A K that cannot be a camera counts
    as no calibration.

    Args:
        message: any camera_info.
        width_px: of the image.
        height_px: of the image.
        make_lens: takes what ``Lens`` takes; distortion is then to be undone, otherwise it is
            reported only.
    """
    info = _Info(message)
    warnings = _mend(info, (width_px, height_px))
    fx, fy, cx, cy = (float(info.k[i]) for i in (0, 4, 2, 5))
    if not _are_usable(info.k) or fx <= 0 or fy <= 0:
        return Calibration(None, (_useless(info, f"fx {fx}, fy {fy}, cx {cx}, cy {cy}"),))
    if not _are_usable(info.d):
        return Calibration(None, (_useless(info, "distortion that is not finite"),))
    full = Intrinsics(fx, fy, cx, cy, info.width, info.height)
    intrinsics = _crop_and_bin(info, full, (width_px, height_px), warnings)
    if reason := _doubt(intrinsics):
        return Calibration(None, (_useless(info, reason),))
    is_distorted, turn_rad = _is_distorted(info), _turn_rad(info)
    if is_distorted and make_lens is None:
        warnings.append(
            f"camera_info of {info.frame_id!r} has lens distortion; expected a rectified "
            "image, so people near the border are displaced. Set input.undistort, or rectify with "
            "image_proc first; set input.camera_matrix to P where these images are rectified."
        )
    elif turn_rad > _MOST_TURN_RAD and make_lens is None:
        angle = f"{np.degrees(turn_rad):.1f} degrees" if np.isfinite(turn_rad) else "no known angle"
        warnings.append(
            f"camera_info of {info.frame_id!r} has a rectification matrix R that turns the "
            f"camera by {angle}; expected a rectified image, so everything is turned by as much. "
            "Set input.undistort, or rectify with image_proc first; set input.camera_matrix to P "
            "where these images are rectified."
        )
    found = _scale_to(intrinsics, width_px, height_px, warnings)
    is_other = is_distorted or turn_rad > 0
    if is_other and make_lens is not None and found.intrinsics is not None:
        return _with_lens(info, found, make_lens)
    return found


def calibration_of_rectified(message: Any, width_px: int, height_px: int) -> Calibration:
    """P of ``message``, as ``calibration_from_info`` gives K; for images that are rectified.

    image_proc publishes image_rect with the camera_info of image_raw: K, its distortion and R
    belong to the image before, P alone to the image after. P's fourth column, the place of the
    second camera of a stereo pair, says nothing about the directions of pixels.

    Args:
        message: any camera_info. One without P describes a rectified image only when it has neither
            distortion nor R, so that K is the same.
        width_px: of the image.
        height_px: of the image.
    """
    info = _Info(message)
    warnings = _mend(info, (width_px, height_px))
    p = info.p
    if not p.any() and not _is_distorted(info) and _turn_rad(info) == 0:
        return calibration_from_info(message, width_px, height_px)
    fx, fy, cx, cy = (float(p[i]) for i in (0, 5, 2, 6))
    if not _are_usable(p) or fx <= 0 or fy <= 0:
        seen = f"fx {fx}, fy {fy}, cx {cx}, cy {cy} in P, which describes a rectified image"
        return Calibration(None, (_useless(info, seen),))
    full = Intrinsics(fx, fy, cx, cy, info.width, info.height)
    intrinsics = _crop_and_bin(info, full, (width_px, height_px), warnings)
    if reason := _doubt(intrinsics):
        return Calibration(None, (_useless(info, f"{reason} in P"),))
    return _scale_to(intrinsics, width_px, height_px, warnings)


def _mend(info: _Info, image_px: tuple[int, int]) -> list[str]:
    """Take what can be meant in one way only for what it means, with a warning each."""
    warnings = []
    sides = zip((info.width, info.height), image_px, strict=True)
    is_silent = 0 in (info.width, info.height) and all(side in (0, px) for side, px in sides)
    if is_silent and not info.has_region:
        info.width, info.height = image_px
        warnings.append(
            f"camera_info of {info.frame_id!r} does not say of which size its image is; expected "
            f"width and height, so it is taken for images of {image_px[0]}x{image_px[1]}. Correct "
            "camera_info in the camera driver."
        )
    k = info.k.reshape(3, 3)
    if not k[:2, 2].any() and (k[2, :2] > 0).all():
        info.k = k.T.ravel()
        warnings.append(
            f"camera_info of {info.frame_id!r} has K column by column; expected row by row, so it "
            "is read as it is meant. Correct camera_info in the camera driver."
        )
    if not info.k.any() and info.p.any() and not _is_distorted(info) and _turn_rad(info) == 0:
        info.k = info.p.reshape(3, 4)[:, :3].ravel().copy()
        warnings.append(
            f"camera_info of {info.frame_id!r} has no K, but P; expected both, so P, which is the "
            "same for a lens without distortion, is taken. Correct camera_info in the driver."
        )
    info.k = _mend_matrix("K", info, info.k.reshape(3, 3), warnings).ravel()
    info.p = _mend_matrix("P", info, info.p.reshape(3, 4), warnings).ravel()
    return warnings


def _mend_matrix(name: str, info: _Info, matrix: np.ndarray, warnings: list[str]) -> np.ndarray:
    """A camera matrix (3, 3 or 4) whose last number is 1 and that has a principal point."""
    matrix = matrix.copy()
    said = f"camera_info of {info.frame_id!r} has {name}"
    last = float(matrix[2, 2])
    if np.isfinite(last) and last not in (0.0, 1.0):
        matrix /= last
        warnings.append(
            f"{said} with {last:g} where 1 is expected, so all of it is divided by that. Correct "
            "camera_info in the camera driver."
        )
    if matrix[0, 0] > 0 and not matrix[:2, 2].any():
        matrix[:2, 2] = (info.width - 1) / 2, (info.height - 1) / 2
        warnings.append(
            f"{said} without a principal point (cx and cy are 0); expected one, so the middle of "
            "the image is taken. Calibrate the camera."
        )
    beside = np.abs((matrix[0, 1], matrix[1, 0], matrix[2, 0], matrix[2, 1])).max()
    if beside > _MOST_SKEW * abs(matrix[0, 0]):
        warnings.append(
            f"{said} with numbers beside fx, fy, cx and cy (up to {beside:g}); expected 0 there, "
            "so they are not used. Calibrate the camera again."
        )
    return matrix


def _doubt(camera: Intrinsics) -> str:
    """Why this cannot be a camera; empty when it can."""
    if camera.width_px < 1 or camera.height_px < 1:
        return f"an image of {camera.width_px}x{camera.height_px} pixels"
    low, high = (limit * camera.width_px for limit in _FOCAL_PER_WIDTH)
    if not (low <= camera.fx <= high and low <= camera.fy <= high):
        focal = f"fx {camera.fx:g}, fy {camera.fy:g}"
        return f"{focal} for an image {camera.width_px} pixels wide"
    if max(camera.fx, camera.fy) > _MOST_FOCAL_RATIO * min(camera.fx, camera.fy):
        return f"fx {camera.fx:g} and fy {camera.fy:g}, more than {_MOST_FOCAL_RATIO:g} apart"
    if not _is_inside(camera):
        return f"principal point ({camera.cx:.1f}, {camera.cy:.1f}) outside the image"
    return ""


def _is_distorted(info: _Info) -> bool:
    """Whether the lens bends straight lines; also where the numbers cannot be used."""
    return not bool((np.abs(info.d) <= 1e-12).all())


def _turn_rad(info: _Info) -> float:
    """Angle of the rectification matrix R; 0 where it is not set, infinite where it is none."""
    r = info.r.reshape(3, 3)
    if not r.any():
        return 0.0
    # A rotation has no larger entries; a comparison with NaN is false.
    if not (np.abs(r) <= 1.1).all() or not np.allclose(r @ r.T, np.eye(3), atol=1e-2):
        return np.inf
    # Unlike the arc cosine of the trace, exact for small angles.
    sine = np.linalg.norm([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / 2.0
    return float(np.arctan2(sine, (np.trace(r) - 1.0) / 2.0))


def _with_lens(info: _Info, found: Calibration, make_lens: Callable[..., Lens]) -> Calibration:
    """With the lens of ``info``, or a warning why there is none."""
    raw = found.intrinsics
    assert raw is not None
    model, coefficients = "plumb_bob", (0.0,) * 5
    rotation = tuple(info.r.tolist()) if _turn_rad(info) > 0 else NO_TURN
    try:
        if _is_distorted(info):
            model, coefficients = fitting_coefficients(info.model, info.d.tolist())
        lens = make_lens(model, coefficients, raw, _rectified(info, raw), rotation)
    except InputError as error:
        warning = (
            f"camera_info of {info.frame_id!r}: {error} Until then the image is taken as it "
            "is, and people near the border are displaced."
        )
        return replace(found, warnings=(*found.warnings, warning))
    return Calibration(lens.rectified, found.warnings, lens)


def _rectified(info: _Info, raw: Intrinsics) -> Intrinsics:
    """The pinhole camera that P names, as image_proc has it; K where P names none."""
    fx, fy, cx, cy = (float(info.p[i]) for i in (0, 5, 2, 6))
    if not _are_usable(info.p) or fx <= 0 or fy <= 0:
        return raw
    size = (raw.width_px, raw.height_px)
    full = Intrinsics(fx, fy, cx, cy, info.width, info.height)
    named = _scale_to(_crop_and_bin(info, full, size, []), *size, []).intrinsics
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


def _crop_and_bin(
    info: _Info, full: Intrinsics, image_px: tuple[int, int], warnings: list[str]
) -> Intrinsics:
    """The camera after region of interest, then binning (zero means 'not set' in both).

    Drivers name a region or binning that the image does not have: then the image is of one of the
    other sizes that camera_info speaks of, and the size decides.
    """
    whole = (0, 0, full.width_px, full.height_px)
    roi = info.roi
    left, top = int(roi.x_offset), int(roi.y_offset)
    named = (left, top, int(roi.width) or full.width_px, int(roi.height) or full.height_px)
    said = _cut(full, named, info.binning)
    for region, binning in (
        (whole, (1, 1)),
        (named, info.binning),
        (named, (1, 1)),
        (whole, info.binning),
    ):
        camera = _cut(full, region, binning)
        if (camera.width_px, camera.height_px) != image_px:
            continue
        if camera != said:
            unused = ["a region of interest"] * (region != named)
            unused += ["binning"] * (binning != info.binning)
            warnings.append(
                f"camera_info of {info.frame_id!r} names {' and '.join(unused)}, but the image is "
                f"{image_px[0]}x{image_px[1]}, the size without; expected both to agree, so it "
                "counts as not applied. Correct camera_info in the camera driver."
            )
        return camera
    return said


def _cut(
    full: Intrinsics, region: tuple[int, int, int, int], binning: tuple[int, int]
) -> Intrinsics:
    """The camera of a region (left, top, width, height), with so many pixels made one."""
    left, top, width, height = region
    bin_x, bin_y = binning
    return Intrinsics(
        fx=full.fx / bin_x,
        fy=full.fy / bin_y,
        cx=(full.cx - left + 0.5) / bin_x - 0.5,
        cy=(full.cy - top + 0.5) / bin_y - 0.5,
        width_px=width // bin_x,
        height_px=height // bin_y,
    )


def _scale_to(
    intrinsics: Intrinsics, width_px: int, height_px: int, warnings: list[str]
) -> Calibration:
    if (intrinsics.width_px, intrinsics.height_px) == (width_px, height_px):
        return Calibration(intrinsics, tuple(warnings))
    seen = (
        f"camera_info is for {intrinsics.width_px}x{intrinsics.height_px}, "
        f"the image is {width_px}x{height_px}"
    )
    try:
        scaled = intrinsics.scaled_to(width_px, height_px)
    except InputError:
        warnings.append(
            f"{seen}; expected the same shape, so the calibration is ignored. Calibrate the "
            "camera in this mode, or set roi and binning in camera_info."
        )
        return Calibration(None, tuple(warnings))
    warnings.append(
        f"{seen}; expected the same size, so the calibration is scaled. Publish a camera_info "
        "of the image's size to be exact."
    )
    return Calibration(scaled, tuple(warnings))


def _useless(info: _Info, seen: str) -> str:
    return (
        f"camera_info of {info.frame_id!r} has {seen}; expected finite numbers, focal lengths "
        f"from {_FOCAL_PER_WIDTH[0]:g} to {_FOCAL_PER_WIDTH[1]:g} image widths, alike, and "
        "a principal point inside the image, so it counts as uncalibrated. Calibrate the camera, "
        "or set input.camera_info to ignore."
    )


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

"""The camera of pictures that do not say which camera took them: a lens angle, or a calibration."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import yaml

from human3r.camera.calibration import CalibrationCache, calibrated
from human3r.config import InputSettings
from human3r.errors import InputError
from human3r.types import Frame, Intrinsics

log = logging.getLogger(__name__)

_MAX_BYTES = 2**20
_LENGTHS = {"k": (9,), "r": (9,), "p": (12,)}
_FILE_NAMES = {
    "width": "image_width",
    "height": "image_height",
    "k": "camera_matrix",
    "d": "distortion_coefficients",
    "r": "rectification_matrix",
    "p": "projection_matrix",
}
"""Fields of camera_info, and their names in the files of camera_calibration."""


class GivenCamera(Protocol):
    """Gives frames their calibration."""

    def calibrate(self, frame: Frame, policy: InputSettings) -> Frame:
        """The frame with the intrinsics of its image, whatever it had.

        Raises:
            InputError: the image cannot be of this camera.
        """
        ...


class LensAngle:
    """A camera of which only the field of view is known."""

    def __init__(self, fov_deg: float) -> None:
        """Across the width of the image, in degrees.

        Raises:
            InputError: no such angle.
        """
        Intrinsics.from_fov(fov_deg, 2, 2)
        self._fov_deg = fov_deg

    def calibrate(self, frame: Frame, policy: InputSettings) -> Frame:
        height, width = frame.image.shape[:2]
        return replace(frame, intrinsics=Intrinsics.from_fov(self._fov_deg, width, height))


class GivenIntrinsics:
    """A calibration without distortion, scaled to each image."""

    def __init__(self, intrinsics: Intrinsics) -> None:
        self._intrinsics = intrinsics

    def calibrate(self, frame: Frame, policy: InputSettings) -> Frame:
        return replace(frame, intrinsics=self._intrinsics)


class CalibrationFile:
    """A calibration file as ROS writes it; handled as a camera_info beside the images would be."""

    def __init__(self, path: str | Path) -> None:
        """Read it.

        Raises:
            InputError: unreadable, or no camera.
        """
        self._path = Path(path)
        self._cache = CalibrationCache()
        self._cache.source = lambda: str(path)
        self._info = read_camera_info(path)
        self._cache.store(self._info)
        self._said: set[str] = set()

    def intrinsics(self) -> Intrinsics:
        """K of the file, for images of the size it was made with.

        Raises:
            InputError: it cannot be a camera.
        """
        found = self._cache.for_image("", self._info.width, self._info.height)
        if found.intrinsics is None:
            raise InputError(f"{self._path}: {' '.join(found.warnings)}")
        self._say(found.warnings)
        return found.intrinsics

    def calibrate(self, frame: Frame, policy: InputSettings) -> Frame:
        self._cache.uses_p = policy.camera_matrix == "P"
        height, width = frame.image.shape[:2]
        found = calibrated(self._cache, policy, frame.frame_id, width, height)
        self._say(found.warnings)
        return replace(
            frame,
            image=found.without_distortion(frame.image),
            intrinsics=found.intrinsics,
            raw_from_image=found.raw_from_image,
        )

    def _say(self, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            if warning not in self._said:
                self._said.add(warning)
                log.warning("%s: %s", self._path, warning)


def read_intrinsics(path: str | Path) -> Intrinsics:
    """The camera of a ROS calibration file, for images of the size it was made with.

    Lens distortion in it is reported in a warning, and left out: ``human3r run --camera FILE --set
    input.undistort=true`` takes it out of the images.

    Args:
        path: YAML as ``camera_calibration`` writes it, or as ``ros2 topic echo --once`` prints a
            ``camera_info``.

    Raises:
        InputError: unreadable, or no camera.
    """
    return CalibrationFile(path).intrinsics()


def read_camera_info(path: str | Path) -> Any:
    """A calibration file as an object with the fields of sensor_msgs/CameraInfo.

    Raises:
        InputError: unreadable, or something is missing.
    """
    path = Path(path)
    document = _document(path)
    info = SimpleNamespace(
        header=SimpleNamespace(frame_id=""),
        distortion_model=str(document.get("distortion_model") or ""),
        binning_x=int(document.get("binning_x") or 0),
        binning_y=int(document.get("binning_y") or 0),
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )
    for name in ("width", "height"):
        value = document.get(_FILE_NAMES[name], document.get(name))
        if not isinstance(value, int) or value < 1:
            raise _unusable(path, f"{_FILE_NAMES[name]} is {value!r}")
        setattr(info, name, value)
    for name in ("k", "d", "r", "p"):
        setattr(info, name, _numbers(path, document, name))
    return info


def _document(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES} bytes")
        # What `ros2 topic echo` prints ends in a line of three dashes.
        document = next(iter(yaml.safe_load_all(path.read_text(encoding="utf-8"))), None)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _unusable(path, f"cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(document, Mapping):
        raise _unusable(path, f"holds {type(document).__name__}")
    return document


def _numbers(path: Path, document: Mapping[str, Any], name: str) -> np.ndarray:
    value = document.get(_FILE_NAMES[name], document.get(name))
    if isinstance(value, Mapping):
        value = value.get("data")
    if value is None and name != "k":
        return np.zeros(_LENGTHS.get(name, (0,)))
    try:
        numbers = np.asarray(value, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise _unusable(path, f"{_FILE_NAMES[name]} is {str(value)[:60]!r}") from error
    wanted = _LENGTHS.get(name, numbers.shape)
    if numbers.shape != wanted:
        raise _unusable(path, f"{_FILE_NAMES[name]} holds {numbers.size} numbers, not {wanted[0]}")
    return numbers


def _unusable(path: Path, seen: str) -> InputError:
    return InputError(
        f"{path}: {seen}; expected a camera calibration: image_width, image_height, camera_matrix "
        "and distortion_coefficients as ROS's camera_calibration writes them, or what `ros2 topic "
        "echo --once camera_info` prints. Use --fov-deg where there is none."
    )

"""Lens distortion as ROS camera_info describes it, and pictures without it.

The formulas are OpenCV's (calib3d "Camera Calibration" and "Fisheye camera model"): plumb_bob and
rational_polynomial are Brown's radial and tangential terms, equidistant is Kannala and Brandt's
polynomial in the angle from the optical axis.
"""

import re
from collections.abc import Sequence

import cv2
import numpy as np

from human3r.errors import InputError
from human3r.types import Intrinsics

_NUM_COEFFICIENTS = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
_OTHER_NAMES = {
    **dict.fromkeys(("fisheye", "kannala_brandt", "kannala_brandt4"), "equidistant"),
    **dict.fromkeys(("radtan", "brown_conrady"), "plumb_bob"),
}
"""What OpenCV, Kalibr and camera drivers call the models of ROS, in small letters, with _ for
spaces and hyphens."""
MODELS = tuple(_NUM_COEFFICIENTS)
"""Distortion models of camera_info that can be undone."""
_STEPS = 400
_CENTRE = np.eye(3)
NO_TURN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""Row-major, the rotation of a camera that is not turned."""
_ORTHONORMAL_TOLERANCE = 1e-2
_LEAST_AHEAD = 0.05
"""Cosine of the largest angle to the raw camera's axis at which the picture is looked for."""


def fitting_coefficients(
    model: str, coefficients: Sequence[float]
) -> tuple[str, tuple[float, ...]]:
    """Name and numbers of a distortion as ``Lens`` takes them, from those that drivers send.

    Zeros at the end mean nothing, so there may be more or fewer of them than the model has;
    plumb_bob with more numbers is what OpenCV calls rational_polynomial; fisheye is OpenCV's name
    of equidistant.

    Args:
        model: ``distortion_model`` of camera_info.
        coefficients: ``d`` of camera_info.

    Returns:
        Both unchanged where they cannot be made to fit.
    """
    named = re.sub(r"[\s-]+", "_", model.strip().lower())
    named = _OTHER_NAMES.get(named, named)
    model = named if named in _NUM_COEFFICIENTS else model
    meant = list(coefficients)
    while meant and meant[-1] == 0:
        meant.pop()
    if model == "plumb_bob" and len(meant) > _NUM_COEFFICIENTS[model][-1]:
        model = "rational_polynomial"
    for count in _NUM_COEFFICIENTS.get(model, ()):
        if len(meant) <= count:
            return model, (*meant, *[0.0] * (count - len(meant)))
    return model, tuple(coefficients)


class Lens:
    """Between a distorted picture and the pinhole picture of the same size that is made of it.

    Attributes:
        raw: the camera matrix that goes with the distortion.
        rectified: the pinhole camera of the picture without distortion.
    """

    def __init__(
        self,
        model: str,
        coefficients: Sequence[float],
        raw: Intrinsics,
        rectified: Intrinsics,
        rectified_from_raw: Sequence[float] = NO_TURN,
    ) -> None:
        """Prepare the remapping tables, about 6 bytes per pixel.

        Args:
            model: one of ``MODELS``.
            coefficients: as many as the model has, finite.
            raw: of the picture as it is taken.
            rectified: of the picture to be made, the same size.
            rectified_from_raw: rotation between the two cameras, row-major, as R of camera_info.

        Raises:
            InputError: unknown model, a wrong number of coefficients, no rotation or one that
                turns the picture away, or a distortion that folds the picture over itself.
        """
        if model not in _NUM_COEFFICIENTS:
            raise InputError(
                f"distortion_model is {model[:40]!r}; expected one of {', '.join(MODELS)}. Rectify "
                "the images with the camera's own tools."
            )
        if len(coefficients) not in _NUM_COEFFICIENTS[model]:
            wanted = " or ".join(map(str, _NUM_COEFFICIENTS[model]))
            raise InputError(
                f"{model} comes with {len(coefficients)} coefficients; expected {wanted}. "
                "Calibrate the camera again."
            )
        self.raw, self.rectified = raw, rectified
        self._is_fisheye = model == "equidistant"
        self._coefficients = np.asarray(coefficients, np.float64)
        self._raw_from_rectified = _checked_rotation(rectified_from_raw).T
        self._reach = _reach(rectified)
        self._axis_px = self._distorted(self._turned(np.zeros(2)))
        self._check_monotonic(model)
        make = cv2.fisheye.initUndistortRectifyMap if self._is_fisheye else None
        make = make or cv2.initUndistortRectifyMap
        size = (rectified.width_px, rectified.height_px)
        self._maps = make(
            raw.matrix(),
            self._coefficients,
            self._raw_from_rectified.T,
            rectified.matrix(),
            size,
            cv2.CV_16SC2,
        )

    def rectify(self, image: np.ndarray) -> np.ndarray:
        """The picture without distortion; black where the lens shows nothing.

        Args:
            image: (height, width, channels) uint8 of the size of ``raw``.
        """
        return cv2.remap(image, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def raw_from_rectified(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of the distorted picture from those of the picture without distortion.

        Far outside the picture, where the formulas mean nothing, the lens goes on outwards; NaN
        stays NaN.
        """
        camera = self.rectified
        pixels = np.asarray(pixels, np.float64)
        if pixels.size == 0:
            return pixels
        rays = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
        radius = np.linalg.norm(rays, axis=-1, keepdims=True)
        beyond = np.maximum(radius / self._reach, 1.0)
        inside = self._distorted(self._turned(rays / beyond))
        return self._axis_px + (inside - self._axis_px) * beyond

    def _turned(self, rays: np.ndarray) -> np.ndarray:
        """Directions (..., 2) as x / z, y / z of the raw camera from those of the rectified one."""
        ahead = np.concatenate([rays, np.ones((*rays.shape[:-1], 1))], axis=-1)
        turned = ahead @ self._raw_from_rectified.T
        return turned[..., :2] / turned[..., 2:]

    def _distorted(self, rays: np.ndarray) -> np.ndarray:
        """Raw pixels (..., 2) of directions (x / z, y / z)."""
        flat = np.ascontiguousarray(rays.reshape(-1, 1, 2))
        k = self.raw
        if self._is_fisheye:
            bent = cv2.fisheye.distortPoints(flat, _CENTRE, self._coefficients)
        else:
            ahead = np.dstack([flat, np.ones(flat.shape[:2])])
            zero = np.zeros(3)
            bent, _ = cv2.projectPoints(ahead, zero, zero, _CENTRE, self._coefficients)
        return bent.reshape(rays.shape) * [k.fx, k.fy] + [k.cx, k.cy]

    def _check_monotonic(self, model: str) -> None:
        """A lens shows what is farther out farther out, everywhere in the picture.

        Raises:
            InputError: this one does not.
        """
        angles = np.linspace(0.0, 2 * np.pi, 16, endpoint=False)
        around = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        edge = np.append(self._reach * around, np.ones((len(around), 1)), axis=1)
        ahead = edge @ self._raw_from_rectified[2]
        if not (ahead > _LEAST_AHEAD * np.linalg.norm(edge, axis=1)).all():
            raise InputError(
                "the rectification matrix R turns parts of the picture to behind the camera; "
                "expected a small rotation. Calibrate the camera again."
            )
        # Of the raw camera, around whose axis the distortion goes.
        reach = np.linalg.norm(self._turned(self._reach * around), axis=-1).max()
        radii = np.linspace(0.0, reach, _STEPS)
        for outwards in around:
            # Numbers beyond all bounds are found out below.
            with np.errstate(all="ignore"):
                bent = self._distorted(radii[:, None] * outwards)
                steps = np.diff(bent, axis=0) @ outwards
            if not (np.isfinite(bent).all() and (steps > 0).all()):
                raise InputError(
                    f"the {model} distortion {np.round(self._coefficients, 4).tolist()} folds the "
                    "image over itself inside its borders; expected one that fits the lens. "
                    "Calibrate the camera again."
                )


def _checked_rotation(row_major: Sequence[float]) -> np.ndarray:
    """The rotation (3, 3), orthonormal to the last digit.

    Raises:
        InputError: it is none.
    """
    given = np.asarray(row_major, np.float64).reshape(3, 3)
    # A rotation has no larger entries; a comparison with NaN is false.
    is_rotation = bool((np.abs(given) <= 1.0 + _ORTHONORMAL_TOLERANCE).all()) and (
        np.allclose(given @ given.T, np.eye(3), atol=_ORTHONORMAL_TOLERANCE)
        and np.linalg.det(given) > 0
    )
    if not is_rotation:
        numbers = ", ".join(f"{value:.3g}" for value in given.ravel())
        raise InputError(
            f"the rectification matrix R is ({numbers}); expected a rotation. Calibrate the camera "
            "again."
        )
    left, _, right = np.linalg.svd(given)
    return left @ right


def _reach(camera: Intrinsics) -> float:
    """Distance from the axis, at depth 1, of the picture's farthest corner."""
    x = np.array([-0.5, camera.width_px - 0.5]) - camera.cx
    y = np.array([-0.5, camera.height_px - 0.5]) - camera.cy
    return float(np.hypot(np.abs(x / camera.fx).max(), np.abs(y / camera.fy).max()))

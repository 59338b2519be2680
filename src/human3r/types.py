"""The frozen dataclasses that cross part boundaries. NumPy only: front ends need no torch.

Frames, as in docs/conventions.md: ``camera`` is x right, y down, z forward; ``world`` is the
camera of the first frame since the last reset that did not keep the world; transforms read
``a_from_b``. Pixels are (u, v), u right and v down, whole numbers at pixel centres. Lengths are
metres, times nanoseconds or seconds as named.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion."""

    fx: float
    """Focal length in x, pixels."""
    fy: float
    """Focal length in y, pixels."""
    cx: float
    """Principal point, pixels from the left pixel centre."""
    cy: float
    """Principal point, pixels from the top pixel centre."""
    width_px: int
    height_px: int

    def matrix(self) -> np.ndarray:
        """The 3x3 calibration matrix K, float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)


@dataclass(frozen=True)
class Frame:
    """One image of a stream."""

    image: np.ndarray
    """(height, width, 3) uint8, RGB."""
    stamp_ns: int
    """Capture time in nanoseconds; strictly increasing within a stream."""
    intrinsics: Intrinsics | None = None
    """Calibration of ``image``, where known."""
    frame_id: str = "camera"
    """Name of the optical frame the image was taken in."""
    raw_from_image: Callable[[np.ndarray], np.ndarray] | None = None
    """Pixels (..., 2) of the picture as the lens drew it, from pixels of ``image``; None where
    ``image`` is that picture."""


@dataclass(frozen=True)
class ImageGeometry:
    """How source pixels became network pixels: one resize, then one crop."""

    source_width_px: int
    source_height_px: int
    resized_width_px: int
    resized_height_px: int
    crop_left_px: int
    crop_top_px: int
    width_px: int
    """Width of the network image."""
    height_px: int
    """Height of the network image."""

    def _scale(self) -> np.ndarray:
        return np.array(
            [
                self.resized_width_px / self.source_width_px,
                self.resized_height_px / self.source_height_px,
            ]
        )

    def _crop(self) -> np.ndarray:
        return np.array([self.crop_left_px, self.crop_top_px])

    def network_from_source(self, pixels: np.ndarray) -> np.ndarray:
        """Source pixels (..., 2) as network pixels (..., 2); resampling keeps pixel corners."""
        return (np.asarray(pixels) + 0.5) * self._scale() - 0.5 - self._crop()

    def source_from_network(self, pixels: np.ndarray) -> np.ndarray:
        """Network pixels (..., 2) as source pixels (..., 2)."""
        return (np.asarray(pixels) + self._crop() + 0.5) / self._scale() - 0.5

    def source_intrinsics(self, network: Intrinsics) -> Intrinsics:
        """The camera of the network image as a camera of the source image."""
        sx, sy = self._scale()
        cx, cy = self.source_from_network(np.array([network.cx, network.cy]))
        return Intrinsics(
            network.fx / sx,
            network.fy / sy,
            float(cx),
            float(cy),
            self.source_width_px,
            self.source_height_px,
        )

    def network_intrinsics(self, source: Intrinsics) -> Intrinsics:
        """The camera of the source image as a camera of the network image."""
        sx, sy = self._scale()
        cx, cy = self.network_from_source(np.array([source.cx, source.cy]))
        return Intrinsics(
            source.fx * sx, source.fy * sy, float(cx), float(cy), self.width_px, self.height_px
        )


@dataclass(frozen=True)
class BodyParameters:
    """One body, as the network says it; SMPL-X conventions."""

    rotations: np.ndarray
    """(53, 3, 3) float32: root, 21 body, 15 left hand, 15 right hand joints, jaw; child in parent,
    the root in the camera frame. Eyes do not rotate."""
    betas: np.ndarray
    """(10,) float32 shape coefficients of the body model in use."""
    expression: np.ndarray
    """(10,) float32 expression coefficients."""
    head_camera: np.ndarray
    """(3,) float32, metres: place of the head joint in the camera frame."""


@dataclass(frozen=True)
class PersonEstimate:
    """One person in one frame."""

    track_id: int
    """Identity; stays with the person, never reused while the session object lives."""
    score: float
    """[0, 1] head detection score, uncalibrated."""
    head_px: np.ndarray
    """(2,) float32: detected head in source pixels."""
    body: BodyParameters
    joints_camera: np.ndarray
    """(joints, 3) float32 metres: 55 rotating joints, then landmarks, as the body model names."""
    vertices_camera: np.ndarray
    """(vertices, 3) float32 metres."""


@dataclass(frozen=True)
class FrameEstimate:
    """Everything known from one frame: people, scene, camera."""

    stamp_ns: int
    session: int
    """Increases at every reset of the recurrent state, interval resets included."""
    frame_index: int
    """Processed frames since the session began, from 0."""
    geometry: ImageGeometry
    image: np.ndarray
    """(height, width, 3) uint8: the network image, colours of ``points_camera``."""
    points_camera: np.ndarray
    """(height, width, 3) float32 metres: one scene point per network pixel, camera frame."""
    confidence: np.ndarray
    """(height, width) float32, from 1 upwards."""
    person_probability: np.ndarray
    """(height, width) float32 in [0, 1]: belongs to a person."""
    world_from_camera: np.ndarray
    """(4, 4) float64 rigid transform; chained over interval resets."""
    intrinsics: Intrinsics
    """Camera of the network image, estimated from ``points_camera``."""
    people: tuple[PersonEstimate, ...]
    num_left_out: int = 0
    """People seen beyond ``people.max_count``, who are not in ``people``."""
    state_updated: bool = True
    """False when the frame was predicted but kept out of the recurrent state."""
    is_motion_known: bool = True
    """False when nothing says how the camera moved since the last frame, whose pose is kept."""
    scale: float = 1.0
    """Factor already applied to all lengths; 1 means straight from the network."""
    points_world: np.ndarray | None = None
    """(height, width, 3) float32 metres from the world head; only when asked for."""
    timings_s: dict[str, float] = field(default_factory=dict)
    """Wall time per stage: preprocess, network, bodies, geometry."""

    @property
    def depth(self) -> np.ndarray:
        """(height, width) float32 metres along the optical axis; may be non-positive."""
        return self.points_camera[..., 2]


@dataclass(frozen=True)
class PointSet:
    """Unorganised coloured points, finite and in front of the camera."""

    points: np.ndarray
    """(points, 3) float32 metres."""
    colors: np.ndarray
    """(points, 3) uint8 RGB."""
    confidence: np.ndarray
    """(points,) float32."""
    labels: np.ndarray
    """(points,) uint16: 0 scene, else 1 + index in ``FrameEstimate.people``."""

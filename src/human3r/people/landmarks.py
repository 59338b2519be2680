"""What the landmark networks say about one person in one image."""

from dataclasses import dataclass

import numpy as np

NUM_LANDMARKS = 33
LANDMARK_NAMES = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)
"""Names of the landmarks, in order; left and right are the person's own."""


@dataclass(frozen=True)
class Region:
    """A rotated square of the image that one person fills."""

    centre: np.ndarray
    """(2,) x and y in source image pixels, whole numbers at pixel centres."""
    side: float
    """Length of a side, source image pixels."""
    angle: float
    """Radians by which the person's up leans clockwise in the image; 0: upright."""

    def image_from_crop(self, size: int) -> np.ndarray:
        """(2, 3) affine map from pixels of a ``size`` x ``size`` crop to image pixels."""
        scale = self.side / size
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        offset = self.centre - linear @ np.full(2, (size - 1) / 2)
        return np.column_stack([linear, offset])

    def image_points(self, points_px: np.ndarray, size: int) -> np.ndarray:
        """(..., 2) source image pixels of points (..., 2) in a ``size`` x ``size`` crop."""
        matrix = self.image_from_crop(size)
        return points_px @ matrix[:, :2].T + matrix[:, 2]


def camera_axes(points: np.ndarray, region: Region) -> np.ndarray:
    """Points (..., 3) in the axes of a region's crop, turned into those of the camera."""
    cos, sin = np.cos(region.angle), np.sin(region.angle)
    turned = points.copy()
    turned[..., :2] = turned[..., :2] @ np.array([[cos, sin], [-sin, cos]])
    return turned


@dataclass(frozen=True)
class PersonLandmarks:
    """One person's landmarks in one image; points in the order of ``LANDMARK_NAMES``."""

    score: float
    """Probability that the region holds a person, 0..1."""
    detection_score: float
    """Score the detector gave the region in this image, 0..1; 0: no detector named it."""
    pixels: np.ndarray
    """(33, 2) float64 source image pixels, whole numbers at pixel centres."""
    depth_px: np.ndarray
    """(33,) depth behind the hips in source image pixels, at the scale of ``pixels``."""
    visibility: np.ndarray
    """(33,) probability that the landmark is in the image and not covered, 0..1."""
    presence: np.ndarray
    """(33,) probability that the landmark is inside the region, 0..1."""
    world: np.ndarray
    """(33, 3) metres about the middle of the hips, camera axes (x right, y down, z forward)."""
    region: Region
    """The region that was looked at."""
    next_region: Region
    """The region to look at in the next image."""
    mask: np.ndarray | None
    """(256, 256) float32 probability that a pixel of the crop shows the person, or not asked."""
    track: int
    """Number of the tracked region, stable from image to image; -1: new."""

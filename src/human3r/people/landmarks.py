"""What the landmark network of MediaPipe Pose says about whoever fills a region of an image.

The network looks at a crop of 256x256 pixels and answers with 39 points (33 landmarks, then
auxiliary ones, of which the first two say where the person's circle is), each as x, y and depth in
pixels of the crop with logits of visibility and presence; the same points in metres about the
hips; a score that a person is there; maps of where each point is; and a mask of the person.

A region is a rotated square of the image: made from a detection or from the landmarks before, and
compared with others to tell who is who.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from human3r.people.graph import load_network
from human3r.people.network_file import KNOWN_NETWORKS
from human3r.types import ImageGeometry

REGION_SCALE = 1.25
"""Side of a region over the diameter of the circle about the hips that reaches above the head."""

_SHIFT, _SHIFT_PER_S = 0.08, 0.3
"""Standard deviation of a person's place in the image after some time, in sides of the region."""
_LOG_SIZE = 0.34
"""And of the logarithm of its size: a person comes nearer by a third, not twice as near."""
_SAME, _MOST_SHIFT = 7.5, 0.5
"""Squared standard deviations, and the shift, beyond which it is another person."""


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
class Detection:
    """A region that may hold a person."""

    region: Region
    score: float
    """0..1, as the detector gives it."""
    is_rough: bool = False
    """Whether to correct the region from the landmarks found in it, and to look again."""


def region_of_circle(centre: np.ndarray, end: np.ndarray) -> Region:
    """The square about a person's circle.

    Args:
        centre: (2,) middle of the hips, image pixels.
        end: (2,) the point of the circle above the head.
    """
    x, y = np.subtract(end, centre)
    side = 2 * REGION_SCALE * float(np.hypot(x, y))
    return Region(np.array(centre, np.float64), side, float(np.arctan2(x, -y)))


def upright_region(middle: np.ndarray, up: np.ndarray, side: float, shift: float = 0.0) -> Region:
    """The square about a part of a body.

    Args:
        middle: (2,) of the part, image pixels.
        up: (2,) what shall point up in the crop.
        side: length of a side.
        shift: how far the square lies beside the middle, upwards, of a side.
    """
    angle = float(np.arctan2(up[0], -up[1]))
    moved = middle + shift * side * np.array([np.sin(angle), -np.cos(angle)])
    return Region(np.asarray(moved, np.float64), side, angle)


def is_usable(region: Region, width: int, height: int, least_px: float = 8.0) -> bool:
    """Whether a region is finite, of a sane size and has its centre in or near the image."""
    numbers = [*region.centre, region.side, region.angle]
    if not np.isfinite(numbers).all():
        return False
    if not least_px < region.side < 8 * max(width, height):
        return False
    size = np.array([width, height])
    return bool(np.all(np.abs(2 * region.centre - size) < size + region.side))


def is_same_person(a: Region, b: Region) -> bool:
    """Whether two regions are so close and alike that they show one person."""
    near = np.hypot(*(a.centre - b.centre)) < 0.2 * max(a.side, b.side)
    return bool(near and 0.5 < a.side / b.side < 2)


def distinct(detections: list[Detection]) -> list[Detection]:
    """Detections by descending score, without duplicates."""
    kept: list[Detection] = []
    for found in sorted(detections, key=lambda d: -d.score):
        if not any(is_same_person(found.region, k.region) for k in kept):
            kept.append(found)
    return kept


def assigned(known: Sequence[Region], found: Sequence[Region], gap_s: float) -> dict[int, int]:
    """Which of the known people each found region shows, so that all fit best together.

    Size counts as well as place: of two who pass each other the nearer one is larger.

    Args:
        known: where people were.
        found: where somebody is now.
        gap_s: time between the two.

    Returns:
        Index into ``found`` by index into ``known``, of those who are found.
    """
    if not known or not found:
        return {}
    costs = np.array([[_mismatch(a, b, gap_s) for b in found] for a in known])
    rows, columns = linear_sum_assignment(np.minimum(costs, 10 * _SAME))
    return {int(k): int(n) for k, n in zip(rows, columns, strict=True) if costs[k, n] < _SAME}


def _mismatch(old: Region, new: Region, gap_s: float) -> float:
    """Squared standard deviations between two regions if they are one person's."""
    shift = float(np.hypot(*(old.centre - new.centre))) / max(old.side, new.side)
    if shift > _MOST_SHIFT:
        return np.inf
    size = float(np.log(old.side / new.side))
    return (shift / (_SHIFT + _SHIFT_PER_S * gap_s)) ** 2 + (size / _LOG_SIZE) ** 2


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

CROP_PX = 256
NETWORKS = tuple(name for name in KNOWN_NETWORKS if name.startswith("pose_landmark_"))
_POINTS = 39
_CIRCLE_CENTRE, _CIRCLE_END = 33, 34
_HEAT_WINDOW = 7
"""Cells along a side of the part of a point's map in which it is refined."""
_MIN_HEAT = 0.5
_LANDMARKS, _SCORE, _MASK, _HEAT, _WORLD = range(5)
"""Numbers of the network's results."""


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


class Landmarker:
    """Runs the landmark network over regions of one image, all in one batch.

    Args:
        path: converted weights of one of ``NETWORKS``.
        device: where the network runs.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu") -> None:
        self._network = load_network(path, *NETWORKS).to(device)
        self._device = torch.device(device)

    def __call__(
        self, crops: np.ndarray, regions: Sequence[Region], with_masks: bool = False
    ) -> list[PersonLandmarks]:
        """Landmarks per region, whether a person is there (``score``) or not; ``track`` is -1.

        Args:
            crops: (n, 256, 256, 3) RGB, uint8, see ``crop``.
            regions: what they show.
            with_masks: whether to make masks, which takes a fifth of the time.
        """
        if not regions:
            return []
        wanted = (_LANDMARKS, _SCORE, _HEAT, _WORLD) + (_MASK,) * with_masks
        with torch.inference_mode():
            batch = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float() / 255
            marks, scores, heat, world, *mask = self._network(batch, wanted)
            masks = mask[0][:, 0].sigmoid().cpu().numpy() if mask else [None] * len(regions)
            heat = heat.cpu().numpy()
            marks = marks.cpu().double().numpy().reshape(-1, _POINTS, 5)
            world = world.cpu().double().numpy().reshape(-1, _POINTS, 3)
            scores = scores[:, 0].cpu().numpy()
        marks[..., :2] = _refined(marks[..., :2], heat)
        return [
            _person(marks[k], float(scores[k]), world[k], masks[k], region)
            for k, region in enumerate(regions)
        ]


def crop(image: np.ndarray, region: Region, size_px: int = CROP_PX) -> np.ndarray:
    """(size_px, size_px, 3) what a region shows, upright; black outside the image.

    Args:
        image: (height, width, 3) RGB, uint8.
        region: a usable one, see ``is_usable``.
        size_px: of a side of the crop.
    """
    height, width = image.shape[:2]
    matrix = region.image_from_crop(size_px)
    step = max(1, int(region.side / size_px))  # larger steps of the warp would skip pixels
    corners = matrix @ np.array([[0, 0, size_px, size_px], [0, size_px, 0, size_px], [1] * 4])
    low = np.clip(np.floor(corners.min(1)) - 2, 0, [width, height]).astype(int)
    high = np.clip(np.ceil(corners.max(1)) + 2 + step, 0, [width, height]).astype(int)
    size = (high - low) // step
    if size.min() < 1:
        return np.zeros((size_px, size_px, 3), np.uint8)
    end = low + size * step
    part = image[low[1] : end[1], low[0] : end[0]]
    if step > 1:
        part = cv2.resize(part, tuple(map(int, size)), interpolation=cv2.INTER_AREA)
    matrix = (matrix - [[0, 0, low[0]], [0, 0, low[1]]]) / step
    matrix[:, 2] -= (step - 1) / (2 * step)  # pixel centres stay pixel centres
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, matrix, (size_px, size_px), flags=flags)


def person_map(people: Iterable[PersonLandmarks], geometry: ImageGeometry) -> np.ndarray:
    """Probability that a pixel of the network image shows any of the people.

    Args:
        people: with masks; those without are left out.
        geometry: what source pixels became; its source is the image the people were found in.

    Returns:
        (height_px, width_px) float32, 0..1.
    """
    total = np.zeros((geometry.height_px, geometry.width_px), np.float32)
    offset, one = geometry.network_from_source(np.array([[0.0, 0.0], [1.0, 1.0]]))
    network_from_source = np.column_stack([np.diag(one - offset), offset])
    for person in people:
        if person.mask is not None:
            source_from_crop = np.vstack([person.region.image_from_crop(CROP_PX), [0, 0, 1]])
            _paste(total, person.mask, network_from_source @ source_from_crop)
    return total


def _refined(points_px: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Points moved to the centre of mass of their maps, where those are sure.

    Args:
        points_px: (n, 39, 2) x, y in pixels of the crop.
        heat: (n, 39, rows, columns) logits.
    """
    half, size = _HEAT_WINDOW // 2, heat.shape[-1]
    scaled = points_px * (size / CROP_PX)
    inside = ((scaled > -1) & (scaled < size)).all(-1)
    cell = np.clip(np.trunc(scaled), 0, size - 1).astype(int)
    steps = np.arange(-half, half + 1)
    x, y = cell[..., 0, None] + steps, cell[..., 1, None] + steps
    x_in, y_in = (x >= 0) & (x < size), (y >= 0) & (y < size)
    person, point = np.ogrid[: len(heat), : heat.shape[1]]
    rows, columns = np.clip(y, 0, size - 1)[..., None], np.clip(x, 0, size - 1)[..., None, :]
    logits = heat[person[..., None, None], point[..., None, None], rows, columns]
    weights = _sigmoid(logits) * (y_in[..., None] & x_in[..., None, :])
    sure = inside & (weights.max((-2, -1)) >= _MIN_HEAT)
    total = np.maximum(weights.sum((-2, -1)), 1e-9)
    mean_x = (weights.sum(-2) * x).sum(-1) / total
    mean_y = (weights.sum(-1) * y).sum(-1) / total
    mean = np.stack([mean_x, mean_y], -1) * (CROP_PX / size)
    return np.where(sure[..., None], mean, points_px)


def _person(
    marks: np.ndarray,
    score: float,
    world: np.ndarray,
    mask: np.ndarray | None,
    region: Region,
) -> PersonLandmarks:
    """One person's landmarks in the image and in camera axes."""
    pixels = region.image_points(marks[:, :2], CROP_PX)
    own = marks[:NUM_LANDMARKS]
    return PersonLandmarks(
        score=score,
        detection_score=0.0,
        pixels=pixels[:NUM_LANDMARKS],
        depth_px=own[:, 2] * (region.side / CROP_PX),
        visibility=_sigmoid(own[:, 3]),
        presence=_sigmoid(own[:, 4]),
        world=camera_axes(world[:NUM_LANDMARKS], region),
        region=region,
        next_region=region_of_circle(pixels[_CIRCLE_CENTRE], pixels[_CIRCLE_END]),
        mask=mask,
        track=-1,
    )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))


def _paste(total: np.ndarray, mask: np.ndarray, target_from_crop: np.ndarray) -> None:
    """Raise the map to what one mask says; touches the pixels under the mask only."""
    edge = CROP_PX - 1
    corners = target_from_crop @ np.array([[0, 0, edge, edge], [0, edge, 0, edge], [1] * 4])
    limit = total.shape[::-1]
    low = np.clip(np.floor(corners.min(1)), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(1)) + 1, 0, limit).astype(int)
    size = high - low
    if size.min() < 1:
        return
    matrix = target_from_crop - [[0, 0, low[0]], [0, 0, low[1]]]
    shrink = int(1 / max(np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1 / CROP_PX))
    step = 1 << max(shrink, 1).bit_length() - 1  # a divisor of the crop's side
    if step > 1:  # the warp alone would skip pixels of the mask
        mask = cv2.resize(mask, (CROP_PX // step,) * 2, interpolation=cv2.INTER_AREA)
        scaled = np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1]])
        matrix = matrix @ scaled
    pasted = cv2.warpAffine(mask, matrix, tuple(map(int, size)), flags=cv2.INTER_LINEAR)
    part = total[low[1] : high[1], low[0] : high[0]]
    np.maximum(part, pasted, out=part)

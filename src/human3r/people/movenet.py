"""Finds people with MoveNet MultiPose: key points bottom-up, any number of people.

The network gives six maps at a quarter of the image's size: where centres of people are, the size
and the offset of their boxes, where each of 17 key points is, where the key points of a person
centred here are, and offsets below the size of a cell. A person starts at a peak of the first map;
each key point is the cell of its own map that is best after weighting with closeness to where the
centre expects it. Key points are in the order of COCO (nose, eyes, ears, shoulders, elbows,
wrists, hips, knees, ankles; left before right).
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from human3r.people.graph import load_network
from human3r.people.landmarks import Detection, Region, distinct, region_of_circle
from human3r.people.network_file import packaged_network_path

_NAME = "movenet_multipose"
_STRIDE_PX = 4
_SIDE_STEP_PX = 32
_KEY_POINTS = 17
_SPREAD = 0.30005
"""Of the weight that falls off with the distance in cells, as a share of the map's short side."""
_MIN_POINT_SCORE = 0.127
"""Key points below it do not count in a person's score."""
_MAX_PEOPLE = 32
_UNSURE = 0.2
"""Below it the regressed place of a key point is better than the peak, which is in the image."""
_SHOULDERS, _HIPS, _FACE, _ANKLES = [5, 6], [11, 12], [0, 1, 2, 3, 4], [15, 16]
_TRUNKS_TO_TOP = 1.75
"""Distance from the hips to above the head over that from the hips to the shoulders."""


@dataclass(frozen=True)
class KeyPoints:
    """People of one image, the one with the clearest centre first."""

    points: np.ndarray
    """(n, 17, 2) x and y."""
    point_scores: np.ndarray
    """(n, 17) 0..1."""
    regressed: np.ndarray
    """(n, 17, 2) where the centre expects the key points; may lie outside the image."""
    boxes: np.ndarray
    """(n, 4) x0, y0, x1, y1."""
    scores: np.ndarray
    """(n,) 0..1."""


class MoveNetDetector:
    """Regions of people in an image.

    Args:
        device: where the network runs.
        path: converted weights; the packaged ones by default.
    """

    def __init__(self, device: str | torch.device = "cpu", path: str | Path | None = None) -> None:
        self._network = load_network(path or packaged_network_path(_NAME), _NAME).to(device)
        self._device = torch.device(device)

    def __call__(self, image: np.ndarray, side_px: int, min_score: float) -> list[Detection]:
        """People by descending score, without duplicates.

        Args:
            image: (height, width, 3) RGB, uint8.
            side_px: long side that the image is scaled to; a large one finds small people.
            min_score: least score of a person.
        """
        found = self.key_points(image, side_px, min_score)
        rows = np.flatnonzero(found.scores >= min_score)
        return distinct([Detection(_region(found, k), float(found.scores[k])) for k in rows])  # pyright: ignore[reportArgumentType]

    @torch.inference_mode()
    def key_points(self, image: np.ndarray, side_px: int, min_centre: float = 0.0) -> KeyPoints:
        """Key points in image pixels, whole numbers at pixel centres."""
        canvas, scale = letterbox(image, side_px)
        batch = torch.from_numpy(canvas).to(self._device).permute(2, 0, 1)[None]
        maps = self._network(
            (batch.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        )
        found = decode([m[0].cpu() for m in maps], _MAX_PEOPLE, min_centre)

        def unscaled(points: np.ndarray) -> np.ndarray:
            return ((points + 0.5) / scale - 0.5).astype(np.float64)

        return KeyPoints(
            unscaled(found.points),
            found.point_scores,
            unscaled(found.regressed),
            found.boxes / scale - 0.5,
            found.scores,
        )


def letterbox(image: np.ndarray, side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The image scaled to a long side, black below and right up to multiples of 32; and the scale.

    Returns:
        The canvas, and the (2,) scale along x and y, which differ where a side is rounded.
    """
    height, width = image.shape[:2]
    ratio = side_px / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    kind = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    rows, columns = (-(-s // _SIDE_STEP_PX) * _SIDE_STEP_PX for s in size[::-1])
    canvas = np.zeros((rows, columns, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=kind)
    return canvas, np.array([size[0] / width, size[1] / height])


def decode(maps: list[Tensor], most: int, min_centre: float) -> KeyPoints:
    """People of the network's maps, in pixels of its input.

    Args:
        maps: six of (channels, rows, columns) in the order of the module's description.
        most: how many peaks of the centre map are followed.
        min_centre: least value of a peak.
    """
    centres, sizes, offsets, heat, regressed, point_offsets = maps
    value, row, column = _peaks(torch.sigmoid(centres[0]), most, min_centre)
    place = torch.stack([column, row], 1).float()
    middle = place + offsets[:, row, column].T.flip(1)
    size = sizes[:, row, column].T.flip(1).clamp_min(0)
    limit = torch.tensor([centres.shape[2], centres.shape[1]], dtype=torch.float32)
    low, high = ((middle + sign * size / 2).clamp_min(0).minimum(limit) for sign in (-1, 1))
    expected = place[:, None] + regressed[:, row, column].T.reshape(-1, _KEY_POINTS, 2).flip(2)
    best, score = _best_cells(torch.sigmoid(heat), expected, low, high)
    columns = centres.shape[2]
    point = torch.arange(_KEY_POINTS).expand_as(best)
    shift = point_offsets.reshape(_KEY_POINTS, 2, -1)[point, :, best].flip(-1)
    points = torch.stack([best % columns, best // columns], -1) + shift
    counts = score > _MIN_POINT_SCORE
    mean = (score * counts).sum(1) / counts.sum(1).clamp_min(1)
    boxes = torch.cat([low, high], 1).reshape(-1, 2, 2)
    return KeyPoints(
        (points * _STRIDE_PX).numpy(),
        score.numpy(),
        (expected * _STRIDE_PX).numpy(),
        (boxes * _STRIDE_PX).numpy(),
        (mean * value).numpy(),
    )


def _peaks(centre: Tensor, most: int, min_centre: float) -> tuple[Tensor, Tensor, Tensor]:
    """Values, rows and columns of the highest local maxima (within two cells)."""
    around = F.max_pool2d(centre[None, None], 5, 1, 2)[0, 0]
    peaks = torch.where(centre >= around, centre, 0).flatten()
    value, at = peaks.topk(min(most, peaks.numel()))
    keep = value >= min_centre
    value, at = value[keep], at[keep]
    return value, at // centre.shape[1], at % centre.shape[1]


def _best_cells(heat: Tensor, expected: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Per person and key point the best cell of its map, and its score.

    As in the published graph a cell's score is the best that any person gives it.

    Args:
        heat: (17, rows, columns) probabilities.
        expected: (n, 17, 2) x, y in cells.
        low: (n, 2) corner of the box in cells; nothing outside the box counts.
        high: (n, 2) the other corner.
    """
    rows, columns = heat.shape[1:]
    spread = _SPREAD * min(rows, columns)
    near = []
    for axis, count in ((0, columns), (1, rows)):
        at = torch.arange(count, dtype=torch.float32)
        inside = (at >= low[:, None, axis, None]) & (at < high[:, None, axis, None])
        near.append(torch.exp(-((at - expected[..., axis, None]) ** 2) / spread) * inside)
    weighted = (heat * near[1][..., None] * near[0][..., None, :]).flatten(2)
    score, best = weighted.max(2)
    if len(score):
        score = weighted.amax(0).gather(1, best.T).T
    return best, score


def _region(found: KeyPoints, k: int) -> Region:
    """Person ``k``'s region: about the hips, up to above the head, no smaller than the box asks."""
    score = found.point_scores[k]
    points = np.where(score[:, None] < _UNSURE, found.regressed[k], found.points[k])
    hip, shoulder = points[_HIPS].mean(0), points[_SHOULDERS].mean(0)
    trunk = shoulder - hip
    length = float(np.hypot(*trunk))
    radii = [_TRUNKS_TO_TOP * length, 0.42 * float((found.boxes[k, 1] - found.boxes[k, 0]).max())]
    face = [i for i in _FACE if score[i] > _UNSURE]
    if face:  # tells more of a person who crouches or leans
        radii.append(1.3 * float(np.hypot(*(points[face].mean(0) - hip))))
    radii += [0.95 * float(np.hypot(*(points[i] - hip))) for i in _ANKLES if score[i] > _UNSURE]
    up = trunk / length if length > 1 else np.array([0.0, -1.0])
    return region_of_circle(hip, hip + up * max(radii))

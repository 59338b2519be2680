"""Finds people with the detector of MediaPipe Pose: one clear person, rarely several.

The network answers per anchor with twelve numbers: box centre and size, then four points, of which
the first two are the middle of the hips and a point of the circle about the whole body; all but
the size are offsets from the anchor in pixels of the 224x224 input.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from human3r.people.graph import load_network
from human3r.people.landmarks import Detection, distinct, region_of_circle
from human3r.people.network_file import packaged_network_path

_NAME = "pose_detection"
_SIDE_PX = 224
_GRIDS = ((28, 2), (14, 2), (7, 6))
"""Cells along a side, and anchors per cell."""
_MIN_OVERLAP = 0.3


class PoseDetector:
    """Regions of people in an image.

    Args:
        device: where the network runs.
        path: converted weights; the packaged ones by default.
    """

    def __init__(self, device: str | torch.device = "cpu", path: str | Path | None = None) -> None:
        self._network = load_network(path or packaged_network_path(_NAME), _NAME).to(device)
        self._device = torch.device(device)
        self._anchors = _anchors()

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, min_score: float = 0.5) -> list[Detection]:
        """People by descending score, without duplicates.

        Args:
            image: (height, width, 3) RGB, uint8.
            min_score: least score of a person.
        """
        canvas, scale, corner = _centred(image)
        batch = torch.from_numpy(canvas).to(self._device).permute(2, 0, 1)[None]
        boxes, logits = self._network(batch.float() / 127.5 - 1)
        scores = torch.sigmoid(logits[0, :, 0]).cpu().numpy()
        keep = scores >= min_score
        points = boxes[0].cpu().numpy()[keep].reshape(-1, 6, 2).astype(np.float64)
        points[:, [0, 2, 3, 4, 5]] += self._anchors[keep, None]
        points[:, [0, 2, 3, 4, 5]] -= corner
        found = _merged(points / scale, scores[keep])
        return distinct([Detection(region_of_circle(p[2], p[3]), s) for p, s in found])


def _anchors() -> np.ndarray:
    """(2254, 2) centres of the anchors in pixels of the input."""
    rows = []
    for cells, per_cell in _GRIDS:
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * (_SIDE_PX / cells)
        rows.append(np.repeat(centres, per_cell, axis=0))
    return np.concatenate(rows)


def _centred(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image in the middle of a black square; scale and upper left corner along x and y."""
    height, width = image.shape[:2]
    ratio = _SIDE_PX / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    kind = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    left, top = (_SIDE_PX - size[0]) // 2, (_SIDE_PX - size[1]) // 2
    canvas = np.zeros((_SIDE_PX, _SIDE_PX, 3), np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=kind)
    return canvas, np.array([size[0] / width, size[1] / height]), np.array([left, top])


def _merged(points: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Non-maximum suppression in which the suppressed are averaged by their scores.

    Args:
        points: (n, 6, 2) box centre, box size, four points.
        scores: (n,).
    """
    merged = []
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    while len(points):
        same = _overlaps(points[0], points) > _MIN_OVERLAP
        same[0] = True
        weights = scores[same] / scores[same].sum()
        merged.append((np.tensordot(weights, points[same], 1), float(scores[0])))
        points, scores = points[~same], scores[~same]
    return merged


def _overlaps(one: np.ndarray, all_: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with each."""
    half, halves = np.abs(one[1]) / 2, np.abs(all_[:, 1]) / 2
    low = np.maximum(one[0] - half, all_[:, 0] - halves)
    high = np.minimum(one[0] + half, all_[:, 0] + halves)
    inter = np.maximum(high - low, 0).prod(1)
    union = 4 * (half.prod() + halves.prod(1)) - inter
    return inter / np.maximum(union, 1e-9)

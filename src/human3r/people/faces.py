"""468 points of a face, by the face landmark network of MediaPipe.

The network looks at a crop of 192x192 pixels in which the face stands upright, and answers with the
points as x, y and depth in pixels of the crop and with the logit of a score that a face is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from human3r.people.graph import load_network
from human3r.people.landmarks import PersonLandmarks, Region, camera_axes, upright_region

CROP_PX = 192
NETWORK = "face_landmark"
NUM_POINTS = 468
FOREHEAD, CHIN = 10, 152
"""Points at the upper and the lower end."""
_EYES, _MOUTH, _FACE = (2, 5), (9, 10), (0, 2, 5, 9, 10)
_MIN_SEEN = 0.5
_EYES_SCALE, _MOUTH_SCALE, _FACE_SCALE = 4.4, 3.9, 1.5
"""Sides of regions over the distance of the eyes, that from eyes to mouth, and over the box about
all points."""
_DOWN = 0.28
"""Where the middle of the face is, on the way from the eyes to the mouth."""


@dataclass(frozen=True)
class FaceLandmarks:
    """One face in one image."""

    score: float
    """Probability that the region holds a face, 0..1."""
    points_px: np.ndarray
    """(468, 3) source image pixels, x right and y down; depth at the same scale."""
    region: Region


class FaceLandmarker:
    """Runs the face network over regions of one image, all in one batch.

    Args:
        path: converted weights of ``NETWORK``.
        device: where the network runs.

    Raises:
        WeightsError: missing, damaged, or of another network.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu") -> None:
        self._network = load_network(path, NETWORK).to(device)
        self._device = torch.device(device)

    def __call__(self, crops: np.ndarray, regions: Sequence[Region]) -> list[FaceLandmarks]:
        """A face per region, whether there is one (``score``) or not.

        Args:
            crops: (n, 192, 192, 3) RGB, uint8.
            regions: what they show.
        """
        if not regions:
            return []
        with torch.inference_mode():
            batch = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float() / 255
            marks, logits = (v.flatten(1).cpu().double() for v in self._network(batch))
        scores = logits.sigmoid().numpy()
        return [
            FaceLandmarks(float(scores[k, 0]), _in_image(marks[k].numpy(), region), region)
            for k, region in enumerate(regions)
        ]


def _in_image(marks: np.ndarray, region: Region) -> np.ndarray:
    points = camera_axes(marks.reshape(-1, 3), region) * (region.side / CROP_PX)
    points[:, :2] = region.image_points(marks.reshape(-1, 3)[:, :2], CROP_PX)
    return points


def face_region(person: PersonLandmarks) -> Region | None:
    """Where a person's face is, by the landmarks of the body; None where it is not seen."""
    seen = person.visibility * person.presence
    if min(seen[list(_FACE)]) < _MIN_SEEN:
        return None
    left, right = person.pixels[list(_EYES)]
    eyes, mouth = (left + right) / 2, person.pixels[list(_MOUTH)].mean(0)
    up = eyes - mouth
    side = max(_EYES_SCALE * np.hypot(*(left - right)), _MOUTH_SCALE * np.hypot(*up))
    return upright_region(eyes - _DOWN * up, up, float(side))


def next_face_region(face: FaceLandmarks) -> Region:
    """Where to look for the face in the next image."""
    points = face.points_px[:, :2]
    up = points[FOREHEAD] - points[CHIN]
    unit = up / max(float(np.hypot(*up)), 1e-9)
    axes = np.stack([[-unit[1], unit[0]], unit])
    box = points @ axes.T
    middle = (box.min(0) + box.max(0)) / 2 @ axes
    return upright_region(middle, up, _FACE_SCALE * float(np.ptp(box, axis=0).max()))

"""21 landmarks of a hand, by the hand landmark network of MediaPipe.

The network looks at a crop of 224x224 pixels in which the fingers point up, and answers with 21
points as x, y and depth in pixels of the crop, a score that a hand is there, one that it is a right
hand, and the same points in metres about their middle. The crop follows from the person's wrist and
knuckles, or from the hand's own landmarks in the image before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from human3r.people.graph import load_network
from human3r.people.landmarks import PersonLandmarks, Region, upright_region

CROP_PX = 224
NETWORKS = ("hand_landmark_full", "hand_landmark_lite")
NUM_POINTS = 21
WRIST = 0
FINGERS = {
    "thumb": (1, 2, 3, 4),
    "index": (5, 6, 7, 8),
    "middle": (9, 10, 11, 12),
    "ring": (13, 14, 15, 16),
    "pinky": (17, 18, 19, 20),
}
"""Points of each finger, from the palm to the tip."""
SIDES = ("left", "right")
_PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Points that move little while fingers bend."""
_WRISTS, _PINKIES, _INDICES = (15, 16), (17, 18), (19, 20)
_MIN_SEEN = 0.3
"""Least probability that the wrist is in the image and not covered."""
_PERSON_SCALE, _PERSON_SHIFT = 4.0, 0.04
"""Side of a region over the length from wrist to knuckles, and how far its middle lies from the
knuckles towards the finger tips, of a side: near the regions that hands' own landmarks give."""
_HAND_SCALE, _HAND_SHIFT = 2.0, 0.1
"""The same over the box about the palm. Source: MediaPipe's rule for hands."""


@dataclass(frozen=True)
class HandLandmarks:
    """One hand in one image."""

    score: float
    """Probability that the region holds a hand, 0..1."""
    right_score: float
    """Probability that it is a right hand, 0..1."""
    pixels: np.ndarray
    """(21, 2) float64 source image pixels."""
    depths_m: np.ndarray
    """(21,) metres behind their middle."""
    region: Region


class HandLandmarker:
    """Runs the hand network over regions of one image, all in one batch.

    Args:
        path: converted weights of one of ``NETWORKS``.
        device: where the network runs.

    Raises:
        WeightsError: missing, damaged, or of another network.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu") -> None:
        self._network = load_network(path, *NETWORKS).to(device)
        self._device = torch.device(device)

    def __call__(self, crops: np.ndarray, regions: Sequence[Region]) -> list[HandLandmarks]:
        """A hand per region, whether there is one (``score``) or not.

        Args:
            crops: (n, 224, 224, 3) RGB, uint8.
            regions: what they show.
        """
        if not regions:
            return []
        with torch.inference_mode():
            batch = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float() / 255
            found = [v.flatten(1).cpu().double().numpy() for v in self._network(batch)]
        marks, score, right, world = found
        return [
            HandLandmarks(
                score=float(score[k, 0]),
                right_score=float(right[k, 0]),
                pixels=region.image_points(marks[k].reshape(-1, 3)[:, :2], CROP_PX),
                depths_m=world[k].reshape(-1, 3)[:, 2],
                region=region,
            )
            for k, region in enumerate(regions)
        ]


def hand_region(person: PersonLandmarks, side: int) -> Region | None:
    """Where a person's hand is, by the landmarks of the body; None where it is not seen.

    Args:
        person: whose hand.
        side: index into ``SIDES``.
    """
    wrist, pinky, index = (person.pixels[i[side]] for i in (_WRISTS, _PINKIES, _INDICES))
    seen = person.visibility * person.presence
    if min(seen[_WRISTS[side]], seen[_INDICES[side]]) < _MIN_SEEN:
        return None
    knuckles = (2 * index + pinky) / 3
    along = knuckles - wrist
    return upright_region(knuckles, along, _PERSON_SCALE * float(np.hypot(*along)), _PERSON_SHIFT)


def next_hand_region(hand: HandLandmarks) -> Region:
    """Where to look for the hand in the next image."""
    points = hand.pixels
    along = (points[5] + 2 * points[9] + points[13]) / 4 - points[WRIST]
    up = along / max(float(np.hypot(*along)), 1e-9)
    axes = np.stack([[-up[1], up[0]], up])
    box = points[list(_PALM)] @ axes.T
    middle = (box.min(0) + box.max(0)) / 2 @ axes
    return upright_region(
        middle, along, _HAND_SCALE * float(np.ptp(box, axis=0).max()), _HAND_SHIFT
    )

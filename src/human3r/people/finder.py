"""Finds people in a video: who is tracked from frame to frame, and who is new.

A region seldom has to be detected: the landmarks of one frame say where to look in the next. The
detector runs every few frames for those who are new, at once when a person was lost, and it keeps
the landmark network honest, which confirms a person in some things that are none: who is new needs
the detector's word, and whom it never names again is dropped.
"""

import copy
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from human3r.errors import ConfigError
from human3r.people.landmarks import (
    Detection,
    Landmarker,
    PersonLandmarks,
    Region,
    assigned,
    crop,
    distinct,
    is_same_person,
    is_usable,
)
from human3r.people.movenet import MoveNetDetector
from human3r.people.network_file import packaged_network_path
from human3r.people.pose_detector import PoseDetector
from human3r.types import check_rgb_image

DETECTORS = ("movenet", "mediapipe", "none")
_USUAL_GAP_S = 0.1
"""From frame to frame, where frames bring no time."""
_BODY = slice(11, None)
"""Landmarks below the face."""
_COVERED = 0.8
"""Share of a body's landmarks within another body from which on the other covers it."""


@dataclass(frozen=True)
class FinderOptions:
    """How people are looked for.

    Raises:
        ConfigError: a value is out of range.
    """

    detector: str = "movenet"
    """One of ``DETECTORS``; ``none``: only the regions that the caller hints at."""
    landmarks: str = ""
    """File of a landmark network, larger or smaller; empty: the packaged one (full)."""
    detect_every: int = 3
    """Frames from one run of the detector to the next while people are tracked; where frames are
    more than a tenth of a second apart, tenths of a second."""
    sides_px: tuple[int, ...] = (384, 256)
    """Long sides that MoveNet sees the image at, by turns after the first image; large ones find
    small people."""
    min_presence: float = 0.5
    """Least score of the landmark network for a person."""
    min_new_score: float = 0.2
    """Lowest detector score for a new person."""
    min_known_score: float = 0.12
    """Lowest detector score that keeps a known person."""
    max_unnamed_runs: int = 1
    """Consecutive MoveNet runs that may miss a person before it is dropped."""
    max_people: int = 8
    """Most regions looked at in one frame: what a frame may cost."""
    with_masks: bool = False
    """Whether to make masks of the people."""

    def __post_init__(self) -> None:
        checks = {
            "detector": self.detector in DETECTORS,
            "detect_every": self.detect_every >= 1,
            "sides_px": len(self.sides_px) > 0 and all(32 <= s <= 1024 for s in self.sides_px),
            "min_presence": 0 < self.min_presence < 1,
            "min_new_score": 0 < self.min_new_score < 1,
            "min_known_score": 0 < self.min_known_score <= self.min_new_score,
            "max_unnamed_runs": self.max_unnamed_runs >= 0,
            "max_people": 1 <= self.max_people <= 64,
        }
        for name, is_good in checks.items():
            if not is_good:
                raise ConfigError(
                    f"people finder: {name}={getattr(self, name)!r} is out of range; expected a "
                    "value as the documentation of FinderOptions says. Correct it."
                )


@dataclass(frozen=True)
class FinderTiming:
    """Seconds that the parts of one frame took."""

    detector: float = 0.0
    crops: float = 0.0
    landmarks: float = 0.0


@dataclass(frozen=True)
class _Candidate:
    """A region to look at."""

    region: Region
    track: int = -1
    detection: Detection | None = None
    """What the detector says of the person in this frame; None: nothing."""
    unnamed_runs: int = 0
    """Runs of the detector since it last named the person."""
    last_seen_in: Region | None = None
    """The region in which the person was seen in the frame before."""

    def second_regions(self, person: PersonLandmarks | None) -> list[Region]:
        """Where to look again after what was found in ``region``."""
        found = self.detection
        if person is None:
            others = [found.region if found else None, self.last_seen_in]
            return [r for r in others if r is not None and r is not self.region]
        is_rough = found is not None and found.is_rough and self.track < 0
        return [person.next_region] if is_rough else []


_Found = tuple[PersonLandmarks, _Candidate]


class PeopleFinder:
    """Landmarks of all people in the frames of one video.

    Answers depend on the frames since ``reset`` only.

    Attributes:
        timing: of the last frame.
    """

    def __init__(
        self, options: FinderOptions | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.options = options or FinderOptions()
        name = self.options.landmarks
        path = Path(name) if name else packaged_network_path("pose_landmark_full")
        self._landmarker = Landmarker(path, device)
        self._movenet = MoveNetDetector(device) if self.options.detector == "movenet" else None
        self._mediapipe = PoseDetector(device) if self.options.detector == "mediapipe" else None
        self.timing = FinderTiming()
        self.reset()

    def beside(self) -> "PeopleFinder":
        """A finder for another video with the same networks."""
        made = copy.copy(self)
        made.timing = FinderTiming()
        made.reset()
        return made

    def reset(self) -> None:
        """All people are removed: the next frame is the first of a video."""
        self._known: list[_Candidate] = []
        self._next_track = 0
        self._frames_since_detection = float(self.options.detect_every)
        self._last_ns: int | None = None
        self._runs = 0

    def warm_up(self, image: np.ndarray) -> None:
        """Run every network once on an image of the video's size, then remove all people."""
        height, width = image.shape[:2]
        region = Region(np.array([width / 2, height / 2]), float(height), 0.0)
        self._detect(image)
        self._landmarks(image, [_Candidate(region)])
        self.reset()

    def __call__(
        self, image: np.ndarray, hints: Sequence[Detection] = (), stamp_ns: int | None = None
    ) -> list[PersonLandmarks]:
        """People in the next frame, in the order of their track numbers.

        Args:
            image: (height, width, 3) RGB, uint8.
            hints: regions from elsewhere, such as another network's heads; they count as the
                detector's.
            stamp_ns: of the frame; without it frames count as a tenth of a second apart.

        Raises:
            ShapeError: another kind of image.
        """
        image = check_rgb_image(image)
        self.timing = FinderTiming()
        gap_s = self._gap_s(stamp_ns)
        self._frames_since_detection += max(1.0, gap_s / _USUAL_GAP_S)
        found = [h for h in hints if self._is_usable(image, h.region)]
        is_due = self._frames_since_detection >= self.options.detect_every or not self._known
        if is_due:
            found += self._detect(image)
        kept, new = self._candidates(self._known, distinct(found), gap_s, is_due)
        candidates = [c for c in kept if c is not None] + new
        people = self._look(image, candidates[: self.options.max_people])
        if self.options.detector == "movenet":
            people = _without_covered(people)
        if not is_due and len({p.track for p, _ in people if p.track >= 0}) < len(self._known):
            people = self._searched_again(image, people)
        return self._numbered(image, people)

    def _gap_s(self, stamp_ns: int | None) -> float:
        """Time since the last frame."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if last_ns is None or stamp_ns is None:
            return _USUAL_GAP_S
        return max(0.0, (stamp_ns - last_ns) * 1e-9)

    def _is_usable(self, image: np.ndarray, region: Region) -> bool:
        return is_usable(region, image.shape[1], image.shape[0])

    def _detect(self, image: np.ndarray) -> list[Detection]:
        """What the detector says, from the surest on."""
        began = time.perf_counter()
        found: list[Detection] = []
        if self._movenet is not None:
            sides = self.options.sides_px
            turn = sides[self._runs % len(sides)]
            # One image may be all there is: the first is seen at every size.
            for side in [turn] if self._runs else sides:
                found += self._movenet(image, side, self.options.min_known_score)
        elif self._mediapipe is not None:
            found = self._mediapipe(image)
        self._runs += 1
        self._frames_since_detection = 0.0
        self._add_time(detector=time.perf_counter() - began)
        return [d for d in found if self._is_usable(image, d.region)]

    def _add_time(self, **parts: float) -> None:
        sums = {name: getattr(self.timing, name) + more for name, more in parts.items()}
        self.timing = dataclasses.replace(self.timing, **sums)

    def _candidates(
        self, known: list[_Candidate], found: list[Detection], gap_s: float, is_detector_run: bool
    ) -> tuple[list[_Candidate | None], list[_Candidate]]:
        """Each one known, None for whom the detector names no more; and those who are new."""
        pairs = assigned([c.region for c in known], [d.region for d in found], gap_s)
        # The other detector misses most of several people, so its silence says nothing.
        counts = is_detector_run and self.options.detector == "movenet"
        kept: list[_Candidate | None] = []
        for k, candidate in enumerate(known):
            runs = 0 if k in pairs else candidate.unnamed_runs + counts
            detection = found[pairs[k]] if k in pairs else None
            is_kept = runs <= self.options.max_unnamed_runs
            kept.append(_named(candidate, detection, runs) if is_kept else None)
        regions = [c.region for c in kept if c is not None]
        new = [
            _Candidate(detection.region, -1, detection)
            for n, detection in enumerate(found)
            if n not in pairs.values()
            and detection.score >= self.options.min_new_score
            and not any(is_same_person(detection.region, region) for region in regions)
        ]
        return kept, new

    def _look(self, image: np.ndarray, candidates: list[_Candidate]) -> list[_Found]:
        """Those in whose regions the landmark network sees a person, none twice.

        A second look is for those whose region is rough, and for those who are not in the tracked
        region: people whom the border cuts are often seen in one region and not in the next.
        """
        people, again = [], []
        for candidate, person in zip(candidates, self._landmarks(image, candidates), strict=True):
            regions = [r for r in candidate.second_regions(person) if self._is_usable(image, r)]
            again += [dataclasses.replace(candidate, region=region) for region in regions]
            if person is not None and not regions:
                people.append((person, candidate))
        seen = zip(self._landmarks(image, again), again, strict=True)
        return _unique(people + [(person, c) for person, c in seen if person is not None])

    def _landmarks(
        self, image: np.ndarray, candidates: list[_Candidate]
    ) -> list[PersonLandmarks | None]:
        """Per candidate who is seen in its region."""
        if not candidates:
            return []
        began = time.perf_counter()
        crops = np.stack([crop(image, c.region) for c in candidates])
        cropped = time.perf_counter()
        regions = [c.region for c in candidates]
        people = self._landmarker(crops, regions, self.options.with_masks)
        self._add_time(crops=cropped - began, landmarks=time.perf_counter() - cropped)
        return [
            dataclasses.replace(person, track=c.track, detection_score=_score(c))
            if person.score >= self.options.min_presence and np.isfinite(person.pixels).all()
            else None
            for person, c in zip(people, candidates, strict=True)
        ]

    def _searched_again(self, image: np.ndarray, people: list[_Found]) -> list[_Found]:
        """People after a run of the detector in a frame in which a person was lost."""
        now = [dataclasses.replace(c, region=person.next_region) for person, c in people]
        kept, new = self._candidates(now, self._detect(image), 0.0, True)
        people = [
            (dataclasses.replace(person, detection_score=_score(c)), c)
            for (person, _), c in zip(people, kept, strict=True)
            if c is not None
        ]
        return _unique(people + self._look(image, new[: self.options.max_people - len(people)]))

    def _numbered(self, image: np.ndarray, people: list[_Found]) -> list[PersonLandmarks]:
        """New people get the next numbers, and the next region of each person is kept."""
        people, result, self._known = _recovered(people, self._known), [], []
        for person, candidate in people:
            track = person.track
            if track < 0:
                track, self._next_track = self._next_track, self._next_track + 1
            result.append(dataclasses.replace(person, track=track))
            if self._is_usable(image, person.next_region):
                runs, region = candidate.unnamed_runs, person.region
                self._known.append(_Candidate(person.next_region, track, None, runs, region))
        return sorted(result, key=lambda person: person.track)


def _named(candidate: _Candidate, detection: Detection | None, runs: int) -> _Candidate:
    """Someone known; looked for where the detector says once they have left their last region."""
    region = candidate.region
    if detection is not None and not is_same_person(detection.region, region):
        region = detection.region
    return dataclasses.replace(candidate, region=region, detection=detection, unnamed_runs=runs)


def _distance(a: Region, b: Region) -> float:
    return float(np.hypot(*(a.centre - b.centre)))


def _score(candidate: _Candidate) -> float:
    return candidate.detection.score if candidate.detection else 0.0


def _recovered(people: list[_Found], known: list[_Candidate]) -> list[_Found]:
    """People; whoever is new where a known one was just lost gets that one's number."""
    seen = {person.track for person, _ in people}
    lost = [c for c in known if c.track not in seen]
    result = []
    for person, candidate in people:
        near = [c for c in lost if _is_about_there(c.region, person.region)]
        if person.track < 0 and near:
            old = min(near, key=lambda c: _distance(c.region, person.region))
            lost = [c for c in lost if c is not old]
            person = dataclasses.replace(person, track=old.track)
        result.append((person, candidate))
    return result


def _is_about_there(old: Region, new: Region) -> bool:
    """Whether a person may have moved from one region to the other within a frame or a few."""
    return _distance(old, new) < 0.5 * old.side and 0.5 < old.side / new.side < 2


def _unique(people: list[_Found]) -> list[_Found]:
    """Of two whose landmarks coincide the one known longer, else the surer one."""
    kept: list[_Found] = []
    for person, candidate in sorted(people, key=lambda p: (p[0].track < 0, -p[0].score)):
        if not any(_is_same(person, other) for other, _ in kept):
            kept.append((person, candidate))
    return kept


def _without_covered(people: list[_Found]) -> list[_Found]:
    """People, without whom nothing is left to see of.

    The region of one who walks behind another stays where it was, and landmarks found in it are
    the other's. Who really stands before the other is named by MoveNet.
    """
    bodies = [person.pixels[_BODY] for person, _ in people]
    return [
        found
        for n, found in enumerate(people)
        if found[1].detection is not None
        or not any(_is_inside(bodies[n], other) for m, other in enumerate(bodies) if m != n)
    ]


def _is_inside(points: np.ndarray, others: np.ndarray) -> bool:
    """Whether nearly all points (n, 2) lie in the others' convex hull, and fewer the other way."""
    return _share_inside(points, others) > max(_COVERED, _share_inside(others, points))


def _share_inside(points: np.ndarray, others: np.ndarray) -> float:
    hull = cv2.convexHull(others.astype(np.float32))
    return float(np.mean([cv2.pointPolygonTest(hull, (x, y), False) >= 0 for x, y in points]))


def _is_same(a: PersonLandmarks, b: PersonLandmarks) -> bool:
    return (a.track >= 0 and a.track == b.track) or _coincide(a, b)


def _coincide(a: PersonLandmarks, b: PersonLandmarks) -> bool:
    """Whether the landmarks of bodies, not faces, lie mostly on one another."""
    apart = np.hypot(*(a.pixels[_BODY] - b.pixels[_BODY]).T)
    return bool(np.median(apart) < 0.06 * min(a.region.side, b.region.side))

"""Scale of the scene from people: how deep their fitted bodies are against the scene's depth there.

Bodies fitted to landmarks are metric: their size is that of people, and known to a few percent.
Where such a body is seen, the scene's depth says how far away it is in the scene's unit. One person
in one frame gives one vote, the median over the pixels of its surface of log(body / scene). What a
body is off by (mostly its stature) stays the same from frame to frame, so more frames of a person
make the vote firmer only down to that, and more people make it firmer without end.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float

from human3r.scale.sources import FrameVotes, Guess, Middle, combined, judged
from human3r.types import FrameEstimate

_BODY_STDDEV = 0.065
"""Of a fitted body's depth over its depth, the same in every frame of a person."""
_PERSON_PROBABILITY = 0.5
_MIN_PIXELS = 20
_MIN_FRAMES = 5
_PATIENCE_FRAMES = 3 * _MIN_FRAMES
_WINDOW_NS = 30_000_000_000
_MAX_FRAMES, _MAX_TRACKS = 200, 32
_WHAT = "the depth of people's bodies against the scene's"
_REMEDY = "Let people come into sight, whole and not too far away, or choose another scale.mode."


class PeopleScale:
    """Compares bodies with the scene; remembers the votes of the last half minute.

    Attributes:
        last_votes: ``person_votes`` of the frame last compared.
    """

    def __init__(self) -> None:
        self.last_votes: dict[int, float] = {}
        self._votes: dict[int, FrameVotes] = {}
        self._num_frames = 0

    def forget(self) -> None:
        """A new world: what was measured of the old one says little about it."""
        self._votes.clear()
        self._num_frames = 0

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame: people in metres, points in the scene's unit."""
        self.last_votes = person_votes(raw)
        self._num_frames += 1
        for track_id, vote in self.last_votes.items():
            votes = self._votes.setdefault(track_id, FrameVotes(_WINDOW_NS, _MAX_FRAMES))
            votes.add(raw.stamp_ns, vote)
        self._drop_old(raw.stamp_ns)
        tracks = [votes for votes in self._votes.values() if len(votes) >= _MIN_FRAMES]
        samples = sum(map(len, self._votes.values()))
        # Whoever was there from the beginning on is missed only after a while.
        if not tracks and self._num_frames < _PATIENCE_FRAMES:
            return Guess(samples=samples)
        if not tracks:
            return Guess(
                samples=samples,
                trouble=f"no person was compared with the scene in {_MIN_FRAMES} frames of the "
                f"last {_WINDOW_NS // 1_000_000_000} s; expected one person at least. {_REMEDY}",
            )
        self._num_frames = _PATIENCE_FRAMES
        middle = combined([_track_middle(votes) for votes in tracks])
        samples = sum(map(len, tracks))
        return judged(math.exp(middle.value), middle.stddev, samples, _WHAT, _REMEDY)

    def _drop_old(self, now_ns: int) -> None:
        for votes in self._votes.values():
            votes.until(now_ns)
        newest_first = sorted(
            (item for item in self._votes.items() if item[1]), key=lambda item: -item[1].newest_ns
        )
        self._votes = dict(newest_first[:_MAX_TRACKS])


def person_votes(raw: FrameEstimate) -> dict[int, float]:
    """Per track log(depth of the body / depth of the scene), of people seen well enough.

    Args:
        raw: people in metres; points in the scene's unit.
    """
    if not raw.people:
        return {}
    owner, body_depth = _drawn(raw)
    inside = cv2.erode((raw.person_probability > _PERSON_PROBABILITY).astype(np.uint8), _AROUND)
    usable = (inside > 0) & (raw.depth > 0) & np.isfinite(raw.depth)
    votes = {}
    for index, person in enumerate(raw.people):
        pixels = usable & (owner == index)
        if pixels.sum() >= _MIN_PIXELS:
            ratio = np.log(body_depth[pixels] / raw.depth[pixels])
            votes[person.track_id] = float(np.median(ratio))
    return votes


_AROUND = np.ones((3, 3), np.uint8)


def _track_middle(votes: FrameVotes) -> Middle:
    """What the frames of one person say together."""
    middle = votes.middle()
    return Middle(middle.value, math.hypot(middle.stddev, _BODY_STDDEV))


def _drawn(
    raw: FrameEstimate,
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """Per pixel whose body is nearest, -1: none, and how deep it is, infinite where none is.

    Vertices stand for the surface; bodies have enough of them at the size of network images.
    """
    height, width = raw.depth.shape
    owner, depth = np.full(height * width, -1), np.full(height * width, np.inf)
    k = raw.intrinsics
    for index, person in enumerate(raw.people):
        x, y, z = person.vertices_camera[person.vertices_camera[:, 2] > 0].T.astype(np.float64)
        column, row = np.rint(k.fx * x / z + k.cx), np.rint(k.fy * y / z + k.cy)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        cell = (row[inside] * width + column[inside]).astype(np.int64)
        own = np.full(height * width, np.inf)
        np.minimum.at(own, cell, z[inside])
        owner[own < depth] = index
        depth = np.minimum(depth, own)
    return owner.reshape(height, width), depth.reshape(height, width)

"""Which people's limbs are changed: those whose held-out stances show that it helps.

Stances are halved in turns; with each half alone, the feet of the other half have to stand stiller
than they did, while joints stay where images show them (cross-validation, Stone 1974).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from human3r.body import skeleton
from human3r.refine.limbs.kinematics import NUM_JOINTS, Chain
from human3r.refine.limbs.solve import FEWEST, Change, best_change, no_change
from human3r.refine.limbs.stances import find_stances, runs, trembling
from human3r.refine.limbs.terms import Known, Terms
from human3r.refine.recording import LEFT_FOOT, RIGHT_FOOT, Recording, Track

_ANKLES = {LEFT_FOOT: 7, RIGHT_FOOT: 8}
_SKIN_PER_FOOT = 2
_LONGEST_GAP_S, _FASTEST_M_S = 0.5, 6.0
"""What comes later, or went faster, may be another person."""
_BETTER, _LEAST_MM = 0.95, 0.2
"""Feet of held-out stances have to slide less than this share of before, by so much at least."""
_STILL = 0.25
"""Feet of stances that are shown have to slide less than this share of before, or are none."""
_FARTHEST_IN_IMAGE = 1.5
"""Of joints from where they appeared, in standard deviations."""


@dataclass(frozen=True)
class Stillness:
    """How the limbs of a person were judged."""

    is_accepted: bool
    stances: int
    before_mm: float
    """Sliding of feet from frame to frame, of held-out stances; NaN without two of them."""
    after_mm: float


def settled(recording: Recording) -> tuple[tuple[Track, ...], tuple[Stillness | None, ...]]:
    """All people with limbs that fit their motion; None for those without a pose."""
    found = [_person(recording, track) for track in recording.tracks]
    return tuple(track for track, _ in found), tuple(judged for _, judged in found)


@dataclass(frozen=True)
class _Stretch:
    """Rows of a track without a gap."""

    rows: Int[np.ndarray, " rows"]
    known: Known
    feet: Float[np.ndarray, "rows 2 3"]
    """Middle of each foot's skin points, world frame."""
    stance: Int[np.ndarray, "rows 2"]
    """Number of the stance of each foot, counted over the track; -1 while it does not stand."""

    def shown(self, half: int) -> Known:
        """What is known with every other stance alone."""
        stands = (self.stance >= 0) & (self.stance % 2 == half)
        return replace(self.known, stands=self.skin(stands))

    def skin(self, stands: Bool[np.ndarray, "rows 2"]) -> Float[np.ndarray, "rows skin"]:
        """What holds for feet, for their skin points."""
        return np.repeat(stands, _SKIN_PER_FOOT, axis=1).astype(float)

    def sliding_m(self, feet: np.ndarray, half: int) -> Float[np.ndarray, " steps"]:
        """Ways of feet from frame to frame while they stand in every other stance."""
        same = (self.stance[1:] == self.stance[:-1]) & (self.stance[1:] >= 0)
        return np.linalg.norm(np.diff(feet, axis=0), axis=-1)[same & (self.stance[1:] % 2 == half)]


def _person(recording: Recording, track: Track) -> tuple[Track, Stillness | None]:
    if track.pose is None:
        return track, None
    stretches = _stretches(recording, track)
    count = max((int(one.stance.max(initial=-1)) for one in stretches), default=-1) + 1
    if count < 2:
        return track, Stillness(False, count, float("nan"), float("nan"))
    before_mm, after_mm = _held_out(stretches)
    if not after_mm < _BETTER * before_mm - _LEAST_MM:
        return track, Stillness(False, count, before_mm, after_mm)
    pairs = [(one, best_change(one.known)) for one in stretches]
    is_accepted = _are_still(pairs) and all(_is_seen(*pair) for pair in pairs)
    judged = Stillness(is_accepted, count, before_mm, after_mm)
    return (_changed(recording, track, pairs) if is_accepted else track), judged


def _stretches(recording: Recording, track: Track) -> list[_Stretch]:
    """Those that are long enough, with their stances."""
    pose, times_s = recording.world_from_camera[track.frames], recording.times_s[track.frames]
    joints, skin = _world(track.joints[:, :NUM_JOINTS], pose), _world(track.points, pose)
    gap_s = np.diff(times_s)
    leaps = np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=1) > _FASTEST_M_S * gap_s
    another_world = np.diff(recording.session[track.frames]) != 0
    ends = np.flatnonzero((gap_s > _LONGEST_GAP_S) | leaps | another_world) + 1
    stretches, count = [], 0
    for rows in np.split(np.arange(len(times_s)), ends):
        if len(rows) < FEWEST:
            continue
        feet = [skin[rows][:, track.parts == part].mean(axis=1) for part in _ANKLES]
        feet = np.stack(feet, axis=1)
        stance = np.full(feet.shape[:2], -1)
        stands = find_stances(feet, pose[rows, :3, 3], times_s[rows])
        for foot in range(2):
            for run in runs(stands[:, foot]):
                stance[run, foot] = count
                count += 1
        known = _known(track, rows, joints[rows], skin[rows], pose[rows], times_s[rows])
        stretches.append(_Stretch(rows, known, feet, stance))
    return _with_trembling(stretches)


def _known(
    track: Track,
    rows: np.ndarray,
    joints: np.ndarray,
    skin: np.ndarray,
    pose: np.ndarray,
    times_s: np.ndarray,
) -> Known:
    """Of a stretch, with nothing that stands yet; two skin points of each foot, far apart."""
    assert track.pose is not None
    rotations = track.pose.rotations[rows, :NUM_JOINTS].astype(np.float64)
    rotations[:, 0] = pose[:, :3, :3] @ rotations[:, 0]
    chosen = np.concatenate([_farthest(skin[0], track.parts == part) for part in _ANKLES])
    rides_on = np.array([_ANKLES[part] for part in track.parts[chosen]])
    chain = Chain.of(rotations, joints, skin[:, chosen], rides_on)
    nothing = np.zeros((len(rows), len(chosen)))
    return Known(chain, pose[:, :3, 3], times_s, nothing, np.zeros(2))


def _farthest(skin: Float[np.ndarray, "points 3"], which: np.ndarray) -> np.ndarray:
    """The two of some points that are farthest apart."""
    index = np.flatnonzero(which)
    apart = np.linalg.norm(skin[index][:, None] - skin[index][None], axis=-1)
    return index[list(np.unravel_index(apart.argmax(), apart.shape))]


def _with_trembling(stretches: list[_Stretch]) -> list[_Stretch]:
    """With all stances believed, and how much feet tremble in all of them together."""
    weights = np.array([(one.stance >= 0).sum() for one in stretches])
    sizes = [trembling(one.feet, one.known.centres, one.stance >= 0) for one in stretches]
    mean = sum((w * size for w, size in zip(weights, sizes, strict=True)), np.zeros(2))
    mean = mean / max(weights.sum(), 1)
    return [
        replace(one, known=replace(one.known, stands=one.skin(one.stance >= 0), trembling_m=mean))
        for one in stretches
    ]


def _held_out(stretches: list[_Stretch]) -> tuple[float, float]:
    """Mean sliding per frame of every other stance, before and after the others were shown."""
    before, after = [np.zeros(0)], [np.zeros(0)]
    for one in stretches:
        for half in (0, 1):
            slides = one.sliding_m(one.feet, 1 - half)
            if len(slides):
                before.append(slides)
                after.append(one.sliding_m(_feet(one, best_change(one.shown(half))), 1 - half))
    return _mean_mm(before), _mean_mm(after)


def _are_still(pairs: list[tuple[_Stretch, Change]]) -> bool:
    """Whether feet stand still after they were told to."""
    halves = [(one, change, half) for one, change in pairs for half in (0, 1)]
    before = [one.sliding_m(one.feet, half) for one, _, half in halves]
    after = [one.sliding_m(_feet(one, change), half) for one, change, half in halves]
    return _mean_mm(after) < _STILL * _mean_mm(before)


def _feet(stretch: _Stretch, change: Change) -> Float[np.ndarray, "rows 2 3"]:
    """Where feet are after a change."""
    chain = stretch.known.chain
    came, found = (
        chain.posed(one.turn, one.shift).skin for one in (no_change(len(stretch.rows)), change)
    )
    moved = (found - came).reshape(len(came), 2, _SKIN_PER_FOOT, 3)
    return stretch.feet + moved.mean(axis=2)


def _mean_mm(parts: list[np.ndarray]) -> float:
    values = np.concatenate(parts)
    return 1e3 * float(values.mean()) if len(values) else float("nan")


def _is_seen(stretch: _Stretch, change: Change) -> bool:
    """Whether joints are still where images show them."""
    terms = Terms(stretch.known)
    posed = stretch.known.chain.posed(change.turn, change.shift)
    return terms.image_error(posed) < _FARTHEST_IN_IMAGE


def _changed(recording: Recording, track: Track, pairs: list[tuple[_Stretch, Change]]) -> Track:
    """The track with its bodies posed anew where a stretch was solved."""
    assert track.pose is not None
    rotations = track.pose.rotations.copy()
    head = track.joints[:, skeleton.HEAD].copy()
    for stretch, change in pairs:
        rows, chain = stretch.rows, stretch.known.chain
        posed = chain.posed(change.turn, change.shift)
        pose = recording.world_from_camera[track.frames[rows]]
        rotations[rows, :NUM_JOINTS] = posed.rotations
        rotations[rows, 0] = np.swapaxes(pose[:, :3, :3], 1, 2) @ posed.rotations[:, 0]
        off = posed.joints[:, skeleton.HEAD] - pose[:, :3, 3]
        head[rows] = np.einsum("nji,nj->ni", pose[:, :3, :3], off)
    joints, points = track.pose.posed(rotations, head)
    return replace(
        track, joints=joints, points=points, pose=replace(track.pose, rotations=rotations)
    )


def _world(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return np.einsum("nij,npj->npi", pose[:, :3, :3], points) + pose[:, None, :3, 3]

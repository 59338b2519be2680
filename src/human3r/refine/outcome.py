"""A refined recording from a state at key frames: what lies between is interpolated."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation, Slerp

from human3r.geometry import invert
from human3r.refine.acceptance import Solve, Verdict
from human3r.refine.contacts import Contacts
from human3r.refine.limbs.people import Stillness
from human3r.refine.recording import Recording, Track
from human3r.refine.rows import Rows
from human3r.refine.unknowns import State


@dataclass(frozen=True)
class Refined:
    """A refined recording."""

    recording: Recording
    """Cameras and people refined; views are still those of the input."""
    frame_scale: Float[np.ndarray, " frames"]
    """Factor on the depth of each frame."""
    keys: Int[np.ndarray, " keys"]
    """Frames that were solved for; what lies between is interpolated."""
    chunk: Int[np.ndarray, " keys"]
    log_scale: Float[np.ndarray, " chunks"]
    rows: Rows
    contacts: tuple[Contacts, ...]
    """Per track, of its rows at key frames."""
    steps: int
    """Of least squares, over all rounds."""
    has_changed: bool
    """False when nothing spoke for a change and the input was returned."""
    verdict: Verdict | None = None
    """How what was held out is explained; None where nothing was tried."""
    limbs: tuple[Stillness | None, ...] = ()
    """Per track, how changes of its limbs were judged; None where limbs are not known."""


def finished(
    work: Solve,
    state: State,
    contacts: tuple[Contacts, ...],
    steps: int,
    verdict: Verdict | None = None,
) -> Refined:
    """The recording that a state at key frames stands for; without a verdict the input."""
    recording, keys, chunk, rows = work.recording, work.keys, work.chunk, work.rows
    has_changed = verdict is not None and verdict.is_accepted
    tracks = []
    for person, track in enumerate(recording.tracks):
        mine = rows.person == person
        moved = _between(recording, keys, rows, mine, track, state.shift)
        turned = _between(recording, keys, rows, mine, track, state.turn)
        tracks.append(moved_track(track, moved, turned))
    poses, scale = recording.world_from_camera, np.ones(len(recording.stamps_ns))
    if has_changed:
        scale = np.exp(state.log_scale)[_chunk_of_frames(recording, keys, chunk)]
        poses = _poses(recording, keys, state, scale)
    return Refined(
        replace(recording, world_from_camera=poses, tracks=tuple(tracks)),
        scale,
        keys,
        chunk,
        state.log_scale if has_changed else np.zeros_like(state.log_scale),
        rows,
        contacts,
        steps,
        has_changed,
        verdict,
    )


def moved_track(track: Track, shift: np.ndarray, turn: np.ndarray) -> Track:
    """A track whose bodies are turned about their pelvises and moved."""
    if not len(track.frames):
        return track
    rotation = Rotation.from_rotvec(turn).as_matrix()
    pelvis = track.joints[:, :1]

    def placed(points: np.ndarray) -> np.ndarray:
        turned = np.einsum("nij,npj->npi", rotation, points - pelvis)
        return turned + pelvis + shift[:, None]

    pose = track.pose
    if pose is not None:
        root = rotation @ pose.rotations[:, 0]
        rotations = np.concatenate([root[:, None], pose.rotations[:, 1:]], axis=1)
        pose = replace(pose, rotations=rotations)
    return replace(track, joints=placed(track.joints), points=placed(track.points), pose=pose)


def _between(
    recording: Recording,
    keys: np.ndarray,
    rows: Rows,
    mine: np.ndarray,
    track: Track,
    values: np.ndarray,
) -> Float[np.ndarray, "rows 3"]:
    """Corrections of all rows of a track from those at key frames."""
    at_s = recording.times_s[keys[rows.key[mine]]]
    wanted_s = recording.times_s[track.frames]
    if not len(at_s):
        return np.zeros((len(wanted_s), 3))
    return np.stack([np.interp(wanted_s, at_s, column) for column in values[mine].T], axis=1)


def _chunk_of_frames(recording: Recording, keys: np.ndarray, chunk: np.ndarray) -> np.ndarray:
    """Of each frame: that of the nearest key frame in its session, as a number of a chunk."""
    frames = np.arange(len(recording.stamps_ns))
    nearest = np.abs(frames[:, None] - keys[None])
    other = recording.session[:, None] != recording.session[keys][None]
    return chunk[(nearest + other * len(frames)).argmin(axis=1)]


def _poses(
    recording: Recording, keys: np.ndarray, state: State, scale: np.ndarray
) -> Float[np.ndarray, "frames 4 4"]:
    """Of all frames: each goes as it went, from the key frames on both sides, blended."""
    start = recording.world_from_camera
    poses = start.copy()
    poses[keys, :3, :3], poses[keys, :3, 3] = state.rotation, state.centre
    for before, after in pairwise(keys):
        between = np.arange(before + 1, after)
        if not len(between):
            continue
        times_s = recording.times_s[[before, *between, after]]
        share = (times_s[1:-1] - times_s[0]) / (times_s[-1] - times_s[0])
        for frame, weight in zip(between, share, strict=True):
            both = [
                _carried(start, poses, key, frame, float(scale[frame])) for key in (before, after)
            ]
            turned = Rotation.from_matrix(np.stack([pose[:3, :3] for pose in both]))
            poses[frame, :3, :3] = Slerp([0, 1], turned)([weight]).as_matrix()[0]
            poses[frame, :3, 3] = (1 - weight) * both[0][:3, 3] + weight * both[1][:3, 3]
    return poses


def _carried(
    start: np.ndarray, poses: np.ndarray, key: int, frame: int, scale: float
) -> Float[np.ndarray, "4 4"]:
    way = invert(start[key]) @ start[frame]
    way[:3, 3] *= scale
    return poses[key] @ way

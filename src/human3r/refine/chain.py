"""Motion chaining: a person's way through the world from steps between pairs of frames alone.

The fast baseline that JOSH3R stands for (Liu et al. 2025, arXiv 2501.02158): how a person moved and
turned from one frame to the next, in the person's own frame, chained; cameras follow from where the
person was seen. No optimisation, one person, and drift stays.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation, Slerp

from human3r.geometry import chain, invert
from human3r.refine.recording import Recording

FRAMES_APART = 3
"""Pairs of frames are at least so far apart; between them motions are interpolated."""


def relative_motions(
    camera_from_person: Float[np.ndarray, "rows 4 4"],
    camera_from_camera: Float[np.ndarray, "steps 4 4"],
) -> Float[np.ndarray, "steps 4 4"]:
    """The person's frame of each row in that of the row before.

    Args:
        camera_from_person: where the person is seen in each row.
        camera_from_camera: of consecutive rows, the later camera in the earlier one's frame.
    """
    return invert(camera_from_person[:-1]) @ camera_from_camera @ camera_from_person[1:]


def chained(
    world_from_person: Float[np.ndarray, "4 4"], motions: Float[np.ndarray, "steps 4 4"]
) -> Float[np.ndarray, "rows 4 4"]:
    """Poses of the person from a first one and the motions that follow."""
    poses = [world_from_person]
    for motion in motions:
        poses.append(chain(poses[-1], motion))
    return np.stack(poses)


def chain_motions(
    recording: Recording, person: int, root: Float[np.ndarray, "rows 3 3"]
) -> Recording:
    """The recording with cameras that follow from one person's chained motions.

    Args:
        recording: what a stream wrote.
        person: index of the track that is chained; the others are kept in their cameras.
        root: of that track, rotation of the body's root to the camera in each row.
    """
    track = recording.tracks[person]
    if len(track.frames) < 2:
        return recording
    seen = np.tile(np.eye(4), (len(track.frames), 1, 1))
    seen[:, :3, :3], seen[:, :3, 3] = root, track.joints[:, 0]
    rows = _apart(track.frames)
    cameras = recording.world_from_camera[track.frames[rows]]
    steps = invert(cameras[:-1]) @ cameras[1:]
    poses = chained(cameras[0] @ seen[0], relative_motions(seen[rows], steps))
    people = _interpolated(poses, track.frames[rows], track.frames)
    chained_cameras = people @ invert(seen)
    moved = recording.world_from_camera.copy()
    moved[track.frames] = chained_cameras
    _carry_over(moved, recording.world_from_camera, track.frames)
    return replace(recording, world_from_camera=moved)


def _apart(frames: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " some"]:
    rows = [0]
    for row in range(1, len(frames)):
        if frames[row] - frames[rows[-1]] >= FRAMES_APART:
            rows.append(row)
    if rows[-1] != len(frames) - 1:
        rows.append(len(frames) - 1)
    return np.array(rows)


def _interpolated(poses: np.ndarray, at: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    result = np.tile(np.eye(4), (len(wanted), 1, 1))
    result[:, :3, :3] = Slerp(at, Rotation.from_matrix(poses[:, :3, :3]))(wanted).as_matrix()
    result[:, :3, 3] = np.stack([np.interp(wanted, at, c) for c in poses[:, :3, 3].T], axis=1)
    return result


def _carry_over(moved: np.ndarray, start: np.ndarray, frames: np.ndarray) -> None:
    """Cameras of frames without the person go as they went, from the nearest earlier one."""
    for frame in range(len(moved)):
        if frame not in frames:
            known = frames[frames < frame]
            last = known[-1] if len(known) else frames[0]
            moved[frame] = moved[last] @ invert(start[last]) @ start[frame]

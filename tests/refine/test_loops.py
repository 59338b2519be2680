"""A camera that comes back closes its path; one that stands still does not."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.refine.loops import find_loops
from human3r.refine.recording import View, key_frames
from human3r.refine.refinement import refine
from tests.refine.walker import Bench, ate_m, bench

_CAMERA = np.array([[200.0, 0, 112], [0, 200.0, 80], [0, 0, 1]])


def room_view(pose):
    """A textured box of a room, seen from inside: depth and image."""
    v, u = np.mgrid[:160, :224]
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(_CAMERA).T
    there = rays @ pose[:3, :3].T
    low, high = np.array([-4.0, -1.5, -4.0]), np.array([4.0, 1.5, 4.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = np.where(there > 0, (high - pose[:3, 3]) / there, (low - pose[:3, 3]) / there)
    depth = np.where(np.isfinite(ways), ways, np.inf).min(axis=-1)
    points = pose[:3, 3] + there * depth[..., None]
    cells = np.floor((points + 10 + 1e-6) / 0.16).astype(np.int64)
    mixed = (cells * [73856093, 19349663, 83492791]).sum(axis=-1)
    grey = ((mixed * 2654435761) % 4294967296 >> 24).astype(np.uint8)
    return View(depth, _CAMERA, depth > 0, np.repeat(grey[..., None], 3, axis=-1))


def loop(frames=80, drift=True):
    """A camera on a circle, looking at one wall, back where it began; its path has drifted."""
    turn = np.linspace(0, 2 * np.pi, frames)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3], poses[:, 2, 3] = 1.5 * np.sin(turn), 1.0 - np.cos(turn)
    true = np.linalg.inv(poses[0]) @ poses
    if not drift:
        return true, true
    steps = np.linalg.inv(true[:-1]) @ true[1:]
    steps[:, :3, 3] += [0.004, 0.002, 0.003]
    steps[:, :3, :3] = steps[:, :3, :3] @ Rotation.from_rotvec([0, 0.001, 0]).as_matrix()
    drifted = [true[0]]
    for step in steps:
        drifted.append(drifted[-1] @ step)
    return true, np.stack(drifted)


def recording_of(true, path):
    made = bench(len(true) / 10)
    views = [room_view(pose) for pose in true]
    stamps = np.arange(len(true)) * 200_000_000
    recording = replace(
        made.recording,
        stamps_ns=stamps,
        world_from_camera=path,
        tracks=(),
        view=views.__getitem__,
    )
    return Bench(recording, replace(recording, world_from_camera=true), ())


def test_a_loop_ends_where_it_began():
    made = recording_of(*loop())
    refined = refine(made.recording, loops=find_loops)
    before, after = ate_m(made.recording, made.truth), ate_m(refined.recording, made.truth)
    assert before > 0.05
    assert after <= 0.5 * before
    ends = [
        np.linalg.norm(r.world_from_camera[-1, :3, 3] - r.world_from_camera[0, :3, 3])
        for r in (made.recording, refined.recording)
    ]
    assert ends[1] <= 0.3 * ends[0]


def test_a_path_without_drift_stays():
    made = recording_of(*loop(drift=False))
    refined = refine(made.recording, loops=find_loops)
    assert ate_m(refined.recording, made.truth) < 0.01


def test_a_camera_that_stands_still_closes_no_loop():
    still = np.tile(np.eye(4), (60, 1, 1))
    made = recording_of(still, still)
    keys = key_frames(made.recording.times_s, 10)
    assert len(find_loops(made.recording, keys).key) == 0

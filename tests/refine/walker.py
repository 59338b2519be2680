"""A synthetic walker with exact truth: feet that stand exactly still on an exact floor.

The world has y down and its floor at ``FLOOR_M`` below the first camera; the body is a pelvis, two
ankles and soles of four points. Depth images show floor and a wall, people are cut out.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.refine.recording import LEFT_FOOT, RIGHT_FOOT, Recording, Track, View

FLOOR_M = 1.5
RATE_HZ = 10.0
_CAMERA = np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1]])
_SIZE = (120, 160)
_SOLE = np.array([[0.05, 0, 0.16], [-0.05, 0, 0.16], [0.04, 0, -0.07], [-0.04, 0, -0.07]])
_PARTS = np.array([LEFT_FOOT] * 4 + [RIGHT_FOOT] * 4)
_STEP_S, _STEP_M, _LIFT_M, _HIP_M = 0.7, 0.6, 0.12, 0.92


def walk(times_s, start, heading_rad=0.0, side_m=0.1):
    """World joints (F, 3, 3) pelvis and ankles, sole points (F, 8, 3), is_stance (F, 2)."""
    ahead = np.array([np.sin(heading_rad), 0, np.cos(heading_rad)])
    left = np.array([np.cos(heading_rad), 0, -np.sin(heading_rad)]) * side_m
    turned = np.stack([left / side_m, [0, 1, 0], ahead], axis=1)
    phase = times_s / _STEP_S
    joints, soles, stance = [], [], []
    for at in phase:
        feet = []
        for foot in range(2):
            # A foot swings in every second step, over the middle 80 % of it.
            number, part = divmod(at + foot, 2)
            swing = np.clip((part - 1.1) / 0.8, 0, 1)
            smooth = swing**3 * (10 - 15 * swing + 6 * swing**2)
            along = _STEP_M * (2 * (number + smooth) - foot)
            height = _LIFT_M * np.sin(np.pi * swing) ** 2
            place = start + along * ahead + (left if foot == 0 else -left) - [0, height, 0]
            feet.append((place, swing in (0, 1)))
        height = _HIP_M - 0.02 * np.cos(2 * np.pi * at)
        pelvis = start + ahead * _STEP_M * (at - 0.2) - np.array([0, height, 0])
        joints.append([pelvis, *(place - [0, 0.08, 0] for place, _ in feet)])
        soles.append(np.concatenate([place + _SOLE @ turned.T for place, _ in feet]))
        stance.append([still for _, still in feet])
    return np.array(joints), np.array(soles), np.array(stance)


def moving_camera(times_s, speed_m_s=0.5):
    """Goes sideways and ahead and turns a little."""
    poses = np.tile(np.eye(4), (len(times_s), 1, 1))
    poses[:, 0, 3] = speed_m_s * times_s
    poses[:, 2, 3] = 0.3 * speed_m_s * times_s
    poses[:, 1, 3] = 0.03 * np.sin(2 * times_s)
    turn = np.stack([0.02 * np.sin(times_s), -0.05 * times_s, 0 * times_s], axis=1)
    poses[:, :3, :3] = Rotation.from_rotvec(turn).as_matrix()
    return poses


def depth_of(pose, scale=1.0, wall_m=12.0, floor_m=FLOOR_M):
    """(height, width) of a floor and a wall."""
    v, u = np.mgrid[: _SIZE[0], : _SIZE[1]]
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(_CAMERA).T
    there = rays @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        floor = (floor_m - pose[1, 3]) / there[..., 1]
        wall = (wall_m - pose[2, 3]) / there[..., 2]
    depth = np.minimum(np.where(floor > 0, floor, np.inf), np.where(wall > 0, wall, np.inf))
    return np.where(np.isfinite(depth), depth, 0) * scale


@dataclass(frozen=True)
class Bench:
    """A recording and its truth."""

    recording: Recording
    truth: Recording
    stance: tuple


def in_camera(points, poses):
    return np.einsum("nji,npj->npi", poses[:, :3, :3], points - poses[:, None, :3, 3])


def in_world(points, poses):
    return np.einsum("nij,npj->npi", poses[:, :3, :3], points) + poses[:, None, :3, 3]


def make_track(number, joints, soles, poses, frames=None):
    frames = np.arange(len(poses)) if frames is None else frames
    pose = poses[frames]
    places = in_camera(joints[frames], pose), in_camera(soles[frames], pose)
    return Track(number, frames, *places, _PARTS)


def make_views(poses, tracks, scale):
    """Depth of every frame in the scale of the frame, without the pixels near people."""

    @cache
    def view(frame):
        pose = poses[frame]
        depth = depth_of(pose, scale[frame])
        is_scene = depth > 0
        for track in tracks:
            row = np.flatnonzero(track.frames == frame)
            if len(row):
                body = np.concatenate([track.joints[row[0]], track.points[row[0]]])
                body = body[body[:, 2] > 0.2]
                if len(body):
                    px = (body / body[:, 2:]) @ _CAMERA.T
                    (u0, v0), (u1, v1) = px[:, :2].min(0) - 3, px[:, :2].max(0) + 1
                    box = (slice(max(0, int(v0)), max(0, int(v1))),)
                    is_scene[(*box, slice(max(0, int(u0)), max(0, int(u1))))] = False
        return View(depth, _CAMERA, is_scene)

    return view


def bench(seconds=12.0, scale=1.0, poses=None, people=None, noise=None, session=None):
    """A walker (or the given people) before a moving camera.

    Args:
        scale: of the scene and of the camera's way, one number or one per frame.
        noise: (F, 3) added to bodies in the camera frame.
        people: world (joints, soles, stance) of each; None: one walker.
    """
    times_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    poses = moving_camera(times_s) if poses is None else poses
    people = people or [walk(times_s, np.array([0.3, FLOOR_M, 3.5]), 0.9)]
    truth_tracks = tuple(
        make_track(n, joints, soles, poses) for n, (joints, soles, _) in enumerate(people)
    )
    scale = np.broadcast_to(scale, len(times_s))
    scaled = poses.copy()
    way = np.diff(poses[:, :3, 3], axis=0) * scale[1:, None]
    scaled[1:, :3, 3] = poses[0, :3, 3] + np.cumsum(way, axis=0)
    offset = np.zeros((len(times_s), 3)) if noise is None else noise
    tracks = tuple(
        replace(t, joints=t.joints + offset[:, None], points=t.points + offset[:, None])
        for t in truth_tracks
    )
    stamps = (times_s * 1e9).astype(np.int64)
    session = np.zeros(len(times_s), int) if session is None else session
    views = make_views(poses, truth_tracks, scale)
    true_views = make_views(poses, truth_tracks, np.ones(len(times_s)))
    return Bench(
        Recording(stamps, session, scaled, tracks, views),
        Recording(stamps, session, poses, truth_tracks, true_views),
        tuple(stance for _, _, stance in people),
    )


def slide_mm(recording, person, stance):
    """Mean way per frame of sole points between frames in which they truly stand."""
    track = recording.tracks[person]
    world = in_world(track.points, recording.world_from_camera[track.frames])
    step = np.linalg.norm(np.diff(world, axis=0), axis=-1)
    still = stance[track.frames][1:] & stance[track.frames][:-1]
    return 1e3 * float(step[np.repeat(still, 4, axis=1)].mean())


def to_surface_m(recording, person, stance, scale, truth):
    """Signed height of standing soles above the floor as the recording has it."""
    track = recording.tracks[person]
    heights = []
    for row, frame in enumerate(track.frames):
        pose = truth.world_from_camera[frame]
        # The floor in the camera frame, scaled as the recording scales this frame.
        normal = pose[:3, :3].T @ np.array([0, -1.0, 0])
        offset = -(FLOOR_M - pose[1, 3]) * scale[frame]
        still = np.repeat(stance[frame], 4)
        heights += list(track.points[row, still] @ normal - offset)
    return np.array(heights)


def joint_error_mm(recording, truth, person=0):
    """Mean error of joints in the world."""
    mine, true = recording.tracks[person], truth.tracks[person]
    a = in_world(mine.joints, recording.world_from_camera[mine.frames])
    b = in_world(true.joints, truth.world_from_camera[true.frames])
    return 1e3 * float(np.linalg.norm(a - b, axis=-1).mean())


def aligned_joint_error_mm(recording, truth, person=0):
    """The same after the rigid alignment of the whole path."""
    mine, true = recording.tracks[person], truth.tracks[person]
    a = in_world(mine.joints, recording.world_from_camera[mine.frames]).reshape(-1, 3)
    b = in_world(true.joints, truth.world_from_camera[true.frames]).reshape(-1, 3)
    turn = Rotation.align_vectors(b - b.mean(0), a - a.mean(0))[0].as_matrix()
    off = (a - a.mean(0)) @ turn.T - (b - b.mean(0))
    return 1e3 * float(np.linalg.norm(off, axis=-1).mean())


def ate_m(recording, truth):
    """Root mean square of the cameras' places after a rigid alignment."""
    a, b = recording.world_from_camera[:, :3, 3], truth.world_from_camera[:, :3, 3]
    u, _, vt = np.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    off = (a - a.mean(0)) @ turn.T - (b - b.mean(0))
    return float(np.sqrt((off**2).sum(axis=1).mean()))

"""Posed bodies that walk before a camera: legs reach feet that stand exactly still."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.body.npz import read_arrays
from human3r.refine.body_points import bodies, find_body_points
from human3r.refine.limbs.kinematics import NUM_JOINTS, SEEN, TURNING, Chain
from human3r.refine.recording import Pose, Recording, Track
from tests.refine.walker import FLOOR_M, RATE_HZ, in_camera, in_world, moving_camera, walk

_ANKLES, _LEGS = (7, 8), ((1, 4), (2, 5))
_HIP_M, _BACK_M = 0.7, 0.18
"""Of the pelvis above the floor, and behind that of the other walker, for legs to reach."""


@cache
def _body():
    body = load_body_model(default_body_path())
    return body, find_body_points(body, read_arrays(default_body_path(), ("weights",))["weights"])


def _root(heading_rad):
    """The body's left, up and ahead in a world whose y is down."""
    turned = Rotation.from_euler("y", heading_rad).as_matrix()
    return turned @ np.diag([-1.0, -1, 1])


def _reaching(pelvis, ankles, root):
    """(rows, 22, 3, 3) rotations with which both ankles are where they should, feet level."""
    count = len(pelvis)
    rest = _body()[0].rest_joints(torch.zeros(1, 10))[0, :NUM_JOINTS].numpy().astype(float)
    rotations = np.tile(np.eye(3), (count, NUM_JOINTS, 1, 1))
    rotations[:, 0] = root
    for hip, knee in _LEGS:
        rotations[:, hip] = Rotation.from_euler("x", -0.5).as_matrix()
        rotations[:, knee] = Rotation.from_euler("x", 1.0).as_matrix()
    for _ in range(20):
        joints = _placed(rotations, rest, pelvis)
        chain = Chain.of(rotations, joints, np.zeros((count, 0, 3)), np.zeros(0, int))
        turn = np.zeros((count, len(TURNING), 3))
        by = chain.derivatives(chain.posed(turn, np.zeros((count, 3))))
        for leg, (hip, knee) in enumerate(_LEGS):
            # Hips swing to both sides, knees only bend.
            own = [TURNING.index(hip), TURNING.index(knee)]
            columns = [3 + 3 * own[0], 5 + 3 * own[0], 3 + 3 * own[1]]
            off = ankles[:, leg] - joints[:, _ANKLES[leg]]
            step = np.linalg.solve(by[:, SEEN.index(_ANKLES[leg])][..., columns], off[..., None])
            step = np.clip(step[..., 0], -0.3, 0.3)
            turn[:, own[0], 0], turn[:, own[0], 2] = step[:, 0], step[:, 1]
            turn[:, own[1], 0] = step[:, 2]
        rotations = chain.posed(turn, np.zeros((count, 3))).rotations
    for ankle, (hip, knee) in zip(_ANKLES, _LEGS, strict=True):
        rotations[:, ankle] = np.swapaxes(rotations[:, hip] @ rotations[:, knee], 1, 2)
    return rotations


def _placed(rotations, rest, pelvis):
    """Joints from a rest pose in the body's own frame."""
    upright = np.tile(np.eye(3), (len(rotations), NUM_JOINTS, 1, 1))
    level = np.repeat((rest - rest[0])[None], len(rotations), axis=0)
    bones = Chain.of(upright, level, np.zeros((len(rotations), 0, 3)), np.zeros(0, int)).bones
    chain = Chain(rotations, pelvis, bones, np.zeros((len(rotations), 0, 3)), np.zeros(0, int))
    return chain.posed(np.zeros((len(rotations), len(TURNING), 3)), np.zeros_like(pelvis)).joints


def walker_with_limbs(seconds=6.0, heading_rad=0.9, times_s=None, ride_m_s=(0.0, 0, 0)):
    """A recording of one person, and when each foot stands, (rows, 2).

    Args:
        times_s: of the walk at each frame; standing where it does not go on.
        ride_m_s: velocity of what they stand on.
    """
    stamps_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    times_s = stamps_s if times_s is None else times_s
    joints, _, stance = walk(times_s, np.array([0.3, FLOOR_M, 3.5]), heading_rad)
    pelvis, ankles = joints[:, 0], joints[:, 1:]
    pelvis[:, 1] += FLOOR_M - _HIP_M - pelvis[:, 1].mean()
    pelvis -= _BACK_M * np.array([np.sin(heading_rad), 0, np.cos(heading_rad)])
    ride = stamps_s[:, None] * np.array(ride_m_s)
    rotations = _reaching(pelvis + ride, ankles + ride[:, None], _root(heading_rad))
    return recording_of(rotations, pelvis + ride, moving_camera(stamps_s)), stance


def recording_of(rotations, pelvis, poses):
    """Of one person with rotations (rows, 22, 3, 3) in the world, the first that of the pelvis."""
    count = len(rotations)
    body, points = _body()
    posed = partial(
        bodies,
        body,
        betas=np.zeros((count, 10), np.float32),
        expression=np.zeros((count, 10), np.float32),
        scale=np.ones(count),
        vertices=points.vertices,
    )
    whole = np.tile(np.eye(3), (count, 53, 1, 1))
    whole[:, :NUM_JOINTS] = rotations
    whole[:, 0] = np.swapaxes(poses[:, :3, :3], 1, 2) @ rotations[:, 0]
    at_origin, _ = posed(whole, np.zeros((count, 3)))
    head = in_camera(pelvis[:, None], poses)[:, 0] - at_origin[:, 0]
    joints, skin = posed(whole, head)
    track = Track(0, np.arange(count), joints, skin, points.parts, pose=Pose(whole, posed))
    stamps = (np.arange(count) / RATE_HZ * 1e9).astype(np.int64)
    return Recording(stamps, np.zeros(count, int), poses, (track,))


def trembling(recording, turn_rad, along_m, across_m=0.0, seed=0):
    """The recording with limbs and distances that are wrong by what changes within half a second.

    Joints of legs and arms turn by ``turn_rad``; bodies go along the ray, and tremble across it.
    """
    random = np.random.default_rng(seed)
    track = recording.tracks[0]
    count = len(track.frames)
    kept = np.exp(-1 / RATE_HZ / 0.4)

    def slow(*shape):
        values = random.normal(size=(count, *shape))
        for row in range(1, count):
            values[row] = kept * values[row - 1] + np.sqrt(1 - kept**2) * values[row]
        return values

    rotations = track.pose.rotations.copy()
    for joint in (1, 2, 4, 5, 16, 17, 18, 19):
        by = Rotation.from_rotvec(turn_rad * slow(3) * ([1, 0.2, 0.2] if joint in (4, 5) else 1))
        rotations[:, joint] = rotations[:, joint] @ by.as_matrix()
    ray = track.joints[:, 15] / np.linalg.norm(track.joints[:, 15], axis=1, keepdims=True)
    head = track.joints[:, 15] + along_m * slow(1) * ray
    head = head + across_m * random.normal(size=(count, 3))
    joints, skin = track.pose.posed(rotations, head)
    pose = replace(track.pose, rotations=rotations)
    return recording.with_tracks((replace(track, joints=joints, points=skin, pose=pose),))


def world_joints(recording):
    """(rows, 22, 3) of the first track."""
    track = recording.tracks[0]
    return in_world(track.joints[:, :NUM_JOINTS], recording.world_from_camera[track.frames])

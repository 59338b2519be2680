"""Cameras found from people: two and three static cameras, made-up walkers, clocks that differ."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from human3r.body.kinematics import posed_joints, skeleton_rotations
from human3r.body.skeleton import JOINT_NAMES
from human3r.errors import InputError
from human3r.geometry import invert, transform_points
from human3r.multiview.extrinsics import ViewTracks, find_extrinsics
from human3r.types import Intrinsics
from tests.multiview.rooms import FOCAL_PX, body_model, camera_at

LENS = Intrinsics(FOCAL_PX, FOCAL_PX, 319.5, 239.5, 640, 480)
STEP_S = 0.1


def walkers(times_s, person):
    """Joints (times, 22, 3) in the world of somebody who walks a loop, arms and legs swinging."""
    speed, size = 0.5 + 0.13 * person, np.array([1.6 - 0.3 * person, 1.0 + 0.2 * person])
    angle = 2.1 * person + speed * times_s * (1 if person % 2 else -1)
    places = np.stack([size[0] * np.cos(angle), size[1] * np.sin(angle)], -1)
    ahead = np.gradient(places, axis=0)
    heading = np.arctan2(ahead[:, 1], ahead[:, 0])
    rotations = np.tile(np.eye(3), (len(times_s), 53, 1, 1))
    upright = Rotation.from_euler("x", 90, degrees=True)
    turned = Rotation.from_euler("z", (heading + np.pi / 2)[:, None])
    rotations[:, 0] = (turned * upright).as_matrix()
    swing = 0.5 * np.sin(2 * np.pi * 0.9 * times_s + person)[:, None]
    zero = np.zeros_like(swing)
    for joint, sign in ((1, 1), (2, -1), (16, -1), (17, 1)):
        vector = np.concatenate([sign * swing, zero, zero], -1)
        rotations[:, joint] = Rotation.from_rotvec(vector).as_matrix()
    rest = body_model().rest_joints(torch.full((1, 10), 0.3 * person))[0].numpy()
    pelvis = np.concatenate([places, np.full((len(times_s), 1), 0.93)], -1)
    return posed_joints(skeleton_rotations(rotations), rest, pelvis)[:, :22]


def watch(poses, *, frames=100, count=2, lags=None, seed=0, gaps=0.0):
    """What cameras say: 3 px noise of joints, 6 % of a body's distance, 3 cm depth of a joint."""
    rng = np.random.default_rng(seed)
    views = [ViewTracks(f"camera{i}", LENS) for i in range(len(poses))]
    times_s = np.arange(frames) * STEP_S
    for i, (view, pose) in enumerate(zip(views, poses, strict=True)):
        # A clock that is ahead stamps what happened with a later time.
        lag_s = lags[i] if lags else 0.0
        for person in range(count):
            world = walkers(times_s, person)
            joints = transform_points(invert(pose), world)
            depth = joints[..., 2:] * (1 + rng.normal(0, 0.06, (frames, 1, 1)))
            depth = depth + rng.normal(0, 0.03, depth.shape)
            slopes = joints[..., :2] / joints[..., 2:]
            slopes = slopes + rng.normal(0, 3 / FOCAL_PX, slopes.shape)
            said = np.concatenate([slopes * depth, depth], -1)
            # Numbers are not the same in both cameras.
            key = (0, (person + i) % count)
            for time_s, one in zip(times_s + lag_s, said, strict=True):
                if rng.random() >= gaps:
                    view.add_joints(key, float(time_s), one)
    return views


def errors(found, poses, name="camera1"):
    """Degrees of rotation and share of the baseline, of a camera relative to the first."""
    index = int(name[-1])
    true = invert(poses[0]) @ poses[index]
    said = (
        invert(found.cameras["camera0"].world_from_camera) @ found.cameras[name].world_from_camera
    )
    turn = Rotation.from_matrix(said[:3, :3].T @ true[:3, :3]).magnitude()
    baseline = np.linalg.norm(true[:3, 3])
    return np.rad2deg(turn), np.linalg.norm(said[:3, 3] - true[:3, 3]) / baseline


@pytest.mark.parametrize("angle_deg", [40, 90])
def test_two_cameras_are_found_to_a_degree_and_two_percent(angle_deg):
    poses = [camera_at(0.0, 5.0), camera_at(np.deg2rad(angle_deg), 6.0, 2.2)]
    found = find_extrinsics(watch(poses, frames=150))
    turn_deg, share = errors(found, poses)
    assert turn_deg < 1.0
    assert share < 0.02
    camera = found.cameras["camera1"]
    assert abs(camera.time_offset_s) < STEP_S / 2
    # What it says of its own error is of the right size.
    assert turn_deg < 4 * np.rad2deg(camera.rotation_stddev_rad)
    assert 0.002 < camera.position_stddev_m < 0.5


@pytest.mark.parametrize("lag_frames", [-3.0, 1.4, 2.5])
def test_a_clock_that_differs_is_found_to_half_a_frame(lag_frames):
    poses = [camera_at(0.0, 5.0), camera_at(1.2, 6.0)]
    found = find_extrinsics(watch(poses, lags=[0.0, lag_frames * STEP_S]), max_offset_s=0.35)
    assert abs(found.cameras["camera1"].time_offset_s + lag_frames * STEP_S) < STEP_S / 2
    turn_deg, share = errors(found, poses)
    assert turn_deg < 1.0
    assert share < 0.03


def test_images_far_apart_in_time_give_poses_and_say_that_clocks_are_not_known():
    poses = [camera_at(0.0, 5.0), camera_at(1.2, 6.0)]
    views = watch(poses, frames=400)
    for view in views:
        for track in view.tracks.values():
            track.times_s, track.joints_camera = track.times_s[::7], track.joints_camera[::7]
    found = find_extrinsics(views)
    assert "0.70 s apart" in found.no_clocks
    turn_deg, share = errors(found, poses)
    assert turn_deg < 1.0
    assert share < 0.03


def test_three_cameras_and_gaps():
    poses = [camera_at(a, 5.5) for a in (0.0, 1.0, 2.2)]
    found = find_extrinsics(watch(poses, frames=80, count=2, gaps=0.2))
    for name in ("camera1", "camera2"):
        turn_deg, share = errors(found, poses, name)
        assert turn_deg < 1.0
        assert share < 0.03


def test_the_world_is_level_and_stands_on_the_floor():
    poses = [camera_at(0.3, 5.0, 1.7), camera_at(1.5, 5.0, 2.0)]
    found = find_extrinsics(watch(poses))
    first = found.cameras["camera0"].world_from_camera
    true_up = poses[0][:3, :3].T @ [0, 0, 1]
    said_up = first[:3, :3].T @ [0, 0, 1]
    assert np.rad2deg(np.arccos(true_up @ said_up)) < 3.0
    assert abs(first[2, 3] - 1.7) < 0.25
    assert np.allclose(first[:2, 3], 0, atol=1e-9)


@pytest.mark.parametrize("knows", [[0, 1], [1]])
def test_where_surfaces_say_up_the_world_is_level_however_people_lean(knows):
    poses = [camera_at(0.3, 5.0, 1.7), camera_at(1.5, 5.0, 2.0)]
    views = watch(poses)
    for view in views:
        # As of people who sit and lean to one side of the room.
        view.up_camera = [up + 0.3 * np.abs(up).max() for up in view.up_camera]
    for camera in knows:
        views[camera].surfaces_up_camera = poses[camera][2, :3]
    first = find_extrinsics(views).cameras["camera0"].world_from_camera
    assert np.rad2deg(np.arccos(poses[0][2, :3] @ first[2, :3])) < 1.0
    assert abs(first[2, 3] - 1.7) < 0.25


def test_cameras_that_share_nobody_are_told():
    poses = [camera_at(0.0), camera_at(1.0)]
    views = watch(poses, frames=40)
    for track in views[1].tracks.values():
        track.times_s = [t + 100.0 for t in track.times_s]
    with pytest.raises(InputError, match="nobody was seen together"):
        find_extrinsics(views)
    with pytest.raises(InputError, match="saw nobody"):
        find_extrinsics([views[0], ViewTracks("empty", LENS)])
    with pytest.raises(InputError, match="at least two"):
        find_extrinsics(views[:1])


@pytest.mark.parametrize("angle", [0.5, 1.2, 2.5])
def test_a_mirrored_image_is_told(angle):
    views = watch([camera_at(0.0, 5.0), camera_at(angle, 6.0)])
    find_extrinsics(views)
    # What a camera says of a mirrored image: left is right, also of the body.
    sides = {"l": "right_", "r": "left_"}
    other = [
        JOINT_NAMES.index(sides[name[0]] + name.partition("_")[2]) if "_" in name else i
        for i, name in enumerate(JOINT_NAMES[:22])
    ]
    for track in views[1].tracks.values():
        track.joints_camera = [one[other] * [-1, 1, 1] for one in track.joints_camera]
    with pytest.raises(InputError, match="one of the two images is mirrored"):
        find_extrinsics(views)


def test_clocks_of_people_who_stand_are_not_made_up():
    poses = [camera_at(0.0, 5.0), camera_at(1.2, 6.0)]
    views = watch(poses, frames=60, lags=[0.0, 0.1])
    for view in views:
        for track in view.tracks.values():
            middle = np.mean(track.joints_camera, axis=0)
            rng = np.random.default_rng(4)
            track.joints_camera = [
                middle + rng.normal(0, 0.005, middle.shape) for _ in track.times_s
            ]
    found = find_extrinsics(views)
    assert "hardly move" in found.no_clocks
    assert all(camera.time_offset_s == 0 for camera in found.cameras.values())

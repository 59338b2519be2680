import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.geometry import (
    chain_segments,
    expand_length,
    invert,
    matrix_from_pose,
    pose_from_matrix,
    pose_from_raw,
    transform_points,
)


def _near(got, want, share):
    want = np.asarray(want, np.float64)
    return np.abs(np.asarray(got) - want).max() <= share * np.sqrt((want**2).mean())


def _poses(count, seed=0):
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, rng=rng).as_matrix()
    poses[:, :3, 3] = rng.standard_normal((count, 3))
    return poses


def test_lengths_repeat_the_golden_numbers(unit_ops):
    got = expand_length(torch.from_numpy(unit_ops["depth_exp.in"]))
    assert _near(got, unit_ops["depth_exp.out"], 1e-5)


def test_no_length_stays_no_length():
    assert expand_length(torch.zeros(2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_camera_poses_repeat_the_golden_numbers(unit_ops):
    pose = pose_from_raw(torch.from_numpy(unit_ops["pose_exp.in"]))
    assert _near(pose, unit_ops["pose_exp.out"], 1e-5)
    matrix = matrix_from_pose(pose)
    assert _near(matrix, unit_ops["pose_exp.c2w"], 1e-4)
    assert _near(pose_from_matrix(matrix), unit_ops["pose_exp.roundtrip"], 1e-4)


def test_real_parts_of_camera_quaternions_are_not_negative():
    raw = torch.tensor([[0.0, 0, 0, -2, 0, 0, 2], [0.0, 0, 0, 2, 0, 0, -2]])
    quaternions = pose_from_raw(raw)[:, 3:]
    assert torch.allclose(quaternions[0], quaternions[1])
    assert quaternions[0, 0] > 0


def test_chaining_repeats_the_golden_poses(unit_ops):
    got = chain_segments(unit_ops["chain.c2w"].astype(np.float64), unit_ops["chain.reset"].tolist())
    assert _near(got, unit_ops["chain.world"], 1e-4)


def test_without_resets_chaining_changes_nothing():
    poses = _poses(4)
    assert np.allclose(chain_segments(poses, [False] * 4), poses)


def test_after_a_reset_poses_start_at_that_frames_camera():
    poses = _poses(4)
    got = chain_segments(poses, [False, True, True, False])
    assert np.allclose(got[2], poses[1] @ poses[2])
    assert np.allclose(got[3], poses[1] @ poses[2] @ poses[3])


def test_long_chains_stay_rigid():
    poses = np.tile(_poses(1).astype(np.float32).astype(np.float64), (5000, 1, 1))
    last = chain_segments(poses, [True] * 5000)[-1][:3, :3]
    assert np.allclose(last @ last.T, np.eye(3), atol=1e-12)


def test_an_empty_stream_has_no_poses():
    assert chain_segments([], []).shape == (0, 4, 4)


def test_inverse_undoes_a_transform():
    poses = _poses(3)
    assert np.allclose(invert(poses) @ poses, np.eye(4))


def test_points_move_there_and_back_and_keep_their_type():
    pose = _poses(1)[0]
    points = np.random.default_rng(1).standard_normal((2, 5, 3)).astype(np.float32)
    moved = transform_points(pose, points)
    assert moved.dtype == np.float32
    assert np.allclose(moved[1, 2], pose[:3, :3] @ points[1, 2] + pose[:3, 3], atol=1e-6)
    assert np.allclose(transform_points(invert(pose), moved), points, atol=1e-5)

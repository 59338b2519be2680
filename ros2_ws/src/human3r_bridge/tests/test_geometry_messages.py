import numpy as np
import pytest
from geometry_msgs.msg import Pose
from human3r_bridge.geometry_messages import (
    covariance_at,
    matrix_from_pose,
    pose_from_matrix,
    quaternion,
    rotations_from_quaternions,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

angles = st.floats(-np.pi, np.pi)


@given(angles, angles, angles)
def test_quaternions_and_matrices_agree_with_scipy(a, b, c):
    rotation = Rotation.from_euler("ZYX", [a, b, c])
    q = quaternion(rotation.as_matrix())
    ours = np.array([q.x, q.y, q.z, q.w])
    assert q.w >= 0
    assert np.linalg.norm(ours) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(
        Rotation.from_quat(ours).as_matrix(), rotation.as_matrix(), atol=1e-9
    )
    np.testing.assert_allclose(
        rotations_from_quaternions(ours[None])[0], rotation.as_matrix(), atol=1e-9
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_are_exact(axis):
    turn = -np.eye(3)
    turn[axis, axis] = 1.0
    q = quaternion(turn)
    assert abs([q.x, q.y, q.z][axis]) == 1.0
    assert q.w == 0.0


def test_poses_survive_the_way_there_and_back():
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.3, -2.0, 1.0]).as_matrix()
    matrix[:3, 3] = 1, 2, 3
    np.testing.assert_allclose(matrix_from_pose(pose_from_matrix(matrix)), matrix, atol=1e-12)


def test_what_is_no_rigid_pose_is_none():
    pose = Pose()
    pose.orientation.w = 0.0
    assert matrix_from_pose(pose) is None
    pose.orientation.w = float("nan")
    assert matrix_from_pose(pose) is None


def test_the_covariance_of_a_carried_point_is_that_of_many_tries():
    rng = np.random.default_rng(0)
    root = 0.02 * rng.standard_normal((6, 6))
    arm = np.array([0.2, -0.1, 0.4])
    tries = rng.standard_normal((20_000, 6)) @ root.T
    points = tries[:, :3] + Rotation.from_rotvec(tries[:, 3:]).apply(arm) - arm
    found = covariance_at(root @ root.T, arm).reshape(6, 6)
    wanted = np.cov(np.column_stack([points, tries[:, 3:]]).T)
    np.testing.assert_allclose(found, wanted, atol=0.05 * wanted.max())
    np.testing.assert_allclose(found, found.T, atol=1e-15)


def test_an_unknown_covariance_begins_with_minus_one():
    assert covariance_at(None, np.ones(3)).reshape(6, 6).diagonal().min() >= 1e6

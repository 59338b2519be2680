import numpy as np
import pytest
from human3r_lab.evaluation.trajectory_metrics import trajectory_errors
from human3r_lab.evaluation.world_metrics import (
    foot_sliding_mm,
    jitter,
    path_length_m,
    root_translation_error_percent,
    world_aligned_mpjpe_mm,
    world_mpjpe_mm,
)
from scipy.spatial.transform import Rotation


@pytest.fixture
def motion():
    """(150, 5, 3): somebody walks along a curve."""
    time = np.linspace(0, 5, 150)[:, None, None]
    body = np.random.default_rng(0).standard_normal((5, 3))
    return body + np.concatenate([time, np.sin(time), 0 * time], axis=-1)


@pytest.fixture
def poses(motion):
    """(150, 4, 4): a camera on the same way that also turns."""
    pose = np.tile(np.eye(4), (150, 1, 1))
    pose[:, :3, :3] = turns_about_z(2)
    pose[:, :3, 3] = motion[:, 0]
    return pose


def turns_about_z(angle_rad):
    return Rotation.from_rotvec(np.linspace(0, angle_rad, 150)[:, None] * [0, 0, 1]).as_matrix()


def moved(points, scale=1.0):
    turn = Rotation.from_euler("xyz", [0.3, -1, 2]).as_matrix()
    return scale * points @ turn.T + [3, -2, 5]


def test_another_world_costs_nothing(motion):
    for metric in (world_mpjpe_mm, world_aligned_mpjpe_mm):
        assert np.allclose(metric(moved(motion, 0.4), motion), 0, atol=1e-6)


def test_drift_costs_more_when_only_the_beginning_is_aligned(motion):
    drifting = motion + np.linspace(0, 1, 150)[:, None, None] * [0, 0, 1]
    first = world_mpjpe_mm(drifting, motion)
    assert first.shape == (150,)
    assert first.mean() > world_aligned_mpjpe_mm(drifting, motion).mean()
    assert first[2] < 100 < first[99]
    assert first[100] < 10, "a new chunk is aligned anew"


def test_root_error_is_in_percent_of_the_way(motion):
    root = motion[:, 0]
    assert np.allclose(root_translation_error_percent(moved(root), root), 0, atol=1e-6)
    off = root_translation_error_percent(moved(root, 1.1), root)
    assert off.max() > 1
    scaled = root_translation_error_percent(moved(root, 1.1), root, with_scale=True)
    assert np.allclose(scaled, 0, atol=1e-6)
    assert np.isnan(root_translation_error_percent(root, 0 * root)).all()
    assert path_length_m(2 * root) == pytest.approx(2 * path_length_m(root))


def test_jitter_is_jerk():
    time = np.arange(10) / 30
    smooth = np.stack([time, time**2, 1 + 0 * time], -1)[:, None]
    assert np.allclose(jitter(smooth, 30), 0, atol=1e-6)
    jerky = np.stack([time**3, 0 * time, 0 * time], -1)[:, None]
    assert np.allclose(jitter(jerky, 30), 0.6)
    assert len(jitter(smooth[:3], 30)) == 0


def test_only_steps_of_standing_feet_count_as_sliding():
    true = np.zeros((3, 2, 3))
    true[1:, 1, 0] = 0.5  # the second foot takes a step, then stands
    predicted = true.copy()
    predicted[1, 0, 0] = 0.02
    predicted[2] = predicted[1]
    assert np.allclose(foot_sliding_mm(predicted, true), [20, 0, 0])


def test_a_camera_path_is_compared_up_to_a_similarity(poses):
    predicted = poses.copy()
    turn = Rotation.from_euler("xyz", [0.3, -1, 2]).as_matrix()
    predicted[:, :3, :3] = turn @ poses[:, :3, :3]
    predicted[:, :3, 3] = moved(poses[:, :3, 3], 0.5)
    errors = trajectory_errors(predicted, poses)
    assert errors.scale == pytest.approx(2)
    assert errors.ate_m == pytest.approx(0, abs=1e-6)
    assert errors.rpe_m == pytest.approx(0, abs=1e-6)
    assert errors.rpe_deg == pytest.approx(0, abs=1e-5)
    assert errors.drift_m > 0.5, "what is half as long has drifted"
    assert errors.path_length_m == path_length_m(poses[:, :3, 3])


def test_turning_too_little_is_a_rotation_error(poses):
    predicted = poses.copy()
    predicted[:, :3, :3] = turns_about_z(1)
    errors = trajectory_errors(predicted, poses)
    assert errors.rpe_deg == pytest.approx(np.degrees(1 / 149), rel=1e-3)
    assert errors.ate_m == pytest.approx(0, abs=1e-6)


def test_a_camera_that_stands_still_has_no_scale(poses):
    still = np.tile(np.eye(4), (150, 1, 1))
    errors = trajectory_errors(poses, still)
    assert np.isnan(errors.scale)
    assert np.isnan(errors.ate_percent)
    assert errors.drift_m > 1

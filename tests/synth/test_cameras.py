"""Paths of cameras: smooth, free of furniture, at a distance from people, looking at them."""

import numpy as np
import pytest
from human3r_lab.synth.cameras import CLOSEST_M, Shot, choose_path, look_along, smooth_noise
from human3r_lab.synth.stage import Obstacle, Stage

TIMES_S = np.arange(24) / 6.0


def shot(is_easy: bool, ceiling_m: float | None = 2.6) -> Shot:
    """Two people who walk in a room with a table, drawn as upright poles."""
    stage = Stage(
        np.array([-3.0, -3.0]),
        np.array([3.0, 3.0]),
        (Obstacle(np.array([-0.5, 1.5]), np.array([0.9, 2.3]), 0.75),),
        (),
        ceiling_m,
    )
    pole = np.stack([np.zeros(30), np.zeros(30), np.linspace(0, 1.75, 30)], 1)
    walk = np.stack([0.25 * TIMES_S - 0.5, 0 * TIMES_S, 0 * TIMES_S], 1)
    people = [pole[None] + walk[:, None], pole[None] + np.array([0.3, -0.8, 0]) - walk[:, None]]
    return Shot(stage, people, TIMES_S, 224, 160, is_easy, nothing_in_the_way)


def nothing_in_the_way(camera, pose):
    return np.full((camera.height_px, camera.width_px), 20.0, np.float32)


@pytest.mark.parametrize("is_easy", [True, False])
def test_paths_keep_out_of_things_and_away_from_people(is_easy):
    kinds = set()
    for seed in range(25):
        scene = shot(is_easy)
        path = choose_path(np.random.default_rng(seed), scene)
        place = path.world_from_camera[:, :3, 3]
        kinds.add(path.kind)
        assert (np.abs(place[:, :2]) <= 3.1).all()
        assert (place[:, 2] > 0.2).all()
        assert (place[:, 2] < 2.6).all()
        over_table = (np.abs(place[:, 0] - 0.2) < 0.7) & (np.abs(place[:, 1] - 1.9) < 0.4)
        assert (place[over_table, 2] > 0.75).all()
        for points in scene.people_m:
            assert np.linalg.norm(points - place[:, None], axis=-1).min() >= CLOSEST_M
        hfov = 2 * np.degrees(np.arctan(112 / path.intrinsics.fx))
        assert 44.9 < hfov < 85.1
        assert path.intrinsics.cx == 111.5
    assert kinds == {"hand", "robot", "fixed"}


def test_the_camera_looks_at_people():
    for seed in range(10):
        scene = shot(is_easy=True)
        path = choose_path(np.random.default_rng(seed), scene)
        shares = []
        for frame in (0, 12, 23):
            pose, lens = path.world_from_camera[frame], path.intrinsics
            for points in scene.people_m:
                local = (points[frame] - pose[:3, 3]) @ pose[:3, :3]
                u = lens.fx * local[:, 0] / local[:, 2] + lens.cx
                v = lens.fy * local[:, 1] / local[:, 2] + lens.cy
                inside = (local[:, 2] > 0) & (u > 0) & (u < 224) & (v > 0) & (v < 160)
                shares.append(inside.mean())
        assert np.mean(shares) > 0.5


def test_fixed_cameras_stand_still_and_robots_stay_level():
    for seed in range(30):
        path = choose_path(np.random.default_rng(seed), shot(is_easy=False))
        poses = path.world_from_camera
        if path.kind == "fixed":
            assert np.ptp(poses, axis=0).max() < 1e-12
        if path.kind == "robot":
            assert np.ptp(poses[:, 2, 3]) < 0.03
            assert np.ptp(poses[:, 2, 2]) < 0.05
        steps_m = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
        assert steps_m.max() * 6 < 4.0
        turns = poses[:-1, :3, :3].transpose(0, 2, 1) @ poses[1:, :3, :3]
        angles = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
        assert np.degrees(angles.max()) * 6 < 150


def test_a_view_that_scenery_blocks_is_not_chosen():
    def half_blocked(camera, pose):
        """A wall in front of everything that looks towards -x."""
        depth = nothing_in_the_way(camera, pose)
        return depth * 0 + 0.2 if pose[0, 2] < 0 else depth

    for seed in range(6):
        scene = shot(is_easy=True)
        scene = Shot(**{**vars(scene), "scenery_depth": half_blocked})
        path = choose_path(np.random.default_rng(seed), scene)
        assert (path.world_from_camera[[0, 23], 0, 2] >= 0).all()


def test_poses_look_where_they_are_told():
    zero = np.zeros(1)
    pose = look_along(np.array([[1.0, 2.0, 3.0]]), np.array([np.pi / 2]), zero, zero)[0]
    np.testing.assert_allclose(pose[:3, 2], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 1], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [1, 2, 3])
    up = look_along(np.zeros((1, 3)), zero, np.array([0.3]), zero)[0]
    np.testing.assert_allclose(up[:3, 2], [np.cos(0.3), 0, np.sin(0.3)], atol=1e-12)
    rolled = look_along(np.zeros((1, 3)), zero, zero, np.array([0.2]))[0]
    assert rolled[2, 0] < 0  # Clockwise: its right side points down.


def test_noise_is_the_same_motion_at_any_rate():
    coarse = smooth_noise(np.random.default_rng(3), np.arange(10) / 5.0, 1.0)
    fine = smooth_noise(np.random.default_rng(3), np.arange(40) / 20.0, 1.0)
    np.testing.assert_allclose(fine[::4], coarse)
    assert np.abs(np.diff(fine)).max() < 0.7

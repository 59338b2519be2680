"""The floor that people stand on says how far away those are whom one camera sees."""

import numpy as np
import pytest

from human3r.multiview.floor import Floor, lowest_feet_m
from human3r.multiview.fuser import Fuser
from human3r.multiview.settings import FusionSettings
from tests.multiview.rooms import Noise, body_model, camera_at, people, seen_by

LEFT, RIGHT = camera_at(0.0, height_m=4.0), camera_at(1.5)
SURE = Noise(pixels=1.0, depth_share=0.02, pose_rad=0.01)
UNSURE = Noise(pixels=1.0, depth_share=0.15, pose_rad=0.01)


def standing(places, heights_m=None):
    """People in poses of their own whose lower foot is at a height, 0 where not given."""
    bodies = people(np.random.default_rng(1), np.asarray(places, float), same_pose=True)
    joints = np.stack([one.joints_camera for one in bodies]).astype(float)
    drop_m = lowest_feet_m(joints) - (0.0 if heights_m is None else np.asarray(heights_m))
    places = joints[:, 0] - drop_m[:, None] * [0.0, 0.0, 1.0]
    return people(np.random.default_rng(1), places, same_pose=True)


def errors_of_one(settings=None, heights_m=(0.0, 0.0, 0.0), frames=60, floor_of=(0, 1)):
    """Distances from the truth of the third person, whom the left camera alone sees.

    Args:
        settings: of the fusion.
        heights_m: of the floors under the three.
        frames: how many.
        floor_of: the people whom both cameras see.
    """
    rng = np.random.default_rng(4)
    bodies = standing([[-1.0, 0.4, 1], [0.8, -0.6, 1], [0.3, 1.5, 1]], heights_m)
    both = [bodies[i] for i in floor_of]
    fuser, found = Fuser(body_model().joint_parents, settings), []
    for frame in range(frames):
        one = np.random.default_rng(12)  # The same bias in every frame.
        lonely = seen_by(one, "left", LEFT, [bodies[2]], UNSURE, numbers=[7], frame=frame)
        left = seen_by(rng, "left", LEFT, both, SURE, numbers=range(len(both)), frame=frame)
        right = seen_by(rng, "right", RIGHT, both, SURE, numbers=range(len(both)), frame=frame)
        estimate = fuser.step([joined(left, lonely), right])
        (person,) = [p for p in estimate.people if p.members == (("left", 7),)]
        found.append(np.linalg.norm(person.joints_world[0] - bodies[2].joints_camera[0]))
    return found, person


def joined(first, second):
    """Two views of one camera as one."""
    from dataclasses import fields, replace

    together = ("numbers", "is_measured", "rotations", "betas", "expression", "joints_camera")
    together += ("place_covariance", "turn_variance")
    assert set(together) < {field.name for field in fields(first)}
    arrays = {n: np.concatenate([getattr(first, n), getattr(second, n)]) for n in together}
    return replace(first, tracked=first.tracked + second.tracked, **arrays)


def test_whoever_one_camera_sees_is_placed_by_the_floor_of_the_others():
    found, person = errors_of_one()
    assert found[0] > 0.5, "one camera alone is that wrong"
    assert found[-1] < 0.25 * found[0]
    assert np.trace(person.covariance[:3, :3]) < 0.15
    # Smoothly: no step is larger than a camera's own standard deviation.
    assert np.abs(np.diff(found)).max() < 0.3


def test_without_the_setting_nothing_is_made_of_it():
    found, person = errors_of_one(FusionSettings(floor_m=0.0))
    assert found[-1] == pytest.approx(found[0], abs=1e-6)
    assert person.origin is not None


def test_whoever_stands_on_something_else_is_left_where_the_camera_says():
    found, person = errors_of_one(heights_m=(0.0, 0.0, 2.2))
    assert found[-1] == pytest.approx(found[0], abs=1e-6)
    assert person.origin is not None


def test_people_at_different_heights_make_no_floor():
    found, _ = errors_of_one(heights_m=(0.0, 0.6, 0.0))
    assert found[-1] == pytest.approx(found[0], abs=1e-6)


def test_the_update_is_that_of_weighted_least_squares():
    floor = Floor(0.05)
    bodies = standing([[0.0, 0.0, 1.0]])
    joints = np.stack([one.joints_camera for one in bodies]).astype(float)
    for _ in range(10):
        floor.observe(joints)
    relative = joints - joints[:, :1]
    said = joints[:, 0] + [0.3, 0.2, 0.1]
    root = np.random.default_rng(2).normal(size=(3, 3))
    covariance = (root @ root.T)[None]
    placed, after, used = floor.place(said, covariance, relative, np.array([True]))
    assert used.all()
    up = np.array([0.0, 0.0, 1.0])
    information = np.linalg.inv(covariance[0]) + np.outer(up, up) / 0.05**2
    height_m = floor.height_m - lowest_feet_m(relative)[0]
    weighted = np.linalg.inv(covariance[0]) @ said[0] + up * height_m / 0.05**2
    np.testing.assert_allclose(placed[0], np.linalg.solve(information, weighted), atol=1e-9)
    np.testing.assert_allclose(after[0], np.linalg.inv(information), atol=1e-9)


@pytest.mark.parametrize(("floor_m", "count"), [(0.0, 4), (0.08, 3)])
def test_two_views_that_differ_by_a_distance_are_one_person_on_the_floor(floor_m, count):
    rng = np.random.default_rng(4)
    bodies = standing([[-1.0, 0.4, 1], [0.8, -0.6, 1], [0.3, 1.5, 1]])
    fuser = Fuser(body_model().joint_parents, FusionSettings(floor_m=floor_m))
    vague = Noise(pixels=1.0, depth_share=0.2, pose_rad=0.01)
    for frame in range(60):
        one = np.random.default_rng(5)  # Off by 1.3 m along the ray in every frame.
        third = seen_by(one, "left", LEFT, [bodies[2]], vague, numbers=[7], frame=frame)
        left = seen_by(rng, "left", LEFT, bodies[:2], SURE, frame=frame)
        right = seen_by(rng, "right", RIGHT, bodies, SURE, frame=frame)
        estimate = fuser.step([joined(left, third), right])
    assert len(estimate.people) == count

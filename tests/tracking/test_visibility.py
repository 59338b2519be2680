"""A body of three balls in a row, seen before a wall, screens and other bodies."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.tracking.uncertainty import DepthView, body_surface, joint_visibility
from human3r.types import BodyParameters, Intrinsics, PersonEstimate

CAMERA = Intrinsics(250.0, 250.0, 159.5, 119.5, 320, 240)
WALL_M = 20.0
TRUNK, LEFT, RIGHT = range(3)
JOINTS = np.array([[0, 0, 0], [0.35, 0, 0], [-0.35, 0, 0]], np.float32)
"""The balls' centres, in the body's frame."""
RADII_M = (0.15, 0.08, 0.08)
_DIRECTIONS = Rotation.random(3000, random_state=0).apply([0, 0, 1.0])
SKIN = np.concatenate(
    [joint + radius * _DIRECTIONS for joint, radius in zip(JOINTS, RADII_M, strict=True)]
).astype(np.float32)
SURFACE = body_surface(JOINTS, SKIN)
ALL = np.arange(3)


def body(place=(0, 0, 3.0), yaw_deg=0.0):
    """The balls in a row from the image's left to its right, or turned about the vertical."""
    turn = Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix().astype(np.float32)
    place = np.asarray(place, np.float32)
    nothing = np.zeros(10, np.float32)
    parameters = BodyParameters(np.tile(turn, (53, 1, 1)), nothing, nothing, place)
    joints, vertices = JOINTS @ turn.T + place, SKIN @ turn.T + place
    return PersonEstimate(0, 0.9, np.zeros(2, np.float32), parameters, joints, vertices)


def scene(people=(), offset_m=0.0):
    """Depth and mask as a network with this error sees them: the balls before a wall."""
    depth = np.full((CAMERA.height_px, CAMERA.width_px), WALL_M, np.float32)
    mask = np.zeros(depth.shape, bool)
    v, u = np.mgrid[: CAMERA.height_px, : CAMERA.width_px]
    rays = np.stack(
        [(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1
    )
    square = (rays**2).sum(-1)
    for person in people:
        for center, radius in zip(person.joints_camera.astype(float), RADII_M, strict=True):
            along = rays @ center
            root = along**2 - square * (center @ center - radius**2)
            z = (along - np.sqrt(np.maximum(root, 0))) / square
            hit = (root > 0) & (z > 0) & (z < depth)
            depth[hit], mask[hit] = z[hit] + offset_m, True
    return depth, mask


def see(people, depth, mask):
    return joint_visibility(people, ALL, SURFACE, DepthView(depth, mask, CAMERA))


def pixel(point):
    u, v = 250.0 * point[:2] / point[2] + [159.5, 119.5]
    return round(v), round(u)


def test_samples_cover_the_skin_evenly():
    samples = SKIN[SURFACE.samples]
    assert len(samples) < len(SKIN) / 5
    distance = np.linalg.norm(SKIN[:, None] - samples[None], axis=-1).min(axis=1)
    assert distance.max() < 0.07


def test_a_joint_is_allowed_its_flesh():
    # To the front of its ball, and a bit; three balls' joints all count as deep.
    assert SURFACE.allowance_m == pytest.approx([0.15 + 0.08, 0.08 + 0.08, 0.08 + 0.08], abs=0.01)


def test_a_joint_at_the_skin_is_allowed_no_flesh():
    joints = np.concatenate([np.tile(JOINTS[:1], (23, 1)), JOINTS[:1]])
    assert body_surface(joints, SKIN).allowance_m[22:] == pytest.approx([0.23, 0.08], abs=0.01)


def test_an_open_body_is_all_visible_and_agrees_with_its_depth():
    (sight,) = see([body()], *scene([body()]))
    assert sight.joints.tolist() == [1, 1, 1]
    assert sight.scene_agreement_m == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("yaw_deg", [90, -90])
def test_what_lies_behind_the_nearest_limb_is_hidden_by_its_own_body(yaw_deg):
    person = body(yaw_deg=yaw_deg)
    # Without any depth the mesh alone is the witness.
    depth, mask = scene()
    (sight,) = see([person], np.full_like(depth, np.nan), mask)
    nearest = LEFT if yaw_deg == 90 else RIGHT
    assert np.flatnonzero(sight.joints).tolist() == [nearest]
    assert person.joints_camera[:, 2].argmin() == nearest


def test_a_screen_hides_what_is_behind_it():
    person = body()
    depth, mask = scene([person])
    _, column = pixel(person.joints_camera[LEFT])
    depth[:, column - 10 :], mask[:, column - 10 :] = 2.0, False
    (sight,) = see([person], depth, mask)
    assert sight.joints.tolist() == [1, 0, 1]
    # What hides is not the body, so it does not disagree.
    assert sight.scene_agreement_m == pytest.approx(0.0, abs=0.01)


def test_a_screen_behind_hides_nothing():
    depth, mask = scene([body()])
    (sight,) = see([body()], np.minimum(depth, 3.2), mask)
    assert sight.joints.tolist() == [1, 1, 1]


@pytest.mark.parametrize("offset_m", [-0.4, 0.4])
def test_an_offset_between_bodies_and_depth_is_measured_and_hides_nothing(offset_m):
    (sight,) = see([body()], *scene([body()], offset_m))
    assert sight.scene_agreement_m == pytest.approx(-offset_m, abs=0.01)
    assert sight.joints.tolist() == [1, 1, 1]


def test_a_screen_hides_in_spite_of_an_offset():
    person = body()
    depth, mask = scene([person], -0.4)
    _, column = pixel(person.joints_camera[LEFT])
    depth[:, column - 10 :], mask[:, column - 10 :] = 1.9, False
    (sight,) = see([person], depth, mask)
    assert sight.joints.tolist() == [1, 0, 1]


def test_the_nearer_person_hides_the_farther_and_keeps_their_own_agreement():
    near, far = body((0.35, 0, 2.0)), body((0, 0, 3.5))
    depth, mask = scene([far, near])
    for people in ([near, far], [far, near]):
        sights = dict(zip([id(p) for p in people], see(people, depth, mask), strict=True))
        assert sights[id(near)].joints.tolist() == [1, 1, 1]
        assert sights[id(far)].joints.tolist() == [0, 0, 1]
        for person in (near, far):
            assert sights[id(person)].scene_agreement_m == pytest.approx(0.0, abs=0.02)


def test_a_single_wrong_pixel_hides_nothing():
    person = body()
    depth, mask = scene([person])
    depth[pixel(person.joints_camera[TRUNK])] = 0.5
    assert see([person], depth, mask)[0].joints.tolist() == [1, 1, 1]


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 0.0, -1.0])
def test_unknown_depth_hides_nothing_and_measures_nothing(unknown):
    depth, mask = scene([body()])
    (sight,) = see([body()], np.full_like(depth, unknown), mask)
    assert sight.joints.tolist() == [1, 1, 1]
    assert np.isnan(sight.scene_agreement_m)


def test_without_a_person_in_the_mask_there_is_no_agreement():
    depth, mask = scene([body()])
    (sight,) = see([body()], depth, np.zeros_like(mask))
    assert np.isnan(sight.scene_agreement_m)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((1.9, 0, 3.0), [1, np.nan, 1]),
        ((5.0, 0, 3.0), [np.nan] * 3),
        ((0, 0, -3.0), [np.nan] * 3),
        ((0, 0, 0.01), [np.nan] * 3),
    ],
)
def test_what_is_outside_the_view_is_neither_visible_nor_hidden(place, expected):
    person = body(place)
    (sight,) = see([person], *scene([person]))
    assert np.array_equal(sight.joints, np.array(expected, np.float32), equal_nan=True)
    assert sight.joints.dtype == np.float32


def test_a_body_across_the_cameras_plane_is_looked_at_as_far_as_it_is_seen():
    # Trunk and one side ahead, the other behind the camera.
    person = body((0, 0, 0.25), yaw_deg=90)
    depth, mask = scene([person])
    (sight,) = see([person], depth, mask)
    assert np.isnan(sight.joints).sum() == 1
    assert (sight.joints == 1).sum() >= 1


def test_nobody_is_seen_where_nobody_is():
    assert see([], *scene()) == []


@pytest.mark.parametrize("distance_m", [0.8, 2.0, 5.0, 15.0])
def test_distance_changes_nothing(distance_m):
    person = body((0, 0, distance_m), yaw_deg=80)
    depth, mask = scene([person])
    (sight,) = see([person], depth, mask)
    assert sight.joints.tolist() == [0, 1, 0]
    assert sight.scene_agreement_m == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_an_absurd_body_costs_no_memory(scale):
    person = body((0, 0, 3.0))
    vast = PersonEstimate(
        0,
        0.9,
        person.head_px,
        person.body,
        person.joints_camera * scale,
        person.vertices_camera * scale,
    )
    (sight,) = see([vast], *scene([person]))
    assert sight.joints.shape == (3,)

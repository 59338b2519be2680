"""The level frame and gravity from the floor, on made-up halls and on the truth of the clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from human3r_lab.clip_errors import demo_truth
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.config import Settings
from human3r.errors import InputError
from human3r.mapping.ground import FloorFinder, fit_plane
from human3r.mapping.level import level_from_up
from human3r.types import (
    BodyParameters,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
)

SCENE = Settings().scene
WIDTH, HEIGHT = 64, 48
CAMERA = Intrinsics(50.0, 50.0, 31.5, 23.5, WIDTH, HEIGHT)
CAMERA_HEIGHT_M = 1.4


def angle_deg(a, b):
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


# -- the level frame -----------------------------------------------------------------------------


@pytest.mark.parametrize("pitch_deg", [-60, -10, 0, 30, 80])
@pytest.mark.parametrize("roll_deg", [-40, 0, 120])
def test_the_level_frame_has_z_up_and_the_heading_of_the_camera(pitch_deg, roll_deg):
    camera_from_upright = Rotation.from_euler("zx", [roll_deg, -pitch_deg], degrees=True)
    up = camera_from_upright.apply([0, -1, 0])
    level_from_world = level_from_up(3.0 * up)
    rotation = level_from_world[:3, :3]
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert np.allclose(rotation @ up, [0, 0, 1])
    forward = rotation @ [0, 0, 1]
    assert abs(forward[1]) < 1e-12
    assert forward[0] > 0
    assert np.allclose(level_from_world[:3, 3], 0)


@pytest.mark.parametrize(("up", "top"), [([0, 0, -1], [0, -1, 0]), ([0, 0, 1], [0, 1, 0])])
def test_a_camera_that_looks_straight_down_or_up_has_the_heading_of_its_image(up, top):
    rotation = level_from_up(np.array(up, float))[:3, :3]
    assert np.allclose(rotation @ up, [0, 0, 1])
    assert np.allclose(rotation @ top, [1, 0, 0])


@pytest.mark.parametrize("up", [[0, 0, 0], [np.nan, 0, 1], [np.inf, 0, 0]])
def test_no_direction_is_no_level_frame(up):
    with pytest.raises(InputError, match="expected a direction"):
        level_from_up(np.array(up, float))


# -- a made-up hall ------------------------------------------------------------------------------


def person(feet_m, up, *, lean=0.0, side=(1.0, 0.0, 0.0)):
    """Feet of a few points, a head 1.7 m above; all that is looked at."""
    side = np.array(side)
    ankles = [feet_m + s * 0.12 * side + 0.08 * up for s in (1, -1)]
    joints = np.zeros((55, 3))
    joints[[7, 8]] = ankles
    joints[15] = feet_m + 1.7 * up + lean * side
    soles = [ankle - 0.08 * up + d * side for ankle in ankles for d in (-0.04, 0, 0.04)]
    shins = [ankle + 0.15 * up for ankle in ankles]
    body = BodyParameters(
        np.tile(np.eye(3, dtype=np.float32), (53, 1, 1)),
        *(np.zeros(10, np.float32) for _ in "ab"),
        joints[15].astype(np.float32),
    )
    vertices = np.array([*soles, *shins, joints[15]], np.float32)
    return PersonEstimate(
        0, 0.9, np.zeros(2, np.float32), body, joints.astype(np.float32), vertices
    )


def hall(tilt, people=1, *, noise_m=0.0, index=0, lean=0.0, wall=True, distance_m=3.5, **changes):
    """A floor seen by a camera rotated by ``tilt`` from upright, people and a wall on it."""
    rng = np.random.default_rng(index)
    camera_from_upright = Rotation.from_euler("xz", tilt, degrees=True).as_matrix()
    up = camera_from_upright @ [0, -1, 0]
    uu, vv = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([(uu - CAMERA.cx) / CAMERA.fx, (vv - CAMERA.cy) / CAMERA.fy], axis=-1)
    rays = np.concatenate([rays, np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    down = rays @ up
    with np.errstate(divide="ignore"):
        depth = np.where(down < -1e-3, -CAMERA_HEIGHT_M / down, np.inf)
    depth = np.minimum(depth, 5.0 if wall else 100.0)
    points = rays * (depth + noise_m * rng.standard_normal(depth.shape))[..., None]
    ahead = camera_from_upright @ [0, 0, 1]
    side = camera_from_upright @ [1, 0, 0]
    feet = [
        distance_m * ahead + (0.5 * i + 0.02 * index) * side - CAMERA_HEIGHT_M * up
        for i in range(people)
    ]
    values = {
        "stamp_ns": 1 + index,
        "session": 0,
        "frame_index": index,
        "geometry": ImageGeometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT),
        "image": np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        "points_camera": points.astype(np.float32),
        "confidence": np.full((HEIGHT, WIDTH), 3.0, np.float32),
        "person_probability": np.zeros((HEIGHT, WIDTH), np.float32),
        "world_from_camera": np.eye(4),
        "intrinsics": CAMERA,
        "people": tuple(person(place, up, lean=lean, side=side) for place in feet),
    }
    return FrameEstimate(**{**values, **changes}), up


def find(finder, *args, count=20, **kwargs):
    """Up as found, and as it is; how many frames it took."""
    for index in range(count):
        estimate, truth = hall(*args, index=index, **kwargs)
        up = finder.add(estimate)
        if up is not None:
            return up, truth, index + 1
    return None, truth, count


@pytest.mark.parametrize("tilt", [(0, 0), (20, 0), (15, 25), (-5, -20)])
@pytest.mark.parametrize("noise_m", [0.0, 0.03])
def test_up_is_found_from_the_floor_around_the_feet(tilt, noise_m):
    finder = FloorFinder(SCENE)
    up, truth, frames = find(finder, tilt, noise_m=noise_m)
    assert frames == 10, finder.progress
    assert finder.progress == ""
    assert np.linalg.norm(up) == pytest.approx(1.0)
    assert angle_deg(up, truth) < (0.1 if noise_m == 0 else 1.0)


def test_up_is_that_of_the_world_while_the_camera_turns():
    finder, up = FloorFinder(SCENE), None
    for index in range(12):
        estimate, up_camera = hall((10 + index, 0), index=index)
        world_from_camera = np.eye(4)
        # The first camera is the world, tilted by 10 degrees.
        world_from_camera[:3, :3] = Rotation.from_euler("x", -index, degrees=True).as_matrix()
        up = finder.add(replace(estimate, world_from_camera=world_from_camera))
        if up is not None:
            break
    assert angle_deg(up, hall((10, 0))[1]) < 0.1
    assert angle_deg(up, up_camera) > 5


def test_leaning_people_do_not_tilt_the_floor():
    up, truth, _ = find(FloorFinder(SCENE), (15, 0), lean=0.5)
    assert angle_deg(up, truth) < 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"people": 0}, "no feet"),
        ({"distance_m": 1.0}, "no feet"),
        ({"lean": 1.7}, "people lean"),
        ({"noise_m": 0.6}, "points around the feet|is in a plane"),
        ({"state_updated": False}, "no feet"),
        ({"person_probability": np.ones((HEIGHT, WIDTH), np.float32)}, "no feet"),
        ({"points_camera": np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)}, "no feet"),
    ],
    ids=["nobody", "feet_outside", "lying", "noise", "covered", "all_people", "nan"],
)
def test_too_little_is_no_floor_and_says_what_is_missing(changes, words):
    finder = FloorFinder(SCENE)
    up, _, _ = find(finder, (10, 0), **changes)
    assert up is None
    assert any(word in finder.progress for word in words.split("|")), finder.progress


def test_feet_on_a_line_of_floor_say_nothing_about_the_tilt_across():
    points = np.zeros((1000, 3))
    points[:, 0] = np.linspace(-1, 1, 1000)
    points[:, 2] = 0.001 * np.sin(np.arange(1000))
    plane = fit_plane(points, points[::100], np.array([0.0, 0.0, 1.0]))
    assert plane.spread_m < 0.01


def test_memory_is_bounded():
    finder = FloorFinder(SCENE)
    # The floor is too noisy to be found, so it goes on looking.
    find(finder, (10, 0), noise_m=0.6, count=100)
    assert len(finder._seen) <= 30


# -- the clip that comes along -------------------------------------------------------------------


def clip_estimates(step):
    """What a perfect network would say about the clip."""
    body_model = load_body_model(default_body_path(), torch.device("cpu"))
    views = demo_truth()
    first_from_truth = np.linalg.inv(views[0].world_from_camera)
    for index, view in enumerate(views[::step]):
        height, width = view.depth_m.shape
        camera, people = view.intrinsics, view.people
        parts = (people.rotations, people.betas, people.expression, people.head_camera)
        mesh = body_model(*(torch.from_numpy(np.asarray(part)) for part in parts))
        uu, vv = np.meshgrid(np.arange(width), np.arange(height))
        rays = [(uu - camera.cx) / camera.fx, (vv - camera.cy) / camera.fy, np.ones(uu.shape)]
        yield FrameEstimate(
            stamp_ns=view.stamp_ns,
            session=0,
            frame_index=index,
            geometry=ImageGeometry(width, height, width, height, 0, 0, width, height),
            image=view.image,
            points_camera=(np.stack(rays, -1) * view.depth_m[..., None]).astype(np.float32),
            confidence=np.where(view.depth_m > 0, 3.0, 1.0).astype(np.float32),
            person_probability=(view.person_index > 0).astype(np.float32),
            world_from_camera=first_from_truth @ view.world_from_camera,
            intrinsics=camera,
            people=tuple(
                PersonEstimate(
                    i,
                    0.9,
                    np.zeros(2, np.float32),
                    BodyParameters(*(np.asarray(part[i]) for part in parts)),
                    mesh.joints[i].numpy(),
                    mesh.vertices[i].numpy(),
                )
                for i in range(len(people.betas))
            ),
        )


def test_gravity_of_the_clip_is_found_to_a_fraction_of_a_degree():
    truth = demo_truth()[0].world_from_camera[:3, :3].T @ [0, 0, 1]
    finder = FloorFinder(SCENE)
    found = (finder.add(estimate) for estimate in clip_estimates(step=6))
    up = next(up for up in found if up is not None)
    assert angle_deg(up, truth) < 0.2
    assert angle_deg(np.array([0.0, -1.0, 0.0]), truth) > 10, "the camera is far from level"

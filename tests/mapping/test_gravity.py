"""Gravity from the surfaces of made-up rooms: any tilt of the camera, noise, bare walls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from human3r.config import Settings
from human3r.mapping.level import GravityFinder, LevelFrame, surface_normals, up_from_normals
from human3r.types import FrameEstimate, ImageGeometry, Intrinsics

WIDTH, HEIGHT, FOCAL_PX = 96, 72, 80.0
HALF_ROOM_M = np.array([2.5, 4.0, 1.2])
"""Of a box about the camera: aside, ahead and behind, up and down."""


def room(camera_from_level, half_m=HALF_ROOM_M):
    """(height, width, 3) points of a box around the camera, camera frame."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(u - WIDTH / 2) / FOCAL_PX, (v - HEIGHT / 2) / FOCAL_PX, np.ones(u.shape)], -1)
    level = rays @ camera_from_level
    return rays * (half_m / np.maximum(np.abs(level), 1e-9)).min(-1)[..., None]


def tilted(pitch_deg, roll_deg, heading_deg):
    """camera_from_level: axes z up and y ahead to those of a camera, tilted."""
    camera_from_untilted = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    tilt = Rotation.from_euler("zx", [roll_deg, -pitch_deg], degrees=True).as_matrix()
    heading = Rotation.from_euler("z", heading_deg, degrees=True).as_matrix()
    return tilt @ camera_from_untilted @ heading


def frame(points, rotation=None, *, has_scene=True):
    """A frame without people; its camera was turned by (3, 3)."""
    pose = np.eye(4)
    pose[:3, :3] = np.eye(3) if rotation is None else rotation
    flat = np.zeros((HEIGHT, WIDTH), np.float32)
    return FrameEstimate(
        stamp_ns=0,
        session=0,
        frame_index=0,
        geometry=ImageGeometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT),
        image=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        points_camera=points.astype(np.float32),
        confidence=flat + 3,
        person_probability=flat,
        world_from_camera=pose,
        intrinsics=Intrinsics(FOCAL_PX, FOCAL_PX, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT),
        people=(),
        has_scene=has_scene,
    )


def degrees_between(a, b):
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


@settings(max_examples=40, deadline=None)
@given(
    pitch_deg=st.floats(-30, 30),
    roll_deg=st.floats(-15, 15),
    heading_deg=st.floats(-180, 180),
    scale=st.floats(0.1, 10),
)
def test_up_of_a_room_whatever_the_tilt_and_the_unit(pitch_deg, roll_deg, heading_deg, scale):
    camera_from_level = tilted(pitch_deg, roll_deg, heading_deg)
    finder = GravityFinder()
    finder.add(frame(scale * room(camera_from_level)))
    if finder.up_world is not None:
        assert degrees_between(finder.up_world, camera_from_level[:, 2]) < 3


@pytest.mark.parametrize("pitch_deg", [-25, 0, 25])
def test_up_is_found_with_noise_and_in_the_world_of_a_turned_camera(pitch_deg):
    camera_from_level = tilted(pitch_deg, 5, 40)
    random = np.random.default_rng(0)
    points = room(camera_from_level)
    points = points * (1 + 0.002 * random.standard_normal((HEIGHT, WIDTH, 1)))
    turned = Rotation.from_euler("x", 10, degrees=True).as_matrix()
    finder = GravityFinder()
    finder.add(frame(points, turned))
    assert finder.up_world is not None
    assert degrees_between(finder.up_world, turned @ camera_from_level[:, 2]) < 3


def test_a_single_wall_says_nothing():
    wall = room(np.eye(3)[[0, 2, 1]] * [[1], [-1], [1]], np.array([50.0, 2.0, 50.0]))
    finder = GravityFinder()
    finder.add(frame(wall))
    assert finder.up_world is None


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_no_depth_says_nothing(value):
    points = np.full((HEIGHT, WIDTH, 3), value)
    finder = GravityFinder()
    finder.add(frame(points))
    assert finder.up_world is None


def test_people_are_no_surfaces():
    camera_from_level = tilted(15, 0, 20)
    points = room(camera_from_level)
    people = np.zeros((HEIGHT, WIDTH), np.float32)
    people[:, 20:70] = 1
    random = np.random.default_rng(0)
    points[:, 20:70] *= 1 + 0.1 * random.standard_normal((HEIGHT, 50, 1))
    normals = surface_normals(points, people < 0.3)
    off = np.abs(normals @ camera_from_level)
    assert (off.max(1) > 0.99).mean() > 0.97, "all of walls, floor and ceiling"


@pytest.mark.parametrize("before", [1, 2, 3])
def test_frames_without_a_scene_say_nothing_and_are_not_counted(before):
    finder = GravityFinder()
    for _ in range(before):
        finder.add(frame(room(tilted(10, 0, 0)), has_scene=False))
    assert finder.up_world is None
    finder.add(frame(room(tilted(10, 0, 0))))
    assert finder.up_world is not None


def test_firmness_falls_where_another_direction_would_do_as_well():
    floor = np.tile([0.0, -1.0, 0.0], (100, 1))
    wall = np.tile([0.0, 0.0, 1.0], (100, 1))
    start = np.array([0.0, -1.0, 0.0])
    assert up_from_normals(floor, start)[1] == pytest.approx(1)
    assert up_from_normals(np.concatenate([floor, wall]), start)[1] == pytest.approx(0.5)
    assert up_from_normals(wall, start)[1] == pytest.approx(0)


def test_the_level_frame_asks_surfaces_only_while_nothing_has_measured_it():
    camera_from_level = tilted(20, 0, 0)
    points = frame(room(camera_from_level))
    assumed = LevelFrame(Settings())
    assert not assumed.is_measured
    assert assumed.up_world is None
    assumed.look_at_surfaces(points)
    assert degrees_between(assumed.up_world, camera_from_level[:, 2]) < 3
    measured = LevelFrame(Settings().replace({"level.source": "floor"}))
    measured.level_from_world = np.eye(4)
    measured.look_at_surfaces(points)
    assert measured.is_measured
    assert measured.up_world.tolist() == [0, 0, 1]
    assumed.restart()
    assert assumed.up_world is None

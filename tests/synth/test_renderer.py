"""Pictures of scenes that can be worked out by hand."""

import numpy as np
import pytest
from human3r_lab.synth.atlas import srgb_from_linear
from human3r_lab.synth.mesh import Mesh
from human3r_lab.synth.renderer import Renderer
from human3r_lab.synth.shapes import box, lathe, panel, prism, to_meshes

from human3r.errors import InputError
from tests.synth.simple_scenes import BOUNDS_M, GREY, camera, draw, flat_light, looking_at, rays

FLOOR = panel((-20, -20, 0), (40, 0, 0), (0, 40, 0), 0)


def box_distance(eye, directions, low, high):
    """Where rays enter an axis-aligned box, by the slab method; inf where they miss."""
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (low - eye) / directions, (high - eye) / directions
    enter, leave = np.minimum(near, far).max(-1), np.maximum(near, far).min(-1)
    return np.where((enter <= leave) & (leave > 0), enter, np.inf)


def test_depth_of_the_floor_is_exact_to_the_horizon():
    eye, lens = np.array([0.3, -1.0, 1.4]), camera()
    pose = looking_at(eye, (2.0, 3.0, 0.4))
    picture = draw([FLOOR], pose, lens)
    directions = rays(lens, pose)
    expected = -eye[2] / directions[..., 2]
    point = eye + expected[..., None] * directions
    on_floor = (directions[..., 2] < -0.02) & (np.abs(point[..., :2]) < 19.9).all(-1)
    assert on_floor.sum() > 3000
    error = np.abs(picture.depth_m / expected - 1)[on_floor]
    assert error.max() < 1e-6
    assert (picture.depth_m[directions[..., 2] > 0] == 0).all()


def test_depth_of_a_box_is_exact_and_its_outline_right():
    eye, lens = np.array([2.4, -1.8, 1.9]), camera()
    low, high = np.array([-0.5, 0.2, 0.1]), np.array([0.4, 0.9, 1.3])
    pose = looking_at(eye, (0.0, 0.5, 0.7))
    depth_m = draw([box(low, high, 0)], pose, lens).depth_m
    expected = box_distance(eye, rays(lens, pose), low, high)
    assert ((depth_m > 0) == np.isfinite(expected)).mean() > 0.9995
    both = (depth_m > 0) & np.isfinite(expected)
    assert both.sum() > 400
    assert np.abs(depth_m - expected)[both].max() < 1e-4


@pytest.mark.parametrize("distance", [0.3, 0.06, 0.0])
def test_a_wall_beside_and_behind_the_camera_is_cut_not_dropped(distance):
    """Two triangles that reach from far ahead to far behind the camera."""
    eye = np.array([0.0, -distance, 1.0])
    wall = panel((-30, 0, -30), (60, 0, 0), (0, 0, 60), 0)
    lens, pose = camera(), looking_at(eye, eye + np.array([1.0, 0.1, 0.0]))
    depth_m = draw([wall], pose, lens).depth_m
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = distance / rays(lens, pose)[..., 1]
    seen = (expected > 0.0501) & (expected < 25)
    assert (seen.sum() > 500) == (distance > 0)
    assert np.abs(depth_m - expected)[seen].max(initial=0) < 1e-4
    assert (depth_m[(expected > 0) & (expected < 0.0499)] == 0).all()


def test_a_closed_room_has_no_gaps():
    """Sky seen from inside would be a hole between triangles."""
    rng = np.random.default_rng(3)
    walls = box((-3, -3, 0), (3, 3, 2.7), 0)
    ball = lathe([(np.sin(a) * 2 + 1e-9, np.cos(a) * 2) for a in np.linspace(3.1415, 0, 23)], 0, 37)
    for shape in (walls, ball):
        for _ in range(4):
            eye = rng.uniform(-1, 1, 3) * [1, 1, 0.3] + [0, 0, 0.5]
            pose = looking_at(eye, eye + rng.normal(size=3) * [1, 1, 0.4])
            assert (draw([shape], pose, camera(focal_px=30)).depth_m > 0).all()


def test_nearer_things_hide_farther_ones_whatever_the_order():
    near, far = box((1, -1, 0), (1.2, 1, 2), 0), box((3, -2, 0), (3.2, 2, 3), 1)
    textures = (np.full((64, 64, 3), 250, np.uint8), np.full((64, 64, 3), 20, np.uint8))
    pose = looking_at((-1, 0, 1), (3, 0, 1))
    first = draw([near, far], pose, camera(), textures=textures)
    second = draw([far, near], pose, camera(), textures=textures)
    np.testing.assert_array_equal(first.depth_m, second.depth_m)
    np.testing.assert_array_equal(first.color, second.color)
    assert first.color[32, 48, 0] > 0.9


def test_people_are_where_their_pixels_say():
    (mesh,) = to_meshes([box((-0.2, -0.2, 0), (0.2, 0.2, 1.7), 0)])
    person = Mesh(mesh.vertices_m, mesh.faces, mesh.uv, mesh.face_texture, False, 7)
    pose, lens = looking_at((3, 0, 1), (0, 0, 1)), camera()
    picture = draw([FLOOR], pose, lens, moving=[person])
    assert set(np.unique(picture.person_index)) == {0, 7}
    expected = box_distance(
        pose[:3, 3], rays(lens, pose), np.array([-0.2, -0.2, 0]), np.array([0.2, 0.2, 1.7])
    )
    assert ((picture.person_index == 7) == np.isfinite(expected)).mean() > 0.999


def test_a_face_shows_its_texture_and_even_light_its_colour():
    quarters = np.zeros((64, 64, 3), np.uint8)
    quarters[:32, :32], quarters[:32, 32:] = (255, 0, 0), (0, 255, 0)
    quarters[32:, :32], quarters[32:, 32:] = (0, 0, 255), (255, 255, 255)
    wall = panel((2, 1, 0), (0, -2, 0), (0, 0, 2), 0, None)
    lens, pose = camera(64, 64, 50), looking_at((0, 0, 1), (2, 0, 1))
    image = srgb_from_linear(draw([wall], pose, lens, textures=(quarters,)).color)
    for row, column, expected in (
        (18, 18, (255, 0, 0)),
        (18, 45, (0, 255, 0)),
        (45, 18, (0, 0, 255)),
        (45, 45, (255, 255, 255)),
    ):
        np.testing.assert_allclose(image[row, column], expected, atol=2)


def test_far_patterns_turn_into_their_mean_light():
    """Without smaller copies of the texture, single texels would flicker."""
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    checks = np.repeat(checks[..., None], 3, 2).astype(np.uint8)
    wall = panel((30, 20, -20), (0, -40, 0), (0, 0, 40), 0, 0.5)
    pose = looking_at((0, 0, 0), (30, 0, 0))
    color = draw([wall], pose, camera(focal_px=60), textures=(checks,)).color
    assert np.abs(color[20:44, 30:66] - 0.5).max() < 0.01


def test_edges_are_smoothed_but_not_moved():
    """A bright wall that covers half of one column of pixels."""
    lens, pose = camera(), looking_at((0, 0, 0), (1, 0, 0))
    left_of_centre = (30.25 - lens.cx) / lens.fx
    wall = panel((1, -left_of_centre, -5), (0, -5, 0), (0, 0, 10), 0)
    white = np.full((64, 64, 3), 255, np.uint8)
    light = flat_light(horizon_color=np.zeros(3), zenith_color=np.zeros(3))
    picture = draw([wall], pose, lens, textures=(white,), light=light)
    row = picture.color[10, :, 0]
    assert row[28] < 0.01
    assert row[33] > 0.99
    np.testing.assert_allclose(row[29:32].sum(), 1.25, atol=0.26)
    assert (picture.depth_m[10, 31:] > 0).all()
    assert (picture.depth_m[10, :31] == 0).all()


def test_the_sun_throws_a_shadow_only_behind_things():
    sun = np.array([1.0, 0.0, 1.0]) / np.sqrt(2)
    light = flat_light(
        sun_direction=sun, sun_color=np.ones(3), ambient_up=np.zeros(3), ambient_down=np.zeros(3)
    )
    pillar = box((-0.2, -0.5, 0), (0.2, 0.5, 1.5), 0)
    lens, pose = camera(128, 128, 60), looking_at((0.01, 0, 8), (0, 0, 0))
    picture = draw([pillar], pose, lens, light=light, ground=[FLOOR])
    directions = rays(lens, pose)
    place = pose[:3, 3] + directions * picture.depth_m[..., None]
    floor = (np.abs(place[..., 2]) < 1e-3) & (np.abs(place[..., :2]) < 3).all(-1)
    # The shadow of a 1.5 m pillar under a sun at 45 degrees is 1.5 m long.
    x, y = place[..., 0], place[..., 1]
    dark = floor & (x > -1.5) & (x < -0.3) & (np.abs(y) < 0.4)
    bright = floor & ((x > 0.3) | (x < -1.9) | (np.abs(y) > 0.7))
    assert picture.color[dark].max() < 0.02
    assert picture.color[bright].min() > 0.1
    assert dark.sum() > 30


def test_lit_faces_have_no_shadow_acne():
    """A shadow map without bias speckles surfaces that lean away from the sun."""
    sun = np.array([0.97, 0.1, 0.22])
    sun /= np.linalg.norm(sun)
    light = flat_light(sun_direction=sun, sun_color=np.ones(3))
    ball = lathe([(np.sin(a), 1.1 + np.cos(a)) for a in np.linspace(3.14, 0, 40)], 0, 60)
    pose, lens = looking_at((4, 1, 1.1), (0, 0, 1.1)), camera(focal_px=110)
    picture = draw([ball], pose, lens, light=light)
    place = pose[:3, 3] + rays(lens, pose) * picture.depth_m[..., None]
    normal = place - [0, 0, 1.1]
    facing = (normal @ sun / np.linalg.norm(normal, axis=-1))[picture.depth_m > 0]
    seen = picture.color[picture.depth_m > 0][:, 0] / picture.color.max()
    lit = facing > 0.3
    assert lit.sum() > 300
    relative = seen[lit] / (1 + facing[lit])
    assert relative.std() / relative.mean() < 0.03


def test_a_lamp_fades_with_distance_and_haze_hides_what_is_far():
    lamp = flat_light(lamp_color=np.ones(3), ambient_up=np.zeros(3), ambient_down=np.zeros(3))
    down = looking_at((0.01, 0, 6), (0, 0, 0))
    color = draw([FLOOR], down, camera(), light=lamp).color[32, :, 0]
    assert color[48] > 3 * color[90] > 0
    hazy = flat_light(haze_per_m=0.3, horizon_color=np.array([0.9, 0.0, 0.0]))
    color = draw([FLOOR], looking_at((0, 0, 1), (3, 0, 0.8)), camera(), light=hazy).color
    assert color[-1, 48, 0] < color[36, 48, 0]
    assert color[36, 48, 1] < color[-1, 48, 1]


@pytest.mark.parametrize("distance_m", [0.5, 6.0, 60.0, 4000.0])
def test_haze_takes_its_share_of_every_metre(distance_m):
    light = flat_light(haze_per_m=0.2, horizon_color=np.zeros(3))
    side = 4 * distance_m
    wall = panel((distance_m, side / 2, -side / 2), (0, -side, 0), (0, 0, side), 0)
    picture = draw([wall], looking_at((0, 0, 0), (1, 0, 0)), camera(), light=light)
    assert (picture.depth_m > 0).all()
    grey = 0.2159  # What half an sRGB scale, 128, is in light.
    expected = grey * np.exp(-0.2 * picture.depth_m.astype(float))
    np.testing.assert_allclose(picture.color[..., 1], expected, atol=0.002, rtol=0.01)


def test_things_darken_the_floor_under_them():
    board = box((-0.5, -0.5, 0.1), (0.5, 0.5, 0.2), 0)
    lens, pose = camera(), looking_at((4, 0, 0.5), (0, 0, 0))
    picture = draw([board], pose, lens, ground=[FLOOR])
    place = pose[:3, 3] + rays(lens, pose) * picture.depth_m[..., None]
    floor = np.abs(place[..., 2]) < 1e-3
    beside = floor & (np.abs(place[..., :2]).max(-1) < 0.53)
    open_floor = floor & (np.abs(place[..., :2]).max(-1) > 1) & (place[..., 0] < 3.5)
    assert beside.sum() > 3
    assert picture.color[beside].max() < 0.95 * picture.color[open_floor].min()


def test_pictures_repeat_bit_for_bit():
    shapes = [FLOOR, prism(np.array([(0, 0), (1, 0), (0.3, 1)]), 0, 1, 0)]
    pose = looking_at((3, 2, 1.5), (0, 0, 0.5))
    light = flat_light(sun_color=np.ones(3), lamp_color=np.ones(3))
    first, second = (draw(shapes, pose, camera(), light=light) for _ in range(2))
    assert first.color.tobytes() == second.color.tobytes()
    assert first.depth_m.tobytes() == second.depth_m.tobytes()


def test_a_second_frame_knows_nothing_of_the_first():
    (mesh,) = to_meshes([box((-0.2, -0.2, 0), (0.2, 0.2, 1.7), 0)])
    light = flat_light(sun_color=np.ones(3))
    pose = looking_at((3, 1, 1), (0, 0, 1))
    renderer = Renderer(to_meshes([FLOOR]), (GREY,), light, BOUNDS_M, [False])
    empty = renderer.render(camera(), pose)
    renderer.render(camera(), pose, [mesh])
    again = renderer.render(camera(), pose)
    np.testing.assert_array_equal(empty.color, again.color)
    np.testing.assert_array_equal(empty.depth_m, again.depth_m)


@pytest.mark.parametrize(
    "texture",
    [np.zeros((64, 32, 3), np.uint8), np.zeros((48, 48, 3), np.uint8), np.zeros((8, 8, 3))],
)
def test_a_texture_of_another_form_is_refused(texture):
    with pytest.raises(InputError, match="power of two"):
        draw([FLOOR], np.eye(4), camera(), textures=(texture,))

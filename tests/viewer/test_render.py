from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.io.scene_cloud import SceneCloud
from human3r.viewer.canvas import Canvas
from human3r.viewer.labels import free_place
from human3r.viewer.render import Body, View, _different_poses, render_view
from human3r.viewer.view_file import ViewCollector, ViewFile
from human3r.viewer.viewpoint import Viewpoint, frame_all
from tests.viewer import synthetic_estimates as synthetic

IDENTITY = np.eye(4)
NOTHING = (np.zeros((0, 3)), np.zeros((0, 3), np.uint8))


def straight(width=40, height=30):
    return Viewpoint(np.eye(4), 40.0, width, height)


def test_the_viewpoint_has_everything_in_the_picture():
    rng = np.random.default_rng(1)
    for _ in range(20):
        points = rng.normal(size=(200, 3)) * rng.uniform(0.1, 20, 3) + rng.normal(size=3) * 30
        forward = rng.normal(size=3)
        view = frame_all(points, forward, np.array([0, -1.0, 0]), 320, 200)
        pixels, depth = view.project(points)
        assert (depth > 0).all()
        assert (pixels >= 0).all()
        assert (pixels <= [319, 199]).all()
        assert (np.ptp(pixels, axis=0) > [280, 10]).any() or np.ptp(pixels[:, 1]) > 170


def test_the_nearer_point_hides_the_farther_whatever_the_order():
    points = np.array([[0, 0, 2.0], [0, 0, 4.0]])
    colors = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)
    for order in ([0, 1], [1, 0]):
        canvas = Canvas(straight())
        canvas.points(points[order], colors[order], 0.2)
        assert canvas.picture()[15, 20].tolist() == [255, 0, 0]


def test_a_mesh_is_hidden_by_nearer_points_and_hides_farther_ones():
    square = np.array([[-1, -1, 3.0], [1, -1, 3], [1, 1, 3], [-1, 1, 3]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    for distance, is_mesh in ((2.0, False), (4.0, True)):
        canvas = Canvas(straight())
        canvas.points(np.array([[0, 0, distance]]), np.array([[0, 255, 0]], np.uint8), 0.3)
        canvas.mesh(square, faces, (255, 0, 0))
        red, green, _ = canvas.picture()[15, 20].astype(int)
        assert (red > green) == is_mesh


def test_lines_behind_a_surface_are_faint():
    wall = np.array([[-3, -3, 3.0], [3, -3, 3], [3, 3, 3], [-3, 3, 3]])
    brightness = []
    for distance in (2.0, 5.0):
        canvas = Canvas(straight())
        canvas.mesh(wall, np.array([[0, 1, 2], [0, 2, 3]]), (10, 10, 10))
        before = canvas.picture().astype(int).sum()
        canvas.line(np.array([[-0.5, 0, distance], [0.5, 0, distance]]), (255, 255, 255), 2.0)
        brightness.append(canvas.picture().astype(int).sum() - before)
    assert brightness[0] > 3 * brightness[1] > 0


@pytest.mark.parametrize(
    "view",
    [
        View(*NOTHING, 0.02),
        View(np.zeros((1, 3)), np.zeros((1, 3), np.uint8), 0.02),
        View(np.full((500, 3), np.nan), np.zeros((500, 3), np.uint8), 0.02),
        View(*NOTHING, 0.02, world_from_camera=[np.eye(4)]),
        View(*NOTHING, 0.02, [Body(1, np.full((len(synthetic.figure()[0]), 3), np.nan))],
             synthetic.FACES),
    ],
    ids=["nothing", "one point", "not finite", "one camera", "lost body"],
)  # fmt: skip
def test_a_view_of_next_to_nothing_is_still_a_picture(view):
    assert render_view(view, 160, 100).shape == (100, 160, 3)


def collected(world_from_room=IDENTITY, pitch_rad=0.0):
    cloud = SceneCloud(0.05)
    collector = ViewCollector(synthetic.FACES, cloud, pitch_rad)
    for _, estimate in synthetic.walk(6):
        pose = world_from_room @ estimate.world_from_camera
        estimate = replace(estimate, world_from_camera=pose)
        points = estimate.points_camera.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
        cloud.add(points, estimate.image.reshape(-1, 3))
        collector.add(estimate)
    return collector


def test_a_run_becomes_a_picture_with_people_scene_and_camera():
    view = collected().view()
    assert {body.track_id for body in view.bodies} == {1, 2}
    # Feet stay on the floor of the room, and the first walks to the right.
    path = next(body.path_world for body in view.bodies if body.track_id == 1)
    assert len(path) == 6
    assert path[-1, 0] - path[0, 0] > 1.0
    np.testing.assert_allclose(path[:, 1], synthetic.FLOOR_M, atol=0.15)
    assert len(view.world_from_camera) == 6
    full = render_view(view, 320, 200)
    empty = render_view(View(*NOTHING, 0.02), 320, 200)
    assert (np.abs(full.astype(int) - empty).sum(-1) > 30).mean() > 0.2
    without = View(view.points_world, view.colors, view.point_size_m, (), view.faces,
                   view.world_from_camera)  # fmt: skip
    assert (full != render_view(without, 320, 200)).any(-1).mean() > 0.01


@pytest.mark.parametrize("pitch_rad", [0.0, 0.1])
def test_up_is_what_the_floor_says_where_no_tilt_is_set(pitch_rad):
    world_from_room = np.eye(4)
    world_from_room[:3, :3] = Rotation.from_euler("xz", [0.3, 0.1]).as_matrix()
    up = collected(world_from_room, pitch_rad).view().up_world
    expected = [0, -np.cos(0.1), -np.sin(0.1)] if pitch_rad else -world_from_room[:3, 1]
    assert up @ expected > np.cos(np.radians(2.0))


def test_pictures_are_repeatable():
    view = collected().view()
    np.testing.assert_array_equal(render_view(view, 160, 100), render_view(view, 160, 100))


def test_the_collector_stays_bounded():
    collector = ViewCollector(synthetic.FACES, SceneCloud(0.1))
    _, empty = synthetic.estimate(0)
    somebody = synthetic.person(0, [0, 0, 3.0])
    somebody = replace(somebody, vertices_camera=somebody.vertices_camera[::16])
    for number in range(300):
        for _ in range(30 if number % 3 else 1):
            collector.add(replace(empty, people=(replace(somebody, track_id=number),)))
    view = collector.view()
    assert 0 < len(view.bodies) <= 48
    assert view.bodies[-1].track_id == 299
    assert len(view.world_from_camera) <= 2001


def test_who_was_seen_in_too_few_frames_is_not_drawn():
    collector = ViewCollector(synthetic.FACES, SceneCloud(0.1))
    _, empty = synthetic.estimate(0)
    somebody, ghost = (synthetic.person(track, [0, 0, 3.0]) for track in (1, 2))
    for number in range(40):
        collector.add(replace(empty, people=(somebody, ghost) if number < 3 else (somebody,)))
    assert [body.track_id for body in collector.view().bodies] == [1]


def jittering(spread_m):
    rng = np.random.default_rng(2)
    poses = [np.eye(4) for _ in range(50)]
    for number, pose in enumerate(poses):
        pose[:3, 3] = rng.normal(size=3) * 0.01 + [spread_m * number / 49, 0, 0]
    return poses


@pytest.mark.parametrize(("spread_m", "count"), [(0.0, 1), (4.0, 5)])
def test_a_camera_that_stands_still_is_drawn_once(spread_m, count):
    assert len(_different_poses(jittering(spread_m), 0.5)) == count


def test_what_is_taller_than_wide_gets_an_upright_picture():
    tower = np.array([[0.1 * (n % 2), -0.05 * n, 5.0] for n in range(200)])
    colors = np.full((200, 3), 200, np.uint8)
    assert render_view(View(tower, colors, 0.05), 160, 100).shape == (160, 100, 3)
    wide = tower[:, [1, 0, 2]]
    assert render_view(View(wide, colors, 0.05), 160, 100).shape == (100, 160, 3)


def test_no_label_hides_another():
    taken = []
    for _ in range(12):
        free_place((50, 40, 20, 12), taken, 200, 200)
    assert len(taken) == 12
    for number, (left, top, width, height) in enumerate(taken):
        assert left >= 0
        assert 0 <= top <= 200 - height
        for x, y, w, h in taken[:number]:
            assert left >= x + w or x >= left + width or top >= y + h or y >= top + height


def test_the_view_file_is_a_png(tmp_path):
    ViewFile(tmp_path / "view.png", collected(), "untrained").finish()
    assert (tmp_path / "view.png").read_bytes().startswith(b"\x89PNG")


def test_people_are_seen_through_the_points_around_them():
    body = Body(1, synthetic.figure()[0] + [0, 0, 3.0])
    rng = np.random.default_rng(0)
    low, high = body.vertices_world.min(axis=0) - 0.5, body.vertices_world.max(axis=0) + 0.5
    points = rng.uniform(low, high, (40_000, 3))
    colors = np.full((len(points), 3), 128, np.uint8)
    view = View(points, colors, 0.05, [body], synthetic.FACES)
    few = replace(view, points_world=points[:150], colors=colors[:150], point_size_m=1e-3)
    in_fog, in_clear = (
        (np.ptp(render_view(one, 320, 200).astype(int), axis=2) > 40).sum() for one in (view, few)
    )
    assert in_fog > 0.7 * in_clear > 200

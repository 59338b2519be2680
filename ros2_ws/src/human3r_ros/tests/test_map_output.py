"""The accumulated map and the other scene outputs, without a network and without a node."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from human3r_msgs.msg import Human, HumanArray
from human3r_ros import convert
from human3r_ros.map_output import MapOutput, map_path
from human3r_ros.scene_outputs import GROUPS, SceneFrame, SceneOutputs
from PIL import Image
from sensor_msgs_py import point_cloud2

from human3r.config import Settings
from human3r.errors import InputError, OutputError
from human3r.mapping.points import select_points, select_static_points
from human3r.types import ImageGeometry, Intrinsics, PointSet, TrackedPerson, TrackState
from ros2_ws.src.human3r_ros.tests.builders import make_estimate, make_person
from ros2_ws.src.human3r_ros.tests.outlet import Outlet

WIDTH, HEIGHT = 64, 48
CAMERA = Intrinsics(50.0, 50.0, 31.5, 23.5, WIDTH, HEIGHT)
LEVEL_FROM_CAMERA = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]], float)
SECOND_NS = 10**9
BASE = {"scene.voxel_m": 0.0, "map.min_observations": 1, "map.publish_period_s": 2.0}


def wall(depth_m=3.0, people_columns=slice(0, 0), stamp_ns=SECOND_NS):
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u)], -1)
    probability = np.zeros((HEIGHT, WIDTH), np.float32)
    probability[:, people_columns] = 1.0
    return make_estimate(
        stamp_ns=stamp_ns,
        geometry=ImageGeometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT),
        image=np.full((HEIGHT, WIDTH, 3), 77, np.uint8),
        points_camera=depth_m * rays,
        confidence=np.full((HEIGHT, WIDTH), 5.0, np.float32),
        person_probability=probability,
        intrinsics=CAMERA,
    )


class Scene:
    """Scene outputs whose frames come from the test; their clock is the stamp."""

    def __init__(self, body_model, *, is_listening=True, **values):
        self.settings = Settings().replace({**BASE, **values})
        self.outlet = Outlet(is_listening=is_listening)
        scene = self.settings.scene
        pipeline = SimpleNamespace(
            body_model=body_model,
            points=lambda estimate, labels, is_sure: select_points(
                estimate, scene, labels, is_sure
            ),
            scene_points=lambda estimate, is_sure: select_static_points(estimate, scene, is_sure),
        )
        self.outputs = SceneOutputs(self.outlet, pipeline)

    def publish(self, estimate=None, people=(), pose=LEVEL_FROM_CAMERA, **changes):
        """One frame with these people, each with its state."""
        estimate = wall(**changes) if estimate is None else estimate
        measured = (TrackState.NEW, TrackState.OK)
        seen = tuple(person for person, state in people if state in measured)
        tracked = [
            TrackedPerson(i, state, person, None, 0, 0, 0)
            for i, (person, state) in enumerate(people)
        ]
        message = HumanArray(
            header=convert.header(estimate.stamp_ns, "optical"),
            humans=[Human(id=f"h{i}", track_id=i) for i in range(len(people))],
        )
        estimate = dataclasses.replace(estimate, people=seen, tracked=tuple(tracked))
        frame = SceneFrame(estimate, message, pose, estimate.stamp_ns)
        self.outputs.publish(frame, self.settings, estimate.stamp_ns)

    def maps(self):
        return [point_cloud2.read_points(message) for message in self.outlet.of("map")]


def test_the_map_is_in_the_level_frame_with_the_documented_layout(body_model):
    scene = Scene(body_model)
    scene.publish()
    (message,) = scene.outlet.of("map")
    assert message.header == convert.header(SECOND_NS, "human3r_odom")
    layout = [(f.name, f.offset, f.datatype, f.count) for f in message.fields]
    names = ("x", "y", "z", "rgb", "observations")
    assert layout == [(name, 4 * i, 7, 1) for i, name in enumerate(names)]
    assert (message.point_step, message.height, message.is_dense) == (20, 1, True)
    (points,) = scene.maps()
    assert points["x"] == pytest.approx(3.0, abs=1e-5)  # ahead of the camera
    assert points["z"].mean() == pytest.approx(1.5, abs=0.05)  # as high as the camera
    assert (points["observations"] == 1).all()
    assert (points["rgb"].view(np.uint32) == 0x4D4D4D).all()


def test_it_goes_out_at_most_once_per_period_of_ros_time_and_only_after_a_change(body_model):
    scene = Scene(body_model)
    for tenth in range(45):
        scene.publish(stamp_ns=SECOND_NS + tenth * SECOND_NS // 10)
    stamps = [convert.ns_from_time(m.header.stamp) for m in scene.outlet.of("map")]
    assert stamps == [SECOND_NS, 3 * SECOND_NS, 5 * SECOND_NS]
    for second in range(6, 12):
        scene.outputs.idle(second * SECOND_NS, scene.settings)
    # Once for what came after the last message; then nothing changes any more.
    assert len(scene.outlet.of("map")) == 4
    scene.outputs.idle(2 * SECOND_NS, scene.settings)
    assert len(scene.outlet.of("map")) == 4


def test_the_map_grows_without_a_reader_for_those_who_come_later(body_model):
    scene = Scene(body_model, is_listening=False)
    scene.publish()
    assert [name for name, _ in scene.outlet.sent] == ["map"]


def test_a_map_that_is_switched_off_costs_nothing(body_model):
    scene = Scene(body_model, is_listening=False, **{"map.enabled": False})
    scene.publish()
    assert scene.outlet.sent == []


def test_points_wait_for_their_observations(body_model):
    scene = Scene(body_model, **{"map.min_observations": 3, "map.publish_period_s": 0.1})
    for tenth in range(3):
        scene.publish(stamp_ns=SECOND_NS + tenth * SECOND_NS)
    (only,) = scene.maps()
    assert (only["observations"] == 3).all()


def test_the_map_waits_while_the_level_frame_is_not_known(body_model):
    scene = Scene(body_model)
    scene.publish(pose=None)
    scene.publish(pose=None, stamp_ns=4 * SECOND_NS)
    assert scene.maps() == []
    assert len(scene.outlet.of("scene")) == 2  # the camera frame is known
    scene.publish(stamp_ns=8 * SECOND_NS)
    assert len(scene.maps()) == 1


@pytest.mark.parametrize("state", list(TrackState))
def test_people_are_taken_out_of_scene_and_map_predicted_ones_too(body_model, state):
    person = make_person(body_model)
    to_wall = np.array([0, 0, 3.0 - person.vertices_camera[:, 2].mean()], np.float32)
    there = dataclasses.replace(person, vertices_camera=person.vertices_camera + to_wall)
    with_person, empty = Scene(body_model), Scene(body_model)
    with_person.publish(people=[(there, state)])
    empty.publish()
    for find in (lambda scene: scene.maps()[0], lambda scene: scene.outlet.of("scene")[0].data):
        removed = len(find(empty)) - len(find(with_person))
        # Who is lost is not there any more.
        assert removed == 0 if state == TrackState.LOST else removed > 0
    assert with_person.outlet.of("points")[0].width == empty.outlet.of("points")[0].width


def test_what_hides_the_surface_no_longer_leaves_the_map(body_model):
    scene = Scene(body_model, **{"map.publish_period_s": 0.1})
    scene.publish(depth_m=2.0)
    scene.publish(depth_m=3.0, stamp_ns=2 * SECOND_NS)
    before, after = scene.maps()
    assert before["x"] == pytest.approx(2.0, abs=1e-5)
    assert after["x"] == pytest.approx(3.0, abs=1e-5)


def person_at(column, stamp_ns):
    """Somebody eight pixels wide before a wall, whose mask misses the outermost ones."""
    estimate = wall(stamp_ns=stamp_ns, people_columns=slice(column + 1, column + 7))
    estimate.points_camera[8:, column : column + 8] *= 2.0 / 3.0
    return estimate


def test_people_leave_no_ghosts_where_masks_are_too_small(body_model):
    values = {"scene.mask_dilate_px": 0, "scene.edge_filter": 0.0, "map.min_observations": 3}
    scene = Scene(body_model, **values, **{"map.publish_period_s": 0.1})
    columns = [30] * 10 + list(range(30, 56, 2)) + [200] * 12
    for tenth, column in enumerate(columns):
        scene.publish(person_at(column, SECOND_NS + tenth * SECOND_NS // 10))
    ghosts = [int((points["x"] < 2.5).sum()) for points in scene.maps()]
    # The rim of who stands still gets in, and leaves after them; of who walks, none gets in.
    assert ghosts[9] > 0
    assert max(ghosts[10:]) <= ghosts[9]
    assert ghosts[-1] == 0
    assert len(scene.maps()[-1]) > 1000


def test_what_is_far_behind_is_forgotten(body_model):
    scene = Scene(body_model, **{"map.publish_period_s": 0.1, "map.radius_m": 5.0})
    scene.publish()
    away = LEVEL_FROM_CAMERA.copy()
    away[0, 3] = 10.0
    for second in range(2, 12):
        scene.publish(pose=away, stamp_ns=second * SECOND_NS)
    assert scene.maps()[-1]["x"] == pytest.approx(13.0, abs=1e-5)


def test_a_cleared_map_is_sent_empty_to_those_who_knew_it(body_model):
    scene = Scene(body_model)
    scene.publish()
    assert scene.outputs.map.clear() == len(scene.maps()[0])
    scene.outputs.idle(SECOND_NS + 1, scene.settings)
    assert [len(points) for points in scene.maps()][1:] == [0]
    scene.outputs.idle(9 * SECOND_NS, scene.settings)
    assert len(scene.maps()) == 2
    assert scene.outputs.map.clear() == 0


def test_never_more_than_200000_points_are_sent_and_all_are_saved(tmp_path):
    outlet, settings = (
        Outlet(is_listening=True),
        Settings().replace(
            {**BASE, "map.voxel_m": 0.01, "map.radius_m": 1000.0, "map.directory": str(tmp_path)}
        ),
    )
    side = np.arange(510) * 0.02
    points = np.stack([*np.meshgrid(side, side), np.full((510, 510), 3.0)], -1)
    points = points.reshape(-1, 3).astype(np.float32)
    count = len(points)
    seen = PointSet(
        points,
        np.zeros((count, 3), np.uint8),
        np.ones(count, np.float32),
        np.zeros(count, np.uint16),
    )
    grown = MapOutput(outlet)
    nothing = np.full((4, 4), np.nan, np.float32)
    grown.update(seen, nothing, nothing > 0, CAMERA, LEVEL_FROM_CAMERA, 1, settings)
    grown.publish_if_due(1, settings)
    assert outlet.of("map")[0].width == 200_000
    assert grown.save("all", settings)[1] == count


def test_a_saved_map_is_what_other_programs_read(body_model, tmp_path):
    scene = Scene(body_model, **{"map.directory": str(tmp_path)})
    scene.publish()
    path, count = scene.outputs.map.save("hall", scene.settings)
    assert path == tmp_path / "hall.ply"
    assert list(tmp_path.iterdir()) == [path]
    cloud, sent = trimesh.load(path), scene.maps()[0]
    assert len(cloud.vertices) == count == len(sent)
    assert cloud.vertices[:, 0] == pytest.approx(sent["x"], abs=1e-6)
    assert (cloud.colors[:, :3] == 77).all()
    assert b"z up" in path.read_bytes()[:300]
    with pytest.raises(OutputError, match="exists"):
        scene.outputs.map.save("hall.ply", scene.settings)


def floor_seen_from_above(body_model, **changes):
    """A scene whose map is a level floor of 6 by 6 m, 1.5 m below the camera, with a box on it."""
    scene = Scene(body_model, **changes)
    side = np.arange(-3, 3, 0.02)
    x, z = (axis.ravel() for axis in np.meshgrid(side, side + 5))
    is_box = (abs(x) < 0.3) & (abs(z - 5) < 0.3)
    points = np.column_stack([x, np.where(is_box, 0.9, 1.5), z]).astype(np.float32)
    count = len(points)
    seen = PointSet(
        points,
        np.full((count, 3), 90, np.uint8),
        np.ones(count, np.float32),
        np.zeros(count, np.uint16),
    )
    nothing = np.full((4, 4), np.nan, np.float32)
    scene.outputs.map.update(
        seen, nothing, nothing > 0, CAMERA, LEVEL_FROM_CAMERA, 1, scene.settings
    )
    return scene


def test_a_map_is_saved_as_cloud_or_as_grid_by_its_name(body_model, tmp_path):
    scene = floor_seen_from_above(body_model, **{"map.directory": str(tmp_path)})
    save = scene.outputs.map.save
    assert save("hall.pcd", scene.settings)[0] == tmp_path / "hall.pcd"
    assert b"DATA binary" in (tmp_path / "hall.pcd").read_bytes()[:400]
    assert save("hall.yaml", scene.settings)[0] == tmp_path / "hall.yaml"
    shades = np.asarray(Image.open(tmp_path / "hall.pgm"))
    assert np.mean(shades == 254) > 0.9
    assert 100 < (shades == 0).sum() < 200, "the box of 12 by 12 cells"
    (tmp_path / "hall.yaml").unlink()
    with pytest.raises(OutputError, match=r"hall\.pgm exists"):
        save("hall.yaml", scene.settings)


def test_the_grid_goes_out_to_who_listens_where_there_is_a_floor(body_model):
    scene = floor_seen_from_above(body_model)
    scene.outputs.map.publish(1, scene.settings)
    grid = scene.outlet.of("map_grid")[0]
    cells = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    assert grid.header.frame_id == scene.settings.frames.level
    assert grid.info.resolution == pytest.approx(scene.settings.map.voxel_m)
    assert grid.info.origin.position.z == pytest.approx(0.0, abs=0.03)
    assert {0, 100} <= set(np.unique(cells)) <= {-1, 0, 100}
    wall_only = Scene(body_model)
    wall_only.publish()
    assert wall_only.maps()
    assert not wall_only.outlet.of("map_grid")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../up", "a/b", "/etc/x", "a\\b", ".hidden", "a\0b", "line\nbreak", "x" * 201],
)
def test_names_that_are_no_plain_file_names_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="expected a file name"):
        map_path(name, str(tmp_path))


def test_saving_needs_a_folder_that_is_there(tmp_path):
    with pytest.raises(InputError, match="directory is empty"):
        map_path("a", "")
    with pytest.raises(InputError, match="existing folder"):
        map_path("a", str(tmp_path / "none"))
    assert map_path("a.PLY", str(tmp_path)) == tmp_path / "a.PLY"


def test_a_link_does_not_lead_out_of_the_folder(tmp_path):
    folder, outside = tmp_path / "maps", tmp_path / "outside.ply"
    folder.mkdir()
    (folder / "a.ply").symlink_to(outside)
    with pytest.raises(OutputError, match="exists"):
        MapOutput(Outlet(is_listening=True)).save(
            "a", Settings().replace({"map.directory": str(folder)})
        )
    assert not outside.exists()


# -- images and clouds ---------------------------------------------------------------------------


def image_of(message, dtype):
    return np.frombuffer(bytes(message.data), dtype).reshape(message.height, message.width)


def test_labels_number_the_people_of_the_array_and_agree_with_mask_and_points(body_model):
    left, right = (
        dataclasses.replace(person, vertices_camera=person.vertices_camera + shift)
        for person, shift in (
            (make_person(body_model), np.array([-1.0, 0, 0], np.float32)),
            (make_person(body_model), np.array([0.8, 0, 0], np.float32)),
        )
    )
    lost = make_person(body_model)
    people = [(right, TrackState.OK), (lost, TrackState.LOST), (left, TrackState.COASTING)]
    scene = Scene(body_model)
    scene.publish(people=people, people_columns=slice(0, WIDTH // 2))
    scene.publish(people=people, people_columns=slice(0, WIDTH), stamp_ns=2 * SECOND_NS)
    for labels, mask, cloud in zip(
        *map(scene.outlet.of, ("labels", "mask", "points")), strict=True
    ):
        assert (labels.encoding, labels.header) == ("16UC1", mask.header)
        found = image_of(labels, np.uint16)
        assert np.array_equal(found > 0, image_of(mask, np.uint8) == 255)
        points = point_cloud2.read_points(cloud)
        assert np.array_equal(points["label"], found[image_of_points(points)])
    assert (found[:, :16] == 3).all()
    assert (found[:, 50:] == 1).all()
    assert set(np.unique(found)) == {1, 3}


def image_of_points(points):
    """Row and column of each point of a wall."""
    column = CAMERA.fx * points["x"] / points["z"] + CAMERA.cx
    row = CAMERA.fy * points["y"] / points["z"] + CAMERA.cy
    return np.rint(row).astype(int), np.rint(column).astype(int)


def test_nobody_known_means_no_label(body_model):
    scene = Scene(body_model)
    scene.publish(people_columns=slice(0, 20))
    assert not image_of(scene.outlet.of("labels")[0], np.uint16).any()
    assert image_of(scene.outlet.of("mask")[0], np.uint8).any()


def test_confidence_is_that_of_the_network(body_model):
    scene, estimate = Scene(body_model), wall()
    scene.publish(estimate)
    (message,) = scene.outlet.of("confidence")
    assert message.encoding == "32FC1"
    assert np.array_equal(image_of(message, np.float32), estimate.confidence)


def test_the_scene_can_be_made_less_often_than_people_are(body_model):
    scene = Scene(body_model, **{"scene.rate_hz": 2.0})
    for tenth in range(11):
        scene.publish(stamp_ns=SECOND_NS + tenth * SECOND_NS // 10)
    for name in ("depth", "depth_info", "confidence", "mask", "labels", "points", "scene"):
        stamps = [convert.ns_from_time(m.header.stamp) for m in scene.outlet.of(name)]
        assert stamps == [SECOND_NS, 3 * SECOND_NS // 2, 2 * SECOND_NS], name
    assert len(scene.outlet.of("meshes")) == 11


# -- what is left out under overload -------------------------------------------------------------

_MADE = {
    "meshes": {"meshes"},
    "map update": {"map"},
    "masks and confidence": {"mask", "labels", "confidence"},
    "depth": {"depth", "depth_info"},
    "scene cloud": {"scene"},
}


def test_each_group_that_is_left_out_is_named_and_not_made(body_model):
    scene = Scene(body_model, **{"map.publish_period_s": 0.1})
    kept = {"points", *(name for names in _MADE.values() for name in names)}
    for number in range(len(GROUPS) + 1):
        scene.outlet.sent.clear()
        scene.publish(stamp_ns=(number + 1) * SECOND_NS)
        assert {name for name, _ in scene.outlet.sent} == kept
        assert scene.outputs.left_out == GROUPS[:number]
        for _ in range(10):
            scene.outputs.observe(0.6, scene.settings)
        if number < len(GROUPS):
            kept -= _MADE[GROUPS[number]]
    assert kept == {"points"}
    scene.outputs.begin()  # a new activation
    scene.publish(stamp_ns=99 * SECOND_NS)
    assert scene.outputs.left_out == ()


def test_what_nobody_wanted_is_not_called_left_out(body_model):
    scene = Scene(body_model, is_listening=False, **{"map.enabled": False})
    scene.publish()
    for _ in range(100):
        scene.outputs.observe(0.6, scene.settings)
    scene.publish(stamp_ns=2 * SECOND_NS)
    assert scene.outputs.left_out == ()


def without_scene(stamp_ns):
    """A frame that the scene network did not look at, with somebody in the middle."""
    estimate = wall(stamp_ns=stamp_ns, people_columns=slice(20, 40))
    return dataclasses.replace(
        estimate,
        points_camera=np.zeros_like(estimate.points_camera),
        confidence=np.zeros_like(estimate.confidence),
        has_scene=False,
    )


@pytest.mark.parametrize(("rate_hz", "masks"), [(0.0, 3), (5.0, 1)])
def test_a_frame_without_scene_gives_masks_and_leaves_the_map_alone(body_model, rate_hz, masks):
    scene = Scene(body_model, **{"scene.rate_hz": rate_hz, "map.publish_period_s": 0.1})
    scene.publish()
    for later in (1, 2):
        scene.publish(without_scene(SECOND_NS + later * SECOND_NS))
    for name in ("depth", "depth_info", "confidence", "points", "scene", "map"):
        assert len(scene.outlet.of(name)) == 1, name
    assert len(scene.outlet.of("mask")) == len(scene.outlet.of("labels")) == masks
    assert scene.outputs.map.stamp_ns == SECOND_NS
    # The turn of the next frame with a scene is its own.
    scene.publish(stamp_ns=SECOND_NS * 4)
    assert len(scene.outlet.of("depth")) == 2

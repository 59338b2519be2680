"""Bags as results: what a recorder wrote is exported as what the run itself wrote."""

import json
import logging
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

import human3r
from human3r.body.kinematics import skeleton_rotations
from human3r.body.skeleton import published_joints
from human3r.cli.main import main
from human3r.errors import BodyModelError, InputError
from human3r.export import export
from human3r.export.open_result import open_result
from human3r.mapping.level import level_from_pitch
from tests.export import readers, results
from tests.io import media

SECOND_NS = 1_000_000_000
DEFINITIONS = Path(human3r.__file__).parents[2] / "ros2_ws/src/human3r_msgs/msg"
LEVEL = level_from_pitch(results.UP_TILT)


@pytest.fixture(scope="module")
def store():
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = {}
    for path in DEFINITIONS.glob("*.msg"):
        types |= get_types_from_msg(path.read_text(), f"human3r_msgs/msg/{path.stem}")
    store.register(types)
    return store


class Messages:
    """The messages that a node would have sent of a result folder."""

    def __init__(self, store, run: Path) -> None:
        self._store = store
        with np.load(run / "people.npz") as file:
            self.people = dict(file)
        names = tuple(str(name) for name in self.people["joint_names"])
        self._chosen = published_joints(names)
        self.names = [names[i] for i in self._chosen]

    def make(self, kind: str, **fields):
        """A message whose other fields are zero."""
        return _filled(self._store, kind, fields)

    def header(self, stamp_ns: int):
        stamp = self.make(
            "builtin_interfaces/msg/Time",
            sec=int(stamp_ns // SECOND_NS),
            nanosec=int(stamp_ns % SECOND_NS),
        )
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id="camera")

    def skeleton(self):
        parents = self.people["joint_parents"][self._chosen].astype(np.int16)
        return self.make(
            "human3r_msgs/msg/SkeletonInfo",
            header=self.header(0),
            body_model=str(self.people["body_model"]),
            joint_names=self.names,
            joint_parents=parents,
        )

    def humans(self, frame: int, **fields):
        people = self.people
        stamp_ns = int(people["frame_stamp_ns"][frame])
        level_from_camera = LEVEL @ people["frame_world_from_camera"][frame]
        rows = np.flatnonzero(people["frame"] == frame)
        values = {
            "header": self.header(stamp_ns),
            "session": 1,
            "frame_index": frame,
            "camera_pose": self.pose(level_from_camera),
            "camera_pose_valid": True,
            "scale": float(people["scale"][0]),
            "image_width": results.WIDTH,
            "image_height": results.HEIGHT,
            "humans": [self.human(row) for row in rows],
        }
        return self.make("human3r_msgs/msg/HumanArray", **(values | fields))

    def human(self, row: int):
        people = self.people
        turns = skeleton_rotations(people["rotations"][row][None])[0]
        joints = people["joints_camera"][row, self._chosen]
        u = 300.0 * joints[:, 0] / joints[:, 2] + 158
        v = 310.0 * joints[:, 1] / joints[:, 2] + 121
        covariance = np.zeros(36, np.float32)
        covariance[0] = -1
        return self.make(
            "human3r_msgs/msg/Human",
            track_id=int(people["track_id"][row]),
            track_state=int(people["track_state"][row]),
            score=float(people["score"][row]),
            body_pose_covariance=covariance,
            joint_positions=joints.astype(np.float32).ravel(),
            joint_rotations=Rotation.from_matrix(turns).as_quat().astype(np.float32).ravel(),
            joint_pixels=np.stack([u, v], axis=1).astype(np.float32).ravel(),
            betas=people["betas"][row].astype(np.float32),
            expression=people["expression"][row].astype(np.float32),
        )

    def pose(self, matrix: np.ndarray):
        x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
        px, py, pz = matrix[:3, 3].tolist()
        return self.make(
            "geometry_msgs/msg/Pose",
            position=self.make("geometry_msgs/msg/Point", x=px, y=py, z=pz),
            orientation=self.make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        )

    def cloud(self, frame: int, points: np.ndarray, colors: np.ndarray):
        field = "sensor_msgs/msg/PointField"
        fields = [
            self.make(field, name=name, offset=4 * i, datatype=7, count=1)
            for i, name in enumerate(("x", "y", "z", "rgb", "observations"))
        ]
        red, green, blue = colors.astype(np.uint32).T
        packed = ((red << 16) | (green << 8) | blue).view(np.float32)
        rows = np.column_stack([points, packed, np.ones(len(points))]).astype(np.float32)
        rows[:, 3] = packed
        return self.make(
            "sensor_msgs/msg/PointCloud2",
            header=self.header(int(self.people["frame_stamp_ns"][frame])),
            height=1,
            width=len(points),
            fields=fields,
            point_step=20,
            row_step=20 * len(points),
            data=rows.view(np.uint8).ravel(),
        )

    def image(self, frame: int):
        stamp_ns = int(self.people["frame_stamp_ns"][frame])
        return media.image_message(stamp_ns, media.picture(frame), "rgb8")


def _filled(store, kind: str, fields: dict):
    """A message of a type, zero where nothing is given."""
    values = {}
    for name, descriptor in store.fielddefs[kind][1]:
        values[name] = fields[name] if name in fields else _zero(store, descriptor)
    return store.types[kind](**values)


def _zero(store, descriptor):
    node, content = descriptor[0], descriptor[1]
    if node.name == "NAME":
        return _filled(store, content, {})
    if node.name == "BASE":
        return {"string": "", "bool": False}.get(content[0], 0)
    (inner, base), count = content
    if inner.name != "BASE" or base[0] == "string":
        return []
    return np.zeros(count if node.name == "ARRAY" else 0, base[0])


def write_bag(path: Path, store, messages: list, plugin=StoragePlugin.MCAP) -> Path:
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        connections = {}
        for number, (topic, message) in enumerate(messages):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            data = store.serialize_cdr(message, kind)
            writer.write(connections[topic], SECOND_NS + number, data)
    return path


@pytest.fixture
def recorded(make, store, tmp_path):
    """A run, its messages, and a function that writes them as a bag."""
    run, _ = make(3)
    messages = Messages(store, run)

    def write(plugin=StoragePlugin.MCAP, also=(), frames=range(6), **fields) -> Path:
        humans = [("/human3r/humans", messages.humans(frame, **fields)) for frame in frames]
        first = [("/human3r/skeleton", messages.skeleton())]
        return write_bag(tmp_path / "a bag", store, [*first, *humans, *also], plugin)

    return run, messages, write


def exported(source, tmp_path, name="b.csv", **options):
    path = export(source, "csv", tmp_path / name, **options).path
    return readers.csv_joints(path)


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("world", ["level", "camera"])
def test_a_bag_gives_the_joints_of_the_run_it_is_of(recorded, tmp_path, plugin, world):
    run, messages, write = recorded
    bag = write(plugin)
    expected = results.joints_in(run, results.tilted(results.UP_TILT)[world])
    for source in (bag, next(one for one in bag.iterdir() if one.suffix != ".yaml")):
        _, found, names = exported(source, tmp_path, world=world)
        assert names == messages.names
        assert found.keys() == expected.keys()
        for key, joints in found.items():
            np.testing.assert_allclose(joints[:55], expected[key][:55], atol=1e-4)


def test_an_older_sqlite_bag_is_read_by_the_definitions_that_are_installed(recorded, tmp_path):
    run, _, write = recorded
    bag = write(StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    # As Humble writes it.
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM message_definitions")
        database.execute("UPDATE schema SET schema_version = 3")
    database.close()
    found = exported(bag, tmp_path)[1]
    assert found.keys() == results.joints_in(run, np.eye(4)).keys()


def test_bodies_are_posed_by_what_the_bag_says(recorded, body_file, tmp_path):
    run, _, write = recorded
    options = {"body_model": body_file, "world": "level"}
    of_run = export(run, "obj", tmp_path / "run", **options).path
    of_bag = export(write(), "obj", tmp_path / "bag", **options).path
    import trimesh

    for path in sorted(of_run.rglob("*.obj")):
        meshes = [
            trimesh.load(folder / path.relative_to(of_run), process=False)
            for folder in (of_run, of_bag)
        ]
        np.testing.assert_allclose(meshes[0].vertices, meshes[1].vertices, atol=2e-4)


def test_shapes_that_the_bag_leaves_out_are_those_of_the_bones(recorded, body_file, tmp_path):
    run, messages, write = recorded
    whole = messages.human

    def without_shape(row):
        message = whole(row)
        message.betas = message.expression = np.zeros(0, np.float32)
        return message

    messages.human = without_shape
    bag = write()
    for source, name in ((run, "run"), (bag, "bag")):
        export(source, "amass", tmp_path / name, body_model=body_file)
    for track_id in (3, 7):
        betas = [
            np.load(tmp_path / name / f"person_{track_id}.npz")["betas"] for name in ("run", "bag")
        ]
        np.testing.assert_allclose(betas[1], betas[0], atol=0.05)


def test_another_body_model_is_told_by_its_joints(recorded, tmp_path):
    _, _, write = recorded
    with pytest.raises(BodyModelError, match="mm from those that were recorded"):
        export(write(), "obj", tmp_path / "obj")


def test_the_last_map_is_the_cloud_and_images_are_found_by_their_stamps(recorded):
    _, messages, write = recorded
    rng = np.random.default_rng(0)
    points, colors = (
        rng.uniform(-3, 3, (2, 40, 3)).astype(np.float32),
        rng.integers(0, 255, (40, 3)),
    )
    clouds = [("/human3r/map/points", messages.cloud(n, p, colors)) for n, p in enumerate(points)]
    images = [("/camera/image_raw", messages.image(frame)) for frame in (0, 4)]
    result = open_result(write(also=[*clouds, *images]))
    level_from_world = LEVEL
    found = result.points_world @ level_from_world[:3, :3].T
    np.testing.assert_allclose(found, points[1], atol=1e-5)
    np.testing.assert_array_equal(result.colors, colors)
    shown = result.images()
    assert sorted(shown) == [0, 4]
    np.testing.assert_array_equal(shown[4], media.picture(4))


def test_without_a_map_the_points_of_the_frames_are_the_cloud(recorded):
    _, messages, write = recorded
    points = np.random.default_rng(0).uniform(1, 3, (40, 3)).astype(np.float32)
    clouds = [("/human3r/scene/points", messages.cloud(2, points, np.zeros((40, 3))))]
    result = open_result(write(also=clouds))
    pose = messages.people["frame_world_from_camera"][2]
    expected = points @ pose[:3, :3].T + pose[:3, 3]
    np.testing.assert_allclose(
        np.sort(result.points_world[:, 0]), np.sort(expected[:, 0]), atol=1e-4
    )


def test_the_camera_is_the_one_that_takes_joints_to_their_pixels(recorded):
    _, _, write = recorded
    intrinsics = open_result(write()).intrinsics
    expected = [[300, 0, 158], [0, 310, 121], [0, 0, 1]]
    np.testing.assert_allclose(intrinsics, np.tile(expected, (6, 1, 1)), atol=1e-2)


def test_frames_of_before_up_was_known_are_left_out_and_said(recorded, caplog):
    _, messages, write = recorded
    unplaced = [("/human3r/humans", messages.humans(0, camera_pose_valid=False))]
    with caplog.at_level(logging.WARNING):
        result = open_result(write(also=unplaced, frames=range(1, 6)))
    assert len(result.stamps_ns) == 5
    assert "1 of 6 frames left out" in caplog.text


def test_a_bag_that_never_knew_up_is_shown_as_a_camera_that_stands_still(recorded, caplog):
    _, messages, write = recorded
    still = messages.pose(np.eye(4))
    with caplog.at_level(logging.WARNING):
        result = open_result(write(camera_pose_valid=False, camera_pose=still))
    assert "taken to stand still" in caplog.text
    np.testing.assert_array_equal(result.world_from_camera, np.tile(np.eye(4), (6, 1, 1)))


@pytest.mark.parametrize("kind", ["bag", "folder"])
def test_of_two_worlds_the_longer_is_taken_and_the_other_can_be_asked_for(
    recorded, caplog, kind, tmp_path, capsys
):
    run, messages, write = recorded
    people = messages.people
    # The camera begins anew at the fourth frame.
    poses = people["frame_world_from_camera"]
    poses[4:] = poses[:2]
    people["world_from_camera"] = poses[people["frame"]]
    people["frame_session"] = np.array([1, 1, 1, 1, 2, 2])
    np.savez(run / "people.npz", **people)
    source = run
    if kind == "bag":
        later = [("/human3r/humans", messages.humans(frame, session=2)) for frame in (4, 5)]
        source = write(frames=range(4), also=later)
    with caplog.at_level(logging.WARNING):
        result = open_result(source)
    assert (
        "4 of 6, of session 1. --session names another: 1 (4 frames), 2 (2 frames)" in caplog.text
    )
    np.testing.assert_array_equal(result.stamps_ns, people["frame_stamp_ns"][:4])
    assert result.frame.max() == 3
    other = open_result(source, session=2)
    np.testing.assert_array_equal(other.stamps_ns, people["frame_stamp_ns"][4:])
    np.testing.assert_allclose(other.joints_camera[:, :55], people["joints_camera"][
        people["frame"] >= 4][:, :55], atol=1e-6)  # fmt: skip
    # A run keeps the scene of its last world only.
    if kind == "folder":
        assert (len(result.points_world), len(other.points_world)) == (0, 50)
        document = json.loads(export(run, "coco", tmp_path / "a.json").path.read_text())
        assert len(document["images"]) == 6
    assert main(["export", str(source), "--format", "csv", "--session", "9"]) == 1
    assert "no session 9; expected one of: 1, 2" in capsys.readouterr().err


def test_a_static_camera_has_one_world_in_all_sessions(recorded):
    run, messages, _ = recorded
    people = messages.people
    people["frame_world_from_camera"][:] = people["world_from_camera"][:] = np.eye(4)
    people["frame_session"] = np.array([0, 0, 1, 1, 2, 2])
    np.savez(run / "people.npz", **people)
    assert len(open_result(run).stamps_ns) == 6


def test_bags_of_other_things_are_refused(recorded, store, tmp_path, capsys):
    _, messages, write = recorded
    images = write_bag(tmp_path / "images", store, [("/i", messages.image(0))])
    with pytest.raises(InputError, match=r"a bag without people.* human3r run BAG"):
        open_result(images)
    bag = write(also=[("/other/humans", messages.humans(0))])
    with pytest.raises(InputError, match=r"several topics.*/human3r/humans, /other/humans"):
        open_result(bag)
    assert len(open_result(bag, topic="other/humans").stamps_ns) == 1
    with pytest.raises(InputError, match="no people on /x; expected one of: /human3r/humans"):
        open_result(bag, topic="/x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no people\.npz and is no bag"):
        open_result(tmp_path / "empty")
    with pytest.raises(InputError, match="no such file"):
        open_result(tmp_path / "nothing")


def test_a_damaged_message_is_an_error_in_words(recorded, tmp_path):
    _, messages, write = recorded
    human = messages.human
    messages.human = lambda row: _shortened(human(row))
    with pytest.raises(InputError, match="9 numbers of joints"):
        open_result(write())


def _shortened(message):
    message.joint_positions = message.joint_positions[:9]
    return message


def test_an_export_lands_beside_the_bag_not_in_it(recorded):
    _, _, write = recorded
    bag = write()
    before = sorted(bag.iterdir())
    assert export(bag, "csv").path == bag.with_name("a bag.csv")
    assert export(bag, "bvh").path == bag.with_name("a bag_bvh")
    assert sorted(bag.iterdir()) == before


def test_the_page_of_a_bag_is_served(recorded, body_file):
    pytest.importorskip("viser", reason="viser is not installed: pip install 'human3r[web]'")
    import urllib.request

    from human3r.export.web import serve

    _, _, write = recorded
    stop, said = threading.Event(), []

    def ready(address: str) -> None:
        with urllib.request.urlopen(address, timeout=30) as answer:
            said.append(answer.status)
        stop.set()

    options = {"host": "127.0.0.1", "port": 0, "max_points": 1000, "min_share": 0.1}
    serve(write(), **options, body_model=body_file, stop=stop, ready=ready)
    assert said == [200]


def rig_messages(messages, stamps):
    """Of human3r_multi with two cameras that stand 2 m apart, in the frame ``room``."""

    def header(stamp_ns, frame_id):
        found = messages.header(stamp_ns)
        found.frame_id = frame_id
        return found

    def edge(child, x):
        transform = messages.make(
            "geometry_msgs/msg/Transform",
            translation=messages.make("geometry_msgs/msg/Vector3", x=x, y=0.0, z=1.5),
            rotation=messages.make("geometry_msgs/msg/Quaternion", x=-0.5, y=0.5, z=-0.5, w=0.5),
        )
        return messages.make(
            "geometry_msgs/msg/TransformStamped",
            header=header(1, "room"),
            child_frame_id=child,
            transform=transform,
        )

    edges = [edge("left_optical", 0.0), edge("right_optical", 2.0)]
    found = [("/tf_static", messages.make("tf2_msgs/msg/TFMessage", transforms=edges))]
    found.append(("/human3r_multi/skeleton", messages.skeleton()))
    for frame, stamp_ns in enumerate(stamps):
        fused = messages.humans(
            frame,
            header=header(stamp_ns, "room"),
            frame_index=frame + 1,
            camera_pose=messages.pose(np.eye(4)),
            camera_pose_valid=False,
            image_width=0,
            image_height=0,
        )
        if frame == 2:
            # A number that is not used again.
            gone = messages.make("human3r_msgs/msg/Human", track_id=9, track_state=3)
            fused.humans.append(gone)
        found.append(("/human3r_multi/humans", fused))
        for name in ("left", "right"):
            own = messages.humans(frame, header=header(stamp_ns, f"{name}_optical"))
            found.append((f"/human3r_multi/{name}/humans", own))
    return found


def test_a_bag_of_several_cameras_has_the_people_of_all_and_every_camera(
    make, store, tmp_path, body_file
):
    run, _ = make(9)
    messages = Messages(store, run)
    stamps = messages.people["frame_stamp_ns"].tolist()
    bag = write_bag(tmp_path / "b", store, rig_messages(messages, stamps))
    result = open_result(bag)
    assert len(result.stamps_ns) == len(stamps)
    assert set(result.track_id) == set(messages.people["track_id"])
    np.testing.assert_allclose(result.up_world, [0, 0, 1], atol=1e-9)
    left, right = result.cameras
    assert (left.name, right.name) == ("left", "right")
    np.testing.assert_allclose(right.world_from_camera[0][:3, 3], [2.0, 0.0, 1.5])
    np.testing.assert_allclose(right.world_from_camera[0][:3, 2], [1, 0, 0], atol=1e-9)
    assert left.stamps_ns.tolist() == stamps
    assert left.size_px[0].tolist() == [results.WIDTH, results.HEIGHT]
    page = export(bag, "html", tmp_path / "page.html", body_model=body_file).path
    assert page.stat().st_size > 0


def test_people_of_one_of_several_cameras_can_be_asked_for(make, store, tmp_path):
    run, _ = make(9)
    messages = Messages(store, run)
    stamps = messages.people["frame_stamp_ns"].tolist()
    bag = write_bag(tmp_path / "b", store, rig_messages(messages, stamps))
    result = open_result(bag, topic="/human3r_multi/left/humans")
    assert result.cameras == ()
    assert result.size_px[0].tolist() == [results.WIDTH, results.HEIGHT]


def test_a_camera_without_a_pose_in_tf_is_left_out_and_told(make, store, tmp_path, caplog):
    run, _ = make(9)
    messages = Messages(store, run)
    stamps = messages.people["frame_stamp_ns"].tolist()
    told = [one for one in rig_messages(messages, stamps) if one[0] != "/tf_static"]
    result = open_result(write_bag(tmp_path / "b", store, told))
    assert result.cameras == ()
    assert "TF does not say where left_optical is in room" in caplog.text

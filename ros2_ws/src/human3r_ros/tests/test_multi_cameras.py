"""The fusing node with cameras of its own: a rendered room, images over DDS, one network."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from human3r_msgs.msg import HumanArray
from human3r_ros import convert, qos
from rclpy.qos import QoSProfile
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image

from human3r.cli.main import main as human3r
from human3r.export import export
from human3r.export.open_result import open_result
from human3r.geometry import transform_points
from human3r.multiview.rig_file import RigCamera, read_rig, write_rig
from human3r.types import Intrinsics
from ros2_ws.src.human3r_ros.tests.fusing_room import Room
from ros2_ws.src.human3r_ros.tests.running_process import wait_until

SHARE = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow
SIZE_PX = (320, 224)
NUM_FRAMES = 3
RATE_HZ = 2.0


@pytest.fixture(scope="module")
def views():
    """Per camera: the true views of one scene with two people."""
    pytest.importorskip("human3r_lab")
    from human3r_lab.synth.generator import render_sequence

    return {
        f"camera{camera}": list(
            render_sequence(
                seed=1,
                split="test",
                difficulty="easy",
                frames=NUM_FRAMES,
                rate_hz=8.0,
                width_px=SIZE_PX[0],
                height_px=SIZE_PX[1],
                cameras=2,
                camera=camera,
            )
        )
        for camera in range(2)
    }


class Cameras:
    """Publishes what the cameras see, back and forth, at common stamps, until told to be quiet."""

    def __init__(self, room, views):
        self._node, self._views = room.peer.node, views
        self._sent = 0
        self.quiet = set()
        make = self._node.create_publisher
        depth = QoSProfile(depth=5)
        self._images = {name: make(Image, f"/{name}/image_raw", depth) for name in views}
        self._infos = {name: make(CameraInfo, f"/{name}/camera_info", depth) for name in views}
        self._timer = self._node.create_timer(1.0 / RATE_HZ, self._send)

    def _send(self):
        stamp_ns = self._node.get_clock().now().nanoseconds
        self._sent += 1
        turn = self._sent % (2 * NUM_FRAMES - 2)
        index = turn if turn < NUM_FRAMES else 2 * NUM_FRAMES - 2 - turn
        for name, seen in self._views.items():
            if name in self.quiet:
                continue
            header = convert.header(stamp_ns, f"{name}_optical")
            pixels = seen[index].image.copy()
            # No camera sends the same image twice.
            pixels[-1, -1] = self._sent % 256
            height, width = pixels.shape[:2]
            k = seen[index].intrinsics
            matrix = np.array([k.fx, 0, k.cx, 0, k.fy, k.cy, 0, 0, 1])
            info = CameraInfo(header=header, width=width, height=height, k=matrix)
            self._infos[name].publish(info)
            self._images[name].publish(
                Image(
                    header=header,
                    height=height,
                    width=width,
                    encoding="rgb8",
                    step=3 * width,
                    data=pixels.tobytes(),
                )
            )


@pytest.fixture
def room(tmp_path, private_domain):
    made = Room(tmp_path, private_domain)
    yield made
    made.close()


def fuse(room, views, folder, **settings):
    rig = {name: RigCamera(name, seen[0].world_from_camera) for name, seen in views.items()}
    write_rig(folder / "cameras.yaml", rig)
    # A busy machine is slow, and how old images get is no matter here.
    return room.fuse(
        cameras=",".join(views),
        calibration=folder / "cameras.yaml",
        input__max_age_s=0,
        diagnostics__max_latency_s=0,
        **settings,
    )


def test_one_process_reads_two_cameras_and_one_may_fall_silent_and_return(room, views, tmp_path):
    single = []
    room.peer.node.create_subscription(
        HumanArray, "/human3r_multi/camera1/humans", single.append, qos.HUMANS
    )
    process = fuse(room, views, tmp_path)
    cameras = Cameras(room, views)
    room.wait(lambda: room.shared("camera1") > 6, "people seen by both", 300)
    first = room.people()
    true_heads = _heads(views)
    assert len(first) == len(true_heads)
    for head in true_heads:
        assert min(np.linalg.norm(p[:2] - head[:2]) for p in first.values()) < 0.5
    policy = ET.parse(SHARE / "sros2" / "policy.xml").getroot()
    allowed = {
        topic.text for topic in policy.find("*/enclave[@path='/human3r_multi']").iter("topic")
    }
    named = {t.replace("/left/", "/camera0/").replace("/right/", "/camera1/") for t in allowed}
    node = room.peer.node
    published = node.get_publisher_names_and_types_by_node("human3r_multi", "/")
    names = {name for name, _ in published}
    assert {"/human3r_multi/humans", "/human3r_multi/cameras"} <= names
    assert names <= named, names - named
    read = node.get_subscriber_names_and_types_by_node("human3r_multi", "/")
    assert {name for name, _ in read} <= named
    values = {v.key: v.value for v in room.status("camera1").values}
    assert float(values["residual_px"]) < float(values["expected_px"])
    assert single[-1].header.frame_id == "camera1_optical"

    cameras.quiet = {"camera1"}
    before = room.mark()
    room.wait(
        lambda: room.status("camera1").level == DiagnosticStatus.STALE, "news of the silent camera"
    )
    mark = room.mark()
    room.wait(lambda: room.mark() > mark + 4, "moments of the other camera alone")
    assert set(room.people()) == set(first)

    cameras.quiet = set()
    shared = room.shared("camera1")
    room.wait(lambda: room.shared("camera1") > shared + 6, "people seen by both again", 300)
    assert room.ids_since(before) == set(first)
    for name, place in room.people().items():
        assert np.linalg.norm(place - first[name]) < 0.4

    assert process.stop() == 0
    wait_until(lambda: not room.arrays[-1].humans, 30, "the closing message")


def test_a_recording_is_viewed_exported_and_calibrated_and_the_bridge_reads_along(
    room, views, tmp_path
):
    process = fuse(room, views, tmp_path)
    remaps = [f"human3r/{topic}:=/human3r_multi/{topic}" for topic in ("humans", "skeleton")]
    words = [word for remap in remaps for word in ("-r", remap)]
    room.start("bridge", "human3r_bridge", "--set=outputs=poses", "--ros-args", *words)
    Cameras(room, views)
    room.wait(lambda: room.shared("camera1") > 6, "people seen by both", 300)
    topics = ["/tf_static", "/human3r_multi/humans", "/human3r_multi/skeleton"]
    for name in views:
        topics += [f"/{name}/image_raw", f"/{name}/camera_info", f"/human3r_multi/{name}/humans"]
    bag = tmp_path / "bag"
    words = ["record", "--out", bag, "--duration", "15", *topics, "/human3r_bridge/poses"]
    recorder = room.start("record", "human3r.cli.main", *words)
    assert recorder.process.wait(120) == 0, recorder.log()
    assert process.stop() == 0

    assert "0 dropped" in recorder.log()
    assert "never published" not in recorder.log()
    result = open_result(bag)
    assert set(result.track_id) == {int(name[1:]) for name in room.ids_since(0)}
    rig = read_rig(tmp_path / "cameras.yaml")
    assert [camera.name for camera in result.cameras] == list(views)
    for camera in result.cameras:
        pose = rig[camera.name].world_from_camera
        np.testing.assert_allclose(camera.world_from_camera[0], pose, atol=1e-5)
        assert camera.images()
    assert export(bag, "html", tmp_path / "page.html").path.stat().st_size > 0

    topics = ",".join(f"/{name}/image_raw" for name in views)
    found = tmp_path / "found.yaml"
    assert human3r(["calibrate", str(bag), "--topics", topics, "--out", str(found)]) == 0
    first, second = (one.world_from_camera for one in read_rig(found).values())
    true = np.linalg.inv(rig["camera0"].world_from_camera) @ rig["camera1"].world_from_camera
    said = np.linalg.inv(first) @ second
    baseline_m = np.linalg.norm(true[:3, 3])
    # Three images back and forth; 0.02 and 1.8 degrees were measured.
    assert np.linalg.norm(said[:3, 3] - true[:3, 3]) < 0.08 * baseline_m
    assert Rotation.from_matrix(said[:3, :3].T @ true[:3, :3]).magnitude() < np.deg2rad(5)


def test_topics_and_lenses_of_ones_own_and_a_camera_that_hangs_upside_down(room, views, tmp_path):
    views = {"camera0": views["camera0"], "camera1": [_hung(one) for one in views["camera1"]]}
    rig = {
        name: RigCamera(name, seen[0].world_from_camera, seen[0].intrinsics)
        for name, seen in zip(("left", "right"), views.values(), strict=True)
    }
    write_rig(tmp_path / "cameras.yaml", rig)
    single = []
    room.peer.node.create_subscription(
        HumanArray, "/human3r_multi/right/humans", single.append, qos.HUMANS
    )
    room.fuse(
        cameras="left=/camera0/image_raw,right=/camera1/image_raw",
        calibration=tmp_path / "cameras.yaml",
        input__camera_info="ignore",
        input__max_age_s=0,
    )
    Cameras(room, views)
    room.wait(lambda: room.shared("right") > 2, "people seen by both", 300)
    assert len(room.people()) == len(_heads(views))
    assert single[-1].header.frame_id == "camera1_optical_upright"


def test_a_network_that_fails_again_and_again_ends_the_process(room, model_files, tmp_path):
    tensors = load_file(model_files[0])
    first = next(name for name, tensor in tensors.items() if tensor.dtype.is_floating_point)
    with safe_open(model_files[0], framework="pt") as file:
        about = file.metadata()
    tensors[first] = torch.full_like(tensors[first], torch.nan)
    weights = tmp_path / "broken.safetensors"
    save_file(tensors, weights, about)
    rng = np.random.default_rng(0)
    lens = Intrinsics(90.0, 90.0, 39.5, 29.5, 80, 60)
    views = {
        f"camera{i}": [
            SimpleNamespace(
                image=rng.integers(0, 255, (60, 80, 3), np.uint8),
                intrinsics=lens,
                world_from_camera=np.eye(4),
            )
            for _ in range(NUM_FRAMES)
        ]
        for i in range(2)
    }
    network = {f"{part}__source": "network" for part in ("odometry", "people", "scene")}
    process = fuse(
        *(room, views, tmp_path),
        **network,
        model__weights=weights,
        model__body_model=model_files[1],
        model__warmup_frames=0,
        fault__max_consecutive=3,
        fault__policy="exit",
    )
    Cameras(room, views)
    assert process.process.wait(300) == 3, process.log()
    assert "giving up: 3 frames failed in a row" in process.log()


def _hung(view):
    """The same camera upside down."""
    k, pose = view.intrinsics, view.world_from_camera.copy()
    pose[:3, :3] = pose[:3, :3] @ np.diag([-1.0, -1.0, 1.0])
    lens = replace(k, cx=k.width_px - 1 - k.cx, cy=k.height_px - 1 - k.cy)
    image = np.ascontiguousarray(view.image[::-1, ::-1])
    return replace(view, image=image, intrinsics=lens, world_from_camera=pose)


def _heads(views):
    """(people, 3) true heads in the world."""
    seen = next(iter(views.values()))[0]
    return transform_points(seen.world_from_camera, seen.people.head_camera)

"""``human3r demo`` as a user runs it: processes of their own that speak DDS, nothing mocked."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from human3r_ros.commands.demo import MARKERS
from human3r_ros.commands.layout_check import Offered, problems, shown_in
from human3r_ros.commands.recorded_frames import FRAME_TOPICS, Recording, image_array
from rosbags.highlevel import AnyReader

from human3r.export.result import read_result

COMMAND = [sys.executable, "-c", "import sys; from human3r.cli.main import main; sys.exit(main())"]
CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data"
TYPES = {
    "/human3r/humans": "human3r_msgs/msg/HumanArray",
    "/human3r/status": "human3r_msgs/msg/FrameStatus",
    "/human3r/skeleton": "human3r_msgs/msg/SkeletonInfo",
    "/human3r/odometry": "nav_msgs/msg/Odometry",
    "/human3r/depth/image": "sensor_msgs/msg/Image",
    "/human3r/depth/camera_info": "sensor_msgs/msg/CameraInfo",
    "/human3r/mask/image": "sensor_msgs/msg/Image",
    "/human3r/points": "sensor_msgs/msg/PointCloud2",
    "/human3r/scene/points": "sensor_msgs/msg/PointCloud2",
    "/human3r_bridge/markers": "visualization_msgs/msg/MarkerArray",
    "/human3r/color/image/compressed": "sensor_msgs/msg/CompressedImage",
    "/human3r/color/camera_info": "sensor_msgs/msg/CameraInfo",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/tf": "tf2_msgs/msg/TFMessage",
}
MAP = ("/human3r/map/points", "sensor_msgs/msg/PointCloud2")
"""Comes when enough was seen often enough."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One complete demonstration on the beginning of its own clip."""
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, run_demo("--out", out, "--max-seconds", 1.5)


def run_demo(*arguments):
    return subprocess.run(
        [*COMMAND, "demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def summary_of(out):
    return json.loads((out / "summary.json").read_text())


def check_counters(frames):
    dropped = dict(frames["dropped"])
    assert frames["in"] == frames["received"] + dropped.pop("transport")
    assert frames["received"] == frames["processed"] + sum(dropped.values())
    assert frames["processed"] > 0


def check_result(out, sent):
    """Everything that is to be in a result, consistent with itself."""
    assert sorted(entry.name for entry in out.iterdir() if entry.name != "input.mp4") == [
        *("bag", "demo.html", "overlay.mp4", "people.npz", "scene.ply", "summary.json"),
        *("trajectory.tum", "view.png"),
    ]
    summary = summary_of(out)
    assert summary["frames"]["in"] == sent
    check_counters(summary["frames"])
    with AnyReader([out / "bag"]) as reader:
        types = {topic: info.msgtype for topic, info in reader.topics.items() if info.msgcount}
    assert types in (TYPES, {**TYPES, MAP[0]: MAP[1]})
    with Recording(out / "bag", "/human3r") as recording:
        frames = list(recording.frames())
    complete = [frame for frame in frames if frame.is_complete]
    assert len(frames) == summary["frames"]["processed"]
    assert len(complete) == summary["complete_frames"] >= len(frames) - 1
    with av.open(str(out / "overlay.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(complete)
    assert cv2.imread(str(out / "view.png")).std() > 5
    return summary, complete


def test_every_frame_comes_back_whole_under_its_own_stamp(finished):
    out, process = finished
    assert process.returncode == 0, process.stderr
    summary, frames = check_result(out, sent=15)
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(set(stamps))
    for frame in frames:
        assert set(frame.parts) == set(FRAME_TOPICS)
        assert frame.parts["odometry"].header.frame_id == "human3r_odom"
        assert frame.parts["status"].humans == len(frame.parts["humans"].humans)
    assert 0 < summary["latency_s"]["p50"] <= summary["latency_s"]["max"] < 120


NOT_IN_THE_BAG = {
    "/image": "raw images would fill a disk; the display is off",
    "/human3r_bridge/mesh_markers": "want publish.meshes",
    "/human3r/map/points": "comes when enough was seen often enough",
}


@pytest.mark.parametrize("layout", ["rviz/human3r.rviz", "foxglove/human3r.json"])
def test_the_bag_fills_every_panel_of_the_viewers_layouts(finished, layout):
    out, _ = finished
    path = Path(__file__).parents[2] / "ros2_ws/src/human3r_ros" / layout
    shown = [one for one in shown_in(path) if one.topic not in NOT_IN_THE_BAG]
    assert {"/human3r/color/image/compressed", MARKERS} <= {one.topic for one in shown}
    with AnyReader([out / "bag"]) as reader:
        offered = {
            topic: Offered(info.msgtype.rpartition("/")[2], True, True)
            for topic, info in reader.topics.items()
            if info.msgcount
        }
        assert problems(shown, offered) == []
        # People are in the markers, and the image is one: nothing of it is merely announced.
        assert any(message.markers for message in sent(reader, MARKERS))
        image = next(sent(reader, "/human3r/color/image/compressed"))
        info = next(sent(reader, "/human3r/color/camera_info"))
        picture = cv2.imdecode(np.asarray(image.data, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[:2] == (info.height, info.width)
        assert max(picture.shape) <= 640
        assert picture.std() > 5


def sent(reader, topic):
    connections = [c for c in reader.connections if c.topic == topic]
    for connection, _, data in reader.messages(connections=connections):
        yield reader.deserialize(data, connection.msgtype)


def test_the_page_is_named_in_the_last_line_but_one_and_the_folder_is_a_result(finished):
    out, process = finished
    assert process.stdout.splitlines()[-2].split()[0] == (out / "demo.html").resolve().as_uri()
    assert 10_000 < (out / "demo.html").stat().st_size < 15_000_000
    result = read_result(out)
    assert len(result.stamps_ns) == summary_of(out)["complete_frames"]
    assert len(result.points_world) > 1000


def test_tf_is_sent_for_every_frame(finished):
    out, _ = finished
    with AnyReader([out / "bag"]) as reader:
        connections = [c for c in reader.connections if c.topic == "/tf"]
        sent = {
            transform.header.stamp.sec * 10**9 + transform.header.stamp.nanosec
            for connection, _, data in reader.messages(connections=connections)
            for transform in reader.deserialize(data, connection.msgtype).transforms
        }
    with Recording(out / "bag", "/human3r") as recording:
        assert {frame.stamp_ns for frame in recording.frames()} <= sent


def test_depth_is_positive_or_unknown_and_clouds_hold_points(finished):
    out, _ = finished
    with Recording(out / "bag", "/human3r") as recording:
        frame = next(frame for frame in recording.frames() if frame.is_complete)
    depth = image_array(frame.parts["depth"])
    assert depth.shape == (160, 224)
    assert (depth[~np.isnan(depth)] > 0).all()
    assert (~np.isnan(depth)).mean() > 0.01
    assert np.isin(image_array(frame.parts["mask"]), (0, 255)).all()
    assert frame.parts["points"].width >= frame.parts["scene"].width > 0


def test_it_says_what_it_ran_on_and_how_far_it_was_from_the_truth(finished):
    out, process = finished
    summary = summary_of(out)
    assert summary["weights"]["trained"] is True
    assert summary["weights"]["variant"] == "human3r_mini"
    assert re.fullmatch("[0-9a-f]{64}", summary["weights"]["sha256"])
    assert re.fullmatch("[0-9a-f]{64}", summary["body_model"]["sha256"])
    assert "against the truth: detection F1" in process.stderr
    assert str(out / "overlay.mp4") in process.stdout
    errors = summary["errors"]
    # Made-up weights are beyond both by far.
    assert errors["abs_rel"] < 0.4
    assert errors["f1"] > 0.1


@pytest.mark.parametrize(
    "victim",
    [
        "node",
        pytest.param("recorder", marks=pytest.mark.slow),
        pytest.param("player", marks=pytest.mark.slow),
    ],
)
def test_a_killed_process_ends_the_demo_without_a_result(tmp_path, victim):
    """The node while the others start, the others while all of them work."""
    last = "node" if victim == "node" else "player"
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
    )
    pids = {}
    try:
        for line in demo.stderr:
            found = re.search(r"(node|recorder|playing).*\(process (\d+)\)", line)
            if found:
                pids[found[1].replace("playing", "player")] = int(found[2])
            if last in pids:
                break
        os.kill(pids[victim], signal.SIGKILL)
        words = demo.stderr.read()
        assert demo.wait(60) == 1
    finally:
        demo.kill()
        demo.communicate()
    assert re.search(rf"the {victim} (ended unexpectedly|failed), by signal 9", words), words
    assert list(tmp_path.iterdir()) == []
    assert not any(is_alive(pid) for pid in pids.values())


@pytest.mark.slow
def test_an_interrupted_demo_keeps_what_it_has(tmp_path):
    out = tmp_path / "out"
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in demo.stderr:
            found = re.search(r"(\d+) frames processed", line)
            if found and int(found[1]) > 0:
                break
        demo.send_signal(signal.SIGINT)
        words = demo.stderr.read()
        assert demo.wait(120) == 130, words
    finally:
        demo.kill()
        demo.communicate()
    summary = summary_of(out)
    assert summary["interrupted"] is True
    assert 0 < summary["complete_frames"] < 90
    check_result(out, summary["frames"]["in"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_killed_demo_takes_its_processes_along_and_leaves_no_result(tmp_path):
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
    )
    pids = []
    for line in demo.stderr:
        found = re.search(r"\(process (\d+)\)", line)
        pids += [int(found[1])] if found else []
        if "playing" in line:
            break
    demo.kill()
    demo.communicate()
    assert len(pids) == 4  # Node, bridge, recorder, player.
    wait_for_end(pids)
    assert not (tmp_path / "out").exists()
    assert all(entry.name.endswith(".part") for entry in tmp_path.iterdir())


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for_end(pids):
    import time

    end_s = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < end_s, "processes outlived the demo"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "every", "size"),
    [
        ("juggling_one_person_static_camera.mp4", 3, (1280, 720)),
        ("one_by_one_people_static_camera.mp4", 1, (768, 432)),
    ],
)
def test_real_video_of_people(tmp_path, name, every, size):
    if not (CLIPS / name).is_file():
        pytest.skip(f"{name} is not beside the repository (../shared/data)")
    out = tmp_path / "out"
    process = run_demo(CLIPS / name, "--out", out, "--max-seconds", 3, "--every", every)
    assert process.returncode == 0, process.stderr
    sent = summary_of(out)["frames"]["in"]
    assert 20 <= sent <= 40
    _, frames = check_result(out, sent)
    humans = frames[0].parts["humans"]
    assert (humans.image_width, humans.image_height) == size

"""The grades of replay that promise the same numbers: offline, and lock-step over real DDS."""

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from human3r_msgs.msg import FrameStatus, HumanArray
from human3r_ros import qos
from human3r_ros.bag_file import BagFile
from human3r_ros.commands import image_out, layout_check, replay_pacer
from human3r_ros.commands.bag_topics import recorded_images
from human3r_ros.convert import ns_from_time, time_from_ns
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosbag2_interfaces.srv import PlayNext
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from human3r.errors import InputError
from human3r.types import Intrinsics
from ros2_ws.src.human3r_ros.tests.node_process import (
    NodeProcess,
    scene,
    wait_for_matches,
    wait_until,
)
from ros2_ws.src.human3r_ros.tests.running_process import Peer

SHARE = Path(__file__).resolve().parents[1]
SAMPLE = Path(__file__).resolve().parents[4] / "examples" / "sample_bag"
SAMPLE_IMAGE = "/camera/image_raw/compressed"
FRAMES = 4
LATER_NS = 1_800_000_000_000_000_000
SETTINGS = (
    *("people.min_score=0.05", "model.deterministic=true", "model.input_size=64"),
    *("odometry.source=network", "people.source=network", "scene.source=network"),
)

RUN_TWICE = """
import sys
from human3r.cli.main import main
for name in ("a", "b"):
    assert main(["run", *sys.argv[2:], "--out", f"{sys.argv[1]}/{name}", "--save", "bag"]) == 0
"""


@pytest.fixture(scope="module")
def offline(model_files, tmp_path_factory):
    """``human3r run`` on the sample bag, twice; HumanArrays of each as recorded bytes."""
    weights, body = model_files
    folder = tmp_path_factory.mktemp("offline")
    arguments = [str(SAMPLE), "--max-frames", str(FRAMES)]
    arguments += ["--weights", str(weights), "--body-model", str(body)]
    arguments += [word for setting in SETTINGS for word in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-c", RUN_TWICE, str(folder), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "a/bag/bag.mcap").read_bytes() == (folder / "b/bag/bag.mcap").read_bytes()
    return [recorded(folder / name / "bag") for name in ("a", "b")]


def recorded(bag):
    """Every message of a bag as bytes, by topic."""
    found = {}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            found.setdefault(connection.topic, []).append(bytes(data))
    return found


def test_two_offline_runs_are_equal_byte_for_byte(offline):
    first, second = offline
    humans = [deserialize_message(data, HumanArray) for data in first["/human3r/humans"]]
    assert len(humans) == FRAMES
    assert any(message.humans for message in humans), "nothing would be compared"
    assert first == second


@pytest.fixture(scope="module")
def node(private_domain, model_files, tmp_path_factory):
    made = NodeProcess(
        tmp_path_factory.mktemp("replay"),
        private_domain,
        model_files,
        "--lockstep",
        *(word for setting in SETTINGS for word in ("--set", setting)),
        is_warm=True,
    )
    yield made
    made.close()


class Desk(Peer):
    """A node of this process that hears people as bytes and can stand in for other programs."""

    def __init__(self):
        super().__init__("desk")
        self.humans, self.transforms = [], []
        self.node.create_subscription(
            HumanArray, "/human3r/humans", self.humans.append, QoSProfile(depth=100), raw=True
        )
        self.node.create_subscription(TFMessage, "/tf", self.transforms.append, qos.TF_INPUT)

    def transform_stamps(self):
        """Of the transforms that came, in order."""
        return [ns_from_time(m.transforms[0].header.stamp) for m in self.transforms]


@pytest.fixture(scope="module")
def desk(node):
    node.wait_for_log("is active", 240.0)
    made = Desk()
    wait_for_matches(made.node)
    yield made
    made.close()


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-c",
         f"import sys; from human3r_ros.commands.{module} import main as run;"
         "sys.exit(run(sys.argv[1:]))",
         *map(str, arguments)],
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def test_lock_step_through_the_node_gives_what_the_offline_run_gives(offline, desk, tmp_path):
    """Player and node are processes of their own and speak DDS; no frame is lost on the way."""
    report = tmp_path / "sent.json"
    done = command(
        "play", SAMPLE, "--topic", "/cam/image", "--lockstep", "--also", "/tf",
        "--max-frames", FRAMES, "--report", report,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"the node: {FRAMES} processed" in done.stderr
    assert "best effort" not in done.stderr
    sent = json.loads(report.read_text())
    assert sent["outcomes"] == {"processed": FRAMES}
    assert sent["stamps_ns"][:2] == [1_700_000_000_000_000_000, 1_700_000_000_200_000_000]
    wait_until(lambda: len(desk.humans) >= FRAMES, 20, "all people")
    assert desk.humans == offline[0]["/human3r/humans"], "differs from the offline run"
    # The player waits for the node, not for this reader, so the first ones may go past it.
    wait_until(lambda: desk.transform_stamps()[-1:] == sent["stamps_ns"][-1:], 20, "the last one")
    heard = desk.transform_stamps()
    assert heard == sent["stamps_ns"][-len(heard) :]


def write_images(path, count):
    """A bag of raw images with calibration, later than the sample bag."""
    bag = BagFile(path)
    image = bag.add_topic("/cam/image", "sensor_msgs/msg/Image", [QoSProfile(depth=5)])
    info = bag.add_topic("/cam/camera_info", "sensor_msgs/msg/CameraInfo", [QoSProfile(depth=5)])
    for number in range(count):
        stamp_ns = LATER_NS + number * 100_000_000
        stamp = time_from_ns(stamp_ns)
        camera = image_out.camera_info_message(
            Intrinsics(90.0, 90.0, 39.5, 29.5, 80, 60), stamp, "camera_optical"
        )
        message = image_out.image_message(scene(seed=number))
        message.header.stamp, message.header.frame_id = stamp, "camera_optical"
        bag.write(info, stamp_ns + 5, serialize_message(camera))
        bag.write(image, stamp_ns + 5, serialize_message(message))
    bag.finish({})
    return path


class StandInPlayer:
    """What ``ros2 bag play --start-paused`` offers: one message per request."""

    def __init__(self, node, bag):
        with AnyReader([bag]) as reader:
            found = [(c.topic, bytes(data)) for c, _, data in reader.messages()]
        self._messages = iter(found)
        self._publisher = node.create_publisher(Image, "/cam/image", QoSProfile(depth=5))
        node.create_service(PlayNext, "/rosbag2_player/play_next", self._play_next)

    def _play_next(self, request, response):
        found = next(self._messages, None)
        response.success = found is not None
        if found is not None and found[0] == "/cam/image":
            self._publisher.publish(found[1])
        return response


def test_the_pacer_takes_a_paused_player_through_the_whole_bag(desk, tmp_path):
    bag = write_images(tmp_path / "bag", count=4)
    StandInPlayer(desk.node, bag)
    desk.humans.clear()
    arguments = ["--bag", bag, "--image", "/cam/image", "--topics", "/cam/camera_info"]
    done = command("replay_pacer", *arguments)
    assert done.returncode == 0, done.stderr
    assert "played 8 of 8 messages in lock-step; the node: 4 processed" in done.stderr
    wait_until(lambda: len(desk.humans) >= 4, 20, "all people")
    messages = [deserialize_message(data, HumanArray) for data in desk.humans]
    stamps = [ns_from_time(message.header.stamp) for message in messages]
    assert stamps == [LATER_NS + n * 100_000_000 for n in range(4)]
    # The player has nothing more to give.
    done = command("replay_pacer", *arguments)
    assert done.returncode == 1
    assert "stopped after 0 of 8 messages" in done.stderr


def test_a_running_node_offers_what_the_layouts_show_and_the_policy_allows(desk):
    wait_until(lambda: desk.node.count_publishers("/human3r/map/points") > 0, 30, "the map")
    offered = layout_check.offered_on(desk.node)
    for layout in (SHARE / "rviz" / "human3r.rviz", SHARE / "foxglove" / "human3r.json"):
        shown = [one for one in layout_check.shown_in(layout) if "/human3r/" in one.topic]
        assert len(shown) >= 6
        assert layout_check.problems(shown, offered) == []
    enclave = ET.parse(SHARE / "sros2" / "policy.xml").find(".//enclave[@path='/human3r']")
    topics = {item.text for item in enclave.iterfind(".//topics[@publish]/topic")}
    services = {item.text for item in enclave.iterfind(".//services[@reply]/service")}
    published = dict(desk.node.get_publisher_names_and_types_by_node("human3r", "/"))
    assert "/human3r/humans" in published
    assert set(published) <= topics
    replied = dict(desk.node.get_service_names_and_types_by_node("human3r", "/"))
    assert "/human3r/reset" in replied
    assert set(replied) <= services


def test_the_node_still_answers_after_replays(node, desk):
    """Nothing above has ended it; a warning about two publishers would be right, an error not."""
    assert node.process.poll() is None
    assert "Traceback" not in node.log()


def test_the_pacer_waits_after_each_image_and_once_for_messages_of_one_time():
    said = []
    played = replay_pacer.pace(
        iter([(10, -1), (20, -1), (20, 7), (20, -1), (30, 8)]),
        play_next=lambda: said.append("next") or True,
        wait_for_report=lambda stamp: said.append(stamp),
        advance=lambda now: said.append(f"at {now}"),
        stop=threading.Event(),
    )
    assert played == 5
    assert said == [
        *("at 10", "next", "at 20", "next", "next", "next", 7, "at 30", "next", 8),
    ]


def test_the_pacer_ends_when_the_player_does():
    answers = iter([True, False])
    plan = iter([(10, -1), (20, 5), (30, 6)])
    nothing = [].append
    assert replay_pacer.pace(plan, lambda: next(answers), nothing, nothing, threading.Event()) == 1


def test_the_pacer_waits_for_a_recorder_that_waits_for_the_clock(private_domain):
    """A recorder that follows /clock reads nothing before it has heard of it."""
    recorder, pacer = Peer("rosbag2_recorder"), Peer("pacer")
    topic, told = "/human3r/status", []

    def tell_time():
        told.append(1)
        if len(told) == 3:
            recorder.node.create_subscription(FrameStatus, topic, print, 10)

    options = SimpleNamespace(recorder="rosbag2_recorder", wait_timeout=20.0)
    session = SimpleNamespace(node=pacer.node, stop=threading.Event())
    try:
        replay_pacer.wait_for_recorder(session, options, topic, tell_time)
        assert len(told) >= 3
        options.recorder, options.wait_timeout = "nobody", 0.3
        with pytest.raises(InputError, match="nobody does not read it within"):
            replay_pacer.wait_for_recorder(session, options, topic, tell_time)
    finally:
        recorder.close()
        pacer.close()


def test_the_pacer_without_player_says_what_to_start(private_domain, tmp_path):
    bag = write_images(tmp_path / "bag", count=1)
    done = command(
        "replay_pacer", "--bag", bag, "--image", "/cam/image", "--player", "/nobody",
        "--wait-timeout", "0.3",
    )  # fmt: skip
    assert done.returncode == 1
    assert "/nobody/play_next: no such service within 0.3 s" in done.stderr


def test_an_image_topic_that_is_not_in_the_bag_is_refused():
    with pytest.raises(InputError, match=r"no topic /cam/image; expected one of /camera"):
        list(recorded_images(SAMPLE, ("/tf",), "/cam/image"))


def test_the_sample_bag_is_what_the_documentation_says():
    stamps = [stamp for _, stamp in recorded_images(SAMPLE, (SAMPLE_IMAGE,), SAMPLE_IMAGE)]
    assert len(stamps) == 25
    assert set(np.diff(stamps)) == {200_000_000}
    with AnyReader([SAMPLE]) as reader:
        assert set(reader.topics) == {SAMPLE_IMAGE, "/camera/camera_info", "/tf", "/tf_static"}
    assert sum(file.stat().st_size for file in SAMPLE.iterdir()) < 500_000

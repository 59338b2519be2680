"""``human3r record``: what reaches the bag, and what is left when something goes wrong."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from human3r_ros import bag_file
from human3r_ros.commands import record
from human3r_ros.commands.private_domain import private_environment
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from std_msgs.msg import String

from human3r.errors import OutputError
from human3r.io.bag_repair import repair
from ros2_ws.src.human3r_ros.tests.running_process import RunningProcess, wait_until
from ros2_ws.src.human3r_ros.tests.warm_process import start_warm

TALKER = """
import time
import human3r_ros, rclpy
from human3r_msgs.msg import HumanArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("talker")
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
loose = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
info = node.create_publisher(String, "/info", latched)
count = node.create_publisher(String, "/count", QoSProfile(depth=10))
lossy = node.create_publisher(String, "/lossy", loose)
people = node.create_publisher(HumanArray, "/people", QoSProfile(depth=10))
info.publish(String(data="sent before anybody listened"))
number = 0
while True:
    count.publish(String(data=f"count {number}"))
    lossy.publish(String(data=f"lossy {number}"))
    message = HumanArray(session=7, frame_index=number)
    people.publish(message)
    number += 1
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def loopback():
    return {**os.environ, **private_environment()}


@pytest.fixture(scope="module")
def talker(loopback):
    process = subprocess.Popen([sys.executable, "-c", TALKER], env=loopback)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def start_recorder(loopback, tmp_path_factory):
    """Starts a recorder that does not outlive the test."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "human3r.cli.main", "record", *map(str, arguments)]
        log = tmp_path_factory.mktemp("recorder") / "log"
        started.append(RunningProcess(command, log, loopback, start_warm))
        return started[-1]

    yield start
    for recorder in started:
        recorder.close()


def wait_until_it_writes(recorder, bag):
    """Until several pieces of what it hears are on the disk."""
    sizes = set()

    def has_grown():
        assert recorder.process.poll() is None, recorder.log()
        if "recording /count" in recorder.log():
            files = [file for file in bag.with_name("bag.part").rglob("*") if file.is_file()]
            sizes.add(sum(file.stat().st_size for file in files))
        return len(sizes) > 3

    wait_until(has_grown, 120, "a growing bag")


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_topics_are_recorded_with_types_qos_and_latched_messages(
    talker, start_recorder, tmp_path, storage
):
    bag = tmp_path / "bag"
    recorder = start_recorder(
        "--out", bag, "--storage", storage, "--duration", "2", "/info", "count",
        "/lossy", "/people", "/absent",
    )  # fmt: skip
    code, words = recorder.process.wait(120), recorder.log()
    assert code == 0, words
    assert "never published: /absent" in words
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bag"]
    with AnyReader([bag]) as reader:
        texts, frames = {}, []
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            if connection.topic == "/people":
                assert message.session == 7
                frames.append(message.frame_index)
            else:
                texts.setdefault(connection.topic, []).append(message.data)
    assert texts["/info"] == ["sent before anybody listened"]
    assert len(texts["/count"]) > 3
    assert len(texts["/lossy"]) > 3
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    with Reader(bag) as reader:
        offered = {c.topic: c.ext.offered_qos_profiles[0] for c in reader.connections}
        digests = {c.topic: c.digest for c in reader.connections}
        definition = next(c.msgdef.data for c in reader.connections if c.topic == "/people")
    assert offered["/info"].durability == QosDurability.TRANSIENT_LOCAL
    assert offered["/count"].durability == QosDurability.VOLATILE
    assert offered["/lossy"].reliability == QosReliability.BEST_EFFORT
    assert digests["/count"].endswith(
        "df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18"
    )
    assert "MSG: human3r_msgs/Human" in definition


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_completes_the_bag(talker, start_recorder, tmp_path, number):
    recorder = start_recorder("--out", tmp_path / "bag", "--all")
    wait_until_it_writes(recorder, tmp_path / "bag")
    assert recorder.stop(number) == 0, recorder.log()
    with AnyReader([tmp_path / "bag"]) as reader:
        assert {"/count", "/info", "/people"} <= set(reader.topics)
        assert reader.topics["/count"].msgcount > 1


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_of_a_killed_recording_all_but_the_last_second_can_be_kept(
    talker, start_recorder, tmp_path, storage
):
    bag = tmp_path / "bag"
    recorder = start_recorder("--out", bag, "--storage", storage, "/count")
    wait_until_it_writes(recorder, bag)
    recorder.close()
    assert not bag.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag.part"]
    assert not list(tmp_path.rglob("metadata.yaml"))
    with pytest.raises(OutputError, match=r"one was killed: then `human3r bag repair"):
        bag_file.BagFile(bag)
    repair(tmp_path / "bag.part")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag"]
    with AnyReader([bag]) as reader:
        assert reader.topics["/count"].msgcount > 1


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_on_a_full_disk_what_was_written_is_kept(tmp_path, monkeypatch, storage):
    file = bag_file.BagFile(tmp_path / "bag", storage)
    topic = file.add_topic("/count", "std_msgs/msg/String", [QoSProfile(depth=1)])
    for number in range(50):
        file.write(topic, number, serialize_message(String(data=f"{number}" * 100)))
    file.sync()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(file._writer), "write", refuse)
    with pytest.raises(OutputError, match="No space left"):
        file.write(topic, 51, serialize_message(String(data="one too many")))
    assert "50 messages that were written before are kept" in file.keep()
    file.discard()
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag"]
    with AnyReader([tmp_path / "bag"]) as reader:
        assert reader.topics["/count"].msgcount == 50


def test_the_same_messages_make_the_same_file_however_long_they_take(tmp_path):
    files = []
    for name, pause_s in (("quick", 0.0), ("slow", 1.1)):
        file = bag_file.BagFile(tmp_path / name / "bag")
        topic = file.add_topic("/count", "std_msgs/msg/String", [QoSProfile(depth=1)])
        for number in range(10):
            file.write(topic, number * 300_000_000, serialize_message(String(data=f"{number}")))
            time.sleep(pause_s if number == 5 else 0.0)
        file.finish({})
        files.append((tmp_path / name / "bag" / "bag.mcap").read_bytes())
    assert files[0] == files[1]


def test_of_a_recording_without_a_whole_message_nothing_is_left(tmp_path):
    file = bag_file.BagFile(tmp_path / "bag")
    topic = file.add_topic("/count", "std_msgs/msg/String", [QoSProfile(depth=1)])
    assert file.keep() == ""
    file.write(topic, 1, serialize_message(String(data="still in memory")))
    assert file.keep() == ""
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bag_is_refused_and_untouched(tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "mine").write_text("keep")
    with pytest.raises(OutputError, match="never overwritten"):
        record.main(["--out", str(tmp_path / "bag"), "/count"])
    assert (tmp_path / "bag" / "mine").read_text() == "keep"


def test_nothing_received_makes_no_bag(start_recorder, tmp_path):
    recorder = start_recorder("--out", tmp_path / "bag", "--duration", "0.3", "/silent")
    assert recorder.process.wait(120) == 1
    words = recorder.log()
    assert "never published: /silent" in words
    assert "not one message arrived" in words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["/a", "--all"], [], ["/a", "--duration", "0"]])
def test_contradictory_arguments_are_wrong_use(arguments, tmp_path):
    with pytest.raises(SystemExit) as caught:
        record.main(["--out", str(tmp_path / "bag"), *arguments])
    assert caught.value.code == 2


def test_what_a_slow_disk_cannot_take_is_dropped_and_counted():
    queue = record.MessageQueue(max_bytes=250)
    for _ in range(4):
        queue.put("/big", b"x" * 100)
    assert queue.take(0).cdr == b"x" * 100
    queue.put("/big", b"y" * 100)
    assert queue.dropped == {"/big": 2}
    queue.give_up()
    assert queue.dropped == {"/big": 4}
    assert queue.take(0) is None


def test_subscription_asks_for_no_more_than_every_publisher_offers():
    reliable, loose = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    plain = QoSProfile(depth=1, reliability=loose)
    assert record.matching_qos([latched]).durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert record.matching_qos([latched]).reliability == reliable
    both = record.matching_qos([latched, plain])
    assert (both.reliability, both.durability) == (loose, DurabilityPolicy.VOLATILE)

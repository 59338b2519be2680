"""Every transition of a real node process, driven over DDS as a lifecycle manager does."""

import signal
import subprocess
import sys

import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped
from human3r_msgs.msg import FrameStatus
from human3r_msgs.srv import Reset
from human3r_ros import convert
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from ros2_ws.src.human3r_ros.tests.node_process import (
    FRAME,
    Bench,
    NodeProcess,
    scene,
    wait_until,
)

UNCONFIGURED, INACTIVE = State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE
ACTIVE, FINALIZED = State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_FINALIZED
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
SHUTDOWN = {
    UNCONFIGURED: Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    ACTIVE: Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


class Managed:
    """A node process without autostart, and what a manager needs to drive it."""

    def __init__(self, process, bench):
        self.process, self.bench = process, bench
        wait_until(self.state, 180, "an answer of get_state")

    def state(self):
        return self.bench.lifecycle.state()

    def change(self, transition):
        return self.bench.lifecycle.change(transition, 300.0)

    def set(self, **values):
        parameters = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg()
            for name, value in values.items()
        ]
        assert all(isinstance(p, ParameterMessage) for p in parameters)
        request = SetParameters.Request(parameters=parameters)
        return self.bench.call(SetParameters, "set_parameters", request).results


@pytest.fixture
def make_managed(private_domain, model_files, tmp_path):
    made = []

    def make(*arguments, files=None):
        process = NodeProcess(
            *(tmp_path, private_domain, files or model_files, "--no-autostart", *arguments),
            is_warm=True,
        )
        made.append(process)
        bench = Bench()
        made.append(bench)
        return Managed(process, bench)

    yield make
    for item in reversed(made):
        item.close()


def publishers_of(node, topic):
    return node.bench.node.count_publishers(f"/human3r/{topic}")


def test_the_whole_life_of_a_node(make_managed):
    node = make_managed("--set", "people.min_score=0.05")
    bench = node.bench
    assert node.state() == UNCONFIGURED
    assert not node.change(ACTIVATE), "activate needs configure first"
    assert publishers_of(node, "humans") == 0

    # A configure that fails says why, leaves nothing behind, and can be tried again.
    good = node.process.process.args[node.process.process.args.index("--weights") + 1]
    assert node.set(model__weights="/nowhere.safetensors")[0].successful
    assert not node.change(CONFIGURE)
    assert node.state() == UNCONFIGURED
    assert "/nowhere.safetensors: no such file" in node.process.log()
    assert publishers_of(node, "humans") == 0
    assert node.set(model__weights=good)[0].successful

    assert node.change(CONFIGURE)
    assert node.state() == INACTIVE
    wait_until(lambda: publishers_of(node, "humans") == 1, 5)
    assert bench.images.get_subscription_count() == 0
    answer = bench.call(Reset, "reset", Reset.Request())
    assert not answer.success
    assert "not active" in answer.message
    assert "cleanup first" in node.set(model__input_size=64)[0].reason

    assert node.change(ACTIVATE)
    bench.connect()
    first = bench.message("humans", bench.send())
    assert first.humans

    count = len(bench.received["humans"])
    assert node.change(DEACTIVATE)
    assert node.state() == INACTIVE
    wait_until(lambda: len(bench.received["humans"]) > count, 5, "the closing message")
    closing = bench.received["humans"][-1]
    assert not closing.humans
    assert closing.header == first.header
    assert closing.session == first.session
    wait_until(lambda: bench.images.get_subscription_count() == 0, 5)

    bench.received.clear()
    assert node.change(ACTIVATE)
    bench.connect()
    stamp_ns = bench.send()
    second, status = bench.message("humans", stamp_ns), bench.status_of(stamp_ns)
    assert status.reset_reason == FrameStatus.RESET_ACTIVATED
    assert second.session == first.session + 1
    assert bench.received["skeleton"], "the skeleton is sent at every activation"

    assert node.change(DEACTIVATE)
    assert node.change(CLEANUP)
    assert node.state() == UNCONFIGURED
    wait_until(lambda: publishers_of(node, "humans") == 0, 5)
    assert node.set(model__input_size=128)[0].successful

    bench.received.clear()
    assert node.change(CONFIGURE)
    assert node.change(ACTIVATE)
    bench.connect()
    third = bench.message("humans", bench.send())
    ids = [{human.track_id for human in message.humans} for message in (first, second, third)]
    assert all(ids)
    assert not (ids[0] & ids[1]) | (ids[1] & ids[2]) | (ids[0] & ids[2])
    assert third.session > second.session

    assert node.change(SHUTDOWN[ACTIVE])
    assert node.state() == FINALIZED
    assert not node.change(SHUTDOWN[ACTIVE]), "a second shutdown does no harm"
    assert node.process.stop(signal.SIGTERM) == 0


def transform(parent, child):
    return TransformStamped(
        header=convert.header(1, parent),
        child_frame_id=child,
        transform=Transform(rotation=Quaternion(w=1.0)),
    )


def test_a_network_that_only_fails_resets_then_gives_up(make_managed, model_files, tmp_path):
    files = (overflowing(model_files[0], tmp_path), model_files[1])
    node = make_managed("--set", "fault.max_consecutive=4", files=files)
    bench = node.bench
    assert node.set(model__warmup_frames=0)[0].successful
    assert node.change(CONFIGURE)
    assert node.change(ACTIVATE)
    bench.connect()
    stamps = []
    for _ in range(4):
        stamps.append(bench.send())
        status = bench.status_of(stamps[-1])
        assert status.outcome == FrameStatus.FAILED
        assert status.message
        expected = FrameStatus.RESET_FAULT if len(stamps) == 3 else FrameStatus.RESET_NONE
        assert status.reset_reason == expected
    assert status.rejected == 4
    wait_until(lambda: node.state() == UNCONFIGURED, 10, "deactivation and cleanup")
    assert "giving up: 4 frames failed in a row" in node.process.log()

    bench.received.clear()
    assert node.set(fault__policy="exit")[0].successful
    assert node.change(CONFIGURE)
    assert node.change(ACTIVATE)
    bench.connect()
    for _ in range(4):
        bench.status_of(bench.send())
    assert node.process.process.wait(5) == 3


def overflowing(weights, folder):
    """The same network with one layer so large that its finite weights overflow."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = "downstream_head.dpt_self.head.4.weight"
    tensors[name] = tensors[name] * 1e38
    path = folder / "overflowing.safetensors"
    save_file(tensors, path, metadata)
    return path


def test_live_ends_with_the_reason_when_it_cannot_start(private_domain, model_files, tmp_path):
    node = NodeProcess(tmp_path, private_domain, (tmp_path / "none.safetensors", model_files[1]))
    try:
        assert node.process.wait(180) == 1
        assert "none.safetensors: no such file" in node.log()
    finally:
        node.close()


@pytest.fixture(scope="module")
def shared_process(private_domain, model_files, tmp_path_factory):
    """A node for tests that leave it unconfigured with the parameters it began with.

    Tests that start a node of their own come before: nodes of one name hear the same calls.
    """
    process = NodeProcess(
        tmp_path_factory.mktemp("shared"),
        private_domain,
        model_files,
        *("--no-autostart", "--tf-mode", "odometry", "--set", "input.max_age_s=0"),
        is_warm=True,
    )
    yield process
    try:
        assert process.stop(signal.SIGINT) == 0
    finally:
        process.close()


@pytest.fixture
def shared(shared_process):
    bench = Bench()
    node = Managed(shared_process, bench)
    assert node.state() == UNCONFIGURED
    yield node
    if node.state() == ACTIVE:
        assert node.change(DEACTIVATE)
    if node.state() == INACTIVE:
        assert node.change(CLEANUP)
    bench.close()


def test_activation_fails_when_the_base_belongs_to_somebody_else(shared):
    node = shared
    assert node.set(frames__base="base_link")[0].successful
    tf = node.bench.node.create_publisher(TFMessage, "/tf", 100)
    assert node.change(CONFIGURE)
    wait_until(lambda: tf.get_subscription_count() >= 2, 10)
    tf.publish(TFMessage(transforms=[transform("odom", "base_link")]))
    wait_until(lambda: not node.change(ACTIVATE) or not node.change(DEACTIVATE), 10)
    assert node.state() == INACTIVE
    assert "base_link already has parent odom" in node.process.log()
    assert node.bench.images.get_subscription_count() == 0
    assert node.change(CLEANUP)
    assert node.set(frames__base="")[0].successful


def test_a_base_that_becomes_known_while_streaming_is_taken(shared):
    node = shared
    begin = len(node.process.log())
    bench = node.bench
    bench.listen_to("odometry")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    static = bench.node.create_publisher(TFMessage, "/tf_static", latched)
    assert node.change(CONFIGURE)
    assert node.change(ACTIVATE)
    bench.connect()
    stamp_ns = bench.send()
    assert bench.message("odometry", stamp_ns).child_frame_id == FRAME
    static.publish(TFMessage(transforms=[transform("base_link", FRAME)]))
    wait_until(
        lambda: bench.message("odometry", bench.send()).child_frame_id == "base_link", 20, "base"
    )
    status = bench.process(scene(seed=1))
    assert status.outcome == FrameStatus.PROCESSED
    assert "base_link" not in status.message
    wait_until(lambda: bench.process() and bench.received["tf"], 20, "a transform")
    assert bench.received["tf"][-1].transforms[0].child_frame_id == "base_link"
    assert "already has parent" not in node.process.log()[begin:]


def test_a_camera_killed_in_mid_stream_can_be_replaced(shared, tmp_path):
    node = shared
    bench = node.bench
    assert node.change(CONFIGURE)
    assert node.change(ACTIVATE)
    script = tmp_path / "camera.py"
    script.write_text(CAMERA_SCRIPT)
    camera = subprocess.Popen([sys.executable, str(script)])
    try:
        wait_until(
            lambda: any(s.outcome == FrameStatus.PROCESSED for s in bench.received["status"]), 25
        )
    finally:
        camera.kill()
        camera.wait(5)
    bench.connect()
    status = wait_until(lambda: (s := bench.process()).outcome == FrameStatus.PROCESSED and s, 10)
    assert status.header.frame_id == FRAME
    assert node.state() == ACTIVE


CAMERA_SCRIPT = f"""
import time
import human3r_ros
import numpy as np
import rclpy
from human3r_ros import convert
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "/cam/image", 1)
picture = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
picture = picture.repeat(10, 0).repeat(10, 1)
while True:
    picture = np.roll(picture, 1, 1)
    rows = picture.tobytes()
    header = convert.header(node.get_clock().now().nanoseconds, "{FRAME}")
    publisher.publish(
        Image(header=header, height=60, width=80, encoding="rgb8", step=240, data=rows)
    )
    time.sleep(0.05)
"""

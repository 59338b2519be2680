"""Rows of the TF section on a real node process, with a robot that speaks over real DDS."""

import time
from contextlib import contextmanager

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from human3r_msgs.msg import FrameStatus
from human3r_msgs.srv import Reset
from human3r_ros import convert
from human3r_ros.commands import live
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from ros2_ws.src.human3r_ros.tests.node_process import (
    FRAME,
    SECOND_NS,
    Bench,
    NodeProcess,
    intrinsics_info,
    wait_until,
)

LEVEL, BASE, ODOM = "human3r_odom", "base_link", "odom"
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
SPACING_NS = SECOND_NS // 4
MODES = {
    "tf.mode": "none",
    "level.source": "camera",
    "frames.base": "",
    "tf.republish_hz": 0.0,
    "use_sim_time": False,
}


class Robot:
    """The node under test, unconfigured, and a robot on the same DDS domain."""

    def __init__(self, process, bench):
        self.process, self.bench = process, bench
        self.moving = bench.node.create_publisher(TFMessage, "/tf", 100)
        self.diagnostics = []
        bench.listen_to("odometry")
        bench.node.create_subscription(DiagnosticArray, "/diagnostics", self._keep, 10)
        wait_until(bench.lifecycle.state, 60, "an answer of get_state")

    def _keep(self, message):
        self.diagnostics.append(message)

    def set(self, values):
        parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        request = SetParameters.Request(parameters=parameters)
        return self.bench.call(SetParameters, "set_parameters", request).results

    def change(self, transition):
        return self.bench.lifecycle.change(transition, 60.0)

    def configure(self, **values):
        """Back to unconfigured, then configured with these values and defaults for the rest."""
        state = self.bench.lifecycle.state()
        if state == State.PRIMARY_STATE_ACTIVE:
            assert self.change(DEACTIVATE)
        if state != State.PRIMARY_STATE_UNCONFIGURED:
            assert self.change(CLEANUP)
        values = {name.replace("__", "."): value for name, value in values.items()}
        assert all(result.successful for result in self.set({**MODES, **values}))
        assert self.change(CONFIGURE), self.process.log()

    def activate_without_tf(self):
        # Frames of the activation before shall not be taken for those of this one.
        self.bench.received.clear()
        assert self.change(ACTIVATE), self.process.log()
        self.bench.connect()

    def activate(self):
        self.activate_without_tf()
        wait_until(lambda: self.moving.get_subscription_count() >= 2, 20, "the node on /tf")

    def say(self, stamp_ns, x_m=0.0):
        """The robot's odometry just before and after a stamp."""
        edges = [edge(ODOM, BASE, stamp_ns + d, x=x_m) for d in (-SECOND_NS // 10, SECOND_NS // 10)]
        self.moving.publish(TFMessage(transforms=edges))

    last_ns = 0

    def next_ns(self):
        """A stamp that what was said about earlier ones does not reach, however fast they went."""
        self.last_ns = max(self.bench.now_ns(), self.last_ns + SPACING_NS)
        return self.last_ns

    def drive(self, count, start_ns=None):
        """Images with the robot's TF around each; returns their reports."""
        found = []
        if start_ns is None:
            start_ns = self.next_ns()
        for i in range(count):
            stamp_ns = self.last_ns = start_ns + i * SPACING_NS
            self.say(stamp_ns, x_m=0.1 * i)
            found.append(self.bench.process(stamp_ns=stamp_ns))
        return found

    def ours(self):
        """Edges on /tf that the robot did not send."""
        edges = self.bench.edges()
        return [e for e in edges if (e.header.frame_id, e.child_frame_id) != (ODOM, BASE)]


def edge(parent, child, stamp_ns=1, x=0.0, z=0.0, q=(0.0, 0.0, 0.0, 1.0)):
    rotation = Quaternion(x=q[0], y=q[1], z=q[2], w=q[3])
    return TransformStamped(
        header=convert.header(stamp_ns, parent),
        child_frame_id=child,
        transform=Transform(translation=Vector3(x=x, z=z), rotation=rotation),
    )


CAMERA_MOUNT = edge(BASE, FRAME, z=1.2, q=(-0.5, 0.5, -0.5, 0.5))
"""A camera that looks ahead."""


@contextmanager
def latched(bench, *edges):
    """Static transforms of the robot."""
    profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = bench.node.create_publisher(TFMessage, "/tf_static", profile)
    publisher.publish(TFMessage(transforms=list(edges)))
    yield
    bench.node.destroy_publisher(publisher)


@pytest.fixture(scope="module")
def robot(private_domain, model_files, tmp_path_factory):
    process = NodeProcess(
        *(tmp_path_factory.mktemp("tf"), private_domain, model_files, "--no-autostart"),
        *("--set", "model.warmup_frames=0", "--set", "input.max_age_s=0"),
        *("--set", "tf.lookup_timeout_s=0.5", "--set", "diagnostics.period_s=0.2"),
        # A busy machine is no reason to leave outputs out here.
        *("--set", "diagnostics.max_latency_s=0"),
        is_warm=True,
    )
    bench = Bench()
    yield Robot(process, bench)
    bench.close()
    process.close()


def matrix_of(stamped):
    t, q = stamped.transform.translation, stamped.transform.rotation
    pose = convert._pose(np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w]))
    return convert.matrix_from_pose(pose)


def stamp_of(message):
    return convert.ns_from_time(message.header.stamp)


# -- before a frame ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"frames.level": ""}, "frames.level is ''; expected a frame name"),
        ({"frames.level": "/odom"}, "leading slash"),
        ({"frames.level": "odom", "tf.mode": "anchored"}, "two frames"),
        ({"tf.mode": "slam"}, "none, odometry, inverse, anchored"),
    ],
    ids=str,
)
def test_a_frame_name_that_cannot_be_used_is_refused_before_configure(robot, values, words):
    # All values of one atomic set are judged together, as configure does.
    parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
    atomic = SetParametersAtomically.Request(parameters=parameters)
    result = robot.bench.call(SetParametersAtomically, "set_parameters_atomically", atomic).result
    assert not result.successful
    assert words in result.reason


def test_a_frame_name_that_cannot_be_used_ends_the_command(capsys):
    assert live.main(["--image", "/i", "--set", "frames.level=/map"]) == 1
    error = capsys.readouterr().err
    assert "frames.level is '/map'; expected a frame name" in error
    assert "without leading slash" in error


@pytest.mark.parametrize(
    ("values", "edges", "words"),
    [
        (
            {"tf__mode": "anchored"},
            [edge("map", LEVEL)],
            f"{LEVEL} already has parent map",
        ),
        (
            {"tf__mode": "anchored"},
            [edge(LEVEL, "cart"), edge("cart", ODOM)],
            f"would close the loop {ODOM} -> cart -> {LEVEL} -> {ODOM}",
        ),
        (
            {"tf__mode": "odometry", "frames__base": BASE},
            [edge(ODOM, BASE)],
            "Use tf.mode anchored or none",
        ),
    ],
    ids=["foreign_parent", "loop", "base_has_parent"],
)
def test_activation_fails_with_the_reason(robot, values, edges, words):
    with latched(robot.bench, *edges):
        robot.configure(**values)
        assert not robot.change(ACTIVATE)
    assert words in robot.process.log()


# -- anchored, in the order of a day ---------------------------------------------------------------


@pytest.fixture(scope="module")
def anchored(robot):
    """The robot in mode anchored, gravity from TF, active; no odometry was heard yet."""
    with latched(robot.bench, CAMERA_MOUNT):
        robot.configure(tf__mode="anchored", level__source="tf")
        robot.activate()
        yield robot


def test_without_the_robots_tf_people_go_on_and_the_rest_waits(anchored):
    stamp_ns = anchored.bench.send()
    status = anchored.bench.status_of(stamp_ns)
    assert status.outcome == FrameStatus.PROCESSED
    assert status.level_source == FrameStatus.LEVEL_NONE
    for word in (f"'{FRAME}'", f"'{ODOM}'", f"{stamp_ns / 1e9:.3f} s", "map wait"):
        assert word in status.message
    humans = anchored.bench.message("humans", stamp_ns)
    assert not humans.camera_pose_valid
    assert humans.header.frame_id == FRAME
    assert anchored.ours() == []
    assert anchored.bench.received["odometry"] == []
    missing = f"no transform from '{FRAME}' to '{ODOM}' at {stamp_ns / 1e9:.3f} s"
    wait_until(lambda: frames_diagnostic(anchored, DiagnosticStatus.WARN, missing), 20, missing)


def frames_diagnostic(robot, level, words):
    statuses = [s for message in robot.diagnostics for s in message.status]
    frames = [s for s in statuses if s.name == "human3r: frames" and words in s.message]
    return next((s for s in frames if s.level == level), None)


def test_with_the_robots_tf_the_level_frame_hangs_below_its_odometry(anchored):
    bench = anchored.bench
    statuses = anchored.drive(5)
    assert [s.message for s in statuses] == [""] * 5
    assert {s.level_source for s in statuses} == {FrameStatus.LEVEL_TF}
    ours = anchored.ours()
    assert {(e.header.frame_id, e.child_frame_id) for e in ours} == {(ODOM, LEVEL)}
    stamps_ns = [stamp_of(status) for status in statuses]
    # The first has the image's stamp, the others lie ahead by tf.future_offset_s.
    assert [stamp_of(e) for e in ours] == [
        stamps_ns[0],
        *(stamp_ns + SECOND_NS // 10 for stamp_ns in stamps_ns[1:]),
    ]
    base_from_camera = matrix_of(CAMERA_MOUNT)
    for i, sent in enumerate(ours):
        humans = bench.message("humans", stamps_ns[i])
        odom_from_camera = base_from_camera.copy()
        odom_from_camera[0, 3] += 0.1 * i
        placed = matrix_of(sent) @ convert.matrix_from_pose(humans.camera_pose)
        assert np.allclose(placed, odom_from_camera, atol=1e-6)
        message = bench.message("odometry", stamps_ns[i])
        assert (message.header.frame_id, message.child_frame_id) == (LEVEL, BASE)
    assert bench.node.count_publishers("/tf_static") == 1, "the robot's alone"


def test_a_reset_keeps_the_level_frame_only_when_asked(anchored):
    bench = anchored.bench
    (before,) = anchored.drive(1)
    assert bench.call(Reset, "reset", Reset.Request(keep_world=True)).success
    (kept,) = anchored.drive(1)
    assert kept.session == before.session + 1
    assert kept.level_source == FrameStatus.LEVEL_TF
    assert stamp_of(anchored.ours()[-1]) == stamp_of(kept) + SECOND_NS // 10
    assert bench.call(Reset, "reset", Reset.Request()).success
    alone = bench.process(stamp_ns=anchored.next_ns())
    assert alone.session == kept.session + 1
    assert alone.level_source == FrameStatus.LEVEL_NONE, "gravity is asked for again"
    (fresh,) = anchored.drive(1)
    assert fresh.level_source == FrameStatus.LEVEL_TF
    assert stamp_of(anchored.ours()[-1]) == stamp_of(fresh)
    pose = convert.matrix_from_pose(bench.message("humans", stamp_of(fresh)).camera_pose)
    assert np.isfinite(pose).all()


def test_the_transform_is_republished_at_the_rate_set_live(anchored):
    anchored.drive(1)
    count = len(anchored.ours())
    assert anchored.set({"tf.republish_hz": 20.0})[0].successful
    wait_until(lambda: len(anchored.ours()) > count + 5, 20, "repeated transforms")
    repeated = anchored.ours()[count:]
    stamps = [stamp_of(e) for e in repeated]
    assert stamps == sorted(set(stamps))
    assert {e.transform.translation.x for e in repeated} == {repeated[0].transform.translation.x}
    assert anchored.set({"tf.republish_hz": 0.0})[0].successful


def test_a_jump_back_in_time_clears_what_the_robot_said(anchored):
    start_ns = anchored.bench.now_ns() - 100 * SECOND_NS
    anchored.say(start_ns - 50 * SECOND_NS)
    alone = anchored.bench.process(stamp_ns=start_ns)
    assert alone.reset_reason == FrameStatus.RESET_TIME_JUMP
    assert alone.level_source == FrameStatus.LEVEL_NONE
    after = anchored.drive(2, start_ns + SECOND_NS)
    assert [s.message for s in after] == ["", ""]
    assert {s.level_source for s in after} == {FrameStatus.LEVEL_TF}


def test_a_foreign_parent_of_the_level_frame_ends_our_broadcast_only(anchored):
    """Last of these: the broadcast stays stopped until the next activation."""
    bench = anchored.bench
    anchored.moving.publish(TFMessage(transforms=[edge("map", LEVEL, bench.now_ns())]))
    words = f"{LEVEL} already has parent map"
    wait_until(lambda: frames_diagnostic(anchored, DiagnosticStatus.ERROR, words), 20, words)
    start_ns = stamp_of(bench.received["humans"][-1]) + SECOND_NS
    count = len(anchored.ours())
    (status,) = anchored.drive(1, start_ns)
    assert status.outcome == FrameStatus.PROCESSED
    assert words in status.message
    assert bench.message("odometry", stamp_of(status)).child_frame_id == BASE
    assert len(anchored.ours()) == count


# -- simulated time --------------------------------------------------------------------------------


def test_under_simulated_time_the_transform_is_republished_while_the_clock_runs(robot):
    clock = robot.bench.node.create_publisher(Clock, "/clock", 1)
    tick_ns, start_ns = SECOND_NS // 10, 100 * SECOND_NS

    def tick(now_ns):
        for _ in range(3):
            clock.publish(Clock(clock=convert.time_from_ns(now_ns)))

    def now_of_the_node():
        """As its reports are stamped."""
        tick(start_ns)
        return stamp_of(robot.diagnostics[-1]) if robot.diagnostics else 0

    with latched(robot.bench, CAMERA_MOUNT):
        robot.configure(tf__mode="anchored", tf__republish_hz=10.0, use_sim_time=True)
        wait_until(lambda: now_of_the_node() == start_ns, 30, "simulated time")
        robot.activate()
        robot.drive(1, start_ns)
        wait_until(lambda: len(robot.ours()) == 1, 20, "the transform of the image")
        time.sleep(1.0)
        assert len(robot.ours()) == 1, "the clock is paused"
        running = [start_ns + number * tick_ns for number in range(1, 9)]
        for number, now_ns in enumerate(running, 1):
            tick(now_ns)
            wait_until(lambda n=number: len(robot.ours()) > n, 20, f"repetition {number}")
        time.sleep(1.0)
        repeated = robot.ours()[1:]
    # One per period, tf.future_offset_s ahead of the clock, and none after it stopped.
    assert [stamp_of(e) for e in repeated] == [now_ns + SECOND_NS // 10 for now_ns in running]
    assert {(e.header.frame_id, e.child_frame_id) for e in repeated} == {(ODOM, LEVEL)}


# -- other modes -----------------------------------------------------------------------------------


def test_inverse_hangs_the_level_frame_below_the_base(robot):
    with latched(robot.bench, CAMERA_MOUNT):
        robot.configure(tf__mode="inverse")
        robot.activate()
        robot.drive(3)
        wait_until(lambda: len(robot.ours()) >= 1, 20)
        statuses = robot.drive(2)
    ours = robot.ours()
    assert {(e.header.frame_id, e.child_frame_id) for e in ours} == {(BASE, LEVEL)}
    assert stamp_of(ours[-1]) == stamp_of(statuses[-1])
    humans = robot.bench.message("humans", stamp_of(statuses[-1]))
    placed = matrix_of(ours[-1]) @ convert.matrix_from_pose(humans.camera_pose)
    assert np.allclose(placed, matrix_of(CAMERA_MOUNT), atol=1e-6)


def test_none_broadcasts_nothing_and_gives_odometry(robot):
    robot.configure()
    robot.activate_without_tf()
    status = robot.bench.process()
    assert status.message == ""
    assert robot.bench.message("odometry", stamp_of(status)).child_frame_id == FRAME
    assert robot.ours() == []
    assert robot.bench.node.count_publishers("/tf") == 1, "the robot's alone"


def test_a_base_that_is_no_ancestor_is_said_with_the_first_image_and_fails_the_next_activation(
    robot,
):
    words = f"frames.base is 'gripper', but the static transforms above '{FRAME}' lead to {FRAME}"
    robot.configure(frames__base="gripper")
    robot.activate()
    status = robot.bench.process()
    assert status.outcome == FrameStatus.PROCESSED
    assert words in status.message
    assert robot.bench.received["odometry"] == []
    assert robot.change(DEACTIVATE)
    assert not robot.change(ACTIVATE)
    assert f"activate failed: {words}" in robot.process.log()


def test_a_base_that_is_no_ancestor_is_refused_at_once_when_camera_info_names_the_camera(robot):
    robot.configure(frames__base="gripper")
    infos = robot.bench.infos
    wait_until(lambda: infos.get_subscription_count() == 1, 20, "the node on camera_info")
    for _ in range(10):
        infos.publish(intrinsics_info())
        time.sleep(0.05)
    assert not robot.change(ACTIVATE)
    words = f"frames.base is 'gripper', but the static transforms above '{FRAME}' lead to {FRAME}"
    assert f"activate failed: {words}" in robot.process.log()
    with latched(robot.bench, edge("gripper", FRAME)):
        wait_until(lambda: robot.change(ACTIVATE), 20, "activation with the gripper's transforms")
        wait_until(lambda: infos.get_subscription_count() == 1, 20, "one subscription still")
        robot.bench.connect()
        status = robot.bench.process()
    assert status.message == ""
    assert robot.bench.message("odometry", stamp_of(status)).child_frame_id == "gripper"


def test_a_floor_that_was_not_seen_yet_holds_back_the_level_frame_only(robot):
    robot.configure(level__source="floor")
    robot.activate_without_tf()
    status = robot.bench.process()
    assert status.outcome == FrameStatus.PROCESSED
    assert status.level_source == FrameStatus.LEVEL_NONE
    assert "level.source is floor" in status.message
    assert not robot.bench.message("humans", stamp_of(status)).camera_pose_valid
    assert robot.bench.received["odometry"] == []
    idle = wait_until(
        lambda: next((s for s in robot.bench.received["status"] if not stamp_of(s)), None), 20
    )
    assert idle.level_source == FrameStatus.LEVEL_NONE

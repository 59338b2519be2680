"""One running node and everything that gives it metres: a lens, depth, a service, a robot's TF."""

import math
import time

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped, Vector3
from human3r_msgs.msg import FrameStatus
from human3r_msgs.srv import Reset, SetScale
from human3r_ros import convert, transforms
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from tf2_msgs.msg import TFMessage

from ros2_ws.src.human3r_ros.tests.node_process import (
    FRAME,
    SECOND_NS,
    intrinsics_info,
    running_node,
    scene,
    wait_until,
)

LENS = {"distortion_model": "plumb_bob", "d": np.array([-0.2, 0.05, 0.0, 0.0, 0.0])}
FARTHER = 1.25
LARGER = 0.93
"""Of true lengths over those of the seeded network, most of which are too long for the sensor."""


@pytest.fixture(scope="module")
def bench(private_domain, model_files, tmp_path_factory):
    with running_node(
        tmp_path_factory.mktemp("scale"),
        private_domain,
        model_files,
        *("--depth", "/cam/depth", "--set", "input.undistort=true"),
        *("--set", "input.max_age_s=0", "--set", "people.min_score=0.05"),
        listen=("depth", "depth_info", "camera_info"),
    ) as (_, made):
        yield made


@pytest.fixture(scope="module")
def depths(bench):
    """A depth camera."""
    made = bench.node.create_publisher(Image, "/cam/depth", 5)
    wait_until(lambda: made.get_subscription_count() > 0, 20, "depth subscription")
    return made


def until(bench, send, is_right, frames=20):
    """The first status for which ``is_right``, of frames sent after ``send()``."""
    for _ in range(frames):
        send()
        status = bench.process()
        if is_right(status):
            return status
    raise AssertionError(status)


def everything(bench, name, frames=20):
    """A frame's status and its message on a lazy topic, once its reader is known."""
    for _ in range(frames):
        stamp_ns = bench.send()
        status = bench.status_of(stamp_ns)
        try:
            return status, bench.message(name, stamp_ns, 2.0)
        except AssertionError:
            continue
    raise AssertionError(f"nothing on {name}")


def test_without_calibration_the_estimated_camera_is_published(bench):
    status, info = everything(bench, "camera_info")
    assert math.isnan(status.focal_calibrated)
    assert (info.width, info.height, info.header.frame_id) == (80, 60, FRAME)
    # Seeded weights see a focal length that no lens has; then 60 degrees are taken for granted.
    is_possible = 8 < status.focal_estimated < 800
    expected = status.focal_estimated if is_possible else 40 / math.tan(math.radians(30))
    assert info.k[0] == pytest.approx(expected, rel=1e-4)
    humans = bench.message("humans", convert.ns_from_time(info.header.stamp))
    for human in humans.humans:
        joints = np.reshape(human.joint_positions, (-1, 3)).astype(float)
        seen = joints[joints[:, 2] > 0.1] @ np.reshape(info.k, (3, 3)).T
        pixels = np.reshape(human.joint_pixels, (-1, 2))[joints[:, 2] > 0.1]
        assert np.allclose(seen[:, :2] / seen[:, 2:], pixels, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": np.zeros(9)}, "uncalibrated"),
        ({"k": np.array([90.0, 0, 200.0, 0, 90.0, 30.0, 0, 0, 1])}, "principal point"),
        ({"d": np.array([-3.0, 0, 0, 0, 0]), "distortion_model": "plumb_bob"}, "folds the image"),
        ({"d": np.array([0.1, 0, 0, 0, 0]), "distortion_model": "mirror"}, "distortion_model is"),
    ],
    ids=["all_zero", "outside", "folding", "unknown_lens"],
)
def test_a_calibration_of_no_use_is_said_and_the_stream_goes_on(bench, changes, words):
    info = intrinsics_info(**changes)
    status = until(bench, lambda: bench.infos.publish(info), lambda s: words in s.message)
    assert status.outcome == FrameStatus.PROCESSED


def test_region_and_binning_give_the_camera_of_the_image_and_of_its_depth(bench):
    roi = RegionOfInterest(x_offset=20, y_offset=0, width=160, height=120)
    info = intrinsics_info(fx=180.0, width=200, height=120, roi=roi, binning_x=2, binning_y=2)
    send = lambda: bench.infos.publish(info)  # noqa: E731
    until(bench, send, lambda s: s.focal_calibrated == pytest.approx(90.0))
    _, depth_info = everything(bench, "depth_info")
    assert depth_info.k[0] == pytest.approx(90.0 * depth_info.width / 80, rel=0.02)
    centre = ((100.0 - 20.0 + 0.5) / 2 + 0.5 - 0.5) / 80
    assert (depth_info.k[2] + 0.5) / depth_info.width == pytest.approx(centre, abs=0.02)


def test_distortion_is_undone_before_the_network_and_begins_a_session(bench):
    plain = until(
        bench,
        lambda: bench.infos.publish(intrinsics_info(fx=90.0)),
        lambda s: s.focal_calibrated == pytest.approx(90.0) and not s.reset_reason,
    )
    p = np.array([80.0, 0, 40.0, 0, 0, 80.0, 30.0, 0, 0, 0, 1, 0])
    info = intrinsics_info(fx=90.0, p=p, **LENS)
    status = until(
        bench,
        lambda: bench.infos.publish(info),
        lambda s: s.focal_calibrated == pytest.approx(80.0),
    )
    assert status.session == plain.session + 1
    assert status.reset_reason == FrameStatus.RESET_STREAM_CHANGED
    assert "distortion" not in status.message
    stamp_ns = bench.send()
    humans = bench.message("humans", stamp_ns).humans
    assert humans, "the seeded network should see people at this threshold"
    for human in humans:
        # Pixels are those of the image as it came: bent by the lens, with K and not with P.
        x, y, z = np.reshape(human.joint_positions, (-1, 3)).astype(float).T
        x, y = x / z, y / z
        r2 = x * x + y * y
        near = (z > 0.1) & (np.abs(x) < 0.4) & (np.abs(y) < 0.3)
        radial = 1 - 0.2 * r2 + 0.05 * r2**2
        bent = np.stack([90 * x * radial + 40, 90 * y * radial + 30], -1)[near]
        pixels = np.reshape(human.joint_pixels, (-1, 2))[near]
        assert np.allclose(bent, pixels, atol=0.1)


def depth_of(depths, message, factor, frame_id=FRAME):
    """The node's own depth, made larger, as another sensor's image of the same time."""
    values = np.frombuffer(bytes(message.data), np.float32).reshape(message.height, message.width)
    # The network's image is the middle of the source's 4:3.
    margin = (message.width * 60 // 80 - message.height) // 2
    values = np.pad(values * np.float32(factor), ((margin, margin), (0, 0)))
    depths.publish(
        Image(
            header=convert.header(convert.ns_from_time(message.header.stamp), frame_id),
            height=values.shape[0],
            width=values.shape[1],
            encoding="32FC1",
            step=4 * values.shape[1],
            data=values.tobytes(),
        )
    )


def test_compressed_depth_is_refused_with_the_way_out(bench):
    """Before any depth image has come: what is not compressed is published later in this file."""
    publisher = bench.node.create_publisher(CompressedImage, "/cam/depth/compressedDepth", 1)
    try:
        words = "/cam/depth/compressedDepth is published, /cam/depth not"
        status = until(bench, lambda: time.sleep(0.2), lambda s: words in s.message)
        assert status.outcome == FrameStatus.PROCESSED
        assert "Republish it as raw" in status.message
    finally:
        bench.node.destroy_publisher(publisher)


def refused(bench, depths):
    """The status that names a depth image of another frame."""
    stamp_ns = bench.send()
    bench.status_of(stamp_ns)
    raw = bench.message("depth", stamp_ns)
    return until(
        bench,
        lambda: depth_of(depths, raw, 1.0, "depth_optical"),
        lambda s: "'depth_optical'" in s.message,
        frames=3,
    )


def test_depth_that_is_not_aligned_is_said(bench, depths):
    assert refused(bench, depths).outcome == FrameStatus.PROCESSED


def test_a_depth_camera_fixes_the_scale_slowly(bench, depths):
    """Depth that is 0.93 times the network's makes everything 0.93 times as large."""
    straight = intrinsics_info(fx=90.0)
    is_taken = lambda status: status.focal_calibrated == pytest.approx(90.0)  # noqa: E731
    until(bench, lambda: bench.infos.publish(straight), is_taken)
    stamp_ns, values = bench.now_ns() - 300 * SECOND_NS, []
    status = bench.status_of(bench.send(stamp_ns=stamp_ns))
    assert "The scale stays at 1" in status.message
    while len(values) < 30 and not (values and values[-1] < 1.01 * LARGER):
        depth_of(depths, bench.message("depth", stamp_ns), LARGER / status.scale)
        stamp_ns += SECOND_NS * 9 // 20
        status = bench.status_of(bench.send(stamp_ns=stamp_ns))
        values.append(status.scale)
        assert bench.message("humans", stamp_ns).scale == status.scale
    assert values[0] == 1.0
    assert values[-1] == pytest.approx(LARGER, rel=0.02), status.message
    assert np.diff(np.log(values)).min() > -0.03 * 0.46
    assert "scale" not in status.message


def set_scale(bench, value):
    return bench.call(SetScale, "set_scale", SetScale.Request(scale=value))


def test_set_scale_begins_a_session_in_which_everything_is_that_large(bench):
    assert set_scale(bench, 1.0).success
    before = bench.message("humans", bench.send())
    answer = set_scale(bench, 2.0)
    assert answer.success, answer.message
    stamp_ns = bench.send()
    status, after = bench.status_of(stamp_ns), bench.message("humans", stamp_ns)
    assert (status.scale, after.scale, before.scale) == (2.0, 2.0, 1.0)
    assert status.session == before.session + 1
    assert status.reset_reason == FrameStatus.RESET_SERVICE
    assert status.frame_index == 0
    assert after.humans
    for human in after.humans:
        betas_only = human.stature / 2.0
        assert 0.5 < betas_only < 3.0
    assert set_scale(bench, 1.0).success


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e9])
def test_a_scale_that_cannot_be_is_refused(bench, value):
    before = bench.process()
    answer = set_scale(bench, value)
    assert not answer.success
    assert "0.01 to 100" in answer.message
    assert bench.process().session == before.session


def restart(bench, depths, name, value):
    """Deactivate, clean up, change a parameter, configure, activate."""
    change = bench.lifecycle.change
    assert change(Transition.TRANSITION_DEACTIVATE, 20.0)
    answer = set_scale(bench, 1.5)
    assert (answer.success, "activate it first" in answer.message) == (False, True)
    assert change(Transition.TRANSITION_CLEANUP, 20.0)
    kind = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    request = SetParameters.Request(parameters=[ParameterMessage(name=name, value=kind)])
    result = bench.call(SetParameters, "set_parameters", request).results[0]
    assert result.successful, result.reason
    assert change(Transition.TRANSITION_CONFIGURE, 60.0)
    assert change(Transition.TRANSITION_ACTIVATE, 20.0)
    wait_until(lambda: bench.images.get_subscription_count() > 0, 20, "image subscription")
    wait_until(lambda: depths.get_subscription_count() == (value in ("depth", "auto")), 20, "depth")


def test_a_robot_that_moves_is_compared_and_one_that_stands_changes_nothing(bench, depths):
    restart(bench, depths, "scale.mode", "odometry")
    stamp_ns = bench.now_ns() - 300 * SECOND_NS
    lost = bench.process(stamp_ns=stamp_ns)
    assert "'odom'" in lost.message
    assert FRAME in lost.message
    sender = bench.node.create_publisher(TFMessage, "/tf", 100)
    try:
        wait_until(lambda: sender.get_subscription_count() > 1, 20, "the node's TF subscription")
        seen = []
        for step in range(30):
            stamp_ns, x_m = stamp_ns + SECOND_NS // 5, max(0, step - 5) * 0.15
            for ahead_ns in (-1, 1):
                edge = TransformStamped(
                    header=convert.header(stamp_ns + ahead_ns, "odom"), child_frame_id=FRAME
                )
                edge.transform.translation = Vector3(x=x_m)
                edge.transform.rotation.w = 1.0
                sender.publish(TFMessage(transforms=[edge]))
            seen.append(bench.status_of(bench.send(stamp_ns=stamp_ns)).message)
            if "the robot's motion against the network's" in seen[-1]:
                break
        assert any("has moved 0 stretches" in message for message in seen[:8])
        # The seeded network sees no motion, and the node says so instead of believing it.
        assert "the robot's motion against the network's" in seen[-1]
        assert bench.process().scale == 1.0
    finally:
        bench.node.destroy_publisher(sender)


def test_a_depth_camera_is_fused_without_being_asked_for(bench, depths):
    """Topic depth is remapped, so whoever started the node wants it used."""
    restart(bench, depths, "scale.mode", "auto")
    stamp_ns, values = bench.now_ns() - 300 * SECOND_NS, []
    for _ in range(12):
        stamp_ns += SECOND_NS
        status = bench.status_of(bench.send(stamp_ns=stamp_ns))
        values.append(status.scale)
        depth_of(depths, bench.message("depth", stamp_ns), LARGER / status.scale)
    assert values[0] == 1.0
    assert values[-1] == pytest.approx(LARGER, rel=0.02), status.message
    assert "scale" not in status.message
    assert refused(bench, depths).outcome == FrameStatus.PROCESSED


def say_where(bench, sender, stamp_ns, odom_from_camera):
    """The robot's word around a stamp."""
    for ahead_ns in (-1, 1):
        edge = transforms.transform_message(stamp_ns + ahead_ns, "odom", FRAME, odom_from_camera)
        sender.publish(TFMessage(transforms=[edge]))


def walk(bench, tell):
    """A new world and a stay of one second in every picture; reports and poses of the camera."""
    assert bench.call(Reset, "reset", Reset.Request()).success
    start_ns = bench.now_ns()
    statuses, poses = [], []
    for number in range(20):
        stamp_ns = start_ns + number * SECOND_NS
        tell(number, stamp_ns)
        statuses.append(bench.status_of(bench.send(scene(seed=number), stamp_ns)))
        humans = bench.message("humans", stamp_ns)
        assert humans.scale == statuses[-1].scale
        poses.append(convert.matrix_from_pose(humans.camera_pose))
    return statuses, poses


@pytest.mark.slow
def test_the_robots_odometry_fixes_the_scale_slowly(bench, depths):
    """Other pictures move the seeded network's camera; the robot says 1.25 times as far."""
    restart(bench, depths, "scale.mode", "odometry")
    sender = bench.node.create_publisher(TFMessage, "/tf", 100)
    try:
        wait_until(lambda: sender.get_subscription_count() > 1, 20, "the node's TF subscription")
        statuses, network = walk(bench, lambda number, stamp_ns: None)
        assert {status.scale for status in statuses} == {1.0}
        robot = [pose.copy() for pose in network]
        for pose in robot:
            pose[:3, 3] *= FARTHER
        statuses, poses = walk(bench, lambda i, at_ns: say_where(bench, sender, at_ns, robot[i]))
    finally:
        bench.node.destroy_publisher(sender)
    values = np.array([status.scale for status in statuses])
    assert values[0] == 1.0
    assert "has moved 0 stretches" in statuses[0].message
    assert values[-1] == pytest.approx(FARTHER, rel=0.01), statuses[-1].message
    assert "scale" not in statuses[-1].message
    steps = np.diff(np.log(values))
    assert (steps >= 0).all()
    assert steps.max() < 0.03 * 1.01, "at most 3 % per second"
    # From then on the camera's path is the robot's, step by step.
    ours, theirs = (path[-1][:3, 3] - path[-2][:3, 3] for path in (poses, robot))
    assert np.linalg.norm(theirs) > 0.1
    assert ours == pytest.approx(theirs, abs=0.02 * np.linalg.norm(theirs))

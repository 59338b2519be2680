"""Other kinds of input: compressed with required calibration, simulated time with a queue, TF."""

import io
import math
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from human3r_msgs.msg import FrameStatus
from human3r_ros import convert
from PIL import Image as PilImage
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage

from ros2_ws.src.human3r_ros.tests.node_process import (
    FRAME,
    SECOND_NS,
    intrinsics_info,
    running_node,
    scene,
    wait_for_matches,
    wait_until,
)

Outcome = FrameStatus


@pytest.fixture(scope="module")
def compressed(private_domain, model_files, tmp_path_factory, simulated):
    """Begun after the other node, whose first tests wait for what it says by and by."""
    with running_node(
        *(tmp_path_factory.mktemp("compressed"), private_domain, model_files),
        *("--set", "input.camera_info=required", "--set", "input.max_pixels=20000"),
        *("--set", "input.max_age_s=0"),
        transport="compressed",
        topic="/cam/image_rect_color",
    ) as (_, bench):
        wait_for_matches(bench.node, count=2)
        yield bench


def jpeg(width=80, height=60):
    buffer = io.BytesIO()
    PilImage.fromarray(scene(width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_required_calibration_rejects_until_it_arrives_and_then_is_used(compressed):
    status = compressed.status_of(compressed.send_compressed(jpeg()))
    assert status.outcome == Outcome.REJECTED
    assert "camera_info" in status.message
    compressed.infos.publish(intrinsics_info(fx=math.nan))
    for _ in range(5):
        compressed.infos.publish(intrinsics_info(fx=70.0))
        status = compressed.status_of(compressed.send_compressed(jpeg()))
        if status.outcome == Outcome.PROCESSED:
            break
    assert status.outcome == Outcome.PROCESSED
    assert status.focal_calibrated == pytest.approx(70.0)


def test_the_camera_of_a_rectified_image_is_p(compressed):
    """As a stereo camera sends it, with the distortion and the rotation of the image before."""
    p = np.array([60.0, 0, 40.0, -7.2, 0, 60.0, 30.0, 0, 0, 0, 1, 0])
    turn = Rotation.from_euler("y", 2.0, degrees=True).as_matrix().ravel()
    bent = {"distortion_model": "plumb_bob", "d": np.array([-0.3, 0.1, 0, 0, 0])}
    for _ in range(5):
        compressed.infos.publish(intrinsics_info(fx=75.0, p=p, r=turn, **bent))
        stamp_ns = compressed.send_compressed(jpeg())
        status = compressed.status_of(stamp_ns)
        if status.focal_calibrated == pytest.approx(60.0):
            break
    assert status.focal_calibrated == pytest.approx(60.0)
    assert status.outcome == Outcome.PROCESSED
    assert "distortion" not in status.message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (jpeg()[:-100], "damaged JPEG"),
        (b"", "cannot be read as an image"),
        (b"not an image at all", "cannot be read as an image"),
        (jpeg(300, 200), "input.max_pixels"),
        (jpeg(130, 40), "aspect"),
    ],
    ids=["truncated", "empty", "text", "large", "narrow"],
)
def test_an_unusable_compressed_image_is_rejected(compressed, data, words):
    status = compressed.status_of(compressed.send_compressed(data))
    assert status.outcome == Outcome.REJECTED
    assert words in status.message


@pytest.fixture(scope="module")
def simulated(private_domain, model_files, tmp_path_factory):
    with running_node(
        *(tmp_path_factory.mktemp("simulated"), private_domain, model_files),
        *("--tf-mode", "odometry", "--set", "use_sim_time=true"),
        *("--set", "diagnostics.period_s=0.2"),
        *("--set", "input.policy=every", "--set", "input.queue=4"),
        *("--set", "people.min_score=0.05"),
        listen=("odometry",),
    ) as (node, bench):
        prepare(node, bench)
        yield bench


def prepare(node, bench):
    """A clock, a camera on a base, and what the tests of simulated time read."""
    bench.log = node.log
    bench.wait_for_log = node.wait_for_log
    bench._listen("diagnostics", DiagnosticArray, "/diagnostics", 10)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.static = bench.node.create_publisher(TFMessage, "/tf_static", latched)
    edge = TransformStamped(
        header=convert.header(1, "base_link"),
        child_frame_id=FRAME,
        transform=Transform(
            translation=Vector3(x=0.0, y=0.0, z=1.5),
            rotation=Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5),
        ),
    )
    bench.static.publish(TFMessage(transforms=[edge]))
    bench.clock = bench.node.create_publisher(Clock, "/clock", 1)
    wait_until(lambda: bench.static.get_subscription_count() > 0, 10)


def tick(bench, stamp_ns):
    """Set the clock, and wait until the node's own messages tell that time."""
    seconds = stamp_ns // SECOND_NS

    def has_arrived():
        bench.clock.publish(Clock(clock=convert.time_from_ns(stamp_ns)))
        return any(report.header.stamp.sec == seconds for report in simulated_reports(bench)[-1:])

    wait_until(has_arrived, 30, f"a report at {seconds} s")


def simulated_reports(simulated):
    """Those of this node; the other node of this module stamps its own with the time of day."""
    return [r for r in simulated.received["diagnostics"] if r.header.stamp.sec < 10**6]


def reported(simulated, words):
    """Whether the newest report of the input says this."""
    reports = simulated_reports(simulated)
    return bool(reports) and any(
        status.name == "human3r: input" and words in status.message for status in reports[-1].status
    )


def test_a_silent_clock_is_mentioned_and_reported(simulated):
    simulated.wait_for_log("use_sim_time is set but /clock is silent", 60)
    wait_until(lambda: reported(simulated, "/clock is silent"), 20, "a warning in the report")


def test_reports_go_on_while_simulated_time_stands_still(simulated):
    tick(simulated, 800 * SECOND_NS)

    def of_that_moment():
        return [r for r in simulated_reports(simulated) if r.header.stamp.sec == 800]

    wait_until(lambda: len(of_that_moment()) >= 3, 30, "reports with one and the same stamp")


def test_under_simulated_time_ages_mean_nothing_and_old_stamps_are_processed(simulated):
    tick(simulated, 900 * SECOND_NS)
    status = simulated.status_of(simulated.send(stamp_ns=100 * SECOND_NS))
    assert status.outcome == Outcome.PROCESSED
    assert math.isnan(status.age_taken)
    assert math.isnan(status.age_published)


def test_the_base_is_found_above_the_camera(simulated):
    stamp_ns = 101 * SECOND_NS

    def odometry():
        nonlocal stamp_ns
        stamp_ns += SECOND_NS
        simulated.status_of(simulated.send(stamp_ns=stamp_ns))
        # Transforms begin when the node has listened to /tf for a while.
        return simulated.received["odometry"] and simulated.received["tf"]

    wait_until(odometry, 20)
    message = simulated.message("odometry", stamp_ns)
    assert message.child_frame_id == "base_link"
    humans = simulated.message("humans", stamp_ns)
    # A level camera 1.5 m above the base: the base's z is that far below, along its own axis.
    level_from_camera = convert.matrix_from_pose(humans.camera_pose)
    level_from_base = convert.matrix_from_pose(message.pose.pose)
    base_from_camera = convert.np.linalg.inv(level_from_base) @ level_from_camera
    assert base_from_camera[:3, 3] == pytest.approx([0, 0, 1.5], abs=1e-6)
    transform = simulated.transform(stamp_ns)
    assert (transform.header.frame_id, transform.child_frame_id) == ("human3r_odom", "base_link")


def test_a_full_queue_loses_the_newest_counts_and_says_so(simulated):
    last = simulated.received["status"][-1]
    stamps = [(200 + i) * SECOND_NS for i in range(12)]
    for stamp_ns in stamps:
        simulated.send(stamp_ns=stamp_ns)
        time.sleep(0.01)
    wait_until(
        lambda: (
            (s := simulated.received["status"][-1]).received - last.received
            == (s.processed - last.processed) + (s.dropped_overwritten - last.dropped_overwritten)
            and s.received > last.received
        ),
        30,
    )
    status = simulated.received["status"][-1]
    assert status.dropped_overwritten > last.dropped_overwritten
    assert "the queue of 4 images is full" in simulated.log()


def test_a_clock_that_is_set_back_begins_a_session(simulated):
    tick(simulated, 1000 * SECOND_NS)
    before = simulated.process(stamp_ns=400 * SECOND_NS)
    tick(simulated, 50 * SECOND_NS)
    simulated.wait_for_log("time was set back", 10)
    # Newer than the last stamp: by the stamps alone this would continue the session.
    status = simulated.status_of(simulated.send(stamp_ns=500 * SECOND_NS))
    assert status.reset_reason == Outcome.RESET_TIME_JUMP
    assert status.session == before.session + 1


def test_a_forward_jump_of_simulated_time_is_normal(simulated):
    before = simulated.status_of(simulated.send(stamp_ns=600 * SECOND_NS)).session
    tick(simulated, 5000 * SECOND_NS)
    status = simulated.status_of(simulated.send(stamp_ns=5000 * SECOND_NS))
    assert (status.reset_reason, status.session) == (Outcome.RESET_NONE, before)
    assert status.header.stamp == Time(sec=5000)


def test_the_warning_of_a_silent_clock_ends_when_it_runs(simulated):
    simulated.wait_for_log("use_sim_time is set but /clock is silent", 60)
    tick(simulated, 5001 * SECOND_NS)
    wait_until(lambda: not reported(simulated, "/clock is silent"), 30, "an end of the warning")

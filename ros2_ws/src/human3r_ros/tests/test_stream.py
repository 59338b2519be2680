"""One running node: the time table, the bad-input table, outputs, order and counters."""

import math
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from human3r_msgs.msg import FrameStatus
from human3r_msgs.srv import Reset
from human3r_ros import convert
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header

from human3r.mapping.level import level_from_pitch
from ros2_ws.src.human3r_ros.tests.node_process import (
    FRAME,
    SECOND_NS,
    intrinsics_info,
    running_node,
    scene,
    wait_until,
)

Outcome = FrameStatus


@pytest.fixture(scope="module")
def running(private_domain, model_files, tmp_path_factory):
    with running_node(
        tmp_path_factory.mktemp("stream"),
        private_domain,
        model_files,
        *("--tf-mode", "odometry"),
        *("--set", "input.max_age_s=0", "--set", "input.max_pixels=100000"),
        *("--set", "people.min_score=0.05", "--set", "fault.max_consecutive=1000"),
    ) as made:
        yield made


@pytest.fixture(scope="module")
def node(running):
    return running[0]


@pytest.fixture(scope="module")
def bench(running):
    return running[1]


@pytest.fixture
def stream(bench):
    """The bench, with a processed frame behind it, and a node that sends transforms."""

    def is_streaming():
        # The last stamp may lie some seconds ahead, so that a first few come too early. Transforms
        # begin when the node has listened to /tf for a while.
        return bench.process().outcome == Outcome.PROCESSED and bench.received["tf"]

    wait_until(is_streaming, 30, "a processed frame and a transform")
    return bench


def set_parameter(bench, name, value):
    kinds = {float: ("double_value", ParameterType.PARAMETER_DOUBLE)}
    field, kind = kinds[type(value)]
    request = SetParameters.Request(
        parameters=[ParameterMessage(name=name, value=ParameterValue(type=kind, **{field: value}))]
    )
    return bench.call(SetParameters, "set_parameters", request).results[0]


def balance(status):
    dropped = (
        status.dropped_overwritten
        + status.dropped_rate
        + status.dropped_stale
        + status.dropped_order
    )
    return status.received, status.processed + status.rejected + dropped


def test_a_frame_gives_status_people_transform_and_odometry_with_its_own_stamp(stream):
    stamp_ns = stream.send()
    status = stream.status_of(stamp_ns)
    assert (status.outcome, status.message) == (Outcome.PROCESSED, "")
    assert status.header.frame_id == FRAME
    humans = stream.message("humans", stamp_ns)
    assert humans.header == status.header
    assert humans.humans, "the seeded network should see people at this threshold"
    assert humans.session == status.session
    assert humans.frame_index == status.frame_index >= 1
    assert status.humans == len(humans.humans)
    assert (humans.image_width, humans.image_height) == (80, 60)
    transform = stream.transform(stamp_ns)
    assert convert.ns_from_time(transform.header.stamp) == stamp_ns
    assert (transform.header.frame_id, transform.child_frame_id) == ("human3r_odom", FRAME)
    assert transform.transform.rotation == humans.camera_pose.orientation


def test_the_transform_comes_before_the_people_of_the_same_stamp(stream):
    stamps = [stream.send() for _ in range(1)]
    for _ in range(4):
        stream.status_of(stamps[-1])
        stamps.append(stream.send())
    stream.status_of(stamps[-1])
    # Two topics are two streams, so only the sending order is fixed; nearly all arrive in it.
    positions = {}
    for position, (name, message) in enumerate(stream.order):
        header = message.transforms[0].header if name == "tf" else message.header
        positions[name, convert.ns_from_time(header.stamp)] = position
    early = [positions["tf", stamp] < positions["humans", stamp] for stamp in stamps]
    assert sum(early) >= len(stamps) - 1


def test_the_skeleton_is_latched_and_named_by_every_array(stream):
    skeleton = stream.received["skeleton"][-1]
    assert stream.received["humans"][-1].skeleton_id == skeleton.skeleton_id
    assert len(skeleton.joint_names) == 60


def test_listeners_get_everything(stream):
    names = ("odometry", "depth", "depth_info", "mask", "points", "scene")
    for name in names:
        stream.listen_to(name)
    deadline = [stream.send()]

    def all_arrived():
        if all(stream.received[name] for name in names):
            return True
        stream.status_of(deadline[-1])
        deadline.append(stream.send())
        return False

    wait_until(all_arrived, 20)
    stamp_ns = stream.send()
    found = {name: stream.message(name, stamp_ns) for name in names}
    for name, message in found.items():
        expected = "human3r_odom" if name == "odometry" else FRAME
        assert message.header.frame_id == expected, name
    depth, mask, info = found["depth"], found["mask"], found["depth_info"]
    assert (depth.encoding, mask.encoding) == ("32FC1", "mono8")
    assert (depth.width, depth.height) == (mask.width, mask.height) == (info.width, info.height)
    assert set(np.unique(mask.data)) <= {0, 255}
    assert info.k[0] > 0
    assert found["points"].point_step == 24
    assert found["scene"].point_step == 20
    odometry = found["odometry"]
    assert odometry.child_frame_id == FRAME
    assert min(odometry.twist.covariance[::7]) > 0


def test_ages_and_stages_are_reported(stream):
    status = stream.process()
    assert 0.0 <= status.age_taken <= status.age_published < 60.0
    assert status.network > 0.0
    assert status.decode > 0.0
    assert status.confidence >= 1.0
    # Unknown is NaN: untrained points may fit no camera.
    assert not status.focal_estimated <= 0.0
    assert status.level_source == Outcome.LEVEL_CAMERA
    assert status.scale == 1.0


# -- the time table ------------------------------------------------------------------------------


def test_a_duplicate_stamp_is_dropped(stream):
    stamp_ns = stream.send()
    before = stream.status_of(stamp_ns)
    after = stream.process(stamp_ns=stamp_ns + 1)
    stream.send(stamp_ns=stamp_ns + 1)
    wait_until(lambda: stream.received["status"][-1].dropped_order == before.dropped_order + 1, 20)
    last = stream.received["status"][-1]
    assert last.outcome == Outcome.REJECTED
    assert last.session == after.session


def test_a_late_frame_within_the_window_is_dropped(stream):
    stamp_ns = stream.send()
    stream.status_of(stamp_ns)
    late = stream.process(stamp_ns=stamp_ns - SECOND_NS // 10)
    assert late.outcome == Outcome.REJECTED
    assert "before the last accepted" in late.message


def test_a_jump_back_begins_a_session_and_keeps_ids_unique(stream):
    before = stream.message("humans", stream.send())
    stamp_ns = stream.now_ns() - 20 * SECOND_NS
    status = stream.process(stamp_ns=stamp_ns)
    assert status.outcome == Outcome.PROCESSED
    assert status.reset_reason == Outcome.RESET_TIME_JUMP
    assert status.session == before.session + 1
    assert status.frame_index == 0
    after = stream.message("humans", stamp_ns)
    old = {human.track_id for human in before.humans}
    assert old
    assert after.humans
    assert not old & {human.track_id for human in after.humans}
    following = stream.process(stamp_ns=stamp_ns + SECOND_NS)
    assert following.reset_reason == Outcome.RESET_NONE


def test_a_long_pause_resets_when_asked(stream):
    stamp_ns = stream.send()
    before = stream.status_of(stamp_ns)
    assert set_parameter(stream, "session.gap_reset_s", 2.0).successful
    try:
        status = stream.process(stamp_ns=stamp_ns + 3 * SECOND_NS)
    finally:
        set_parameter(stream, "session.gap_reset_s", 0.0)
    assert status.reset_reason == Outcome.RESET_GAP
    assert status.session == before.session + 1


def test_a_stamp_ahead_of_the_clock_is_processed_with_the_offset(stream):
    status = stream.process(stamp_ns=stream.now_ns() + 30 * SECOND_NS)
    assert status.outcome == Outcome.PROCESSED
    assert "ahead of this node's clock" in status.message


def test_a_zero_stamp_is_rejected_with_the_hint(stream):
    count = stream.received["status"][-1].rejected
    stream.send(stamp_ns=0)
    status = wait_until(
        lambda: next((s for s in stream.received["status"] if s.rejected > count), None), 5
    )
    assert "input.stamp to receive" in status.message


def test_an_old_frame_is_stale_when_there_is_a_limit(stream):
    before = stream.process()
    assert set_parameter(stream, "input.max_age_s", 1.0).successful
    try:
        status = stream.process(stamp_ns=stream.now_ns() - 5 * SECOND_NS)
    finally:
        set_parameter(stream, "input.max_age_s", 0.0)
    assert status.outcome == Outcome.REJECTED
    assert status.dropped_stale == before.dropped_stale + 1
    assert "input.max_age_s" in status.message


def test_faster_frames_than_the_limit_are_dropped_by_stamp(stream):
    stamp_ns = stream.send()
    before = stream.status_of(stamp_ns)
    assert set_parameter(stream, "input.max_rate_hz", 5.0).successful
    try:
        status = stream.process(stamp_ns=stamp_ns + SECOND_NS // 10)
        later = stream.process(stamp_ns=stamp_ns + SECOND_NS // 4)
    finally:
        set_parameter(stream, "input.max_rate_hz", 0.0)
    assert status.dropped_rate == before.dropped_rate + 1
    assert later.outcome == Outcome.PROCESSED


def test_a_stamp_more_than_a_minute_ahead_is_rejected_and_the_session_goes_on(stream):
    before = stream.process()
    status = stream.process(stamp_ns=(2**31 - 1) * SECOND_NS)
    assert status.outcome == Outcome.REJECTED
    assert "2147483647.000" in status.message
    after = stream.process()
    assert (after.outcome, after.reset_reason) == (Outcome.PROCESSED, Outcome.RESET_NONE)
    assert after.session == before.session


def test_a_stamp_that_overflows_is_rejected_and_the_stream_goes_on(stream):
    count = stream.process().rejected
    stamp = Time(sec=2**31 - 1, nanosec=2**32 - 1)
    stream.send(header=Header(stamp=stamp, frame_id=FRAME))
    status = wait_until(
        lambda: next((s for s in stream.received["status"] if s.rejected > count), None), 5
    )
    assert status.outcome == Outcome.REJECTED
    assert "nanosec 4294967295" in status.message
    assert stream.process().outcome == Outcome.PROCESSED


# -- the bad-input table -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "16UC1"}, "is a depth image; expected one of rgb8"),
        ({"encoding": "8UC2"}, "whose scale is not said; expected one of rgb8"),
        ({"encoding": "h264"}, "is not known; expected one of rgb8"),
        ({"step": 17}, "step 17"),
        ({"height": 61}, "bytes of data"),
        ({"width": 0}, "0x60"),
        ({"width": 400, "height": 300, "step": 1200}, "input.max_pixels"),
        ({"width": 300, "height": 60, "step": 900}, "aspect"),
        ({"frame_id": "bad frame"}, "frame_id"),
    ],
    ids=str,
)
def test_an_unusable_image_is_rejected_and_the_stream_goes_on(stream, changes, words):
    if "frame_id" in changes:
        wait_two_seconds_of_silence(stream)
    before = stream.received["status"][-1]
    status = stream.process(**changes)
    assert status.outcome == Outcome.REJECTED
    assert words in status.message
    assert status.rejected == before.rejected + 1
    good = stream.process()
    assert good.outcome == Outcome.PROCESSED
    assert good.session == before.session


def wait_two_seconds_of_silence(stream):
    idle = len(stream.received["status"])
    wait_until(
        lambda: sum(s.outcome == Outcome.IDLE for s in stream.received["status"][idle:]) >= 2, 8
    )


def test_another_image_size_begins_a_session(stream):
    before = stream.process()
    status = stream.process(scene(100, 60))
    assert status.outcome == Outcome.PROCESSED
    assert status.reset_reason == Outcome.RESET_STREAM_CHANGED
    assert status.session == before.session + 1


def test_another_encoding_family_begins_a_session_but_another_order_does_not(stream):
    before = stream.process()
    same = stream.process(encoding="bgr8")
    assert same.session == before.session
    mono = stream.process(scene()[..., 0], encoding="mono8")
    assert mono.reset_reason == Outcome.RESET_STREAM_CHANGED


def test_two_cameras_on_one_topic_the_first_wins(stream):
    for _ in range(10):
        stream.process()
        status = stream.process(frame_id="other_camera")
        # After two seconds without the first one it is another stream; a busy machine needs them.
        if status.outcome == Outcome.REJECTED and f"{FRAME!r} is kept" in status.message:
            break
    assert status.outcome == Outcome.REJECTED
    assert FRAME in status.message
    assert "other_camera" in status.message
    assert stream.process().outcome == Outcome.PROCESSED


def test_a_camera_that_replaces_a_silent_one_begins_a_session(stream):
    before = stream.process()
    wait_two_seconds_of_silence(stream)
    status = stream.process(frame_id="other_camera")
    assert status.outcome == Outcome.PROCESSED
    assert status.reset_reason == Outcome.RESET_STREAM_CHANGED
    assert status.session == before.session + 1
    wait_two_seconds_of_silence(stream)


def test_two_publishers_are_named_in_the_log(stream, node):
    second = stream.node.create_publisher(type_of_images(stream), "/cam/image", 1)
    try:
        node.wait_for_log("/cam/image has 2 publishers", 10)
    finally:
        stream.node.destroy_publisher(second)


def type_of_images(stream):
    from sensor_msgs.msg import Image

    return Image


def test_a_covered_lens_is_answered_with_nothing_and_mentioned(stream):
    before = stream.process()
    status = stream.process(np.zeros((60, 80, 3), np.uint8))
    assert status.outcome == Outcome.DEGRADED
    assert "Lens covered?" in status.message
    assert status.session == before.session


# -- calibration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "focal", "words"),
    [
        (intrinsics_info(fx=75.0), 75.0, ""),
        (intrinsics_info(fx=math.nan), math.nan, "uncalibrated"),
        (intrinsics_info(fx=0.0), math.nan, "uncalibrated"),
        (intrinsics_info(fx=-5.0), math.nan, "uncalibrated"),
        (intrinsics_info(fx=200.0, width=160, height=120), 100.0, "scaled"),
        (intrinsics_info(fx=200.0, width=200, height=100), math.nan, "ignored"),
        (intrinsics_info(fx=70.0, d=np.array([0.1, 0, 0, 0, 0.0])), 70.0, "distortion"),
    ],
    ids=["good", "nan", "zero", "negative", "other_size", "other_shape", "distorted"],
)
def test_camera_info_is_used_or_explained(stream, info, focal, words):
    wait_until(lambda: stream.infos.get_subscription_count() > 0, 5)
    before = stream.received["status"][-1]
    for _ in range(10):
        # The calibration may arrive after the image that was sent after it.
        stream.infos.publish(info)
        status = stream.process()
        if status.focal_calibrated == pytest.approx(focal, nan_ok=True) and words in status.message:
            break
    assert status.outcome == Outcome.PROCESSED
    assert status.focal_calibrated == pytest.approx(focal, nan_ok=True)
    assert words in status.message
    is_other = not math.isnan(focal + before.focal_calibrated) and focal != before.focal_calibrated
    assert (status.session > before.session) == is_other


# -- services, parameters, bookkeeping -----------------------------------------------------------


def test_reset_forgets_people_and_answers_with_the_new_session(stream):
    before = stream.message("humans", stream.send())
    answer = stream.call(Reset, "reset", Reset.Request())
    assert answer.success
    assert answer.session == before.session + 1
    stamp_ns = stream.send()
    status, after = stream.status_of(stamp_ns), stream.message("humans", stamp_ns)
    assert (status.reset_reason, status.session) == (Outcome.RESET_SERVICE, answer.session)
    assert not {h.track_id for h in before.humans} & {h.track_id for h in after.humans}
    assert all(h.track_state == h.TRACK_NEW for h in after.humans)


def test_reset_can_keep_the_world(stream):
    before = stream.message("humans", stream.send())
    assert stream.call(Reset, "reset", Reset.Request(keep_world=True)).success
    kept = stream.message("humans", stream.send())
    assert stream.call(Reset, "reset", Reset.Request()).success
    fresh = stream.message("humans", stream.send())
    assert before.session + 2 == kept.session + 1 == fresh.session
    before, kept, fresh = (convert.matrix_from_pose(m.camera_pose) for m in (before, kept, fresh))
    # The same image as the first of a session: once from a new origin, once from the last pose.
    world_from_first = np.linalg.inv(level_from_pitch(0.0)) @ fresh
    assert np.allclose(np.linalg.inv(before) @ kept, world_from_first, atol=1e-4)
    assert not np.allclose(kept, fresh, atol=1e-2)


def test_keep_map_needs_keep_world(stream):
    answer = stream.call(Reset, "reset", Reset.Request(keep_map=True))
    assert not answer.success
    assert "keep_world" in answer.message


def test_people_are_new_once_and_then_ok(stream):
    stream.call(Reset, "reset", Reset.Request())
    first = stream.message("humans", stream.send())
    second = stream.message("humans", stream.send())
    assert {h.track_state for h in first.humans} == {first.humans[0].TRACK_NEW}
    known = {h.id for h in first.humans}
    for human in second.humans:
        if human.id in known:
            # Confirmed by the second sighting, or a one-frame mistake that is taken back.
            assert human.track_state in (human.TRACK_OK, human.TRACK_LOST)
            assert human.age_frames == 1


def test_a_fixed_parameter_cannot_change_while_active(stream):
    result = set_parameter(stream, "level.pitch_rad", 0.3)
    assert not result.successful
    assert "cleanup first" in result.reason


def test_an_idle_node_reports_once_per_second_with_a_zero_stamp(stream):
    count = len(stream.received["status"])
    wait_until(lambda: len(stream.received["status"]) >= count + 3, 6)
    idle = stream.received["status"][-1]
    assert idle.outcome == Outcome.IDLE
    assert convert.ns_from_time(idle.header.stamp) == 0


def test_every_received_frame_is_accounted_for_under_overload(stream):
    before = stream.received["status"][-1]
    for _ in range(30):
        stream.send()
        time.sleep(0.01)
    last_ns = stream.send()
    status = stream.status_of(last_ns)
    received, accounted = balance(status)
    assert received == accounted
    assert status.dropped_overwritten > before.dropped_overwritten


def test_a_reader_that_cannot_match_is_named_in_the_log(stream, node):
    from human3r_msgs.msg import HumanArray

    profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    wrong = stream.node.create_subscription(
        HumanArray, "/human3r/humans", lambda message: None, profile
    )
    try:
        node.wait_for_log("qos_overrides./human3r/humans.publisher.durability", 10)
    finally:
        stream.node.destroy_subscription(wrong)


def test_a_foreign_parent_stops_our_transform_and_nothing_else(stream, node):
    """Last: the broadcast stays stopped until the next activation."""
    from geometry_msgs.msg import Quaternion, Transform, TransformStamped
    from std_msgs.msg import Header
    from tf2_msgs.msg import TFMessage

    foreign = TransformStamped(
        header=Header(frame_id="odom"),
        child_frame_id=FRAME,
        transform=Transform(rotation=Quaternion(w=1.0)),
    )
    publisher = stream.node.create_publisher(TFMessage, "/tf", 100)
    wait_until(lambda: publisher.get_subscription_count() >= 2, 5)
    publisher.publish(TFMessage(transforms=[foreign]))
    try:
        node.wait_for_log(f"{FRAME} already has parent odom", 5)
        count = len(stream.received["tf"])
        status = stream.process()
        assert status.outcome == Outcome.PROCESSED
        assert "already has parent odom" in status.message
        stamps = [t.header.stamp for m in stream.received["tf"][count:] for t in m.transforms]
        assert status.header.stamp not in stamps
    finally:
        stream.node.destroy_publisher(publisher)

"""The fusing node: two cameras in processes of their own, under namespaces, messages alone."""

import re
import signal
from dataclasses import replace
from unittest.mock import MagicMock

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from human3r_ros import convert
from human3r_ros.multi.fused_stream import FusedStream
from human3r_ros.multi.messages import fused_array, is_usable, view_from_message
from human3r_ros.multi.settings import MultiSettings
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.transforms import transform_message
from tf2_msgs.msg import TFMessage

from human3r.multiview.fuser import Fuser
from human3r.multiview.rig_file import RigCamera, write_rig
from ros2_ws.src.human3r_ros.tests.fusing_room import Room
from ros2_ws.src.human3r_ros.tests.running_process import wait_until
from ros2_ws.src.human3r_ros.tests.view_process import CAMERA, PLACES, array_of
from tests.multiview.rooms import body_model, camera_at

LEFT_DEG, RIGHT_DEG = 0.0, 80.0
STAMP_NS = 1_700_000_000_000_000_000


def make_arrays():
    rng = np.random.default_rng(3)
    found = {}
    for name, angle, numbers in (("left", LEFT_DEG, [0, 1]), ("right", RIGHT_DEG, [1, 0])):
        pose = camera_at(np.deg2rad(angle))
        found[name] = pose, array_of(name, pose, STAMP_NS, rng, numbers, STAMP_NS - 10**9)
    return found


def test_messages_become_views_and_one_message_of_all():
    views, sources = [], {}
    for name, (pose, message) in make_arrays().items():
        view, humans = view_from_message(name, message, pose)
        assert abs(view.focal_px - CAMERA.fx) < 1.0
        views.append(view)
        sources.update({(name, number): human for number, human in humans.items()})
    estimate = Fuser(body_model().joint_parents).step(views)
    message = fused_array(
        estimate.people,
        [7],
        sources,
        stamp_ns=STAMP_NS,
        frame_index=1,
        world="room",
        skeleton_id="x",
        id_prefix="m",
    )
    assert message.header.frame_id == "room"
    assert [human.id for human in message.humans] == ["m00000", "m00001", "m00007"]
    assert message.humans[2].track_state == 3
    for human, place in zip(message.humans[:2], PLACES, strict=True):
        assert is_usable(human)
        p = human.body_pose.position
        assert np.linalg.norm([p.x - place[0], p.y - place[1], p.z - place[2]]) < 0.3
        assert len(human.joint_positions) // 3 == len(human.joint_pixels) // 2
        assert human.body_pose_covariance[0] > 0
        assert human.box_size.z > 0


@pytest.mark.parametrize(
    "broken",
    [
        {"joint_positions": []},
        {"joint_rotations": [0.0] * 220},
        {"joint_positions": [float("nan")] * 3 * 76},
    ],
)
def test_broken_people_are_left_out(broken):
    pose, message = make_arrays()["left"]
    for name, value in broken.items():
        setattr(message.humans[0], name, value)
    view, humans = view_from_message("left", message, pose)
    assert list(view.numbers) == [1]
    assert list(humans) == [1]


def test_a_moment_in_flight_does_not_follow_the_closing_message():
    node = MagicMock()
    node.create_lifecycle_publisher.side_effect = lambda *_: MagicMock()
    node.get_clock.return_value.now.return_value.nanoseconds = STAMP_NS
    fused = FusedStream(node, MultiSettings(), {}, ThrottledLog(lambda _: None))
    fused.use_skeleton(convert.skeleton_message(convert.skeleton_from_body(body_model()), 1))
    views, sources = [], {}
    for name, (pose, message) in make_arrays().items():
        view, humans = view_from_message(name, message, pose)
        views.append(view)
        sources.update({(name, number): human for number, human in humans.items()})
    fused.begin()
    fused.step(views, sources)
    fused.end()
    fused.step([replace(view, stamp_ns=view.stamp_ns + 10**8) for view in views], sources)
    sent = [call.args[0] for call in fused._humans.publish.call_args_list]
    assert [len(message.humans) for message in sent] == [2, 0]


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_two_cameras_with_one_frame_are_told(is_calibrated):
    node = MagicMock()
    poses = {name: RigCamera(name, camera_at(0.0)) for name in ("left", "right")}
    said = []
    stream = FusedStream(
        node, MultiSettings(), poses if is_calibrated else {}, ThrottledLog(said.append)
    )
    edge = transform_message(1, "world", "cam", np.eye(4))
    stream.tree.update(TFMessage(transforms=[edge]), is_static=True)
    header = convert.header(STAMP_NS, "cam")
    stream.pose("left", header)
    assert stream.trouble["left"] == ""
    pose = stream.pose("right", header)
    assert (pose is not None) == is_calibrated, "a calibration file knows better than TF"
    assert "its frame is 'cam', as that of left" in stream.trouble["right"]
    assert any("frame_id" in text for text in said)


# -- processes -----------------------------------------------------------------------------------


@pytest.fixture
def room(tmp_path, private_domain):
    made = Room(tmp_path, private_domain)
    yield made
    made.close()


@pytest.mark.slow
def test_two_processes_become_one_world_and_one_may_be_killed(room):
    room.fuse(views="left,right", frames__world="room")
    room.camera("left", LEFT_DEG, 2)
    right = room.camera("right", RIGHT_DEG, 3)
    room.wait(lambda: room.shared("right") > 10, "people seen by both")
    first = room.mean_people()
    assert len(first) == 2
    for place in PLACES:
        assert min(np.linalg.norm(p - place) for p in first.values()) < 0.4

    right.process.send_signal(signal.SIGKILL)
    right.process.wait(5)
    room.wait(
        lambda: room.status("right") and room.status("right").level == DiagnosticStatus.STALE,
        "news of the dead camera",
    )
    alone = room.mean_people()
    assert set(alone) == set(first)
    for name, place in alone.items():
        assert np.linalg.norm(place - first[name]) < 0.5

    before = room.shared("right")
    room.camera("right", RIGHT_DEG, 4)  # It counts its people the other way round.
    room.wait(lambda: room.shared("right") > before + 10, "people seen by both again")
    again = room.mean_people()
    assert set(again) == set(first)
    for name, place in again.items():
        assert np.linalg.norm(place - first[name]) < 0.4
    assert len({h.id for array in room.arrays for h in array.humans}) == 2
    for name in first:
        changes = room.changes_of_views(name)
        kinds = {is_alone for _, _, is_alone in changes}
        assert kinds == {False, True}, "lost, and back again"
        assert max(step_m / sigma_m for step_m, sigma_m, _ in changes) < 1.0


@pytest.mark.slow
def test_a_calibration_file_takes_the_place_of_tf(room, tmp_path):
    cameras = {
        name: RigCamera(name, camera_at(np.deg2rad(angle)))
        for name, angle in (("left", LEFT_DEG), ("right", RIGHT_DEG))
    }
    write_rig(tmp_path / "cameras.yaml", cameras)
    process = room.fuse(views="left,right", calibration=tmp_path / "cameras.yaml")
    room.camera("left", LEFT_DEG, 2)
    room.camera("right", RIGHT_DEG, 3)
    room.wait(lambda: room.shared("left") > 5, "people seen by both")
    assert room.arrays[-1].header.frame_id == "world"
    assert len(room.people()) == 2
    assert process.stop(signal.SIGTERM) == 0
    wait_until(lambda: not room.arrays[-1].humans, 5, "the closing message")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"views": "left"}, "at least 2"),
        ({"views": "left,left"}, "different names|at least 2"),
        ({"views": "left,right", "cameras": "a,b"}, "one of the two"),
        ({"cameras": "left,2nd"}, "letters, digits"),
        ({"cameras": "left,right", "scale__mode": "depth"}, "scale.mode"),
        ({"cameras": "left,right", "model__weights": "/none.safetensors"}, "no such file"),
        ({"views": "left,right", "calibration": "/none.yaml"}, "no such file"),
        ({"views": "left,right", "fusion__position": "rays"}, "position"),
    ],
)
def test_wrong_settings_end_it_with_words(room, settings, said):
    process = room.fuse(**settings)
    assert process.process.wait(300) == 1
    assert re.search(said, process.log()), process.log()


@pytest.mark.slow
def test_a_camera_without_a_pose_is_told(room):
    room.fuse(views="left,right", frames__world="nowhere")
    room.camera("left", LEFT_DEG, 2)
    room.wait(
        lambda: room.status("left") and "nowhere" in room.status("left").message, "the reason"
    )
    assert not room.arrays


def test_the_parameter_file_is_the_one_that_is_generated():
    from pathlib import Path

    from human3r_ros.multi.settings import MultiSettings
    from human3r_ros.parameters import render_file

    file = Path(__file__).resolve().parents[1] / "config" / "human3r_multi.yaml"
    assert file.read_text() == render_file(MultiSettings(), "human3r_ros.multi.settings")

"""A node with the network that comes along finds the floor in the sample bag, over real DDS."""

from pathlib import Path

import numpy as np
import pytest
from human3r_lab.clip_errors import demo_truth
from human3r_msgs.msg import FrameStatus
from human3r_ros import convert

from human3r.io import open_source
from ros2_ws.src.human3r_ros.tests.node_process import FRAME, running_node

SAMPLE_BAG = Path(__file__).resolve().parents[4] / "examples" / "sample_bag"
EVERY = 2
"""The bag holds every second frame of the clip of which the truth is known."""
LEVEL = "human3r_odom"


@pytest.fixture
def bench(private_domain, tmp_path):
    with running_node(
        *(tmp_path, private_domain, None, "--tf-mode", "odometry", "--set", "level.source=floor"),
        *("--set", "input.max_age_s=0", "--set", "model.warmup_frames=0"),
        listen=("odometry",),
    ) as (_, made):
        yield made


def degrees_between(a, b):
    return np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))


@pytest.mark.slow
def test_the_floor_in_a_recording_makes_the_level_frame(bench):
    """It is found under people's feet while they walk about; until then nothing is level."""
    truth = demo_truth()[::EVERY]
    before, found = [], None
    with open_source(str(SAMPLE_BAG)) as source:
        images = [frame.image for frame in source]
    stamps_ns = [bench.now_ns() + number * 200_000_000 for number in range(len(images))]
    for number, (image, stamp_ns) in enumerate(zip(images, stamps_ns, strict=True)):
        status = bench.status_of(bench.send(image, stamp_ns), 120)
        humans = bench.message("humans", stamp_ns)
        if status.level_source == FrameStatus.LEVEL_FLOOR:
            found = number
            break
        before.append(status)
        assert status.level_source == FrameStatus.LEVEL_NONE
        assert "level.source is floor" in status.message
        assert not humans.camera_pose_valid
    assert found is not None, [status.message for status in before]
    assert found >= 9, "ten frames with feet are wanted"
    assert "level" not in status.message
    assert humans.camera_pose_valid
    message = bench.message("odometry", stamp_ns)
    assert (message.header.frame_id, message.child_frame_id) == (LEVEL, FRAME)
    assert [convert.ns_from_time(m.header.stamp) for m in bench.received["odometry"]] == [stamp_ns]

    level_from_camera = convert.matrix_from_pose(humans.camera_pose)[:3, :3]
    up_camera = level_from_camera.T @ [0.0, 0.0, 1.0]
    world_from_camera = np.asarray(truth[found].world_from_camera)[:3, :3]
    true_up = world_from_camera.T @ [0.0, 0.0, 1.0]
    untilted = np.array([0.0, -1.0, 0.0])
    assert degrees_between(untilted, true_up) > 12, "else a level camera would do as well"
    assert degrees_between(up_camera, true_up) < 8

    # Found once: it stays, and the transform of the next image says where it is.
    following = found + 1
    status = bench.status_of(bench.send(images[following], stamps_ns[following]), 120)
    assert status.level_source == FrameStatus.LEVEL_FLOOR
    bench.transform(stamps_ns[following])
    edges = bench.edges()
    assert {(e.header.frame_id, e.child_frame_id) for e in edges} == {(LEVEL, FRAME)}
    stamp = edges[-1].header.stamp
    assert convert.ns_from_time(stamp) == stamps_ns[following]

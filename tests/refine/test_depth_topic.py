"""A depth camera's metres take the place of the network's."""

from dataclasses import replace

import numpy as np
import pytest
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

from human3r.errors import InputError
from human3r.refine.depth_topic import with_depth_camera
from human3r.refine.refinement import refine
from tests.refine.walker import bench, depth_of, joint_error_mm

TOPIC = "/camera/depth/image"


def write_bag(path, made, encoding):
    store = get_typestore(Stores.ROS2_HUMBLE)
    image, header, time = (
        store.types[name]
        for name in ("sensor_msgs/msg/Image", "std_msgs/msg/Header", "builtin_interfaces/msg/Time")
    )
    with Writer(path, version=9) as writer:
        connection = writer.add_connection(TOPIC, image.__msgtype__, typestore=store)
        for stamp, pose in zip(made.recording.stamps_ns, made.truth.world_from_camera, strict=True):
            depth = depth_of(pose)
            if encoding == "16UC1":
                data, step = np.round(1e3 * depth).astype("<u2"), 2
            else:
                data, step = depth.astype("<f4"), 4
            sec, nanosec = divmod(int(stamp) + 3_000_000, 1_000_000_000)
            message = image(
                header(time(sec, nanosec), "camera"),
                *(120, 160, encoding, 0, 160 * step),
                np.frombuffer(data.tobytes(), np.uint8),
            )
            writer.write(connection, int(stamp), store.serialize_cdr(message, image.__msgtype__))
    return path


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_its_metres_are_those_of_path_and_scene(tmp_path, encoding):
    made = bench(4.0, scale=0.8)
    bag = write_bag(tmp_path / "bag", made, encoding)
    metric = with_depth_camera(made.recording, bag, TOPIC)
    np.testing.assert_allclose(metric.world_from_camera, made.truth.world_from_camera, atol=0.01)
    refined = refine(metric)
    assert refined.frame_scale == pytest.approx(1, abs=0.005)
    assert joint_error_mm(refined.recording, made.truth) < 10


def test_another_topic_or_bag_is_refused(tmp_path):
    made = bench(1.0)
    bag = write_bag(tmp_path / "bag", made, "16UC1")
    with pytest.raises(InputError, match=TOPIC):
        with_depth_camera(made.recording, bag, "/elsewhere")
    later = replace(made.recording, stamps_ns=made.recording.stamps_ns + 10**12)
    with pytest.raises(InputError, match="nearest"):
        with_depth_camera(later, bag, TOPIC)

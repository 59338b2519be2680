"""Makes the sample bag: five seconds of the demonstration clip as a robot would record them.

Compressed images, calibration, and the transforms odom -> base_link -> camera_optical from the
truth about the clip. Everything in it is drawn, nobody was filmed.

Run: python tools/make_sample_bag.py examples/sample_bag
"""

import argparse
from pathlib import Path

import cv2
import human3r_ros  # noqa: F401 - settles the client library before its messages are imported.
import numpy as np
from geometry_msgs.msg import TransformStamped
from human3r_lab.clip_errors import demo_truth
from human3r_ros import qos
from human3r_ros.bag_file import BagFile
from human3r_ros.commands.image_out import camera_info_message, compressed_message
from human3r_ros.convert import header, pose_from_matrix, time_from_ns
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage

from human3r.demo_clip import demo_clip_path
from human3r.io import open_source
from human3r.types import Intrinsics

OPTICAL, BASE, ODOM = "camera_optical", "base_link", "odom"
IMAGE, INFO = "/camera/image_raw/compressed", "/camera/camera_info"
WIDTH_PX, HEIGHT_PX = 320, 240
EVERY, FRAMES = 2, 25
QUALITY = 80
START_NS = 1_700_000_000_000_000_000
LATENCY_NS = 20_000_000
"""Images are recorded this long after they were taken."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    bag = BagFile(parser.parse_args().out)
    views = demo_truth()[::EVERY][:FRAMES]
    camera = _scaled(views[0].intrinsics)
    world_from_camera = [np.asarray(view.world_from_camera, np.float64) for view in views]
    base_from_camera = _base_from_camera(world_from_camera[0])
    with open_source(str(demo_clip_path()), every=EVERY, max_frames=FRAMES) as source:
        images = [
            cv2.resize(f.image, (WIDTH_PX, HEIGHT_PX), None, 0, 0, cv2.INTER_AREA) for f in source
        ]
    reliable = QoSProfile(depth=10)
    connections = {
        topic: bag.add_topic(topic, typename, [profile])
        for topic, typename, profile in (
            (IMAGE, "sensor_msgs/msg/CompressedImage", reliable),
            (INFO, "sensor_msgs/msg/CameraInfo", reliable),
            ("/tf", "tf2_msgs/msg/TFMessage", qos.TF_INPUT),
            ("/tf_static", "tf2_msgs/msg/TFMessage", qos.TF_STATIC_INPUT),
        )
    }

    def write(topic: str, recorded_ns: int, message: object) -> None:
        bag.write(connections[topic], recorded_ns, serialize_message(message))

    write(
        "/tf_static",
        START_NS,
        TFMessage(transforms=[_edge(BASE, OPTICAL, base_from_camera, START_NS)]),
    )
    for number, (image, pose) in enumerate(zip(images, world_from_camera, strict=True)):
        stamp_ns = START_NS + number * EVERY * 100_000_000
        odom_from_base = pose @ np.linalg.inv(base_from_camera)
        write("/tf", stamp_ns, TFMessage(transforms=[_edge(ODOM, BASE, odom_from_base, stamp_ns)]))
        info = camera_info_message(camera, time_from_ns(stamp_ns), OPTICAL)
        write(INFO, stamp_ns + LATENCY_NS, info)
        message = compressed_message(image, QUALITY)
        message.header = header(stamp_ns, OPTICAL)
        write(IMAGE, stamp_ns + LATENCY_NS, message)
    bag.finish({"made_by": "tools/make_sample_bag.py", "people": "drawn, nobody was filmed"})


def _scaled(camera: Intrinsics) -> Intrinsics:
    """The truth's camera at the size of the bag's images; whole numbers are pixel centres."""
    factor = WIDTH_PX / camera.width_px
    return Intrinsics(
        camera.fx * factor,
        camera.fy * factor,
        (camera.cx + 0.5) * factor - 0.5,
        (camera.cy + 0.5) * factor - 0.5,
        WIDTH_PX,
        HEIGHT_PX,
    )


def _base_from_camera(world_from_camera: np.ndarray) -> np.ndarray:
    """The mount: base on the floor below the camera (world z is up), looking the same way."""
    forward = world_from_camera[:3, 2]
    yaw = np.arctan2(forward[1], forward[0])
    world_from_base = np.eye(4)
    world_from_base[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    world_from_base[:2, 3] = world_from_camera[:2, 3]
    return np.linalg.inv(world_from_base) @ world_from_camera


def _edge(parent: str, child: str, matrix: np.ndarray, stamp_ns: int) -> TransformStamped:
    edge = TransformStamped(header=header(stamp_ns, parent), child_frame_id=child)
    pose = pose_from_matrix(matrix)
    edge.transform.rotation = pose.orientation
    for axis in "xyz":
        setattr(edge.transform.translation, axis, getattr(pose.position, axis))
    return edge


if __name__ == "__main__":
    main()

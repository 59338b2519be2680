"""A camera node as the fusion sees it: people of a made-up room as HumanArrays, in a process.

python -m ros2_ws.src.human3r_ros.tests.view_process NAME ANGLE_DEG SEED
"""

import sys
import time
from dataclasses import replace

import human3r_ros  # noqa: F401 - settles the client library before anything imports rclpy.
import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from human3r_msgs.msg import HumanArray, SkeletonInfo
from human3r_ros import convert, qos
from human3r_ros.transforms import transform_message
from rclpy.node import Node
from tf2_msgs.msg import TFMessage

from human3r.types import Intrinsics
from tests.multiview.rooms import FOCAL_PX, Noise, body_model, camera_at, people, seen_by

RATE_HZ = 10.0
CAMERA = Intrinsics(FOCAL_PX, FOCAL_PX, 319.5, 239.5, 640, 480)
PLACES = np.array([[-1.0, 0.2, 0.95], [1.0, -0.2, 0.95]])


def array_of(name: str, pose: np.ndarray, stamp_ns: int, rng, numbers, began_ns) -> HumanArray:
    """What a camera node says of the two people of the room."""
    bodies = people(np.random.default_rng(1), PLACES)
    view = seen_by(rng, name, pose, bodies, Noise(depth_share=0.04), numbers=numbers)
    tracked = [
        replace(
            one,
            person=with_landmarks(one.person),
            first_seen_ns=began_ns + one.number,
            last_seen_ns=stamp_ns,
        )
        for one in view.tracked
    ]
    context = convert.FrameContext(
        stamp_ns,
        f"{name}_optical",
        0,
        CAMERA,
        np.eye(4),
        convert.skeleton_from_body(body_model()),
        "h3r",
    )
    message = convert.empty_human_array(context)
    message.humans = convert.humans(tracked, context)
    return message


def with_landmarks(person):
    """As the body model would say it: the made-up body's landmarks all lie in the head."""
    names = len(body_model().joint_names)
    joints = np.tile(person.joints_camera[15], (names, 1))
    joints[:55] = person.joints_camera
    return replace(person, joints_camera=joints, vertices_camera=joints)


class ViewNode(Node):
    """Publishes what `/NAME/human3r` would."""

    def __init__(self, name: str, pose: np.ndarray):
        super().__init__("human3r", namespace=f"/{name}")
        self.humans = self.create_publisher(HumanArray, "~/humans", qos.HUMANS)
        self._skeletons = self.create_publisher(SkeletonInfo, "~/skeleton", qos.LATCHED)
        self._static = self.create_publisher(TFMessage, "/tf_static", qos.TF_STATIC_INPUT)
        skeleton = convert.skeleton_from_body(body_model())
        self._skeletons.publish(convert.skeleton_message(skeleton, 1))
        edge: TransformStamped = transform_message(1, "room", f"{name}_optical", pose)
        self._static.publish(TFMessage(transforms=[edge]))


def main() -> None:
    name, angle_deg, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    rclpy.init()
    pose = camera_at(np.deg2rad(angle_deg))
    node = ViewNode(name, pose)
    rng = np.random.default_rng(seed)
    # Each process meets people in an order of its own.
    numbers = [0, 1] if seed % 2 == 0 else [1, 0]
    began_ns = time.time_ns()
    print("speaks", flush=True)
    while True:
        period_ns = round(1e9 / RATE_HZ)
        stamp_ns = time.time_ns() // period_ns * period_ns
        node.humans.publish(array_of(name, pose, stamp_ns, rng, numbers, began_ns))
        rclpy.spin_once(node, timeout_sec=0.0)
        time.sleep(max(0.0, (stamp_ns + period_ns - time.time_ns()) * 1e-9))


if __name__ == "__main__":
    main()

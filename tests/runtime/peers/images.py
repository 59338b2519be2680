"""Publishes numbered 1280x720 images at 30 Hz once somebody subscribes, half of them at a time."""

import sys
import time

import numpy as np
import rclpy_lite
from rclpy_lite.messages import get_message

COUNT = int(sys.argv[1])
RELIABLE = sys.argv[2] == "reliable"


def _waiting_for_a_line_s():
    began_s = time.monotonic()
    sys.stdin.readline()
    return time.monotonic() - began_s


def main():
    from rclpy_lite.qos import QoSProfile, ReliabilityPolicy

    with rclpy_lite.init(args=[]):
        node = rclpy_lite.create_node("camera")
        reliability = ReliabilityPolicy.RELIABLE if RELIABLE else ReliabilityPolicy.BEST_EFFORT
        profile = QoSProfile(depth=COUNT, reliability=reliability)
        publisher = node.create_publisher(get_message("sensor_msgs/msg/Image"), "image", profile)
        deadline = time.monotonic() + 20
        while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        message = publisher.msg_type(height=720, width=1280, encoding="rgb8", step=3840)
        data = np.zeros(720 * 3840, np.uint8)
        start = time.monotonic()
        for number in range(COUNT):
            data[:8] = np.frombuffer(number.to_bytes(8, "little"), np.uint8)
            message.data = data
            stamp_ns = time.time_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            publisher.publish(message)
            time.sleep(max(0.0, start + (number + 1) / 30 - time.monotonic()))
            if number + 1 == COUNT // 2:
                print("half", flush=True)
                start += _waiting_for_a_line_s()
        print("sent", COUNT)
        sys.stdin.readline()


main()

"""One of several processes that must all hear each other."""

import select
import sys
import time

import rclpy_lite
from rclpy_lite.messages import get_message

NUMBER, COUNT = int(sys.argv[1]), int(sys.argv[2])
String = get_message("std_msgs/msg/String")


def main():
    heard = set()
    with rclpy_lite.init(args=[]):
        node = rclpy_lite.create_node(f"crowd_{NUMBER}")
        node.create_subscription(String, "crowd", lambda m: heard.add(m.data), 50)
        publisher = node.create_publisher(String, "crowd", 50)
        node.create_timer(0.1, lambda: publisher.publish(String(data=str(NUMBER))))
        deadline = time.monotonic() + 30
        while len(heard) < COUNT and time.monotonic() < deadline:
            rclpy_lite.spin_once(node, timeout_sec=0.5)
        names = {n for n in node.get_node_names() if n.startswith("crowd_")}
        print("heard", len(heard), "saw", len(names))
        end = time.monotonic() + 30
        # Others may still need this one.
        while publisher.get_subscription_count() == COUNT and time.monotonic() < end:
            rclpy_lite.spin_once(node, timeout_sec=0.1)
            if select.select([sys.stdin], [], [], 0)[0]:
                break


main()

"""The bridge in a process of its own, and a node with listeners in this one, over real DDS."""

import sys
import threading
import time
from collections import defaultdict

import human3r_bridge  # noqa: F401 - settles the client library and the message packages.
import rclpy
from human3r_bridge.geometry_messages import ns_from_time
from human3r_msgs.msg import HumanArray, SkeletonInfo
from human3r_ros import qos
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from ros2_ws.src.human3r_bridge.tests.bridge_people import make_array, make_skeleton
from ros2_ws.src.human3r_ros.tests.running_process import RunningProcess


def wait_until(condition, timeout_s=10.0, what="it"):
    """The first true value of ``condition()``."""
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > end_s:
            raise AssertionError(f"{what} did not happen within {timeout_s} s")
        time.sleep(0.01)
    return value


class BridgeProcess(RunningProcess):
    """``human3r_bridge`` with parameters."""

    END_S = 5.0

    def __init__(self, folder, environment, **parameters):
        command = [sys.executable, "-m", "human3r_bridge", "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name.replace('__', '.')}:={value}"]
        super().__init__(command, folder / "bridge.log", environment)


class Bench:
    """Publishes as human3r does, and keeps what arrives, by topic, in order of arrival."""

    def __init__(self):
        self.context = Context()
        rclpy.init(args=[], context=self.context)
        self.node = Node("bench", context=self.context, use_global_arguments=False)
        self.received = defaultdict(list)
        self.humans = self.node.create_publisher(HumanArray, "/human3r/humans", qos.HUMANS)
        self._skeleton = self.node.create_publisher(SkeletonInfo, "/human3r/skeleton", qos.LATCHED)
        self._skeleton.publish(make_skeleton())
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def listen(self, topic, message_type, profile=10):
        self.node.create_subscription(message_type, topic, self.received[topic].append, profile)

    def connect(self, bridge, *topics):
        """Wait until bridge and bench know each other, also on these topics."""

        def is_heard():
            assert bridge.process.poll() is None, bridge.log()
            return self.humans.get_subscription_count()

        wait_until(is_heard, 20, "subscription")
        for topic in topics:
            wait_until(lambda topic=topic: self.node.count_publishers(topic), 10, topic)

    def send(self, *humans, stamp_ns, **changes):
        self.humans.publish(make_array(*humans, stamp_ns=stamp_ns, **changes))

    def of(self, topic, stamp_ns):
        """The message of this stamp on a topic, when it is there."""
        found = (m for m in list(self.received[topic]) if _stamp_ns(m) == stamp_ns)
        return next(found, None)

    def wait_for(self, topic, stamp_ns, timeout_s=5.0):
        return wait_until(lambda: self.of(topic, stamp_ns), timeout_s, f"{stamp_ns} on {topic}")

    def close(self):
        self._executor.shutdown()
        self._thread.join(3.0)
        self.node.destroy_node()
        self.context.try_shutdown()


def _stamp_ns(message):
    """The stamp of a message, or of the first one in it."""
    parts = getattr(message, "transforms", getattr(message, "markers", [message]))
    return ns_from_time(parts[0].header.stamp) if parts else None

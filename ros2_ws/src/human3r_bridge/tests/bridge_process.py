"""The bridge in a process of its own, and a node with listeners in this one, over real DDS."""

import sys

import human3r_bridge  # noqa: F401 - settles the client library and the message packages.
from human3r_bridge.geometry_messages import ns_from_time
from human3r_msgs.msg import HumanArray, SkeletonInfo
from human3r_ros import qos

from ros2_ws.src.human3r_bridge.tests.bridge_people import make_array, make_skeleton
from ros2_ws.src.human3r_ros.tests.running_process import Peer, RunningProcess, wait_until


class BridgeProcess(RunningProcess):
    """``human3r_bridge`` with parameters."""

    def __init__(self, folder, environment, **parameters):
        command = [sys.executable, "-m", "human3r_bridge", "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name.replace('__', '.')}:={value}"]
        super().__init__(command, folder / "bridge.log", environment)


class Bench(Peer):
    """Publishes as human3r does, and keeps what arrives, by topic, in order of arrival."""

    def __init__(self):
        super().__init__()
        self.humans = self.node.create_publisher(HumanArray, "/human3r/humans", qos.HUMANS)
        self._skeleton = self.node.create_publisher(SkeletonInfo, "/human3r/skeleton", qos.LATCHED)
        self._skeleton.publish(make_skeleton())

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


def _stamp_ns(message):
    """The stamp of a message, or of the first one in it."""
    parts = getattr(message, "transforms", getattr(message, "markers", [message]))
    return ns_from_time(parts[0].header.stamp) if parts else None

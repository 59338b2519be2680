"""kill -9 of the bridge and of the node in turn; the rest goes on and takes up the successor.

The camera's turn is in test_lifecycle.py.
"""

import os
import signal
import sys

import pytest
from human3r_ros import qos
from visualization_msgs.msg import Marker, MarkerArray

from ros2_ws.src.human3r_ros.tests.node_process import Bench, NodeProcess, wait_until
from ros2_ws.src.human3r_ros.tests.running_process import RunningProcess

pytest.importorskip("human3r_bridge", reason="the bridge is not installed")
MARKERS = "/human3r_bridge/markers"


def start_bridge(folder, environment):
    """``human3r_bridge`` with markers."""
    return RunningProcess(
        [sys.executable, "-m", "human3r_bridge"],
        folder / f"bridge{len(list(folder.iterdir()))}.log",
        {**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
    )


def kill(process):
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


@pytest.fixture
def world(private_domain, model_files, tmp_path):
    """Starts nodes and bridges, and ends all that are left."""
    made = []

    class World:
        bench = Bench()

        def start_node(self):
            arguments = ("--set", "people.min_score=0.05", "--set", "input.max_age_s=0")
            made.append(NodeProcess(tmp_path, private_domain, model_files, *arguments))
            made[-1].wait_for_log("is active")
            return made[-1]

        def start_bridge(self):
            made.append(start_bridge(tmp_path, private_domain))
            return made[-1]

    yield World
    World.bench.close()
    for item in made:
        if item.process.poll() is None:
            item.process.kill()
            item.process.wait(10)


@pytest.mark.slow
def test_bridge_and_node_are_killed_and_their_successors_taken_up(world):
    bench = world.bench
    world = world()
    bench._listen("markers", MarkerArray, MARKERS, qos.HUMANS)

    def see_markers():
        """Somebody is drawn for a frame that was sent from now on."""
        bench.received["markers"].clear()

        def drawn():
            bench.status_of(bench.send(), 60)
            markers = [m for message in bench.received["markers"] for m in message.markers]
            return [m for m in markers if m.action == Marker.ADD]

        return wait_until(drawn, 90, "markers")

    node, bridge = world.start_node(), world.start_bridge()
    bench.connect()
    first = see_markers()

    # The bridge: the node does not notice, the next bridge takes over.
    kill(bridge.process)
    before = bench.process()
    bridge = world.start_bridge()
    see_markers()
    after = bench.process()
    assert after.session == before.session
    assert after.rejected == before.rejected == 0
    assert node.process.poll() is None

    # The node: the bridge removes everybody and says why, and takes up the next node's people.
    bench.received["markers"].clear()
    kill(node.process)
    wait_until(lambda: "without publisher" in bridge.log(), 60, "the bridge's reason")
    wait_until(
        lambda: any(
            marker.action == Marker.DELETE
            for message in bench.received["markers"]
            for marker in message.markers
        ),
        30,
        "the end of the markers",
    )
    world.start_node()
    bench.received["status"].clear()
    bench.connect()
    last = see_markers()
    assert bridge.process.poll() is None
    for markers in (first, last):
        assert {marker.ns for marker in markers} >= {"bones", "joints", "id"}

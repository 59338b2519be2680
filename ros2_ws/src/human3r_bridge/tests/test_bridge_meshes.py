"""A running node, a running bridge, and a viewer who wants to see bodies: meshes as markers."""

import numpy as np
import pytest
from human3r_bridge.to_mesh_markers import MAX_FACES
from human3r_msgs.msg import Human
from human3r_ros import qos
from visualization_msgs.msg import Marker, MarkerArray

from ros2_ws.src.human3r_bridge.tests.bridge_process import BridgeProcess
from ros2_ws.src.human3r_ros.tests.node_process import FRAME, Bench, NodeProcess, wait_until
from tests import synthetic_smplx

SETTINGS = {
    "publish.meshes": "true",
    # The seeded network is never sure; nobody is confirmed before the second frame.
    "people.min_score": "0.05",
    "input.max_age_s": "0",
}


@pytest.fixture
def seeded(tmp_path):
    from human3r.cli.main import main

    weights = tmp_path / "mini.safetensors"
    assert main(["weights", "seeded", "human3r_mini", str(weights)]) == 0
    return weights, synthetic_smplx.write(tmp_path, num_vertices=2000, num_faces=4000)


def test_the_bodies_of_a_running_node_are_drawn(bridge_domain, seeded, tmp_path):
    arguments = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    node = NodeProcess(tmp_path, bridge_domain, seeded, *arguments, is_warm=True)
    bridge = BridgeProcess(tmp_path, bridge_domain, outputs="[mesh_markers]")
    bench, drawn = Bench(), []
    try:
        bench.node.create_subscription(
            MarkerArray, "/human3r_bridge/mesh_markers", drawn.append, qos.LARGE
        )
        node.wait_for_log("is active", 180)
        bench.connect()
        # Only now, and only because somebody looks, does the bridge ask the node for meshes.
        wait_until(lambda: bench.node.count_subscribers("/human3r/meshes"), 30, "wish for meshes")
        wait_until(lambda: bench.process() and _of_meshes(drawn), 60, "mesh markers")
        array = _of_meshes(drawn)[-1]
        stamp = array.markers[0].header.stamp
        people = bench.message("humans", stamp.sec * 10**9 + stamp.nanosec).humans
        confirmed = {h.track_id: h for h in people if h.track_state == Human.TRACK_OK}
        assert {marker.id for marker in array.markers} == set(confirmed)
        for marker in array.markers:
            _check(marker, confirmed[marker.id])
    finally:
        bench.close()
        bridge.close()
        node.close()


def _of_meshes(arrays):
    return [a for a in arrays if a.markers and a.markers[0].type == Marker.TRIANGLE_LIST]


def _check(marker, human):
    """Not more triangles than promised, where the person's box is."""
    assert marker.header.frame_id == FRAME
    assert 0 < len(marker.points) <= 3 * MAX_FACES
    assert len(marker.points) % 3 == 0
    points = np.array([[p.x, p.y, p.z] for p in marker.points])
    place = human.body_pose.position
    size = human.box_size
    reach_m = np.linalg.norm([size.x, size.y, size.z])
    distances_m = np.linalg.norm(points - [place.x, place.y, place.z], axis=1)
    assert distances_m.max() <= reach_m

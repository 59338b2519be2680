"""Map, meshes and overload in one running node, over real DDS."""

import numpy as np
import pytest
import trimesh
from human3r_msgs.msg import FrameStatus
from human3r_msgs.srv import GetMeshes, Reset, SaveMap
from human3r_ros import convert
from human3r_ros.commands.lifecycle_client import ACTIVE, DEACTIVATE, INACTIVE
from human3r_ros.outputs import TOPICS
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from std_srvs.srv import Trigger

from ros2_ws.src.human3r_ros.tests.node_process import (
    FRAME,
    SECOND_NS,
    Bench,
    running_node,
    wait_until,
)

LARGE = ("depth", "depth_info", "confidence", "mask", "labels", "points", "scene", "meshes")
SETTINGS = {
    "publish.meshes": "true",
    "people.min_score": "0.05",
    "input.max_age_s": "0",
    "map.publish_period_s": "0.1",
    "map.min_observations": "1",
    # The seeded network is sure of nothing and sees a person in every pixel.
    "scene.min_confidence": "1",
    "scene.edge_filter": "0",
    "scene.remove_people": "body",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("maps")


@pytest.fixture(scope="module")
def bench(private_domain, model_files, folder):
    values = {**SETTINGS, "map.directory": str(folder)}
    arguments = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    with running_node(
        *(folder.parent, private_domain, model_files, *arguments),
        listen=(*LARGE, "map", "mesh_topology"),
    ) as (_, made):
        topics = [TOPICS[name][0].replace("~", "/human3r") for name in LARGE]
        wait_until(lambda: all(map(made.node.count_publishers, topics)), 20, "outputs")
        yield made


def frame(bench, *names):
    """One processed frame with these outputs; the first may come before a reader is known."""
    for _ in range(20):
        stamp_ns = bench.send()
        status = bench.status_of(stamp_ns)
        try:
            return status, {name: bench.message(name, stamp_ns, 3.0) for name in names}
        except AssertionError:
            continue
    raise AssertionError(f"{names} do not arrive together")


def set_parameter(bench, name, value):
    given = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    request = SetParameters.Request(parameters=[Parameter(name=name, value=given)])
    result = bench.call(SetParameters, "set_parameters", request).results[0]
    assert result.successful, result.reason


def newest_map(bench):
    return bench.received["map"][-1]


def test_every_large_output_comes_in_the_frame_and_with_the_stamp_of_the_image(bench):
    status, found = frame(bench, "humans", *LARGE)
    assert status.outcome == FrameStatus.PROCESSED
    assert {message.header.frame_id for message in found.values()} == {FRAME}
    size = (found["depth"].width, found["depth"].height)
    encodings = {"depth": "32FC1", "confidence": "32FC1", "mask": "mono8", "labels": "16UC1"}
    for name, encoding in encodings.items():
        image = found[name]
        assert (image.encoding, image.width, image.height) == (encoding, *size), name
    labels = np.frombuffer(bytes(found["labels"].data), np.uint16)
    assert labels.max() <= len(found["humans"].humans)
    assert np.frombuffer(bytes(found["confidence"].data), np.float32).min() >= 1.0


def test_every_output_is_offered_with_the_policies_of_the_interface(bench):
    for name in (*LARGE, "map", "mesh_topology"):
        topic = TOPICS[name][0].replace("~", "/human3r")
        (offered,) = bench.node.get_publishers_info_by_topic(topic)
        is_latched = name in ("map", "mesh_topology")
        durability = DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE
        assert offered.qos_profile.reliability == ReliabilityPolicy.RELIABLE, name
        assert offered.qos_profile.durability == durability, name


def test_meshes_belong_to_the_people_and_to_the_latched_topology(bench, body_model):
    _, found = frame(bench, "humans", "meshes")
    meshes, topology = found["meshes"], bench.received["mesh_topology"][-1]
    humans = {human.id: human for human in found["humans"].humans if human.track_state != 3}
    assert {mesh.id for mesh in meshes.meshes} == set(humans) != set()
    assert meshes.topology_id == topology.topology_id
    assert (meshes.session, meshes.frame_index) == (
        found["humans"].session,
        found["humans"].frame_index,
    )
    assert np.array_equal(np.reshape(topology.faces, (-1, 3)), body_model.faces)
    for mesh in meshes.meshes:
        vertices = np.reshape(mesh.vertices, (-1, 3))
        assert len(vertices) == topology.num_vertices == body_model.num_vertices
        head = np.reshape(humans[mesh.id].joint_positions, (-1, 3))[15]
        assert np.linalg.norm(vertices - head, axis=1).min() < 0.5


def test_meshes_can_be_asked_for(bench):
    _, found = frame(bench, "meshes")
    everybody = bench.call(GetMeshes, "get_meshes", GetMeshes.Request())
    assert everybody.success, everybody.message
    assert everybody.meshes.header == found["meshes"].header
    assert [m.id for m in everybody.meshes.meshes] == [m.id for m in found["meshes"].meshes]
    first = everybody.meshes.meshes[0].id
    one = bench.call(GetMeshes, "get_meshes", GetMeshes.Request(ids=[first]))
    assert [mesh.id for mesh in one.meshes.meshes] == [first]
    none = bench.call(GetMeshes, "get_meshes", GetMeshes.Request(ids=["h3r99999"]))
    assert (none.success, list(none.meshes.meshes)) == (False, [])
    assert "h3r99999" in none.message


def test_the_map_reaches_those_who_come_late(bench):
    wait_until(lambda: frame(bench) and newest_map(bench).width > 100, 60, "a map")
    assert newest_map(bench).header.frame_id == "human3r_odom"
    late = Bench()
    try:
        late.listen_to("map")
        wait_until(lambda: late.received["map"], 20, "the latched map")
    finally:
        late.close()


def test_a_map_can_be_saved_below_its_folder_only(bench, folder):
    frame(bench)
    saved = bench.call(SaveMap, "map/save", SaveMap.Request(name="hall"))
    assert saved.success, saved.message
    assert saved.path == str(folder / "hall.ply")
    wait_until((folder / "hall.ply").exists, 20, "the file")
    assert len(trimesh.load(saved.path).vertices) > 0
    for name in ("../out", "/out", "", "hall"):
        refused = bench.call(SaveMap, "map/save", SaveMap.Request(name=name))
        assert not refused.success
        assert "expected" in refused.message
        assert refused.path == ""
    assert [path.name for path in folder.iterdir()] == ["hall.ply"]
    assert not list(folder.parent.glob("out*"))


def reset(bench, **kept):
    answer = bench.call(Reset, "reset", Reset.Request(**kept))
    assert answer.success, answer.message


def test_a_cleared_map_is_empty_until_the_next_frame(bench):
    wait_until(lambda: frame(bench) and newest_map(bench).width > 100, 60, "a map")
    answer = bench.call(Trigger, "map/clear", Trigger.Request())
    assert answer.success
    assert int(answer.message.split()[0]) > 100
    wait_until(lambda: newest_map(bench).width == 0, 20, "the empty map")


@pytest.mark.parametrize(
    ("kept", "is_kept"),
    [
        ({}, False),
        ({"keep_world": True}, False),
        ({"keep_world": True, "keep_map": True}, True),
    ],
)
def test_a_reset_forgets_the_map_unless_it_is_to_be_kept(bench, kept, is_kept):
    wait_until(lambda: frame(bench) and newest_map(bench).width > 100, 60, "a map")
    seen = len(bench.received["map"])
    reset(bench, **kept)
    after = lambda: [message.width for message in bench.received["map"][seen:]]  # noqa: E731
    if is_kept:
        wait_until(lambda: frame(bench) and after(), 20, "the map again")
        assert min(after()) > 0
    else:
        wait_until(lambda: 0 in after(), 20, "the empty map")


def test_a_jump_back_in_time_forgets_the_map(bench):
    wait_until(lambda: frame(bench) and most_observations(newest_map(bench)) > 1, 60, "a map")
    jumped_ns = bench.now_ns() - 60 * SECOND_NS
    assert bench.process(stamp_ns=jumped_ns).reset_reason == FrameStatus.RESET_TIME_JUMP
    # What is left is what this one frame has shown.
    after = bench.message("map", jumped_ns)
    assert after.width > 0
    assert most_observations(after) == 1


def most_observations(cloud):
    """Of one point of a map; its layout is (x, y, z, rgb, observations)."""
    rows = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 5)
    return rows[:, 4].max(initial=0)


@pytest.mark.slow
def test_slow_frames_leave_something_out_and_good_ones_bring_it_back(bench):
    # All five groups in their order: test_load_shedder.py and test_map_output.py.
    frame(bench, *LARGE)
    set_parameter(bench, "diagnostics.max_latency_s", 1e-6)
    try:
        statuses = [frame(bench)[0] for _ in range(11)]
        assert [status.outcome for status in statuses] == [FrameStatus.PROCESSED] * 10 + [
            FrameStatus.DEGRADED
        ]
        assert "left out to save time: meshes. " in statuses[-1].message
        assert "diagnostics.max_latency_s" in statuses[-1].message
        set_parameter(bench, "diagnostics.max_latency_s", 10.0)
        stamps = [bench.send()]
        while (status := bench.status_of(stamps[-1])).outcome == FrameStatus.DEGRADED:
            bench.message("humans", stamps[-1])
            stamps.append(bench.send())
        # Thirty good frames, all without meshes, then everything again.
        assert (len(stamps), status.outcome) == (31, FrameStatus.PROCESSED)
        bench.message("meshes", stamps[-1])
        sent = {convert.ns_from_time(m.header.stamp) for m in bench.received["meshes"]}
        assert not sent & set(stamps[:-1])
    finally:
        set_parameter(bench, "diagnostics.max_latency_s", 0.0)


def test_services_of_a_node_that_is_not_active_say_so(bench):
    frame(bench)
    assert bench.lifecycle.change(DEACTIVATE, 30.0)
    wait_until(lambda: bench.lifecycle.state() == INACTIVE, 20, "deactivation")
    for kind, name in ((GetMeshes, "get_meshes"), (Trigger, "map/clear"), (SaveMap, "map/save")):
        answer = bench.call(kind, name, kind.Request())
        assert (answer.success, "not active" in answer.message) == (False, True), name
    topologies = len(bench.received["mesh_topology"])
    assert bench.lifecycle.change(Transition.TRANSITION_ACTIVATE, 30.0)
    wait_until(lambda: bench.lifecycle.state() == ACTIVE, 20, "activation")
    # Sent at every activation, so that a recording that began in between has it too.
    wait_until(lambda: len(bench.received["mesh_topology"]) > topologies, 20, "the topology")

"""The bridge over real DDS: what readers get, and what happens when somebody leaves."""

import signal
import subprocess
import sys
import time
from array import array

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped, PoseArray, TransformStamped, TwistStamped
from hri_msgs.msg import IdsList, IdsMatch, NormalizedRegionOfInterest2D, Skeleton2D
from human3r_msgs.msg import Human, HumanMesh, HumanMeshArray, MeshTopology
from human3r_ros import qos
from people_msgs.msg import People
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

from ros2_ws.src.human3r_bridge.tests.bridge_people import FRAME, make_array, make_human
from ros2_ws.src.human3r_bridge.tests.bridge_process import Bench, BridgeProcess, wait_until

MARKERS, MESHES = "/human3r_bridge/markers", "/human3r_bridge/mesh_markers"
TRACKED = "/humans/bodies/tracked"
LISTS = {
    MARKERS: MarkerArray,
    MESHES: MarkerArray,
    "/people": People,
    "/human3r_bridge/detections": Detection3DArray,
    "/human3r_bridge/detections_2d": Detection2DArray,
    "/human3r_bridge/poses": PoseArray,
    TRACKED: IdsList,
    "/humans/faces/tracked": IdsList,
    "/humans/candidate_matches": IdsMatch,
    "/tf": TFMessage,
}
OF_ONE = {
    "/humans/bodies/h3r00001/roi": NormalizedRegionOfInterest2D,
    "/humans/bodies/h3r00001/skeleton2d": Skeleton2D,
    "/humans/bodies/h3r00001/joint_states": JointState,
    "/humans/bodies/h3r00001/position": PointStamped,
    "/humans/bodies/h3r00001/velocity": TwistStamped,
    "/humans/faces/h3r00001/roi": NormalizedRegionOfInterest2D,
}
START_NS = 1_700_000_000_123_456_789
STEP_NS = 100_000_000


@pytest.fixture
def bench(bridge_domain):
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def start(bridge_domain, tmp_path):
    made = []

    def make(**parameters):
        made.append(BridgeProcess(tmp_path, bridge_domain, **parameters))
        return made[-1]

    yield make
    for bridge in made:
        bridge.close()


def pair(**changes):
    return make_human(1, **changes), make_human(2, place=(-0.6, 0.0, 4.0))


def nobody_yet():
    """People of the message who are no people of any other format."""
    return (
        make_human(3, place=(0.8, 0.0, 4.0), state=Human.TRACK_NEW),
        make_human(4, place=(1.6, 0.0, 4.0), state=Human.TRACK_LOST),
    )


def test_every_format_follows_who_comes_and_goes(bench, start):
    bridge = start(
        outputs="[markers, mesh_markers, people, vision, vision2d, poses, hri]", hri__linger_s=0.4
    )
    for topic, kind in {**LISTS, **OF_ONE}.items():
        bench.listen(topic, kind)
    bench.connect(bridge, *LISTS)
    wait_until(lambda: "publishes" in bridge.log(), 5, "the line that says what is published")
    wait_until(lambda: bench.node.count_subscribers("/human3r/meshes"), 5, "wish for meshes")

    # Nobody: every list says so, with the stamp of the frame.
    first_ns = START_NS
    bench.send(stamp_ns=first_ns)
    assert bench.wait_for(TRACKED, first_ns).ids == []
    assert bench.wait_for("/people", first_ns).people == []
    assert bench.wait_for("/human3r_bridge/detections", first_ns).detections == []
    assert bench.wait_for("/human3r_bridge/poses", first_ns).poses == []

    # Two people: the first frame makes their topics, readers find them, the next ones arrive.
    bench.send(*pair(), *nobody_yet(), stamp_ns=first_ns + STEP_NS)
    for topic in OF_ONE:
        wait_until(lambda topic=topic: bench.node.count_publishers(topic), 5, topic)
    for step in range(2, 12):
        stamp_ns = first_ns + step * STEP_NS
        bench.send(*pair(), *nobody_yet(), stamp_ns=stamp_ns)
        time.sleep(0.05)
    ids = ["h3r00001", "h3r00002"]
    for topic in (TRACKED, "/humans/faces/tracked"):
        assert bench.wait_for(topic, stamp_ns).ids == ids
    for topic in OF_ONE:
        assert bench.wait_for(topic, stamp_ns).header.frame_id == FRAME
    assert [p.name for p in bench.wait_for("/people", stamp_ns).people] == ids
    assert bench.of("/people", stamp_ns).header.frame_id == "human3r_odom"
    assert [d.id for d in bench.wait_for("/human3r_bridge/detections", stamp_ns).detections] == ids
    assert len(bench.wait_for("/human3r_bridge/detections_2d", stamp_ns).detections) == 2
    assert len(bench.wait_for("/human3r_bridge/poses", stamp_ns).poses) == 2
    assert {m.id1 for m in bench.received["/humans/candidate_matches"]} == set(ids)
    assert {m.ns for m in bench.wait_for(MARKERS, stamp_ns).markers} == {
        *("bones", "joints", "id", "velocity")
    }
    assert {m.id for m in bench.of(MARKERS, stamp_ns).markers} == {1, 2}
    check_transforms(bench.wait_for("/tf", stamp_ns), stamp_ns)
    topics = [name for name, _ in bench.node.get_topic_names_and_types()]
    assert not [name for name in topics if "h3r00003" in name or "h3r00004" in name]
    check_policies(bench.node)
    # Latched: who comes late gets it.
    bench.listen("/humans/bodies/h3r00002/urdf", String, qos.LATCHED)
    description = wait_until(lambda: bench.received["/humans/bodies/h3r00002/urdf"], 5, "urdf")
    assert 'name="l_elbow_h3r00002"' in description[0].data

    send_meshes(bench, stamp_ns)
    (mesh,) = wait_until(lambda: bench.received[MESHES], 5, "mesh markers")[0].markers
    assert (mesh.type, mesh.id, len(mesh.points)) == (Marker.TRIANGLE_LIST, 2, 12)

    # One leaves: gone from the lists at once, the markers removed, the topics after a while.
    stamp_ns += STEP_NS
    bench.send(pair()[1], stamp_ns=stamp_ns)
    assert bench.wait_for(TRACKED, stamp_ns).ids == ids[1:]
    deleted = [m for m in bench.wait_for(MARKERS, stamp_ns).markers if m.action == Marker.DELETE]
    assert {(m.ns, m.id) for m in deleted} == {
        (kind, 1) for kind in ("bones", "joints", "id", "velocity")
    }
    wait_until(lambda: not any(map(bench.node.count_publishers, OF_ONE)), 5, "end of the topics")
    assert bench.node.count_publishers("/humans/bodies/h3r00002/roi")

    # The bridge ends: everybody is taken away first.
    counts = {topic: len(bench.received[topic]) for topic in (TRACKED, MARKERS, "/people", MESHES)}
    bridge.stop()
    assert bridge.process.returncode == 0
    for topic, count in counts.items():
        wait_until(lambda topic=topic, n=count: len(bench.received[topic]) > n, 5, topic)
    assert bench.received[TRACKED][-1].ids == []
    assert bench.received["/people"][-1].people == []
    for topic in (MARKERS, MESHES):
        assert {m.action for m in bench.received[topic][-1].markers} == {Marker.DELETE}
    assert "fault" not in bridge.log()


def check_policies(node):
    """libhri subscribes with the default profile: whatever is below /humans must be reliable."""
    for topic in (*OF_ONE, TRACKED, "/humans/faces/tracked", "/humans/candidate_matches"):
        (offered,) = node.get_publishers_info_by_topic(topic)
        assert offered.qos_profile.reliability == ReliabilityPolicy.RELIABLE, topic
    (urdf,) = node.get_publishers_info_by_topic("/humans/bodies/h3r00001/urdf")
    assert urdf.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


def check_transforms(message, stamp_ns):
    """One message with everybody's frames, all finite."""
    names = [edge.child_frame_id for edge in message.transforms]
    assert len(names) == len(set(names)) == 2 * 29
    for name in ("body_", "waist_", "l_elbow_", "r_ankle_", "head_", "face_", "gaze_"):
        assert f"{name}h3r00001" in names
    for edge in message.transforms:
        t, q = edge.transform.translation, edge.transform.rotation
        assert np.isfinite([t.x, t.y, t.z, q.x, q.y, q.z, q.w]).all()
        stamp = edge.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == stamp_ns


def send_meshes(bench, stamp_ns):
    """A tetrahedron for a known person, and one for somebody nobody has heard of."""
    topology = bench.node.create_publisher(MeshTopology, "/human3r/mesh_topology", qos.LATCHED)
    meshes = bench.node.create_publisher(HumanMeshArray, "/human3r/meshes", qos.LARGE)
    wait_until(meshes.get_subscription_count, 5, "subscription to meshes")
    wait_until(topology.get_subscription_count, 5, "subscription to the topology")
    faces = array("I", [0, 2, 1, 0, 1, 3, 1, 2, 3, 0, 3, 2])
    topology.publish(MeshTopology(topology_id="t", num_vertices=4, faces=faces))
    vertices = array("f", [0, 0, 3, 1, 0, 3, 0, 1, 3, 0, 0, 4])
    people = [HumanMesh(id=f"h3r{n:05d}", track_id=n, vertices=vertices) for n in (2, 99)]
    header = make_array(stamp_ns=stamp_ns).header
    message = HumanMeshArray(header=header, topology_id="t", meshes=people)
    end_s = time.monotonic() + 5
    # The two topics come in no particular order; meshes without topology are passed over.
    while not bench.received[MESHES] and time.monotonic() < end_s:
        meshes.publish(message)
        time.sleep(0.05)


def test_people_in_a_robots_frame_wait_for_tf_and_go_with_the_node(bench, start):
    bridge = start(
        outputs="[people, hri]", people__frame="map", hri__cropped="true", hri__faces="false"
    )
    crop_topic = "/humans/bodies/h3r00001/cropped"
    for topic, kind in {"/people": People, TRACKED: IdsList, crop_topic: Image}.items():
        bench.listen(topic, kind)
    transforms = bench.node.create_publisher(TFMessage, "/tf", 10)
    images = bench.node.create_publisher(Image, "/image", 10)
    bench.connect(bridge, "/people", TRACKED)
    wait_until(transforms.get_subscription_count, 5, "tf subscription")

    # No transform: no positions, and the reason in the log; the other format goes on.
    bench.send(make_human(1), stamp_ns=START_NS)
    bench.wait_for(TRACKED, START_NS)
    wait_until(lambda: "map from camera_optical at that stamp" in bridge.log(), 5, "a warning")
    assert not bench.received["/people"]

    edge = TransformStamped(header=make_array(stamp_ns=START_NS).header, child_frame_id=FRAME)
    edge.header.frame_id = "map"
    edge.transform.translation.x = 100.0
    edge.transform.rotation.w = 1.0
    # The image is asked for by now, since somebody wants its parts.
    wait_until(images.get_subscription_count, 5, "subscription to the image")
    picture = np.arange(480 * 640 * 3, dtype=np.uint32).astype(np.uint8)

    def send():
        transforms.publish(TFMessage(transforms=[edge]))
        header = make_array(stamp_ns=START_NS).header
        images.publish(
            Image(
                header=header,
                **{"height": 480, "width": 640, "encoding": "rgb8", "step": 1920},
                data=array("B", picture.tobytes()),
            )
        )
        time.sleep(0.1)
        bench.send(make_human(1), stamp_ns=START_NS)
        time.sleep(0.1)
        return bench.received["/people"] and bench.received[crop_topic]

    wait_until(send, 10, "people in the map and a crop")
    (person,) = bench.received["/people"][0].people
    assert bench.received["/people"][0].header.frame_id == "map"
    assert (person.position.x, person.position.z) == pytest.approx((100.2, 3.0))
    crop = bench.received[crop_topic][0]
    top, left = (int(np.floor(make_human(1).box_pixels[index])) for index in (1, 0))
    pixels = np.asarray(crop.data).reshape(crop.height, crop.width, 3)
    expected = picture.reshape(480, 640, 3)[top : top + crop.height, left : left + crop.width]
    np.testing.assert_array_equal(pixels, expected)

    # Faces are left to somebody else.
    assert not bench.node.count_publishers("/humans/faces/tracked")
    assert not bench.node.count_publishers("/humans/faces/h3r00001/roi")

    # The node dies without a word: nobody may stay behind as a ghost.
    assert bench.received[TRACKED][-1].ids == ["h3r00001"]
    bench.node.destroy_publisher(bench.humans)
    wait_until(lambda: bench.received[TRACKED][-1].ids == [], 5, "an empty list")
    wait_until(lambda: bench.received["/people"][-1].people == [], 5, "an empty list")
    assert "without publisher" in bridge.log()


@pytest.mark.parametrize(
    ("before", "arguments", "says"),
    [
        ("", ["-p", "outputs:=[hri]", "-p", "hri.faecs:=true"], "did you mean hri.faces"),
        ("sys.modules['hri_msgs.msg'] = None;", ["-p", "outputs:=[hri]"], "sudo apt install"),
    ],
    ids=["unknown parameter", "missing package"],
)
def test_what_cannot_be_used_stops_the_bridge_at_its_start(bridge_domain, before, arguments, says):
    code = f"import sys; {before} from human3r_bridge.process import main; sys.exit(main(sys.argv))"
    command = [sys.executable, "-c", code, "--ros-args", *arguments]
    done = subprocess.run(command, env=bridge_domain, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


LATE_SIGNAL = """
import os, signal, sys

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):
        kill(pid, number)

late = Late()  # Goes with the modules, when the interpreter has ended its own handling of signals.
from human3r_bridge import process
sys.argv = ["human3r_bridge"]
sys.exit(process.main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_bridge_ends_in_order_when_its_terminal_is_closed(bridge_domain, number):
    bridge = subprocess.Popen(
        [sys.executable, "-m", "human3r_bridge"],
        env=bridge_domain, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "publishes markers" in bridge.stdout.readline()
        bridge.send_signal(number)
        assert bridge.wait(30) == 0
    finally:
        bridge.kill()
        bridge.stdout.close()


def test_another_ctrl_c_while_the_interpreter_ends_does_no_harm(bridge_domain):
    bridge = subprocess.Popen(
        [sys.executable, "-c", LATE_SIGNAL], env=bridge_domain, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "publishes markers" in bridge.stdout.readline()
        bridge.send_signal(signal.SIGINT)
        assert bridge.wait(30) == 0
    finally:
        bridge.kill()
        bridge.stdout.close()

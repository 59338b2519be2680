from array import array
from types import SimpleNamespace

import numpy as np
import pytest
from human3r_bridge.decimate import decimate
from human3r_bridge.inputs import HUMANS, MESH_TOPOLOGY, MESHES
from human3r_bridge.mesh_marker_output import MeshMarkerOutput
from human3r_bridge.output import PeopleFrame
from human3r_bridge.parameters import BridgeSettings
from human3r_bridge.people import confirmed_people
from human3r_bridge.to_mesh_markers import MAX_FACES, coarse_topology, mesh_marker
from human3r_msgs.msg import HumanMesh, HumanMeshArray, MeshTopology
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from human3r.errors import InputError
from ros2_ws.src.human3r_bridge.tests.bridge_people import make_array, make_human


def sphere(rings=40, around=60, radius=1.0):
    """A closed sphere of triangles, wound outwards."""
    polar = np.linspace(0, np.pi, rings + 2)[1:-1]
    turn = np.arange(around) * 2 * np.pi / around
    ring = np.stack([np.cos(turn), np.sin(turn)], -1)
    points = [[0, 0, 1]]
    for angle in polar:
        points += [[np.sin(angle) * x, np.sin(angle) * y, np.cos(angle)] for x, y in ring]
    points.append([0, 0, -1])
    faces, last = [], len(points) - 1
    for i in range(around):
        j = (i + 1) % around
        faces.append([0, 1 + i, 1 + j])
        faces.append([last, last - around + j, last - around + i])
        for r in range(rings - 1):
            a, b = 1 + r * around, 1 + (r + 1) * around
            faces += [[a + i, b + i, b + j], [a + i, b + j, a + j]]
    return radius * np.array(points), np.array(faces)


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


def test_a_decimated_sphere_keeps_its_shape_and_its_outside():
    vertices, faces = sphere()
    coarse = decimate(vertices, faces, 500)
    assert 350 < len(coarse.faces) <= 500
    small = vertices[coarse.kept]
    assert volume(small, coarse.faces) == pytest.approx(volume(vertices, faces), rel=0.08)
    a, b, c = (small[coarse.faces[:, k]] for k in range(3))
    outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), a + b + c)
    assert (outward > 0).all()


def test_parts_that_touch_are_not_joined():
    first, faces = sphere(20, 30)
    vertices = np.concatenate([first, first + np.array([2.001, 0, 0])])
    both = np.concatenate([faces, faces + len(first)])
    coarse = decimate(vertices, both, 400)
    is_second = coarse.kept[coarse.faces] >= len(first)
    assert (is_second.all(axis=1) | ~is_second.any(axis=1)).all()
    assert is_second.any()
    assert not is_second.all()


def test_a_small_mesh_stays_as_it_is():
    vertices, faces = sphere(4, 6)
    coarse = decimate(vertices, faces, 1500)
    np.testing.assert_array_equal(coarse.kept[coarse.faces], faces)


def make_mesh(vertices, faces, number=3):
    topology = MeshTopology(
        topology_id="t",
        num_vertices=len(vertices),
        faces=array("I", faces.ravel().tolist()),
    )
    mesh = HumanMesh(
        id=f"h3r{number:05d}",
        track_id=number,
        vertices=array("f", vertices.astype(np.float32).ravel().tolist()),
    )
    return topology, mesh


def test_a_mesh_marker_is_a_bounded_list_of_triangles_where_the_mesh_is():
    vertices, faces = sphere()
    topology, mesh = make_mesh(vertices + np.array([0, 0, 5.0]), faces)
    coarse = coarse_topology(topology, mesh)
    (person,) = confirmed_people(make_array(make_human(3)))
    marker = mesh_marker(person, mesh, coarse, len(vertices), Header(frame_id="camera"))
    assert (marker.type, marker.ns, marker.id) == (Marker.TRIANGLE_LIST, "mesh", 3)
    assert 0 < len(marker.points) <= 3 * MAX_FACES
    assert len(marker.points) % 3 == 0
    distances = [np.linalg.norm([p.x, p.y, p.z - 5.0]) for p in marker.points]
    np.testing.assert_allclose(distances, 1.0, atol=1e-5)


@pytest.mark.parametrize(("rate_hz", "expected"), [(2.0, 4), (10.0, 20)])
def test_mesh_markers_come_as_often_as_asked_for(rate_hz, expected):
    heard, sent = {}, []
    publisher = SimpleNamespace(get_subscription_count=lambda: 1, publish=sent.append)
    node = SimpleNamespace(
        create_publisher=lambda *_, **__: publisher,
        create_subscription=lambda kind, topic, callback, *_, **__: heard.update({topic: callback}),
        resolve_topic_name=lambda topic: topic,
        count_publishers=lambda topic: 1,
    )
    settings = BridgeSettings().replace(
        {"outputs": ["mesh_markers"], "markers.mesh_rate_hz": rate_hz}
    )
    output = MeshMarkerOutput(node, settings, lambda kind, text: None)
    output.tick()
    topology, mesh = make_mesh(*sphere(4, 6))
    heard[MESH_TOPOLOGY](topology)
    for step in range(40):
        # Two seconds at 20 Hz.
        array = make_array(make_human(3), stamp_ns=10**18 + step * 50_000_000)
        output.publish(PeopleFrame(array, confirmed_people(array)))
        heard[MESHES](HumanMeshArray(header=array.header, topology_id="t", meshes=[mesh]))
    assert len(sent) == expected


def test_missing_meshes_are_mentioned_once_per_cause(monkeypatch):
    now_s, said, published = [0.0], [], set()
    monkeypatch.setattr("human3r_bridge.mesh_marker_output.time.monotonic", lambda: now_s[0])
    publisher = SimpleNamespace(get_subscription_count=lambda: 1)
    node = SimpleNamespace(
        create_publisher=lambda *_, **__: publisher,
        create_subscription=lambda *_, **__: None,
        resolve_topic_name=lambda topic: topic,
        count_publishers=lambda topic: int(topic in published),
    )
    settings = BridgeSettings().replace({"outputs": ["mesh_markers"]})
    output = MeshMarkerOutput(node, settings, lambda kind, text: said.append(text))

    def a_minute_later():
        said.clear()
        for _ in range(240):
            now_s[0] += 0.25
            output.tick()
        return [text.rpartition("so. ")[2] for text in said]

    assert a_minute_later() == ["See whether it runs."]
    assert a_minute_later() == []
    published.add(HUMANS)
    assert a_minute_later() == ["Set its parameter publish.meshes."]
    assert a_minute_later() == []
    published.add(MESHES)
    assert a_minute_later() == []
    published.remove(MESHES)
    assert a_minute_later() == ["Set its parameter publish.meshes."], "they were there meanwhile"


def test_damaged_meshes_and_topologies_are_refused():
    vertices, faces = sphere(4, 6)
    topology, mesh = make_mesh(vertices, faces)
    outside = MeshTopology(num_vertices=5, faces=array("I", [0, 1, 5]))
    ragged = MeshTopology(num_vertices=26, faces=array("I", [0, 1]))
    huge = MeshTopology(num_vertices=4_000_000_000)
    short = HumanMesh(id="a", vertices=array("f", [0.0] * 6))
    damaged = HumanMesh(id="a", vertices=array("f", [float("nan")] * (3 * len(vertices))))
    for bad_topology, bad_mesh in (
        (outside, short),
        (ragged, mesh),
        (huge, mesh),
        (topology, short),
        (topology, damaged),
    ):
        with pytest.raises(InputError, match="expected"):
            coarse_topology(bad_topology, bad_mesh)

import numpy as np
import pytest
from human3r_msgs.msg import Human, HumanArray
from human3r_ros import convert
from human3r_ros.mesh_output import MeshOutput, topology_id

from human3r.errors import InputError
from human3r.types import TrackedPerson, TrackState
from ros2_ws.src.human3r_ros.tests.builders import make_person
from ros2_ws.src.human3r_ros.tests.outlet import Outlet

STATES = [TrackState.OK, TrackState.NEW, TrackState.COASTING, TrackState.LOST]


@pytest.fixture
def seen(body_model):
    """The outlet, the meshes of one frame, and its people."""
    outlet = Outlet(is_listening=True)
    meshes = MeshOutput(outlet, body_model)
    people = [
        TrackedPerson(10 + i, state, make_person(body_model, i), None, 0, 0, 0)
        for i, state in enumerate(STATES)
    ]
    message = HumanArray(
        header=convert.header(5, "optical"),
        session=2,
        frame_index=7,
        humans=[Human(id=f"h{one.number}", track_id=one.number) for one in people],
    )
    meshes.update(message, people)
    return outlet, meshes, people


def test_meshes_are_those_of_everybody_who_is_there_in_the_frame_of_the_people(seen, body_model):
    outlet, meshes, people = seen
    meshes.announce(3)
    meshes.publish()
    (topology,), (message,) = outlet.of("mesh_topology"), outlet.of("meshes")
    assert message.topology_id == topology.topology_id == meshes.topology_id
    assert topology.num_vertices == body_model.num_vertices
    assert np.array_equal(np.reshape(topology.faces, (-1, 3)), body_model.faces)
    assert message.header == convert.header(5, "optical")
    assert (message.session, message.frame_index) == (2, 7)
    assert [mesh.track_id for mesh in message.meshes] == [10, 11, 12]
    for mesh, one in zip(message.meshes, people, strict=False):
        assert mesh.id == f"h{one.number}"
        assert np.array_equal(np.reshape(mesh.vertices, (-1, 3)), one.person.vertices_camera)


def test_single_meshes_can_be_asked_for(seen):
    _, meshes, _ = seen
    assert [mesh.id for mesh in meshes.of([]).meshes] == ["h10", "h11", "h12"]
    assert [mesh.id for mesh in meshes.of(["h12", "h10", "h12"]).meshes] == ["h10", "h12"]


@pytest.mark.parametrize("name", ["h13", "nobody", ""])
def test_who_is_not_there_has_no_mesh(seen, name):
    _, meshes, _ = seen
    with pytest.raises(InputError, match="expected one of h10, h11, h12"):
        meshes.of(["h10", name])


def test_before_the_first_frame_there_are_none(body_model):
    outlet = Outlet(is_listening=True)
    meshes = MeshOutput(outlet, body_model)
    meshes.publish()
    assert outlet.sent == []
    with pytest.raises(InputError, match="no frame"):
        meshes.of([])


def test_the_topology_is_named_by_its_content():
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    name = topology_id(faces, 4)
    assert name == topology_id(faces.astype(np.uint32), 4)
    others = {topology_id(faces[::-1], 4), topology_id(faces, 5), topology_id(faces[:1], 4)}
    assert len(others | {name}) == 4

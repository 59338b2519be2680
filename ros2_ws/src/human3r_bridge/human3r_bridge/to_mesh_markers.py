"""Body meshes as decimated triangle lists, for eyes only."""

import numpy as np
from human3r_msgs.msg import HumanMesh, MeshTopology
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from human3r.errors import InputError
from human3r_bridge.decimate import CoarseMesh, decimate
from human3r_bridge.geometry_messages import point
from human3r_bridge.marker_parts import marker
from human3r_bridge.people import Person

MAX_FACES = 1500
_MAX_VERTICES, _MAX_SOURCE_FACES = 200_000, 400_000


def coarse_topology(topology: MeshTopology, mesh: HumanMesh) -> CoarseMesh:
    """What is drawn of every mesh of a topology; computed once, from the first mesh.

    Raises:
        InputError: the topology is damaged or absurdly large, or the mesh is not of it.
    """
    faces, count = np.asarray(topology.faces, np.int64), topology.num_vertices
    if len(faces) % 3 or len(faces) > 3 * _MAX_SOURCE_FACES or count > _MAX_VERTICES:
        raise InputError(
            f"mesh topology {topology.topology_id[:40]!r}: {count} vertices and {len(faces)} "
            f"corners; expected at most {_MAX_VERTICES} and three for each of at most "
            f"{_MAX_SOURCE_FACES} triangles. Check who publishes it."
        )
    if len(faces) and faces.max() >= count:
        raise InputError(
            f"mesh topology {topology.topology_id[:40]!r}: a triangle has vertex {faces.max()} of "
            f"{count}; expected smaller numbers. Check who publishes it."
        )
    return decimate(_vertices(mesh, count), faces.reshape(-1, 3), MAX_FACES)


def mesh_marker(
    person: Person, mesh: HumanMesh, coarse: CoarseMesh, num_vertices: int, header: Header
) -> Marker:
    """One person's mesh in the person's colour.

    Args:
        person: of the same frame.
        mesh: the person's vertices.
        coarse: what is drawn of them.
        num_vertices: of the topology.
        header: of the array of meshes.

    Raises:
        InputError: the mesh has another number of vertices, or one that is not finite.
    """
    places = _vertices(mesh, num_vertices)[coarse.kept]
    triangles = marker(person, header, "mesh", Marker.TRIANGLE_LIST, (1.0, 1.0, 1.0))
    # The triangles share their points; making one for each corner takes six times as long.
    points = [point(xyz) for xyz in places.tolist()]
    triangles.points = [points[corner] for corner in coarse.faces.ravel().tolist()]
    return triangles


def _vertices(mesh: HumanMesh, count: int) -> np.ndarray:
    numbers = np.asarray(mesh.vertices, np.float32)
    if len(numbers) != 3 * count or not np.isfinite(numbers).all():
        raise InputError(
            f"mesh of {mesh.id[:80]!r}: {len(numbers)} numbers; expected 3 finite ones for each of "
            f"{count} vertices. Check who publishes it."
        )
    return numbers.reshape(-1, 3)

"""Body meshes: streamed on request, explained by a latched topology, or handed out one by one."""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from human3r_msgs.msg import Human, HumanArray, HumanMesh, HumanMeshArray, MeshTopology

from human3r.body.base import BodyModel
from human3r.errors import InputError
from human3r.types import TrackedPerson, TrackState
from human3r_ros import convert
from human3r_ros.outputs import Outputs


@dataclass(frozen=True)
class _Seen:
    """One frame's people; never changed, so another thread may read it."""

    array: HumanArray
    people: tuple[tuple[Human, np.ndarray], ...]
    """Message and vertices of all people except lost tracks."""


class MeshOutput:
    """The meshes of one stream's last frame. ``of`` may be called from another thread."""

    def __init__(self, outputs: Outputs, body_model: BodyModel) -> None:
        """Nothing is seen yet.

        Args:
            outputs: where messages go.
            body_model: that makes the estimates' people.
        """
        self._outputs = outputs
        self._faces = np.asarray(body_model.faces)
        self._num_vertices = body_model.num_vertices
        self.topology_id = topology_id(self._faces, self._num_vertices)
        self._seen: _Seen | None = None

    def announce(self, stamp_ns: int) -> None:
        """Send the latched topology, where meshes are offered."""
        message = topology_message(self._faces, self._num_vertices, stamp_ns)
        self._outputs.send("mesh_topology", message)

    def update(self, message: HumanArray, tracked: Sequence[TrackedPerson]) -> None:
        """Remember the people of a frame.

        Args:
            message: what was published.
            tracked: the same people, in the same order.
        """
        people = zip(message.humans, tracked, strict=True)
        present = tuple(
            (human, one.person.vertices_camera)
            for human, one in people
            if one.state != TrackState.LOST
        )
        self._seen = _Seen(message, present)

    def publish(self) -> None:
        """Send the meshes of all people in the last frame."""
        if self._seen is not None:
            self._outputs.send("meshes", self._message(self._seen, ()))

    def of(self, ids: Sequence[str]) -> HumanMeshArray:
        """The meshes of the last frame.

        Args:
            ids: of the people wanted; empty: all people.

        Raises:
            InputError: no frame was processed yet, or a person is not in the last one.
        """
        seen = self._seen
        if seen is None:
            raise InputError("no frame was processed yet; expected one. Ask again later.")
        there = [human.id for human, _ in seen.people]
        if missing := sorted(set(ids) - set(there)):
            names = ", ".join(repr(name[:40]) for name in missing[:5])
            raise InputError(
                f"{len(missing)} ids are not in the last frame, such as {names}; expected one of "
                f"{', '.join(there) or 'none'}. Without ids you get all people."
            )
        return self._message(seen, ids)

    def _message(self, seen: _Seen, ids: Sequence[str]) -> HumanMeshArray:
        return HumanMeshArray(
            header=seen.array.header,
            session=seen.array.session,
            frame_index=seen.array.frame_index,
            topology_id=self.topology_id,
            meshes=[
                HumanMesh(
                    id=human.id,
                    track_id=human.track_id,
                    vertices=array("f", np.asarray(vertices, np.float32).tobytes()),
                )
                for human, vertices in seen.people
                if not ids or human.id in ids
            ],
        )


def topology_id(faces: np.ndarray, num_vertices: int) -> str:
    """Short hash of the triangles and the number of vertices."""
    content = np.ascontiguousarray(faces, "<u4").tobytes() + str(num_vertices).encode("ascii")
    return hashlib.sha256(content).hexdigest()[:16]


def topology_message(faces: np.ndarray, num_vertices: int, stamp_ns: int) -> MeshTopology:
    """The latched explanation of the vertices.

    Args:
        faces: (faces, 3) vertex numbers.
        num_vertices: of every mesh.
        stamp_ns: of the activation.
    """
    return MeshTopology(
        header=convert.header(stamp_ns, ""),
        topology_id=topology_id(faces, num_vertices),
        num_vertices=num_vertices,
        faces=array("I", np.ascontiguousarray(faces, np.uint32).tobytes()),
    )

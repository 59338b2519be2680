"""People as visualization_msgs markers: bones, joints, id and velocity."""

import numpy as np
from geometry_msgs.msg import Vector3
from human3r_msgs.msg import Human, SkeletonInfo
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from human3r_bridge.geometry_messages import point
from human3r_bridge.marker_parts import color, marker
from human3r_bridge.people import NUM_JOINTS, Person

_JOINTS = (*range(22), *range(Human.NOSE, NUM_JOINTS))
"""Without fingers, jaw and eyeballs: at this size they would be one blob."""
_BONE_M, _JOINT_M, _TEXT_M, _TEXT_ABOVE_M = 0.02, 0.045, 0.15, 0.3
_ARROW = (0.03, 0.08, 0.12)
"""Shaft and head diameter, head length, metres."""
_SLOWEST_M_S = 0.1
_HIDDEN_ALPHA = 0.25


def bones_of(skeleton: SkeletonInfo) -> np.ndarray:
    """Pairs (n, 2) of a joint and its parent, those of the face left out."""
    names, parents = list(skeleton.joint_names), np.asarray(skeleton.joint_parents)
    head = names.index("head") if "head" in names else -1
    pairs = [
        (joint, parent)
        for joint, parent in enumerate(parents[: skeleton.num_rotating].tolist())
        if 0 <= parent < len(names) and parent != head
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def person_markers(person: Person, header: Header, bones: np.ndarray) -> list[Marker]:
    """Everything that is drawn of one person; no arrow while the person stands.

    Args:
        person: whom to draw.
        header: of the array the person is from.
        bones: (n, 2) joint indices; empty while no skeleton has been heard of.
    """
    markers = [_joints(person, header), _name(person, header)]
    bones = bones[(bones < len(person.joints_camera)).all(axis=1)]
    if len(bones):
        lines = marker(person, header, "bones", Marker.LINE_LIST, (_BONE_M, 0.0, 0.0))
        lines.points = [point(xyz) for xyz in person.joints_camera[bones].reshape(-1, 3)]
        markers.append(lines)
    velocity = person.velocity_camera
    if velocity is not None and np.linalg.norm(velocity) >= _SLOWEST_M_S:
        arrow = marker(person, header, "velocity", Marker.ARROW, _ARROW)
        start = person.camera_from_body[:3, 3]
        arrow.points = [point(start), point(start + velocity)]
        markers.append(arrow)
    return markers


def _joints(person: Person, header: Header) -> Marker:
    spheres = marker(person, header, "joints", Marker.SPHERE_LIST, (_JOINT_M,) * 3)
    spheres.points = [point(person.joints_camera[joint]) for joint in _JOINTS]
    if person.visibility is not None:
        seen = color(person)
        hidden = ColorRGBA(r=seen.r, g=seen.g, b=seen.b, a=_HIDDEN_ALPHA)
        spheres.colors = [seen if person.visibility[joint] == 1 else hidden for joint in _JOINTS]
    return spheres


def _name(person: Person, header: Header) -> Marker:
    text = marker(person, header, "id", Marker.TEXT_VIEW_FACING, (0.0, 0.0, _TEXT_M))
    text.text = person.id
    x, y, z = person.camera_from_head[:3, 3].tolist()
    # Above the head in the image: y of the optical frame points down.
    text.pose.position = point((x, y - _TEXT_ABOVE_M, z))
    text.scale = Vector3(z=_TEXT_M)
    return text

"""The ROS4HRI body chain: its geometry, and a person's angles in it.

Geometry and names are those of the package human_description (ROS4HRI, humble-devel). The chain
knows a person's stature only, and has fewer joints than a body: one hinge for the spine, no
collar bones. Each angle follows from directions alone, so limbs point where the person's limbs
point; their ends lie where the chain's lengths put them.

Axes of every link at zero angles: x forward, y left, z up.
"""

import math
from dataclasses import dataclass

import numpy as np

from human3r_bridge.people import Person

_Vector = tuple[float, float, float]


@dataclass(frozen=True)
class ChainJoint:
    """One joint; names without the person's id."""

    name: str
    parent: str
    child: str
    offset_heads: _Vector
    """Origin in the parent, in units of stature / 7.5."""
    axis: _Vector | None = None
    """None: fixed."""
    limits_rad: tuple[float, float] = (0.0, 0.0)


HEADS_PER_STATURE = 7.5
NECK, NECK_TO_SHOULDER, UPPER_ARM, FOREARM = 0.25, 0.8, 1.6, 1.0
TORSO, WAIST_WIDTH, THIGH, SHIN, HEAD_RADIUS = 2.75, 1.2, 1.5, 2.0, 0.5
"""Lengths in units of stature / 7.5."""

_ORIGIN = (0.0, 0.0, 0.0)


def _arm(side: str, sign: int) -> tuple[ChainJoint, ...]:
    first, second, third = f"{side}_y_shoulder", f"{side}_p_shoulder", f"{side}_shoulder"
    place = (0.0, sign * NECK_TO_SHOULDER, 0.0)
    return (
        ChainJoint(first, "torso", first, place, (0, 0, -sign), (-1.1, 1.9)),
        ChainJoint(second, first, second, _ORIGIN, (sign, 0, 0), (-0.4, 3.3)),
        ChainJoint(f"{side}_r_shoulder", second, third, _ORIGIN, (0, 0, sign), (-1.7, 1.5)),
        ChainJoint(
            f"{side}_elbow", third, f"{side}_elbow", (0, 0, -UPPER_ARM), (0, -1, 0), (0.0, 2.5)
        ),
        ChainJoint(f"{side}_wrist", f"{side}_elbow", f"{side}_wrist", (0, 0, -FOREARM)),
    )


def _leg(side: str, sign: int) -> tuple[ChainJoint, ...]:
    first, second, third = f"{side}_y_hip", f"{side}_p_hip", f"{side}_hip"
    place = (0.0, sign * WAIST_WIDTH / 2, 0.0)
    return (
        ChainJoint(first, "body", first, place, (0, 0, -1), (-0.1, 0.6)),
        ChainJoint(second, first, second, _ORIGIN, (sign, 0, 0), (-0.4, 3.3)),
        ChainJoint(f"{side}_r_hip", second, third, _ORIGIN, (0, -1, 0), (-0.4, 0.7)),
        ChainJoint(f"{side}_knee", third, f"{side}_knee", (0, 0, -THIGH), (0, -1, 0), (-2.5, 0.0)),
        ChainJoint(f"{side}_ankle", f"{side}_knee", f"{side}_ankle", (0, 0, -SHIN)),
    )


CHAIN: tuple[ChainJoint, ...] = (
    ChainJoint("waist", "body", "waist", _ORIGIN, (0, 1, 0), (-0.2, 1.0)),
    ChainJoint("torso", "waist", "torso", (0, 0, TORSO)),
    ChainJoint("r_head", "torso", "r_head", (0, 0, NECK), (1, 0, 0), (-1.0, 1.0)),
    ChainJoint("y_head", "r_head", "y_head", _ORIGIN, (0, 0, 1), (-1.4, 1.4)),
    ChainJoint("p_head", "y_head", "p_head", _ORIGIN, (0, -1, 0), (-1.5, 1.5)),
    ChainJoint("head", "p_head", "head", (HEAD_RADIUS / 2, 0, HEAD_RADIUS)),
    *_arm("l", 1),
    *_arm("r", -1),
    *_leg("l", 1),
    *_leg("r", -1),
)
"""Every joint, parents before children."""

_HIPS, _KNEES, _ANKLES = (1, 2), (4, 5), (7, 8)
_SHOULDERS, _ELBOWS, _WRISTS = (16, 17), (18, 19), (20, 21)
_TO_SHOULDERS = ((0, 3, 6, 9, 13, 16), (0, 3, 6, 9, 14, 17))
"""Joints from the root to a shoulder, left and right; all as in Human.msg."""
_SMPLX_FORWARD = np.array([0.0, 0.0, 1.0])
_SHOULDER_LIMITS_RAD = [joint.limits_rad for joint in _arm("l", 1)[:3]]
_MIRROR = np.diag([1.0, -1.0, 1.0])
_BENT, _STRAIGHT = 0.5, 0.17
"""Sines of the angle at elbow or knee from which it alone, and below which only the rotations of
the body model, say how the limb is twisted: about 30 and 10 degrees."""


def joint_angles(person: Person) -> dict[str, float]:
    """Angles (rad) of the revolute joints, by name without id.

    They are not clamped to the limits of the description.
    """
    body_from_camera = person.camera_from_body[:3, :3].T
    points = (person.joints_camera - person.camera_from_body[:3, 3]) @ body_from_camera.T
    angles = {"waist": _waist(points)}
    torso_from_body = _rotation((0, 1, 0), angles["waist"]).T
    head = torso_from_body @ body_from_camera @ person.camera_from_head[:3, :3]
    angles.update(_head(head))
    for index, side in enumerate("lr"):
        # The right side is solved as the left one of the mirrored body.
        mirror = _MIRROR if index else np.eye(3)
        forward = _forward(person.rotations, _TO_SHOULDERS[index])
        bones = points[[_SHOULDERS[index], _ELBOWS[index], _WRISTS[index]]]
        to_torso = mirror @ torso_from_body
        angles.update(_arm_angles(side, bones @ to_torso.T, to_torso @ body_from_camera @ forward))
        bones = points[[_HIPS[index], _KNEES[index], _ANKLES[index]]]
        forward = body_from_camera @ _forward(person.rotations, (0, _HIPS[index]))
        angles.update(_leg_angles(side, bones, forward, -1.0 if index else 1.0))
    return angles


def link_transforms(
    angles: dict[str, float], stature_m: float
) -> list[tuple[str, str, np.ndarray]]:
    """Every edge of the chain: parent, child (names without id), parent_from_child (4, 4)."""
    unit_m = stature_m / HEADS_PER_STATURE
    edges = []
    for joint in CHAIN:
        parent_from_child = np.eye(4)
        parent_from_child[:3, 3] = unit_m * np.array(joint.offset_heads)
        if joint.axis is not None:
            parent_from_child[:3, :3] = _rotation(joint.axis, angles[joint.name])
        edges.append((joint.parent, joint.child, parent_from_child))
    return edges


def _waist(points: np.ndarray) -> float:
    """How far the shoulders are in front of the hips."""
    x, _, z = points[list(_SHOULDERS)].mean(axis=0)
    return float(np.arctan2(x, z))


def _head(torso_from_face: np.ndarray) -> dict[str, float]:
    """The turn as Rx(roll) Rz(yaw) Ry(-pitch)."""
    m = torso_from_face
    if np.hypot(m[0, 0], m[0, 2]) < 1e-6:
        # Looking along the shoulders: roll and pitch turn about the same line.
        roll, pitch = np.arctan2(-m[1, 2], m[2, 2]), 0.0
    else:
        roll, pitch = np.arctan2(m[2, 1], m[1, 1]), -np.arctan2(m[0, 2], m[0, 0])
    yaw = np.arcsin(np.clip(-m[0, 1], -1.0, 1.0))
    return {"r_head": float(roll), "y_head": float(yaw), "p_head": float(pitch)}


def _arm_angles(side: str, bones: np.ndarray, forward: np.ndarray) -> dict[str, float]:
    """The left arm's turn as Rz(-a) Rx(b) Rz(c).

    Args:
        side: only names the joints.
        bones: (3, 3) shoulder, elbow, wrist, axes of the torso.
        forward: where the body model's forward has turned to with the upper arm.
    """
    turn, elbow = _limb(bones, forward, bend_sign=1.0)
    tilt = np.hypot(turn[0, 2], turn[1, 2])
    if tilt < 1e-6:
        first, last = 0.0, np.arctan2(-turn[0, 1], turn[0, 0])
    else:
        first = np.arctan2(turn[0, 2], -turn[1, 2])
        last = np.arctan2(turn[2, 0], turn[2, 1])
    middle = np.arctan2(tilt, turn[2, 2])
    solutions = [(-first, middle, last), (_opposite(-first), -middle, _opposite(last))]
    y, p, r = min(solutions, key=_beyond_limits)
    return {
        f"{side}_y_shoulder": float(y),
        f"{side}_p_shoulder": float(p),
        f"{side}_r_shoulder": float(r),
        f"{side}_elbow": elbow,
    }


def _leg_angles(side: str, bones: np.ndarray, forward: np.ndarray, sign: float) -> dict[str, float]:
    """A leg's turn as Rz(-y) Rx(sign p) Ry(-r)."""
    turn, knee = _limb(bones, forward, bend_sign=-1.0)
    middle = np.arcsin(np.clip(turn[2, 1], -1.0, 1.0))
    if np.hypot(turn[2, 0], turn[2, 2]) < 1e-6:
        first, last = np.arctan2(turn[1, 0], turn[0, 0]), 0.0
    else:
        first = np.arctan2(-turn[0, 1], turn[1, 1])
        last = np.arctan2(-turn[2, 0], turn[2, 2])
    return {
        f"{side}_y_hip": float(-first),
        f"{side}_p_hip": float(sign * middle),
        f"{side}_r_hip": float(-last),
        f"{side}_knee": knee,
    }


def _limb(bones: np.ndarray, forward: np.ndarray, bend_sign: float) -> tuple[np.ndarray, float]:
    """The frame of an upper arm or thigh (3, 3), and the angle at elbow or knee.

    z of the frame is against the bone; x is such that the lower bone lies in the plane of x and z,
    on the side of ``bend_sign`` x.
    """
    upper, lower = _unit(bones[1] - bones[0]), _unit(bones[2] - bones[1])
    sideways = bend_sign * (lower - upper * (upper @ lower))
    bend = np.linalg.norm(sideways)
    weight = np.clip((bend - _STRAIGHT) / (_BENT - _STRAIGHT), 0.0, 1.0)
    from_model = _unit(forward - upper * (upper @ forward))
    x = weight * _unit(sideways) + (1.0 - weight) * from_model
    if np.linalg.norm(x) < 1e-6:
        # A straight limb whose model turns along it: any direction across it will do.
        x = _across(upper)
    x = _unit(x)
    frame = np.stack([x, np.cross(-upper, x), -upper], axis=1)
    return frame, float(np.arctan2(lower @ x, lower @ upper))


def _forward(rotations: np.ndarray, chain: tuple[int, ...]) -> np.ndarray:
    """Where the body model's forward points after these joints' rotations, camera axes."""
    direction = _SMPLX_FORWARD
    for joint in reversed(chain):
        direction = rotations[joint] @ direction
    return direction


def _beyond_limits(shoulder: tuple[float, float, float]) -> tuple[float, float]:
    beyond = sum(
        max(low - angle, 0.0, angle - high)
        for angle, (low, high) in zip(shoulder, _SHOULDER_LIMITS_RAD, strict=True)
    )
    return beyond, abs(shoulder[2])


def _opposite(angle: float) -> float:
    return angle - np.copysign(np.pi, angle)


def _unit(v: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(v)
    return v / length if length > 1e-9 else np.zeros(3)


def _across(v: np.ndarray) -> np.ndarray:
    return np.cross(v, np.eye(3)[np.argmin(np.abs(v))])


def _rotation(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    """About one of the coordinate axes, by sign."""
    index = next(i for i in range(3) if axis[i])
    cos, sin = math.cos(angle), math.sin(angle) * axis[index]
    i, j = (index + 1) % 3, (index + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = cos
    matrix[i, j], matrix[j, i] = -sin, sin
    return matrix

"""The ROS4HRI body chain as URDF: what a reader needs to draw a body from its joint angles."""

import math

from human3r_bridge.hri_chain import (
    CHAIN,
    FOREARM,
    HEAD_RADIUS,
    HEADS_PER_STATURE,
    NECK,
    NECK_TO_SHOULDER,
    SHIN,
    THIGH,
    TORSO,
    UPPER_ARM,
    WAIST_WIDTH,
    ChainJoint,
)

_LIMB_RADIUS = 0.2
_MAX_EFFORT, _MAX_VELOCITY = 10, 10
"""URDF demands both; a person's joints have no motors."""


def urdf(person_id: str, stature_m: float) -> str:
    """The description of one body; every link and joint name ends in ``_<person_id>``.

    Args:
        person_id: REP-155 body id, a legal name.
        stature_m: fixes all lengths.
    """
    unit_m = stature_m / HEADS_PER_STATURE
    links = dict.fromkeys(["body", *(joint.child for joint in CHAIN)])
    parts = [
        '<?xml version="1.0"?>',
        f'<robot name="human_{person_id}">',
        *(_link(name, person_id, unit_m) for name in links),
        *(_joint(joint, person_id, unit_m) for joint in CHAIN),
        "</robot>",
    ]
    return "\n".join(parts) + "\n"


def _joint(joint: ChainJoint, person_id: str, unit_m: float) -> str:
    kind = "fixed" if joint.axis is None else "revolute"
    lines = [
        f'  <joint name="{joint.name}_{person_id}" type="{kind}">',
        f'    <parent link="{joint.parent}_{person_id}"/>',
        f'    <child link="{joint.child}_{person_id}"/>',
        f'    <origin xyz="{_numbers(joint.offset_heads, unit_m)}" rpy="0 0 0"/>',
    ]
    if joint.axis is not None:
        low, high = joint.limits_rad
        lines += [
            f'    <axis xyz="{_numbers(joint.axis, 1.0)}"/>',
            f'    <limit lower="{low}" upper="{high}" effort="{_MAX_EFFORT}" '
            f'velocity="{_MAX_VELOCITY}"/>',
        ]
    return "\n".join([*lines, "  </joint>"])


def _link(name: str, person_id: str, unit_m: float) -> str:
    shape = _shape(name)
    if shape is None:
        return f'  <link name="{name}_{person_id}"/>'
    (kind, sizes), center = shape
    attributes = " ".join(f'{key}="{size * unit_m:.4f}"' for key, size in sizes.items())
    roll = math.pi / 2 if name in ("torso", "body") else 0.0
    return "\n".join(
        [
            f'  <link name="{name}_{person_id}">',
            "    <visual>",
            f'      <origin xyz="{_numbers(center, unit_m)}" rpy="{roll:.6f} 0 0"/>',
            f"      <geometry><{kind} {attributes}/></geometry>",
            "    </visual>",
            "  </link>",
        ]
    )


def _shape(name: str):
    """A link's solid and its centre, in units of stature / 7.5; None for links without length."""

    def bone(length: float, radius: float = _LIMB_RADIUS):
        return ("cylinder", {"length": length, "radius": radius})

    side, _, part = name.partition("_")
    if side in ("l", "r"):
        length = {"shoulder": UPPER_ARM, "elbow": FOREARM, "hip": THIGH, "knee": SHIN}.get(part)
        return None if length is None else (bone(length), (0.0, 0.0, -length / 2))
    return {
        "body": (bone(WAIST_WIDTH), (0.0, 0.0, 0.0)),
        "waist": (bone(TORSO, 2 * _LIMB_RADIUS), (0.0, 0.0, TORSO / 2)),
        "torso": (bone(2 * NECK_TO_SHOULDER), (0.0, 0.0, 0.0)),
        "p_head": (bone(2 * NECK), (0.0, 0.0, 0.0)),
        "head": (("sphere", {"radius": HEAD_RADIUS}), (-HEAD_RADIUS / 2, 0.0, 0.0)),
    }.get(name)


def _numbers(values: tuple[float, ...], scale: float) -> str:
    return " ".join(f"{value * scale + 0.0:.4f}" for value in values)

"""Biovision hierarchies: one file per person, with the person's own bones and a T-pose at rest.

A file has no place for comments, so axes and units are in its name and in the manifest beside it.
Lengths are metres; rotations are Z, Y, X about the joint's own moving axes, degrees. The bones'
rest axes are x left, y up, z forward of the person whatever the world is: the root turns them.
Source of the layout: Meredith and Maddock 2001, "Motion capture file formats explained".
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.atomic import whole_file
from human3r.export.clip import Clip, Person, SteadyMotion, steady

_TURNS = "Zrotation Yrotation Xrotation"
_TIP_SHARE = 0.6
"""Length of the last bone of a limb, in lengths of the one before."""


def write(clip: Clip, folder: Path) -> dict[str, Any]:
    """Write ``person_ID_metres_WORLD.bvh`` for each person; returns what the manifest adds.

    Raises:
        OutputError: not writable.
    """
    files = {}
    for person in clip.people:
        motion = steady(clip, person)
        name = f"{person.name}_metres_{clip.world.name}.bvh"
        with whole_file(folder / name) as file:
            file.write(_hierarchy(clip, person).encode())
            file.write(_motion(clip, motion).encode())
        files[name] = motion_about(motion)
    return {"units": "metres, degrees", "files": files}


def motion_about(motion: SteadyMotion) -> dict[str, Any]:
    """Where a file at a fixed rate begins, and which of its rows were not seen."""
    return {
        "begins_at_frame": motion.first_frame,
        "rows": len(motion.root),
        "interpolated_rows": np.flatnonzero(~motion.is_seen).tolist(),
    }


def _hierarchy(clip: Clip, person: Person) -> str:
    parents, names = clip.joint_parents, clip.joint_names
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(parents):
        children.setdefault(parent, []).append(joint)
    lines = ["HIERARCHY"]

    def add(joint: int, depth: int) -> None:
        pad, inner = "\t" * depth, "\t" * (depth + 1)
        parent = parents[joint]
        bone = np.zeros(3) if parent < 0 else person.rest_joints[joint] - person.rest_joints[parent]
        lines.append(f"{pad}{'ROOT' if parent < 0 else 'JOINT'} {names[joint]}")
        lines.append(f"{pad}{{")
        lines.append(f"{inner}OFFSET {_numbers(bone)}")
        if parent < 0:
            lines.append(f"{inner}CHANNELS 6 Xposition Yposition Zposition {_TURNS}")
        else:
            lines.append(f"{inner}CHANNELS 3 {_TURNS}")
        for child in children.get(joint, ()):
            add(child, depth + 1)
        if joint not in children:
            lines.append(f"{inner}End Site")
            lines.append(f"{inner}{{")
            lines.append(f"{inner}\tOFFSET {_numbers(_TIP_SHARE * bone)}")
            lines.append(f"{inner}}}")
        lines.append(f"{pad}}}")

    add(0, 0)
    return "\n".join(lines) + "\n"


def _motion(clip: Clip, motion: SteadyMotion) -> str:
    order = depth_first(clip.joint_parents)
    turns = euler_degrees(motion.rotations[:, order], "ZYX")
    rows = np.concatenate([motion.root, turns.reshape(len(turns), -1)], axis=1)
    head = f"MOTION\nFrames: {len(rows)}\nFrame Time: {1 / clip.rate_hz:.9f}\n"
    return head + "".join(f"{_numbers(row)}\n" for row in rows)


def depth_first(parents: tuple[int, ...]) -> list[int]:
    """Joints in the order in which a hierarchy lists them."""
    order: list[int] = []

    def visit(joint: int) -> None:
        order.append(joint)
        for child, parent in enumerate(parents):
            if parent == joint:
                visit(child)

    visit(0)
    return order


def euler_degrees(rotations: np.ndarray, sequence: str) -> np.ndarray:
    """Angles (..., 3) about moving axes of rotations (..., 3, 3), without jumps over time.

    The first axis is time. At a gimbal lock the third angle is 0, as good as any other.
    """
    import warnings

    flat = rotations.reshape(-1, 3, 3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock")
        angles = Rotation.from_matrix(flat).as_euler(sequence)
    return np.degrees(np.unwrap(angles.reshape(*rotations.shape[:-2], 3), axis=0))


def _numbers(values: np.ndarray) -> str:
    return ("%.6f " * len(values) % tuple(values)).rstrip()

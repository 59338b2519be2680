"""OpenSim motion tables: the pelvis and every joint's three angles, one file per person.

The angles are those of the body model's joints: X, then Y, then Z about the joint's own moving
axes, which at rest are x left, y up, z forward of the person. They are columns to plot and to
compare, and **not** the coordinates of a musculoskeletal model, whose joints turn about other
axes: for those, give the markers of ``trc`` to OpenSim's inverse kinematics.
Source of the layout: OpenSim documentation, "Motion (.mot) files".
"""

from pathlib import Path
from typing import Any

import numpy as np

from human3r.atomic import whole_file
from human3r.export.bvh import euler_degrees, motion_about
from human3r.export.clip import Clip, SteadyMotion, steady


def write(clip: Clip, folder: Path) -> dict[str, Any]:
    """Write ``person_ID.mot`` for each person; returns what the manifest adds.

    Raises:
        OutputError: not writable.
    """
    files = {}
    for person in clip.people:
        motion = steady(clip, person)
        with whole_file(folder / f"{person.name}.mot") as file:
            file.write(_text(clip, motion, person.name).encode())
        files[f"{person.name}.mot"] = motion_about(motion)
    return {"units": "metres, degrees", "files": files}


def _text(clip: Clip, motion: SteadyMotion, name: str) -> str:
    names = clip.joint_names[: motion.rotations.shape[1]]
    columns = ["time", *(f"pelvis_t{axis}" for axis in "xyz")]
    columns += [f"{joint}_r{axis}" for joint in names for axis in "xyz"]
    angles = euler_degrees(motion.rotations, "XYZ").reshape(len(motion.root), -1)
    times = (motion.first_frame + np.arange(len(motion.root))) / clip.rate_hz
    rows = np.concatenate([times[:, None], motion.root, angles], axis=1)
    head = (
        f"{name}\nversion=1\nnRows={len(rows)}\nnColumns={len(columns)}\ninDegrees=yes\n\n"
        f"World: {clip.world.axes}.\n"
        "Angles: X, then Y, then Z about each joint's own moving axes, child in parent; pelvis in "
        "the world. At rest: x left, y up, z forward of the person.\nendheader\n"
    )
    body = "".join("\t".join(np.char.mod("%.6f", row).tolist()) + "\n" for row in rows)
    return head + "\t".join(columns) + "\n" + body

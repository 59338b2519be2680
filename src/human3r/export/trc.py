"""OpenSim marker files: joints and landmarks of a person over time, one file per person.

They are what OpenSim's scaling and inverse kinematics begin with; a marker set that names the same
points belongs to it. Source of the layout: OpenSim documentation, "Marker (.trc) files".
"""

from pathlib import Path
from typing import Any

import numpy as np

from human3r.atomic import whole_file
from human3r.body.skeleton import NUM_JOINTS, VERTEX_LANDMARK_NAMES
from human3r.export.bvh import motion_about
from human3r.export.clip import Clip, SteadyMotion, steady


def write(clip: Clip, folder: Path) -> dict[str, Any]:
    """Write ``person_ID_WORLD.trc`` for each person; returns what the manifest adds.

    Raises:
        OutputError: not writable.
    """
    chosen = marker_numbers(clip.joint_names)
    files = {}
    for person in clip.people:
        motion = steady(clip, person)
        name = f"{person.name}_{clip.world.name}.trc"
        with whole_file(folder / name) as file:
            file.write(_text(clip, motion, chosen, name).encode())
        files[name] = motion_about(motion)
    return {"units": "metres", "files": files}


def marker_numbers(names: tuple[str, ...]) -> list[int]:
    """The 55 joints, then the body model's landmarks of feet, face and finger tips."""
    landmarks = [i for i, name in enumerate(names[NUM_JOINTS:]) if name in VERTEX_LANDMARK_NAMES]
    return [*range(NUM_JOINTS), *(NUM_JOINTS + number for number in landmarks)]


def _text(clip: Clip, motion: SteadyMotion, chosen: list[int], name: str) -> str:
    rate, count = f"{clip.rate_hz:.6f}", len(motion.root)
    head = (
        f"PathFileType\t4\t(X/Y/Z)\t{name}\n"
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\t"
        "OrigNumFrames\n"
        f"{rate}\t{rate}\t{count}\t{len(chosen)}\tm\t{rate}\t1\t{count}\n"
        "Frame#\tTime\t" + "\t\t\t".join(clip.joint_names[i] for i in chosen) + "\t\t\n"
        "\t\t" + "\t".join(f"X{i}\tY{i}\tZ{i}" for i in range(1, len(chosen) + 1)) + "\n\n"
    )
    lines = []
    for row, joints in enumerate(motion.joints[:, chosen]):
        time_s = (motion.first_frame + row) / clip.rate_hz
        places = "\t".join(np.char.mod("%.6f", joints.reshape(-1)).tolist())
        lines.append(f"{row + 1}\t{time_s:.6f}\t{places}\n")
    return head + "".join(lines)

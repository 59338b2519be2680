"""Pictures of a body model, posed: look at them before shipping a body.

python -m tools.free_body_pictures OUT_DIR [--body-model FILE]
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.base import BodyModel
from human3r.body.default import default_body_path
from human3r.body.skeleton import JOINT_NAMES, JOINT_OF_ROTATION
from tools.free_body.picture import contact_sheet, draw_body, turn_about_y

ROTATION_NAMES = [JOINT_NAMES[joint] for joint in JOINT_OF_ROTATION]
FINGER_CURL_DEG = 75

Pose = dict[str, tuple[float, float, float]]


def both(joint: str, x: float = 0, y: float = 0, z: float = 0) -> Pose:
    """The same turn on both sides, mirrored; degrees."""
    return {f"left_{joint}": (x, y, z), f"right_{joint}": (x, -y, -z)}


ARMS_DOWN = both("shoulder", z=-65)
FISTS: Pose = (
    {
        name: bend
        for finger in ("index", "middle", "ring", "pinky")
        for link in (1, 2, 3)
        for name, bend in both(f"{finger}{link}", z=-FINGER_CURL_DEG).items()
    }
    | both("thumb1", x=20, y=30)
    | both("thumb2", y=40)
)
POSES: dict[str, Pose] = {
    "standing": ARMS_DOWN,
    "walking": {
        "left_hip": (-30, 0, 0),
        "left_knee": (12, 0, 0),
        "right_hip": (18, 0, 0),
        "right_knee": (40, 0, 0),
        "left_ankle": (12, 0, 0),
        "left_shoulder": (0, 25, -65),
        "right_shoulder": (0, 25, 65),
        **both("elbow", y=-25),
    },
    "sitting": {**both("hip", x=-90), **both("knee", x=90), **ARMS_DOWN, **both("elbow", y=-80)},
    "squatting": {
        **both("hip", x=-115, z=8),
        **both("knee", x=130),
        **both("ankle", x=-20),
        **both("shoulder", y=-80),
        "spine1": (20, 0, 0),
    },
    "arms_up": both("shoulder", z=75) | both("collar", z=15),
    "elbows_bent": both("elbow", y=-120),
    "twisted": {"spine1": (0, 20, 0), "spine2": (0, 20, 0), "neck": (0, 25, 0), **ARMS_DOWN},
    "bowing": {"spine1": (30, 0, 0), "spine2": (25, 0, 0), "head": (20, 0, 0), **ARMS_DOWN},
}


def pose_body(
    body: BodyModel, pose: Pose, betas: np.ndarray | None = None, face: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints, y up, facing +z, of a pose in degrees per joint."""
    vectors = np.zeros((len(ROTATION_NAMES), 3))
    for name, degrees in pose.items():
        vectors[ROTATION_NAMES.index(name)] = np.radians(degrees)
    rotations = torch.from_numpy(Rotation.from_rotvec(vectors).as_matrix()).float()
    mesh = body(
        rotations[None],
        torch.from_numpy(np.zeros(10) if betas is None else betas).float()[None],
        torch.from_numpy(np.zeros(10) if face is None else face).float()[None],
        torch.zeros(1, 3),
    )
    return mesh.vertices[0].numpy(), mesh.joints[0].numpy()


def draw_all(body: BodyModel) -> dict[str, np.ndarray]:
    """Contact sheets by name: an overview, sides, poses, hands and faces, shapes."""

    def draw(vertices: np.ndarray, turn_deg: float = 0, **options: Any) -> np.ndarray:
        return draw_body(vertices, body.faces, turn_about_y(np.radians(turn_deg)), **options)

    rest, joints = pose_body(body, {})
    sides = [draw(rest, turn, dots=joints) for turn in (0, -45, -90, 180)]
    poses = [draw(pose_body(body, pose)[0], turn) for pose in POSES.values() for turn in (-30, -90)]
    fists, fist_joints = pose_body(body, FISTS)
    hand = fist_joints[JOINT_NAMES.index("left_middle1")]
    near = {"centre": hand, "height_m": 0.3}
    close = [draw(rest, turn, **near) for turn in (0, -60)]
    close += [draw(fists, turn, **near) for turn in (0, -60)]
    head = {"centre": np.array([0, 0.03, 0.05]), "height_m": 0.34}
    close.append(draw(pose_body(body, {"jaw": (22, 0, 0)})[0], -25, **head))
    for expression in np.eye(10):
        close.append(draw(pose_body(body, {}, face=expression)[0], -15, **head))
    shapes = []
    for component in range(4):
        for amount in (-2, 2):
            betas = amount * np.eye(10)[component]
            shapes.append(draw(pose_body(body, ARMS_DOWN, betas)[0], -20))
    small = {"size_px": (300, 250), "height_m": 2.1}
    overview = [draw(rest, turn, **small) for turn in (0, -90, 180)]
    for name in ("walking", "sitting", "squatting", "arms_up"):
        overview.append(draw(pose_body(body, POSES[name])[0], -40, **small))
    overview.append(draw(fists, -60, centre=hand, height_m=0.3, size_px=(300, 250)))
    return {
        "overview": contact_sheet(overview, 4),
        "sides": contact_sheet(sides, 4),
        "poses": contact_sheet(poses, 4),
        "close": contact_sheet(close, 5),
        "shapes": contact_sheet(shapes, 4),
    }


def main() -> None:
    """Draw and write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--body-model", type=Path, default=default_body_path())
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, sheet in draw_all(load_body_model(arguments.body_model)).items():
        file = arguments.out / f"{name}.png"
        cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        print(file)


if __name__ == "__main__":
    main()
